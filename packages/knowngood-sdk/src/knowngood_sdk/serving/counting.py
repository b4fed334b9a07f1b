"""
Counting: what a worker says about each version, exact, and nearly free for the request.

A request appends one tuple to a deque: a single call into C, which no other thread can interrupt, so no increment is
ever lost and no lock is taken. A background thread folds the events into sums, histograms and evidence. What is
counted is cumulative since the worker started; the difference of two reports is a window.
"""

import heapq
import math
import threading
from collections import defaultdict, deque
from collections.abc import Mapping

from xxhash import xxh3_64_intdigest

from knowngood_sdk.model.counts import SKETCH_SIZE, Paired, Sums, VersionCounts, log_bin
from knowngood_sdk.serving.event import Event, Kind
from knowngood_sdk.serving.recent import Bounds, Recent
from knowngood_sdk.serving.subject import subject_bytes

__all__ = ["Counting"]

_NS = 1e-9
_MOST_EVENTS = 2**18
"""Events that wait to be folded, at most: what a process whose other threads are stuck may keep in memory."""


class Counting:
    """
    The counts of one worker.

    Args:
        system: Name of the system; salt of the hashes by which distinct subjects are counted, the same in every worker.

    Attributes:
        add: Takes one event; never blocks. Safe for threads.
        requests: Requests folded so far, of all versions.
        events: Events folded so far, of any kind.
    """

    def __init__(self, system: str) -> None:
        self._events: deque[Event] = deque(maxlen=_MOST_EVENTS)
        self.add = self._events.append
        self.requests = 0
        self.events = 0
        self._salt = f"{system}\0".encode()
        self._lock = threading.Lock()
        self._bounds = Bounds()
        self._tallies: dict[str, _Tally] = {}

    def fold(self) -> bool:
        """
        Take in what requests have appended.

        Returns:
            False when so much was waiting that some may have been lost.
        """
        with self._lock:
            take = self._events.popleft
            waiting = len(self._events)
            by_version: dict[str, list[Event]] = defaultdict(list)
            for _ in range(waiting):
                event = take()
                by_version[event[0]].append(event)
            for version, events in by_version.items():
                self.requests += self._tally(version).fold(events, self._salt)
            self.events += waiting
        return waiting < _MOST_EVENTS

    def pair(self, reference: str, other: str, known: float, compared: float | None) -> None:
        """
        Count two versions on the same request.

        Args:
            reference: The known version, under which it is counted.
            other: The version that is compared with it.
            known: Output of the reference.
            compared: Output of the other, or None when it failed.
        """
        with self._lock:
            self.events += 1
            pairs = self._tally(reference).shadow
            pairs[other] = pairs.get(other, Paired()).plus(_pair(known, compared))

    def recent(self, version: str) -> Recent:
        """Return the evidence about a version, as folded so far."""
        with self._lock:
            return self._tally(version).recent

    def hold_against(self, bounds: Bounds) -> None:
        """Gather evidence about every version against these bounds; against others than before, from nothing."""
        with self._lock:
            if bounds != self._bounds:
                self._bounds = bounds
                for tally in self._tallies.values():
                    tally.recent = Recent(bounds)

    @property
    def trouble(self) -> str:
        """What could not be taken in of the events so far, for people, or an empty text."""
        strange = sum(tally.strange for tally in self._tallies.values())
        if not strange:
            return ""
        last = next(tally.strangest for tally in self._tallies.values() if tally.strange)
        return f"of {strange} event(s) not everything could be counted: {last}"

    def counts(self) -> Mapping[str, VersionCounts]:
        """Return everything folded so far, by version."""
        with self._lock:
            return {version: tally.freeze() for version, tally in self._tallies.items()}

    def _tally(self, version: str) -> "_Tally":
        tally = self._tallies.get(version)
        if tally is None:
            tally = self._tallies[version] = _Tally(self._bounds)
        return tally


