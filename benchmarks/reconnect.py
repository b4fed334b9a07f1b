"""Reconnect: how soon a replica that was cut off has left what was left meanwhile, once the network is back."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from threading import Event

from benchmarks.context import Context
from benchmarks.figure import Figure, Row, Target, percentile
from benchmarks.host import ROOT, BenchmarkError, until
from benchmarks.large_store import LargeStore, fill, place
from benchmarks.plane import ServedPlane, served
from benchmarks.wire import Cut, Wire
from knowngood.testing.replica import StandInWorker
from knowngood_sdk.serving.folder import ReplicaFolder

__all__ = ["run"]

_AGENTS = 8
_CUT_SECONDS = 5.0
_REPLICA = "far"
_LIMIT_SECONDS = 2.0
_PATIENCE_SECONDS = 30.0
_LOOK_SECONDS = 0.002
_HOW = (
    "One kg serve and {agents} far agents (kg agent --url), each of a system of its own, behind one network, which is "
    "cut for {seconds:g} s. Meanwhile what they serve is left by break glass. Counted from the network's return until "
    "the agent has reported as durable that the version was left and that what is behind it is in force. Refused: "
    "nothing listens. Black hole: what stands or is opened meanwhile is never answered and never closed, not "
    "afterwards either."
)


def run(context: Context) -> Figure:
    """Cut all agents off at once, once in each way."""
    agents, seconds = context.times(_AGENTS), max(1.5, _CUT_SECONDS * context.scale)
    folder = context.folder / "reconnect"
    folder.mkdir()
    rows = []
    with ExitStack() as stack:
        large = fill(folder, stack.enter_context(place("sqlite", folder)), agents, context.seed)
        plane = stack.enter_context(served(folder))
        wire = stack.enter_context(Wire(plane.port))
        token = folder / "replica.token"
        token.write_text(plane.replica_token, encoding="ascii")
        context.tell(f"reconnect: {agents} agents")
        replicas = stack.enter_context(_agents(plane, large, wire.port, token))
        for how in Cut:
            _all_placed(plane, replicas)
            context.tell(f"reconnect: cut for {seconds:g} s: {how}")
            took = list(_cut(plane, wire, how, replicas, seconds).values())
            rows.append(
                Row(
                    name=f"back to left, {how}",
                    unit="s",
                    values={"p50": percentile(took, 50), "max": max(took), "n": len(took)},
                    target=Target(column="max", limit=_LIMIT_SECONDS),
                )
            )
    how_ = _HOW.format(agents=agents, seconds=seconds)
    return Figure(key="reconnect", title="A replica that was cut off", how=how_, rows=rows)


def _cut(
    plane: ServedPlane, wire: Wire, how: Cut, replicas: Mapping[str, ReplicaFolder], seconds: float
) -> dict[str, float]:
    """Return by system the seconds from the network's return until its replica has left; infinite for never."""
    with ThreadPoolExecutor(len(replicas)) as people:
        wire.cut(how)
        end = time.monotonic() + seconds
        serving = {system: _serving(folder) for system, folder in replicas.items()}
        asked = {system: people.submit(_break_glass, plane, system) for system in replicas}
        if {system: left.result() for system, left in asked.items()} != serving:
            raise BenchmarkError("another version was left than the one that is served")
        Event().wait(max(0.0, end - time.monotonic()))
        early = [system for system, folder in replicas.items() if _has_left(folder, serving[system])]
        if early:
            raise BenchmarkError(f"{early[0]} was told through a network that was cut")
        began = time.monotonic()
        wire.restore()
        return _left(replicas, serving, began)


def _left(replicas: Mapping[str, ReplicaFolder], serving: Mapping[str, str], began: float) -> dict[str, float]:
    took = dict.fromkeys(replicas, float("inf"))
    pause = Event()
    while float("inf") in took.values() and time.monotonic() < began + _PATIENCE_SECONDS:
        for system, folder in replicas.items():
            if took[system] == float("inf") and _has_left(folder, serving[system]):
                took[system] = time.monotonic() - began
        pause.wait(_LOOK_SECONDS)
    return took


def _serving(folder: ReplicaFolder) -> str:
    """Return the version that a replica reports to serve; empty for none."""
    report = folder.report()
    serving = () if report is None else [report.state.chain[at] for at in report.state.positions if report.state.chain]
    return serving[0] if serving else ""


def _has_left(folder: ReplicaFolder, version: str) -> bool:
    report = folder.report()
    return report is not None and version in report.state.bad and _serving(folder) not in {"", version}


def _break_glass(plane: ServedPlane, system: str) -> str:
    """Leave what a system serves, and return what that was."""
    with closing(plane.connection()) as connection:
        headers = {"Authorization": f"Bearer {plane.token}", "Content-Type": "application/json"}
        body = json.dumps({"why": "a benchmark"})
        connection.request("POST", f"/v1/systems/{system}/break-glass", body=body, headers=headers)
        answer = connection.getresponse()
        said = answer.read()
    if answer.status != 200:  # noqa: PLR2004 - HTTP
        raise BenchmarkError(f"break glass was answered {answer.status}: {said[:300].decode()}")
    return str(json.loads(said)["version"])


@contextmanager
def _agents(plane: ServedPlane, large: LargeStore, port: int, token: Path) -> Iterator[dict[str, ReplicaFolder]]:
    """Run one agent for each system, with a worker that has all versions of its chain ready."""
    with ExitStack() as stack:
        replicas = {}
        for system in large.systems:
            home = large.folder / "far" / system
            replicas[system] = folder = ReplicaFolder.of(home, system, _REPLICA)
            folder.make()
            chain = plane.json(f"/v1/systems/{system}")["systems"][0]["chain"]
            stack.callback(StandInWorker(folder, "w1", chain).die)
            command = [sys.executable, "-m", "knowngood.cli", "agent", system, "--replica", _REPLICA]
            command += ["--url", f"http://127.0.0.1:{port}", "--token-file", str(token), "--dir", str(home)]
            stack.enter_context(_process(command, large.folder / f"agent-{system}.log"))
        yield replicas


def _all_placed(plane: ServedPlane, replicas: Mapping[str, ReplicaFolder]) -> None:
    """Return once the server has heard from every replica that it serves what is published."""
    pause = Event()

    def all_placed() -> bool:
        pause.wait(0.2)
        for system, folder in replicas.items():
            [status] = plane.json(f"/v1/systems/{system}")["systems"]
            told = [one["serves"] for one in status["replicas"] if one["agent"]]
            if told != [status["serving"]] or told != [[_serving(folder)]]:
                return False
        return True

    until(all_placed, "the server has heard from all agents")


@contextmanager
def _process(command: Sequence[str], log: Path) -> Iterator[None]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KNOWNGOOD_")}
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
