"""
Streak: how many windows in a row, up to the newest, have too large a share of something.

One window over a limit is a blip, several in a row are a fact. A window with little in it says nothing either way.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from knowngood.domain.spelling import counted
from knowngood.domain.system import TriggerKind
from knowngood.domain.window import Judgement, Verdict, Window
from knowngood_sdk.errors import InvalidError

__all__ = ["Streak", "Tally", "check_count", "check_ratio"]


@dataclass(frozen=True, slots=True)
class Tally:
    """
    What one window says.

    Attributes:
        hits: Requests (or outputs) with the fault, a count.
        n: Requests (or outputs) that could have had it, a count.
    """

    hits: int = 0
    n: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Streak:
    """
    Breached when the share ``hits / n`` stays over a limit.

    Attributes:
        name: Name of the trigger.
        kind: What it measures.
        fault: What a hit is, as the end of "12 of 300 requests ...".
        limit: Highest acceptable share, a ratio in [0, 1).
        windows: How many windows in a row must be over the limit, a count >= 1.
        enough: Requests that a window needs to count as evidence, a count >= 1.

    Raises:
        InvalidError: A field is outside its range.
    """

    name: str
    kind: TriggerKind
    fault: str
    limit: float
    windows: int
    enough: int

    def __post_init__(self) -> None:
        check_ratio(self.name, "limit", self.limit)
        check_count(self.name, "windows", self.windows)
        check_count(self.name, "min_requests", self.enough)

    def judge(self, history: Sequence[Window], tally: Callable[[Window], Tally]) -> Judgement:
        """
        Judge the newest windows.

        Args:
            history: Windows of equal length, oldest first; shape ``(n,)``, where n may be 0.
            tally: Reads hits and n from a window that was measured.

        Returns:
            The judgement. It reads only the last ``windows`` entries, so its cost does not grow with n.
        """
        if not history:
            return self._judgement(Verdict.NO_DATA, "there is no window yet", "a first window")
        recent = history[-self.windows :]
        if recent[-1].error:
            return self._judgement(Verdict.MONITOR_ERROR, f"not measured: {recent[-1].error}", "a source that answers")
        tallies = [Tally() if window.error else tally(window) for window in recent]
        if not any(item.n for item in tallies):
            return self._judgement(Verdict.NO_DATA, "no request came", "requests")
        return self._weigh(tallies)

    def _weigh(self, tallies: Sequence[Tally]) -> Judgement:
        newest = tallies[-1]
        figures = {"hits": newest.hits, "n": newest.n, "limit": self.limit, "windows": self.windows}
        if newest.n < self.enough:
            reason = f"{counted(newest.n, 'request')} in the newest window: too few"
            return self._judgement(
                Verdict.INCONCLUSIVE, reason, f"{counted(self.enough, 'request')} in a window", figures
            )
        share = newest.hits / newest.n
        reason = f"{newest.hits} of {counted(newest.n, 'request')} {self.fault} ({share:.1%}; limit {self.limit:.1%})"
        in_a_row = next((i for i, item in enumerate(reversed(tallies)) if not self._over(item)), len(tallies))
        figures["in_a_row"] = in_a_row
        if in_a_row == 0:
            return self._judgement(Verdict.CLEAR, reason, "", figures)
        if in_a_row < self.windows:
            needed = f"{self.windows - in_a_row} more window(s) over the limit"
            return self._judgement(Verdict.INCONCLUSIVE, reason, needed, figures)
        return self._judgement(Verdict.BREACHED, f"{reason} in {in_a_row} window(s) in a row", "", figures)

    def _over(self, item: Tally) -> bool:
        return item.n >= self.enough and item.hits / item.n > self.limit

    def _judgement(
        self, verdict: Verdict, reason: str, needed: str, figures: Mapping[str, float] = MappingProxyType({})
    ) -> Judgement:
        return Judgement(
            verdict=verdict, trigger=self.name, kind=self.kind, reason=reason, needed=needed, figures=figures
        )


def check_ratio(trigger: str, name: str, value: float) -> None:
    """Raise InvalidError unless the value is a ratio in [0, 1)."""
    if not 0 <= value < 1:
        raise InvalidError(f"trigger {trigger} has {name} {value}", hint="Give a ratio from 0 to below 1")


def check_count(trigger: str, name: str, value: int) -> None:
    """Raise InvalidError unless the value is a count of at least 1."""
    if value < 1:
        raise InvalidError(f"trigger {trigger} has {name} {value}", hint="Give a whole number, 1 or more")