class _Tally:
    """Mutable counts of one version."""

    def __init__(self, bounds: Bounds) -> None:
        self.by_kind = [0] * (Kind.OUTCOME + 1)
        self.latency: dict[int, int] = {}
        self.latencies = _Moments()
        self.outputs: dict[int, int] = {}
        self.predictions = _Moments()
        self.outcomes: dict[str, _Moments] = {}
        self.shadow: dict[str, Paired] = {}
        self.subjects = _Sketch()
        self.strange = 0
        self.strangest = ""
        self.recent = Recent(bounds)

    def fold(self, events: list[Event], salt: bytes) -> int:
        """Take in events of this version; return how many were requests. Nine tenths of all counting happen here."""
        requests = 0
        by_kind, recent, see = self.by_kind, self.recent, self.subjects.add
        latency, latencies = self.latency, self.latencies
        for _, kind, number, text in events:
            try:
                if kind >= Kind.OUTPUT:
                    self._fold_other(kind, number, text)
                    continue
                requests += 1
                by_kind[kind] += 1
                recent.request(kind, number)
                if number is not None:
                    seconds = number * _NS
                    index = log_bin(seconds)
                    latencies.add(seconds)
                    latency[index] = latency.get(index, 0) + 1
                if text is not None:
                    see(xxh3_64_intdigest(salt + subject_bytes(text)))
            except Exception as error:  # noqa: BLE001 - what a program gave for a time or a subject; the others count
                self.strange += 1
                self.strangest = f"{type(error).__name__}: {error}"
        return requests

    def _fold_other(self, kind: int, number: float | None, text: str | bytes | None) -> None:
        self.by_kind[kind] += 1
        if kind == Kind.OUTCOME:
            self.outcomes.setdefault(str(text), _Moments()).add(number or 0.0)
            return
        self.recent.output(nonsense=kind == Kind.NONSENSE)
        if number is not None:
            self.predictions.add(number)
            index = log_bin(number)
            self.outputs[index] = self.outputs.get(index, 0) + 1

    def freeze(self) -> VersionCounts:
        ok, errors, client_errors, rescued, shared, _, nonsense, _ = self.by_kind
        return VersionCounts(
            requests=ok + errors + client_errors + rescued + shared,
            errors=errors + rescued + shared,
            client_errors=client_errors,
            rescued=rescued,
            nonsense=nonsense,
            latency=dict(self.latency),
            latencies=self.latencies.freeze(),
            predictions=self.predictions.freeze(),
            prediction_bins=dict(self.outputs),
            outcomes={name: moments.freeze() for name, moments in self.outcomes.items()},
            shadow=dict(self.shadow),
            subjects=self.subjects.freeze(),
        )


class _Moments:
    __slots__ = ("n", "squares", "total")

    def __init__(self) -> None:
        self.n = 0
        self.total = 0.0
        self.squares = 0.0

    def add(self, value: float) -> None:
        self.n += 1
        self.total += value
        self.squares += value * value

    def freeze(self) -> Sums:
        return Sums(self.n, self.total, self.squares)


class _Sketch:
    """The smallest hashes seen: a heap with the largest of them on top, and the same as a set."""

    __slots__ = ("_heap", "_kept")

    def __init__(self) -> None:
        self._heap: list[int] = []
        self._kept: set[int] = set()

    def add(self, value: int) -> None:
        full = len(self._heap) >= SKETCH_SIZE
        if value in self._kept or (full and value >= -self._heap[0]):
            return
        if full:
            self._kept.discard(-heapq.heapreplace(self._heap, -value))
        else:
            heapq.heappush(self._heap, -value)
        self._kept.add(value)

    def freeze(self) -> tuple[int, ...]:
        return tuple(sorted(self._kept))


def _pair(known: float, compared: float | None) -> Paired:
    if compared is None:
        return Paired(failed=1)
    # Nothing is relative to zero: there any difference counts as the whole.
    relative = (compared - known) / abs(known) if known else math.copysign(float(compared != 0), compared)
    return Paired(
        reference=Sums(1, known, known * known),
        other=Sums(1, compared, compared * compared),
        relative=Sums(1, relative, relative * relative),
        absolute=Sums(1, abs(relative), relative * relative),
    )
