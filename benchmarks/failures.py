"""Failures: requests that fail or mix versions over many flips, while the agent is killed and started again."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.caller import Calls
from benchmarks.callers import new_order, read_calls, start_callers, stop_callers
from benchmarks.cell import Cell
from benchmarks.context import Context
from benchmarks.deployer import Deployer
from benchmarks.figure import Figure, Row, Target, quantiles
from benchmarks.host import FIRST_REPLICA, Host
from benchmarks.killer import Killer
from benchmarks.load import admitted_to_left, spans, start_riders, start_server, stop_riders

__all__ = ["run"]

_FLIPS = 1_000
_HTTP_FLIPS = 60
_WORKERS = 2
_THREADS = 2
_PAUSE_SECONDS = 0.0002
_RIDERS = 8
_SETTLE_SECONDS = 0.04
_HTTP_SETTLE_SECONDS = 0.3
_TRIP_EVERY = 10
_KILL_SHARE = 0.05
_HTTP_KILL_SHARE = 0.2
_KILL_WITHIN_SECONDS = 0.02
_HOW = (
    "Deployments and ways back in turn (every {every}th way back a trip that quarantines, released afterwards). The "
    "agent is killed by SIGKILL at instants drawn from the seed, most of them in the middle of a flip, and started "
    "again at once, as a service manager does; a push that was not acknowledged is sent again. 'in process': {workers} "
    "worker processes with {threads} threads each serve whole requests, pinned and counted, that read their parts one "
    "after the other; 'over HTTP': uvicorn with {workers} workers, counted from the riders' log."
)


def run(context: Context) -> Figure:
    """Flip many times in process, then fewer times over HTTP."""
    flips = context.times(_FLIPS)
    context.tell(f"failures over {flips} flips, requests in process, the agent killed in between")
    rows = _in_process(context, flips)
    flips = context.times(_HTTP_FLIPS)
    context.tell(f"failures over {flips} flips, requests over HTTP, the agent killed in between")
    rows += _over_http(context, flips)
    return Figure(
        key="failures",
        title="Failed and mixed requests over many flips, the agent killed in between",
        how=_HOW.format(every=_TRIP_EVERY, workers=_WORKERS, threads=_THREADS),
        rows=rows,
    )


def _in_process(context: Context, flips: int) -> list[Row]:
    with context.host("failures") as host:
        deployer, killer, consider = _begin(host, _KILL_SHARE)
        good, bad = host.parts
        order = replace(new_order(host, "request", _THREADS, [good, bad]), pause_seconds=_PAUSE_SECONDS)
        children = start_callers(host, order, _WORKERS)
        host.wait_ready([good, bad], _WORKERS)
        deployer.deploy(good, behind=bad)
        left = Cell(Path(order.left))
        deployer.on_push = consider
        with killer:
            for number in range(flips):
                threading.Event().wait(host.random.random() * 2 * _SETTLE_SECONDS)
                left.clear()
                flip = _next(deployer, number, good, bad)
                left.leave(order.versions.index(flip) + 1)
                if number % (flips // 4 or 1) == 0:
                    context.tell(f"  {number} of {flips} flips, {killer.all_kills} kills")
        stop_callers(children)
        done = [calls for worker in read_calls(host, _WORKERS) for calls in worker]
        return _rows("in process", deployer, killer, _counted(done))


def _over_http(context: Context, flips: int) -> list[Row]:
    with context.host("failures-http") as host:
        deployer, killer, consider = _begin(host, _HTTP_KILL_SHARE)
        good, bad = host.parts
        server = start_server(host, workers=_WORKERS)
        host.wait_ready([good, bad], _WORKERS)
        deployer.deploy(good, behind=bad)
        riders = start_riders(host, server, host.parts, "riders", riders=_RIDERS)
        deployer.on_push = consider
        with killer:
            for number in range(flips):
                threading.Event().wait(host.random.random() * 2 * _HTTP_SETTLE_SECONDS)
                _next(deployer, number, good, bad)
        log = stop_riders(host, riders)
        after, wrong = admitted_to_left(log, spans(deployer.flips))
        return _rows("over HTTP", deployer, killer, (len(log), len(log.failed), sum(log.mixed), after, wrong))


def _begin(host: Host, share: float) -> tuple[Deployer, Killer, Callable[[], None]]:
    """Return what flips, what kills, and what draws before a push whether it shall meet a kill."""
    deployer, killer = Deployer(host), Killer(host.random, _KILL_WITHIN_SECONDS)
    deployer.prepare(host.release(["good", "bad"]))
    host.start_agent()

    def again() -> None:
        host.agents[FIRST_REPLICA].kill()
        host.start_agent(wait=False)

    def consider() -> None:
        if host.random.random() < share:
            killer.soon(FIRST_REPLICA, again)

    return deployer, killer, consider


def _next(deployer: Deployer, number: int, good: str, bad: str) -> str:
    """Flip once more, and return the version that was left."""
    if number % 2 == 0:
        return deployer.deploy(bad, behind=good).left
    if number // 2 % _TRIP_EVERY:
        return deployer.back().left
    return deployer.trip("a benchmark").left


def _counted(done: list[Calls]) -> tuple[int, int, int, int, int]:
    requests = sum(calls.calls + calls.failed for calls in done)
    failed, mixed = sum(calls.failed for calls in done), sum(calls.mixed for calls in done)
    return requests, failed, mixed, sum(calls.after for calls in done), sum(calls.wrong for calls in done)


def _rows(where: str, deployer: Deployer, killer: Killer, counts: tuple[int, int, int, int, int]) -> list[Row]:
    requests, failed, mixed, after, wrong = counts
    none = Target(column="count", limit=0)
    flips = deployer.flips[1:]
    again = sum(flip.pushes > 1 for flip in flips)
    smooth = [flip.milliseconds for flip in flips if flip.pushes == 1]
    return [
        Row(name=f"failed, {where}", unit="count", values={"count": failed, "n": requests}, target=none),
        Row(name=f"mixed, {where}", unit="count", values={"count": mixed, "n": requests}, target=none),
        Row(
            name=f"on the version left, after the acknowledgement, {where}",
            unit="count",
            values={"count": wrong, "n": after},
            target=none,
        ),
        Row(name=f"flips, {where}", unit="count", values={"count": len(flips)}),
        Row(name=f"kills of the agent, {where}", unit="count", values={"count": killer.all_kills}),
        Row(name=f"flips pushed again, {where}", unit="count", values={"count": again}),
        Row(name=f"decision to acknowledged under load, {where}", unit="ms", values=quantiles(smooth)),
    ]
