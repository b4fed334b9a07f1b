"""Next call: how soon the calls of busy workers see a flip, beside a thread that watches a file."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from threading import Event

from benchmarks.caller import Calls, Cell, Order
from benchmarks.callers import read_calls, start_callers, stop_callers
from benchmarks.context import Context
from benchmarks.deployer import Deployer
from benchmarks.figure import Figure, Row, Target, quantiles
from benchmarks.host import FIRST_REPLICA, Child, Host, until
from knowngood_sdk.model.route import FULL
from knowngood_sdk.serving.disk import write_whole

__all__ = ["run"]

_FLIPS = 100
_BESIDE_FLIPS = 60
_WORKERS = 2
_BUSY = (1, 4)
_SETTLE_SECONDS = 0.05
_WATCHED_SETTLE_SECONDS = 0.15
_JITTER_SECONDS = 0.02
_TARGET_MS = 1.0
_BAD = 2
_NEVER_NS = 2**63
_HOW = (
    "One host, one agent, {workers} worker processes whose threads call without a pause (calls of some microseconds in "
    "the interpreter). From before the flip to the first call in a worker that has the new table; each worker is one "
    "sample. 'word': the shared word is written by the benchmark. 'push': the control plane sends the flip to the "
    "agent's socket; 'bare' reads a mapped word in the same loop without the product: what this machine allows. "
    "The peer is a thread in each worker that looks at a file every millisecond and sets an attribute."
)


@dataclass(frozen=True, slots=True)
class _Change:
    kind: str
    to: str
    began_ns: int


def run(context: Context) -> Figure:
    """Measure for one busy thread in each worker, and for four."""
    rows: list[Row] = []
    for threads in _BUSY:
        context.tell(f"flip to next call: {_WORKERS} workers, {threads} busy thread(s) in each")
        rows += _flipped(context, threads)
        rows.append(_beside(context, threads, "bare", "bare loop over a mapped word"))
        rows.append(_beside(context, threads, "watched", "peer: file and watcher thread"))
    return Figure(
        key="next_call",
        title="Flip to the next call, workers busy",
        how=_HOW.format(workers=_WORKERS),
        rows=rows,
    )


@contextmanager
def _calling(host: Host, versions: Sequence[str], order: Order) -> Iterator[list[Child]]:
    """Have callers call for the life of the context; those that use the product have some versions ready first."""
    children = start_callers(host, order, _WORKERS)
    if versions:
        host.wait_ready(versions, _WORKERS)
    yield children
    stop_callers(children)


def _flipped(context: Context, threads: int) -> list[Row]:
    with context.host(f"next-call-{threads}") as host:
        good, bad = host.release(["good", "bad"])
        deployer = Deployer(host)
        deployer.prepare([good, bad])
        host.start_agent()
        order = _order(host, "pick", threads, [good, bad])
        with _calling(host, [good, bad], order):
            deployer.deploy(good, behind=bad)
            changes = _flip(host, deployer, good, bad, context.times(_FLIPS))
        seen = read_calls(host, _WORKERS)
    rows = []
    for kind, name in (("word", "word written"), ("push", "way back pushed"), ("deployment", "deployment pushed")):
        target = Target(column="p99", limit=_TARGET_MS) if kind == "word" else None
        found = _milliseconds(changes, seen, kind)
        rows.append(Row(name=f"{name}, {threads} busy", unit="ms", values=quantiles(found), target=target))
    everybody = [calls for worker in seen for calls in worker]
    values = {"max": sum(calls.wrong for calls in everybody), "n": sum(calls.after for calls in everybody)}
    name = f"calls begun after the flip, on the version left, {threads} busy"
    rows.append(Row(name=name, unit="count", values=values, target=Target(column="max", limit=0)))
    return rows


def _flip(host: Host, deployer: Deployer, good: str, bad: str, times: int) -> list[_Change]:
    """Deploy and go back, so many times by the word and so many times by a push."""
    word = host.replica(FIRST_REPLICA).word()
    left = Cell(host.folder / "left")
    changes = []
    for number in range(2 * times):
        _settle(host)
        left.clear()
        flip = deployer.deploy(bad, behind=good)
        changes.append(_Change("deployment", bad, flip.pushed_ns))
        _settle(host)
        if number % 2:
            changes.append(_Change("push", good, deployer.back().began_ns))
            left.leave(_BAD)
            continue
        began = time.monotonic_ns()
        word.join(deployer.generation, 1, FULL)
        left.leave(_BAD)
        changes.append(_Change("word", good, began))
        _settle(host)
        # What the word says by now, the control plane says too.
        deployer.back()
    _settle(host)
    return changes


def _beside(context: Context, threads: int, mode: str, name: str) -> Row:
    """Measure a way that does not use the product."""
    with context.host(f"{mode}-{threads}") as host:
        file = host.folder / "flipped"
        word = Cell(file)
        if mode == "watched":
            write_whole(file, b"good")
        order = replace(_order(host, mode, threads, ["good", "bad"]), watched=str(file))
        changes = []
        with _calling(host, [], order) as children:
            until(lambda: all(_started(child) for child in children), "the workers call")
            for number in range(context.times(_BESIDE_FLIPS)):
                _settle(host, _WATCHED_SETTLE_SECONDS if mode == "watched" else _SETTLE_SECONDS)
                place = (number + 1) % 2
                began = time.monotonic_ns()
                if mode == "watched":
                    write_whole(file, order.versions[place].encode(), durable=False)
                else:
                    word.leave(place)
                changes.append(_Change(mode, order.versions[place], began))
            _settle(host, _WATCHED_SETTLE_SECONDS)
        found = _milliseconds(changes, read_calls(host, _WORKERS), mode)
    return Row(name=f"{name}, {threads} busy", unit="ms", values=quantiles(found))


def _order(host: Host, mode: str, threads: int, versions: list[str]) -> Order:
    return Order(
        name="busy", mode=mode, threads=threads, versions=versions, parts={}, left=str(host.folder / "left"), log=""
    )


def _settle(host: Host, seconds: float = _SETTLE_SECONDS) -> None:
    Event().wait(seconds + host.random.random() * _JITTER_SECONDS)


def _milliseconds(changes: Sequence[_Change], seen: Sequence[Sequence[Calls]], kind: str) -> list[float]:
    """
    Return for each change of a kind and each worker the time to its first call on the new version.

    A worker that the machine gave no turn between two changes made no call, and gives no value.
    """
    found = []
    for worker in seen:
        firsts = sorted((at, version) for calls in worker for version, _, at in calls.seen)
        for change, following in pairwise([*changes, _Change("", "", _NEVER_NS)]):
            if change.kind == kind:
                window = (at for at, to in firsts if to == change.to and change.began_ns <= at < following.began_ns)
                found += [(at - change.began_ns) / 1e6 for at in islice(window, 1)]
    return found


def _started(child: Child) -> bool:
    child.check()
    return child.log.read_bytes() != b""
