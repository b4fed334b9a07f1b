"""Recent: what one version did of late, as far as it is evidence about that version."""

from dataclasses import dataclass

from knowngood_sdk.serving.event import Kind
from knowngood_sdk.serving.trials import Trials

__all__ = ["NEVER_NS", "Bounds", "Recent"]

NEVER_NS = 2**62
"""Longer than any request takes, a century and a half; an integer, for integers are compared with it."""

_NO_EVIDENCE = (Kind.CLIENT_ERROR, Kind.SHARED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """
    What a version is held against.

    Attributes:
        errors: Highest acceptable share of failed requests, a ratio.
        slow: Highest acceptable share of slow requests, a ratio.
        slow_ns: A request that took longer is slow.
        nonsense: Highest acceptable share of nonsense among the outputs, a ratio.
    """

    errors: float = 0.05
    slow: float = 0.05
    slow_ns: int = NEVER_NS
    nonsense: float = 0.05


class Recent:
    """
    Evidence about one version. One thread folds into it.

    Attributes:
        errors: Requests that say something about the version, neither the caller's fault nor shared by the standby.
        slow: Those of them that have a latency.
        nonsense: Outputs.
    """

    __slots__ = ("_slow_ns", "errors", "nonsense", "slow")

    def __init__(self, bounds: Bounds) -> None:
        self.errors = Trials(bounds.errors)
        self.slow = Trials(bounds.slow)
        self.nonsense = Trials(bounds.nonsense)
        self._slow_ns = bounds.slow_ns

    def request(self, kind: int, elapsed: float | None) -> None:
        """Take in a request of a kind, with its latency in ns."""
        if kind == Kind.OK:
            self.errors.good += 1
        elif kind in _NO_EVIDENCE:
            return
        else:
            self.errors.failed()
        if elapsed is not None:
            if elapsed > self._slow_ns:
                self.slow.failed()
            else:
                self.slow.good += 1

    def output(self, *, nonsense: bool) -> None:
        """Take in an output."""
        if nonsense:
            self.nonsense.failed()
        else:
            self.nonsense.good += 1

    def clear(self) -> None:
        """Forget everything."""
        for trials in (self.errors, self.slow, self.nonsense):
            trials.clear()
