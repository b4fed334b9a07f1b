"""
Recovery: what riders got after the decision to leave version 2, by the same definitions with and without the product.

Which version answered is told by the stamp that the model itself puts into a price, not by what the price is. Pure:
logs and moments in, figures out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from knowngood.demo.load import Request
from knowngood.demo.world.riders import is_bad_price

__all__ = ["Recovery"]

_AROUND_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """
    From the decision on, in seconds of the wall.

    Attributes:
        last_bad_answer_seconds: Until the last answer of version 2 was complete: below 0 where that was before the
            decision; None where version 2 answered nobody.
        first_good_price_seconds: Until the first price of version 1 that was asked for after the decision; None where
            there was none.
        bad_prices: Riders who were answered after the decision, with a bad price.
        failed_requests: Riders who asked after the decision, and got no price.
        requests: Riders who asked after the decision.
        arrival_gap_seconds: Mean time between two riders around the decision: no difference below it can be seen. None
            where fewer than two came.
    """

    last_bad_answer_seconds: float | None
    first_good_price_seconds: float | None
    bad_prices: int
    failed_requests: int
    requests: int
    arrival_gap_seconds: float | None

    @classmethod
    def of(
        cls,
        log: Sequence[Request],
        *,
        decided_at: float,
        models: Mapping[str, str],
        known_prices: Mapping[int, float],
    ) -> "Recovery":
        """
        Read it from a log.

        Args:
            log: What riders wrote down.
            decided_at: When it was decided to leave version 2, in epoch seconds.
            models: ``known`` and ``bad`` -> stamp of the version's model.
            known_prices: Local hour -> what version 1 asks in that hour, dollars.
        """
        asked = [request for request in log if request.sent_at > decided_at]
        good = [request.answered_at for request in asked if request.model == models["known"]]
        bad = [request.answered_at for request in log if request.model == models["bad"]]
        answered = [r for r in log if r.answered_at > decided_at and r.price is not None]
        near = [r.sent_at for r in log if abs(r.sent_at - decided_at) <= _AROUND_SECONDS]
        return cls(
            last_bad_answer_seconds=max(bad) - decided_at if bad else None,
            first_good_price_seconds=min(good) - decided_at if good else None,
            bad_prices=sum(is_bad_price(r.price or 0.0, known_prices[r.hour]) for r in answered),
            failed_requests=sum(request.failed for request in asked),
            requests=len(asked),
            arrival_gap_seconds=(max(near) - min(near)) / (len(near) - 1) if len(near) > 1 else None,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)
