"""
Streak: how many windows in a row, up to the newest, have too large a share of something.

One window over a limit is a blip. Several in a row are a fact where they are beyond chance too: a version that fails
2 % of its requests shows more than 5 % in many a window of fifty. A window with little in it says nothing either way.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, takewhile
from types import MappingProxyType

from knowngood.domain.confidence import excess_evidence
from knowngood.domain.spelling import counted
from knowngood.domain.system import TriggerKind
from knowngood.domain.window import Judgement, Verdict, Window
from knowngood_sdk.errors import InvalidError

__all__ = ["Streak", "Tally", "check_count", "check_ratio"]

_BEYOND_CHANCE = -math.log(1e-6)
"""
Evidence that a row takes. A row may begin at any window and end at any later one; the evidence holds at all ends
together, so the error rates of the beginnings add up: with a window a second, a version that stands exactly at its
limit is falsely accused once in eleven days, a healthy one hardly ever.
"""


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
    Breached when the share ``hits / n`` stays over a limit, by more than chance.

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

        Windows are joined, from the newest back, until they hold ``enough``: at low traffic a stretch of several counts
        as one. A window that was not measured ends the row.

        Args:
            history: Windows of equal length, oldest first; shape ``(n,)``, where n may be 0.
            tally: Reads hits and n from a window that was measured.

        Returns:
            The judgement. It reads no further back than the first stretch that is within the limit.
        """
        if not history:
            return self._judgement(Verdict.NO_DATA, "there is no window yet", "a first window")
        if history[-1].error:
            return self._judgement(Verdict.MONITOR_ERROR, f"not measured: {history[-1].error}", "a source that answers")
        stretches = self._stretches(history, tally)
        newest = next(stretches)
        if tally(history[-1]).n == 0:
            return self._judgement(Verdict.NO_DATA, "no request came", "requests")
        figures = {"hits": newest.hits, "n": newest.n, "limit": self.limit, "windows": self.windows}
        if newest.n < self.enough:
            reason = f"{counted(newest.n, 'request')} in the newest windows: too few"
            needed = f"{counted(self.enough, 'request')} in a stretch"
            return self._judgement(Verdict.INCONCLUSIVE, reason, needed, figures)
        row = [newest, *takewhile(self._over, stretches)] if self._over(newest) else []
        return self._weigh(newest, row, figures)

    def _stretches(self, history: Sequence[Window], tally: Callable[[Window], Tally]) -> Iterator[Tally]:
        """Yield the tallies of stretches that hold enough, the newest first; the last one may hold less."""
        joined: Window | None = None
        for window in reversed(history):
            if window.error:
                break
            joined = window if joined is None else replace(window, counts=window.counts.plus(joined.counts))
            found = tally(joined)
            if found.n >= self.enough:
                yield found
                joined = None
        yield Tally() if joined is None else tally(joined)

    def _weigh(self, newest: Tally, row: Sequence[Tally], figures: Mapping[str, float]) -> Judgement:
        """Judge the stretches in a row that are over the limit: enough of them, and together beyond chance."""
        share = newest.hits / newest.n
        reason = f"{newest.hits} of {counted(newest.n, 'request')} {self.fault} ({share:.1%}; limit {self.limit:.1%})"
        figures = {**figures, "in_a_row": len(row)}
        if not row:
            return self._judgement(Verdict.CLEAR, reason, "", figures)
        if len(row) < self.windows:
            needed = f"{self.windows - len(row)} more window(s) over the limit"
            return self._judgement(Verdict.INCONCLUSIVE, reason, needed, figures)
        together = list(accumulate(row, lambda a, b: Tally(a.hits + b.hits, a.n + b.n)))[self.windows - 1 :]
        worst = max(together, key=self._evidence)
        figures.update(hits_in_a_row=worst.hits, n_in_a_row=worst.n)
        if self._evidence(worst) < _BEYOND_CHANCE:
            needed = f"more than {worst.hits} of {worst.n}, which chance may show of a version within the limit"
            return self._judgement(Verdict.INCONCLUSIVE, f"{reason}, by chance perhaps", needed, figures)
        return self._judgement(Verdict.BREACHED, f"{reason} in {len(row)} window(s) in a row", "", figures)

    def _evidence(self, item: Tally) -> float:
        return excess_evidence(item.hits, item.n, limit=self.limit)

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
