"""Recent: what one version did in the last seconds, in buckets of 50 ms."""

from collections import deque
from dataclasses import dataclass

from knowngood_sdk.serving.event import Kind

__all__ = ["NEVER_NS", "Recent", "Span"]

NEVER_NS = 2**62
"""Longer than any request takes, a century and a half; an integer, for integers are compared with it."""

_BUCKET_NS = 50_000_000
_KEPT = 40
"""Buckets, two seconds: twice as much as the longest rule looks at."""
_NO_EVIDENCE = (Kind.CLIENT_ERROR, Kind.SHARED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """
    A stretch of time.

    Attributes:
        requests: Requests that say something about the version: neither the caller's fault nor shared by the standby.
        errors: Those that failed.
        slow: Those that took longer than the limit.
        outputs: Outputs that were observed.
        nonsense: Those that made no sense.
    """

    requests: int = 0
    errors: int = 0
    slow: int = 0
    outputs: int = 0
    nonsense: int = 0


class Recent:
    """
    Sliding counts of one version. One thread folds into it.

    Attributes:
        failures: Failed requests in a row, up to the newest.
        slow_ns: A request that took longer is slow.
    """

    __slots__ = ("_buckets", "_newest", "failures", "slow_ns")

    def __init__(self) -> None:
        self._buckets: deque[list[int]] = deque(maxlen=_KEPT)
        self.slow_ns = NEVER_NS
        self.clear()

    def request(self, instant: int, kind: int, elapsed: float | None) -> None:
        """Take in a request that ended at an instant of ``perf_counter_ns``."""
        number = instant // _BUCKET_NS
        bucket = self._newest
        if bucket[0] < number:
            bucket = self._begin(number)
        if kind == Kind.OK:
            self.failures = 0
        elif kind in _NO_EVIDENCE:
            return
        else:
            self.failures += 1
            bucket[2] += 1
        bucket[1] += 1
        if elapsed is not None and elapsed > self.slow_ns:
            bucket[3] += 1

    def output(self, instant: int, *, nonsense: bool) -> None:
        """Take in an output."""
        number = instant // _BUCKET_NS
        bucket = self._newest if self._newest[0] >= number else self._begin(number)
        bucket[4] += 1
        bucket[5] += nonsense

    def clear(self) -> None:
        """Forget everything."""
        self._buckets.clear()
        self._newest = [-1, 0, 0, 0, 0, 0]
        self.failures = 0

    def span(self, now: int, length_ns: int) -> Span:
        """Sum up the time before an instant, to the bucket."""
        first = (now - length_ns) // _BUCKET_NS
        rows = [bucket for bucket in self._buckets if bucket[0] > first]
        requests, errors, slow, outputs, nonsense = (sum(row[column] for row in rows) for column in range(1, 6))
        return Span(requests=requests, errors=errors, slow=slow, outputs=outputs, nonsense=nonsense)

    def _begin(self, number: int) -> list[int]:
        # An event that comes late is counted where the newest are: windows are short, order is not kept for them.
        self._newest = [number, 0, 0, 0, 0, 0]
        self._buckets.append(self._newest)
        return self._newest
