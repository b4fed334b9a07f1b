"""Fan-out: from the decision until every replica over the network has acknowledged, and what their counts cost."""

import os
import time
from contextlib import ExitStack
from datetime import timedelta
from threading import Event

from benchmarks.context import Context
from benchmarks.fan_bare import Bare, bare
from benchmarks.fan_streams import HEARD
from benchmarks.figure import Figure, Row, Target, quantiles
from benchmarks.host import BenchmarkError, until
from benchmarks.network import SYSTEM, Deployments, Network, network, started
from knowngood_sdk.model.wire import ReplicaReport, RouteDocument

__all__ = ["run"]

_DEADLINE = timedelta(seconds=30)
_FLIPS = 200
_FEW, _SOME, _MANY = 3, 50, 1000
_PROCESSES = 5
_TARGETS_MS = {_FEW: 5.0, _SOME: 50.0, _MANY: 250.0}
_COUNTING_SECONDS = 20.0
_HOW = (
    "The endpoints of agents and the hub, in one process that also decides, on loopback over plain HTTP; no database "
    "is on the way (reports go to the exchange afterwards, here in memory). A way back is acknowledged by an agent "
    "when it is in force and durable: one sync of the disk, which all agents here share. Agents are real, three as a "
    "process each, fifty as threads of five processes; the thousand are light stream clients in one process, which "
    "answer at once and keep nothing, so that they measure the control plane alone. The same clients are then "
    "served by a bare server as the peer. CPU is that of the whole process that serves and decides."
)
_BARE = "the floor of this machine and of these clients: fixed bytes out, answers counted, nothing read or checked"


def run(context: Context) -> Figure:
    """Measure flips with 3, 50 and 1,000 replicas, and telemetry with 1,000."""
    rows = []
    for replicas, processes in ((_FEW, _FEW), (_SOME, _PROCESSES)):
        context.tell(f"fan-out: {replicas} agents")
        with ExitStack() as stack:
            control = stack.enter_context(network())
            each = replicas // processes
            for number in range(processes):
                arguments = (context.folder / f"fan-{replicas}", control.port, number * each, each)
                stack.enter_context(started("benchmarks.fan_agents", arguments))
            rows += _flips(control, replicas, context.times(_FLIPS), f"{replicas} agents", _TARGETS_MS[replicas])
    many = context.times(_MANY, least=20)
    context.tell(f"fan-out: {many} streams")
    with network() as control, started("benchmarks.fan_streams", (control.port, many)):
        # A small run has fewer streams than the target is about.
        limit = _TARGETS_MS[_MANY] if many == _MANY else None
        rows += _flips(control, many, context.times(_FLIPS), f"{many:,} light streams", limit)
    context.tell(f"fan-out: {many} streams of a bare server")
    with bare() as peer, started("benchmarks.fan_streams", (peer.port, many)):
        rows += _bare_flips(peer, many, context.times(_FLIPS))
    context.tell(f"telemetry: {many} replicas")
    with network() as control, started("benchmarks.fan_streams", (control.port, many, "--counts")):
        rows.append(_telemetry(control, many, max(2.0, _COUNTING_SECONDS * context.scale)))
    return Figure(key="fan_out", title="Decision to acknowledged, over the network", how=_HOW, rows=rows)


def _flips(control: Network, replicas: int, times: int, who: str, limit: float | None) -> list[Row]:
    control.wait_for(replicas)
    deployments = Deployments()
    back, there, heard, used = [], [], [], []
    for _ in range(times + 1):
        deployment, way_back = deployments.next()
        there.append(_push(control, deployment, replicas)[0])
        before = time.process_time()
        took, told = _push(control, way_back, replicas)
        used.append((time.process_time() - before) * 1000)
        back.append(took)
        heard.append(told)
    target = None if limit is None else Target(column="p99", limit=limit)
    # The first pair warms up.
    told_rows = [Row(name=f"told to the last of {who}", unit="ms", values=quantiles(heard[1:]))] if heard[0] else []
    return [
        *told_rows,
        Row(name=f"way back, {who}", unit="ms", values=quantiles(back[1:]), target=target),
        Row(name=f"new generation, {who}", unit="ms", values=quantiles(there[1:])),
        Row(name=f"CPU of the server for a way back, {who}", unit="ms", values=quantiles(used[1:])),
    ]


def _bare_flips(peer: Bare, streams: int, times: int) -> list[Row]:
    """Measure a server that does nothing but write and count, with the same clients."""
    until(lambda: len(peer.streams) >= streams, f"{streams} are connected")
    took, used = [], []
    for _ in range(times + 1):
        began, before = time.monotonic(), time.process_time()
        peer.push(streams)
        took.append((time.monotonic() - began) * 1000)
        used.append((time.process_time() - before) * 1000)
    who = f"{streams:,} light streams of a bare server"
    return [
        Row(name=f"written and answered, {who}", unit="ms", values=quantiles(took[1:]), note=_BARE),
        Row(name=f"CPU of the server, {who}", unit="ms", values=quantiles(used[1:])),
    ]


def _push(control: Network, document: RouteDocument, replicas: int) -> tuple[float, float]:
    """Return the milliseconds until the last acknowledgement, and until the last was told, where that is known."""
    last = [0.0]

    def acknowledged(_replica: str) -> None:
        last[0] = time.monotonic()

    began = time.monotonic()
    answers = control.traffic.push(document, _DEADLINE, on_acknowledged=acknowledged)
    reports = [answer for answer in answers.values() if isinstance(answer, ReplicaReport)]
    if len(reports) != replicas or any(report.refusal is not None for report in reports):
        raise BenchmarkError(f"{len(reports)} of {replicas} replicas acknowledged: {list(answers.values())[:3]}")
    heard = max(report.load_seconds.get(HEARD, began) for report in reports)
    return (last[0] - began) * 1000, (heard - began) * 1000


def _telemetry(control: Network, replicas: int, seconds: float) -> Row:
    control.wait_for(replicas)
    Event().wait(1)
    began, used, before = time.monotonic(), os.times(), _sequences(control)
    Event().wait(seconds)
    elapsed, after = time.monotonic() - began, os.times()
    messages = _sequences(control) - before
    share = (after.user - used.user + after.system - used.system) / elapsed * 100
    return Row(
        name=f"share of a core, {replicas:,} replicas",
        unit="count",
        values={"percent": share, "messages/s": messages / elapsed},
        note="counts of one worker with 20 metrics each second from each replica; messages that arrived, of those",
    )


def _sequences(control: Network) -> int:
    return sum(report.sequence for report in control.hub.counts(SYSTEM).values())
