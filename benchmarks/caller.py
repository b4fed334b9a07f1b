"""
Caller: a worker process whose threads call the product without a pause, and write down when they saw a flip.

Run as ``python -m benchmarks.caller`` with a JSON order on standard input; it ends at SIGTERM. What it counts it counts
against cells that it shares with the benchmark, read before each call, so that "after" needs no clock.
"""

import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.cell import NUMBER_BITS, Cell
from benchmarks.service import kg, wait_served

__all__ = ["Calls", "Order"]

_NUMBER = 2**NUMBER_BITS - 1
_ROUNDS_OF_WORK = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """
    What a caller is told.

    Attributes:
        name: Unique for each caller of a benchmark.
        mode: ``pick`` asks for the slot alone; ``request`` serves whole requests, pinned and counted; ``watched``
            does not use the product: it reads an attribute that a watcher thread sets from a file.
        threads: Threads that call.
        pause_seconds: What a thread waits after each call; 0 keeps it busy.
        versions: The versions, as the cell counts them from 1.
        parts: Version -> part -> the stamp that belongs to it.
        left: File of the cell that says which version nobody may serve.
        mark: File of the cell that is set with each flip; every call looks at it first.
        watched: File that the watcher thread looks at.
        poll_seconds: How often it looks.
        log: File to write the result to.
    """

    name: str
    mode: str
    threads: int
    versions: list[str]
    parts: Mapping[str, Mapping[str, str]]
    left: str
    mark: str
    log: str
    pause_seconds: float = 0.0
    watched: str = ""
    poll_seconds: float = 0.001


@dataclass(slots=True)
class Calls:
    """
    What one thread did.

    Attributes:
        calls: Calls that ended.
        failed: Calls that raised.
        mixed: Calls whose parts were not those of one version.
        after: Calls that began and ended while one version was to be left.
        wrong: Those of them that this version served.
        seen: Every change of version: the version, and when the first call on it had it, in ns.
        marks: Every change of the mark: its value, and when the first call after it saw it, in ns.
        errors: The first few errors.
    """

    calls: int = 0
    failed: int = 0
    mixed: int = 0
    after: int = 0
    wrong: int = 0
    seen: list[tuple[str, int]] = field(default_factory=list)
    marks: list[tuple[int, int]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class _Watched:
    """The naive way: a thread looks at a file, and calls read an attribute."""

    def __init__(self, path: Path, seconds: float, stop: threading.Event) -> None:
        self.version = path.read_text(encoding="utf-8")
        self._path = path
        self._seconds = seconds
        self._stop = stop
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        known = 0
        while not self._stop.wait(self._seconds):
            found = self._path.stat().st_mtime_ns
            if found != known:
                known = found
                self.version = self._path.read_text(encoding="utf-8")


def _work() -> int:
    """Use the processor for some microseconds, in the interpreter."""
    total = 0
    for number in range(_ROUNDS_OF_WORK):
        total += number * number
    return total


class _Thread(threading.Thread):
    def __init__(self, order: Order, number: int, stop: threading.Event, serve: Callable[[], str] | None) -> None:
        super().__init__(daemon=True)
        self.calls = Calls()
        self._order = order
        self._subject = f"rider-{order.name}-{number}"
        self._stop_event = stop
        self._left = Cell(Path(order.left)).view
        self._mark = Cell(Path(order.mark)).view
        self._number = {version: place for place, version in enumerate(order.versions, start=1)}
        self._serve = serve or {"pick": self._pick, "request": self._request}[order.mode]

    def run(self) -> None:
        cell, mark, number, calls = self._left, self._mark, self._number, self.calls
        serve, pause = self._serve, self._order.pause_seconds
        stop, now = self._stop_event, time.monotonic_ns
        served, marked = "", 0
        while not stop.is_set():
            left = cell[0]
            if mark[0] != marked:
                marked = mark[0]
                calls.marks.append((marked, now()))
            try:
                version = serve()
            except Exception as error:  # noqa: BLE001 - every failure counts, whatever it is
                calls.failed += 1
                calls.errors[3:] = []
                calls.errors.append(f"{type(error).__name__}: {error}")
                continue
            if version != served:
                calls.seen.append((version, now()))
                served = version
            calls.calls += 1
            if left and cell[0] == left:
                calls.after += 1
                calls.wrong += number.get(version) == left & _NUMBER
            _work()
            if pause:
                stop.wait(pause)

    def _pick(self) -> str:
        return kg.pick(self._subject).version

    def _request(self) -> str:
        with kg.request(self._subject) as value:
            value.price(2.0)
            stamps = {"model": kg.slot().model.stamp}
            _work()
            # Whatever is flipped meanwhile, the same request goes on with the same version.
            stamps |= {"features": kg.slot().features.stamp, "config": kg.slot().config.stamp}
            version = kg.version
            self.calls.mixed += stamps != self._order.parts[version]
            return version


def _without_the_product(order: Order, stop: threading.Event) -> Callable[[], str] | None:
    if order.mode == "watched":
        watched = _Watched(Path(order.watched), order.poll_seconds, stop)
        return lambda: watched.version
    return None


def main() -> None:
    """Call until SIGTERM, then write down what was seen."""
    order = Order(**json.load(sys.stdin))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    serve = _without_the_product(order, stop)
    if serve is None:
        wait_served()
    threads = [_Thread(order, number, stop, serve) for number in range(order.threads)]
    for thread in threads:
        thread.start()
    print("calling", flush=True)
    stop.wait()
    for thread in threads:
        thread.join()
    log = Path(order.log)
    beside = log.with_suffix(".part")
    beside.write_text(json.dumps([asdict(thread.calls) for thread in threads]), encoding="utf-8")
    beside.replace(log)
    if serve is None:
        kg.close()


if __name__ == "__main__":
    main()
