"""As canary: how far the same deployment got at a tenth of the traffic, and what it was left on. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from knowngood.demo.figures import harm_of
from knowngood.demo.record import epoch_of
from knowngood.demo.seen import Seen

__all__ = ["AsCanary"]

_FULL: Final = 10_000
"""The whole traffic, in the parts in which a split is on record."""
_ON_THE_SAME_REQUESTS: Final = "on the same requests"
"""What a reason on record says of answers that the known version and this one gave to the same requests, in shadow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AsCanary:
    """
    What came of version 2 as a canary.

    Attributes:
        given: Share of the traffic that it was given, a ratio, as it is on record.
        riders: Riders who asked while it was given that.
        served: Riders whom it answered.
        affected: Riders among them whose price was bad.
        left: Whether it was left again.
        waited_seconds: How long it was given for that.
        decision: The decision to leave it, as it is on record; None without one.
    """

    given: float
    riders: int
    served: int
    affected: int
    left: bool
    waited_seconds: float
    decision: Mapping[str, Any] | None = field(default=None)

    @classmethod
    def of(cls, seen: Seen) -> "AsCanary":
        """Read it from the riders' log and the record; ``seen.canary`` is there."""
        assert seen.canary is not None  # noqa: S101 - the caller has looked
        bad, record, log = seen.versions["bad"], seen.record, seen.canary_log
        harm = harm_of(log, bad, seen.known_prices)
        advanced, trips = record.advanced_at(bad, 2), record.trips(bad)[1:]
        begin = epoch_of(advanced) if advanced else seen.canary.started_at
        end = epoch_of(trips[0]["at"]) if trips else max((request.sent_at for request in log), default=begin)
        return cls(
            given=float(record.deployment(bad)["split"]) / _FULL,
            riders=sum(begin <= request.sent_at <= end for request in log),
            served=harm.quoted,
            affected=harm.affected,
            left=seen.canary.left,
            waited_seconds=seen.canary.waited_seconds,
            decision=next((d for d in record.decisions(bad, 2) if d["acts"]), None),
        )

    @property
    def measured_share(self) -> float | None:
        """Share of the riders whom it answered, a ratio; None where nobody asked meanwhile."""
        return self.served / self.riders if self.riders else None

    @property
    def reason(self) -> str:
        """Why it was left, in the words of the record; empty where it was not."""
        return str(self.decision["reasons"][0]) if self.decision else ""

    @property
    def on_shadow_answers(self) -> bool:
        """Whether answers in shadow decided, of both versions to the same requests, whichever served the rider."""
        return _ON_THE_SAME_REQUESTS in self.reason

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        share = self.measured_share
        return {
            "reached_percent": self.given * 100,
            "riders_meanwhile": self.riders,
            "riders_served": self.served,
            "measured_percent": None if share is None else share * 100,
            "affected_riders": self.affected,
            "left": self.left,
            "reason": self.reason,
            "decided_on_shadow_answers": self.on_shadow_answers,
        }
