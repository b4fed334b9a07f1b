"""Latency: too many requests take several times what was promised."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from knowngood.domain.system import TriggerKind
from knowngood.domain.trigger.streak import Streak, Tally
from knowngood.domain.window import Judgement, Window
from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.counts import bin_bounds

__all__ = ["Latency"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """
    Breached when the 99th percentile stays above a multiple of the promised one.

    It counts requests instead of estimating a quantile: with ``share`` 0.01, more than 1 % of them slower than the
    limit is the same statement. A bin of the histogram counts only when all of it is slower, so values up to 12.5 %
    above the limit may be let pass, and none below it is held against the version.

    Attributes:
        promised: The latency that all but ``share`` of the requests should stay under (the SLA), above 0.
        name: Name of the trigger.
        factor: How many times the promise is too slow, above 0.
        share: Highest acceptable share of slower requests, a ratio in [0, 1).
        windows: How many windows in a row must be over the limit, a count >= 1.
        min_requests: Requests a window needs to count as evidence, a count >= 1.

    Raises:
        InvalidError: A field is outside its range.
    """

    promised: timedelta
    name: str = "latency"
    factor: float = 5.0
    share: float = 0.01
    windows: int = 2
    min_requests: int = 100

    def __post_init__(self) -> None:
        if self.promised <= timedelta(0):
            raise InvalidError(f"trigger {self.name} has promised {self.promised}", hint="Give a duration above 0")
        if not self.factor > 0:
            raise InvalidError(f"trigger {self.name} has factor {self.factor}", hint="Give a factor above 0: 5x")
        self._streak()

    @property
    def limit_seconds(self) -> float:
        """The latency that is too slow, in seconds."""
        return self.promised.total_seconds() * self.factor

    def judge(self, history: Sequence[Window]) -> Judgement:
        """
        Judge the newest windows.

        Args:
            history: Windows of equal length, oldest first; shape ``(n,)``, where n may be 0.

        Returns:
            The judgement. It reads only the last ``windows`` entries, so its cost does not grow with n.
        """
        return self._streak().judge(history, self._slow)

    def _slow(self, window: Window) -> Tally:
        bins = window.counts.latency
        slow = sum(count for index, count in bins.items() if bin_bounds(index)[0] >= self.limit_seconds)
        return Tally(slow, sum(bins.values()))

    def _streak(self) -> Streak:
        return Streak(
            name=self.name,
            kind=TriggerKind.LATENCY,
            fault=f"took longer than {self.limit_seconds:g} s",
            limit=self.share,
            windows=self.windows,
            enough=self.min_requests,
        )
