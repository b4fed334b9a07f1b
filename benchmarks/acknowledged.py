"""Acknowledged: from the decision until every replica has said that it stands there, durably."""

from benchmarks.callers import new_order, start_callers
from benchmarks.context import Context
from benchmarks.deployer import Deployer, Flip
from benchmarks.figure import Figure, Row, Target, quantiles
from benchmarks.host import Host
from benchmarks.machine import sync_milliseconds

__all__ = ["run"]

_FLIPS = 200
_TRIP_EVERY = 20
_REPLICAS = ("a", "b", "c")
_TARGET_MS = 5.0
_HOW = (
    "Real agents, each with a worker process, one folder each on one disk; the control plane's push goes to their "
    "sockets side by side. A way back (the route's step; every {every}th a trip that quarantines) is in force in every "
    "worker and durable when it is acknowledged, which takes one sync of the disk; a new generation takes two."
)


def run(context: Context) -> Figure:
    """Measure with one replica and with three, on the disk, and with three where a sync costs nothing."""
    rows: list[Row] = []
    floor: list[float] = []
    for replicas in (_REPLICAS[:1], _REPLICAS):
        context.tell(f"decision to acknowledged: {len(replicas)} replica(s)")
        with context.host(f"acknowledged-{len(replicas)}") as host:
            floor += sync_milliseconds(host.folder)
            flips = _flip(host, replicas, context.times(_FLIPS))
            floor += sync_milliseconds(host.folder)
        rows += _rows(flips, len(replicas), "")
    note = "what the disk alone takes for one file that is written, synced and renamed, and its folder synced"
    rows.append(Row(name="one durable write, beside", unit="ms", values=quantiles(floor), note=note))
    if context.memory:
        context.tell("decision to acknowledged: without a disk")
        with context.host("acknowledged-memory", in_memory=True) as host:
            flips = _flip(host, _REPLICAS, context.times(_FLIPS))
        rows += _rows(flips, len(_REPLICAS), ", folders in memory")
    return Figure(
        key="acknowledged",
        title="Decision to acknowledged by every replica",
        how=_HOW.format(every=_TRIP_EVERY),
        rows=rows,
    )


def _flip(host: Host, replicas: tuple[str, ...], times: int) -> list[Flip]:
    good, bad = host.release(["good", "bad"])
    deployer = Deployer(host)
    deployer.prepare([good, bad])
    order = new_order(host, "request", 0, [good, bad])
    for replica in replicas:
        host.start_agent(replica)
    for replica in replicas:
        start_callers(host, order, 1, replica=replica)
    for replica in replicas:
        host.wait_ready([good, bad], 1, replica=replica)
    deployer.deploy(good, behind=bad)
    for number in range(times):
        deployer.deploy(bad, behind=good)
        if number % _TRIP_EVERY:
            deployer.back()
        else:
            deployer.trip("a benchmark")
    return deployer.flips[1:]


def _rows(flips: list[Flip], replicas: int, where: str) -> list[Row]:
    back = [flip.milliseconds for flip in flips if flip.kind != "deployment"]
    there = [flip.push_milliseconds for flip in flips if flip.kind == "deployment"]
    who = f"{replicas} replica" + ("s" if replicas > 1 else "") + where
    target = Target(column="p99", limit=_TARGET_MS) if replicas == len(_REPLICAS) else None
    return [
        Row(name=f"way back, {who}", unit="ms", values=quantiles(back), target=target),
        Row(name=f"new generation, {who}", unit="ms", values=quantiles(there)),
    ]
