"""Next call: how soon the calls of busy workers see a flip, beside a thread that watches a file."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from pathlib import Path
from threading import Event

from benchmarks.caller import Calls, Order
from benchmarks.callers import new_order, read_calls, start_callers, stop_callers
from benchmarks.cell import Cell
from benchmarks.context import Context
from benchmarks.deployer import Deployer
from benchmarks.figure import Figure, Row, Target, quantiles
from benchmarks.host import FIRST_REPLICA, Child, Host, until
from knowngood_sdk.model.route import FULL
from knowngood_sdk.serving.disk import write_whole

__all__ = ["run"]

_FLIPS = 80
_PEER_FLIPS = 50
_WORKERS = 2
_BUSY = (1, 4)
_SETTLE_SECONDS = 0.05
# A worker reads a file for a new generation, which takes busy threads longer; that is not to be part of the next flip.
_DEPLOYED_SECONDS = 0.12
_PEER_SETTLE_SECONDS = 0.15
_JITTER_SECONDS = 0.02
_TARGET_MS = 1.0
_BAD = 2
_NEVER_NS = 2**63
_HOW = (
    "One host, one agent, {workers} worker processes whose threads call without a pause (calls of some microseconds in "
    "the interpreter). From before the flip to the first call in a worker that has the new table; each worker is one "
    "sample. 'word': the shared word is written by the benchmark. 'pushed': the control plane sends the flip to the "
    "agent's socket. 'bare' is a mapped number that is set with each flip and read by the same calls: nothing can be "
    "sooner, and what is over it is the product's. The peer is a thread in each worker that looks at a file every "
    "millisecond and sets an attribute."
)


@dataclass(frozen=True, slots=True)
class _Change:
    """A flip: what it was, to which version, when it began, and the mark that was set with it."""

    kind: str
    to: str
    began_ns: int
    mark: int


def run(context: Context) -> Figure:
    """Measure for one busy thread in each worker, and for four."""
    rows: list[Row] = []
    for threads in _BUSY:
        context.tell(f"flip to next call: {_WORKERS} workers, {threads} busy thread(s) in each")
        rows += _ours(context, threads)
        rows += _peer(context, threads)
    return Figure(
        key="next_call",
        title="Flip to the next call, workers busy",
        how=_HOW.format(workers=_WORKERS),
        rows=rows,
    )


def _ours(context: Context, threads: int) -> list[Row]:
    with context.host(f"next-call-{threads}") as host:
        good, bad = host.release(["good", "bad"])
        deployer = Deployer(host)
        deployer.prepare([good, bad])
        host.start_agent()
        order = new_order(host, "pick", threads, [good, bad])
        children = start_callers(host, order, _WORKERS)
        host.wait_ready([good, bad], _WORKERS)
        deployer.deploy(good, behind=bad)
        changes = _flip(host, deployer, order, context.times(_FLIPS))
        stop_callers(children)
        seen = read_calls(host, _WORKERS)
    busy = f"{threads} busy"
    rows = _rows(changes, seen, "word", f"word written, {busy}", Target(column="p99", limit=_TARGET_MS))
    rows += _rows(changes, seen, "push", f"way back pushed, {busy}", None)
    deployed, _, _, dropped = _rows(changes, seen, "deployment", f"deployment pushed, {busy}", None)
    rows += [deployed, dropped]
    everybody = [calls for worker in seen for calls in worker]
    values = {"max": sum(calls.wrong for calls in everybody), "n": sum(calls.after for calls in everybody)}
    name = f"calls begun after the flip, on the version left, {busy}"
    return [*rows, Row(name=name, unit="count", values=values, target=Target(column="max", limit=0))]


def _flip(host: Host, deployer: Deployer, order: Order, times: int) -> list[_Change]:
    """Deploy and go back, so many times by the word and so many times by a push."""
    word = host.replica(FIRST_REPLICA).word()
    left, mark = Cell(Path(order.left)), Cell(Path(order.mark))
    good, bad = order.versions
    changes: list[_Change] = []

    def begin(kind: str, to: str) -> None:
        changes.append(_Change(kind, to, time.monotonic_ns(), len(changes) + 1))
        mark.set(len(changes))

    for number in range(2 * times):
        _settle(host)
        left.clear()
        begin("deployment", bad)
        flip = deployer.deploy(bad, behind=good)
        changes[-1] = replace(changes[-1], began_ns=flip.pushed_ns)
        _settle(host, _DEPLOYED_SECONDS)
        if number % 2:
            begin("push", good)
            deployer.back()
            left.leave(_BAD)
            continue
        begin("word", good)
        word.join(deployer.generation, 1, FULL)
        left.leave(_BAD)
        _settle(host)
        # What the word says by now, the control plane says too.
        deployer.back()
    _settle(host)
    return changes


def _peer(context: Context, threads: int) -> list[Row]:
    """Measure a watcher thread, which does not use the product."""
    with context.host(f"watched-{threads}") as host:
        file = host.folder / "flipped"
        write_whole(file, b"good")
        order = replace(new_order(host, "watched", threads, ["good", "bad"]), watched=str(file))
        children = start_callers(host, order, _WORKERS)
        until(lambda: all(_started(child) for child in children), "the workers call")
        mark = Cell(Path(order.mark))
        changes: list[_Change] = []
        for number in range(context.times(_PEER_FLIPS)):
            _settle(host, _PEER_SETTLE_SECONDS)
            to = order.versions[(number + 1) % 2]
            changes.append(_Change("watched", to, time.monotonic_ns(), number + 1))
            mark.set(number + 1)
            write_whole(file, to.encode(), durable=False)
        _settle(host, _PEER_SETTLE_SECONDS)
        stop_callers(children)
        seen = read_calls(host, _WORKERS)
    return _rows(changes, seen, "watched", f"peer: file and watcher thread, {threads} busy", None)


def _settle(host: Host, seconds: float = _SETTLE_SECONDS) -> None:
    Event().wait(seconds + host.random.random() * _JITTER_SECONDS)


def _started(child: Child) -> bool:
    child.check()
    return child.log.read_bytes() != b""


def _rows(
    changes: Sequence[_Change], seen: Sequence[Sequence[Calls]], kind: str, name: str, target: Target | None
) -> list[Row]:
    """Return the time to the next call for one kind of flip, what is bare, what is over it, and what is missing."""
    expected = len(seen) * sum(change.kind == kind for change in changes)
    whole: list[float] = []
    bare: list[float] = []
    over: list[float] = []
    for worker in seen:
        for change, at, marked in _first_calls(changes, worker):
            if change.kind == kind:
                whole.append((at - change.began_ns) / 1e6)
                bare.append((marked - change.began_ns) / 1e6)
                over.append((at - marked) / 1e6)
    return [
        Row(name=name, unit="ms", values=quantiles(whole), target=target),
        Row(name="  bare", unit="ms", values=quantiles(bare)),
        Row(name="  over bare", unit="ms", values=quantiles(over)),
        # Those would have been the slowest: a worker that the machine gave no turn is no sample, and not forgotten.
        Row(
            name="  dropped: no call before the next change",
            unit="count",
            values={"max": expected - len(whole), "n": expected},
        ),
    ]


def _first_calls(changes: Sequence[_Change], worker: Sequence[Calls]) -> Iterator[tuple[_Change, int, int]]:
    """
    Give for each change when a worker's first call had the new version, and when its first call saw the mark.

    A worker that the machine gave no turn between two changes made no call, and gives nothing: a sample less, which is
    counted.
    """
    versions = sorted((at, version) for calls in worker for version, at in calls.seen)
    marks: dict[int, int] = {}
    for calls in worker:
        for number, at in calls.marks:
            marks[number] = min(at, marks.get(number, at))
    for change, following in pairwise([*changes, _Change("", "", _NEVER_NS, 0)]):
        window = (at for at, to in versions if to == change.to and change.began_ns <= at < following.began_ns)
        for at in islice(window, 1):
            if change.mark in marks:
                yield change, at, marks[change.mark]
