"""Routing: what it costs a request to be routed, by mode, beside OpenFeature's Python SDK in the same run."""

import json
from typing import Any

from benchmarks.context import Context
from benchmarks.deployer import Deployer
from benchmarks.figure import Figure, Row, Target, percentile
from benchmarks.host import Host, until

__all__ = ["run"]

_ROUNDS = 61
_CANARY = 1_000
_SECONDS = 180.0
_PEER = "OpenFeature, in memory, fresh context"
_TARGETS = {
    "static, kg.pick()": 50.0,
    "sticky split, kg.pick(subject)": 150.0,
    "pinned, counted, trip logic: with kg.request(subject)": 600.0,
    "sticky split, pinned, counted, trip logic": 600.0,
}
_HOW = (
    "Processor time of the calling thread over that of a direct call of the same model: median, and the middle 80 % of "
    "{rounds} rounds; each round times every way once, in an order that is drawn anew. 'x peer': how many times "
    "OpenFeature costs (fresh context, the like of a subject). What is counted is folded by another thread; that cost "
    "has a row of its own."
)


def run(context: Context) -> Figure:
    """Measure the routing overhead."""
    rounds = context.times(_ROUNDS, least=3)
    with context.host("routing") as host:
        live, canary = host.release(["live", "canary"])
        deployer = Deployer(host)
        deployer.prepare([live, canary])
        host.start_agent()
        waiting = host.start("worker-waiting", "benchmarks.routing_cost", _order(host, "static", rounds, context.seed))
        host.wait_ready([live, canary], 1)
        deployer.deploy(live, behind=canary)
        context.tell("routing: static, pinned and counted, ASGI, OpenFeature")
        static = _measured(host, "static", waiting)
        waiting = host.start("worker-split", "benchmarks.routing_cost", _order(host, "split", rounds, context.seed))
        host.wait_ready([live, canary], 1)
        deployer.deploy(canary, behind=live, split=_CANARY)
        context.tell("routing: a candidate at 10 %")
        split = _measured(host, "split", waiting)
    overheads = {**_overheads(static), **_overheads(split)}
    direct = static["times"]["direct"]
    base = Row(
        name="a direct call, for scale",
        unit="ns",
        values={"median": percentile(direct, 50), "p10": percentile(direct, 10), "p90": percentile(direct, 90)},
    )
    folding = Row(
        name="folding of one counted request, beside the requests",
        unit="ns",
        values={"median": static["folding"]},
        note="paid by the worker's upkeep thread under the same interpreter lock, five times a second",
    )
    return Figure(
        key="routing",
        title="Routing overhead of one request, over a direct call",
        how=_HOW.format(rounds=rounds),
        rows=[base, *_rows(overheads), folding],
    )


def _order(host: Host, which: str, rounds: int, seed: int) -> dict[str, Any]:
    return {
        "split": which == "split",
        "rounds": rounds,
        "seed": seed,
        "go": str(host.folder / f"{which}.go"),
        "log": str(host.folder / f"{which}.json"),
    }


def _measured(host: Host, which: str, child: Any) -> dict[str, Any]:
    log = host.folder / f"{which}.json"
    (host.folder / f"{which}.go").touch()
    until(lambda: log.exists() or child.process.poll() is not None, f"times of {which}", _SECONDS)
    if not log.exists():
        child.check()
    child.stop()
    measured: dict[str, Any] = json.loads(log.read_text(encoding="utf-8"))
    return measured


def _overheads(measured: dict[str, Any]) -> dict[str, list[float]]:
    """Return for each way what it took over its base in the same round, in ns."""
    times = measured["times"]
    return {
        name: [took - direct for took, direct in zip(times[name], times[base], strict=True)]
        for name, base in measured["bases"].items()
        if base
    }


def _rows(overheads: dict[str, list[float]]) -> list[Row]:
    peer = percentile(overheads.get(_PEER, []), 50)
    rows = []
    for name, over in overheads.items():
        values = {"median": percentile(over, 50), "p10": percentile(over, 10), "p90": percentile(over, 90)}
        if _PEER in overheads and name != _PEER:
            values["x peer"] = peer / max(values["median"], 1.0)
        target = Target(column="median", limit=_TARGETS[name]) if name in _TARGETS else None
        rows.append(Row(name=name, unit="ns", values=values, target=target))
    return rows
