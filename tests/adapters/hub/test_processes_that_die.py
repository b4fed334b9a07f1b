"""Agents and control planes are killed, and what was decided stays decided."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from knowngood.testing.contracts.traffic import NEW, OLD, SYSTEM, trip_of
from knowngood.testing.replica import ReplicaUnderTest, until
from knowngood_sdk.agent.client import ask_each
from knowngood_sdk.agent.protocol import leave_request
from knowngood_sdk.model.route import FULL, Facts, FleetRoute, Generation
from knowngood_sdk.model.wire import ReplicaReport, RouteDocument
from tests.adapters.hub.served import free_port

ROOT = Path(__file__).parents[3]
NAMES = ("a", "b", "c")
FIRST = Generation(number=1, chain=(NEW, OLD))
DEPLOYED = RouteDocument(system=SYSTEM, route=FleetRoute(1, 0, FULL), generations={1: FIRST})
TRIPPED = RouteDocument(
    system=SYSTEM, route=FleetRoute(1, 0, FULL), generations={1: FIRST}, facts=Facts({"t-1": trip_of(NEW)})
)


class ServerProcess:
    def __init__(self) -> None:
        self.port = free_port()
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.adapters.hub.server_process", str(self.port)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        assert self._line() == "ready\n"

    def publish(self, document: RouteDocument) -> dict[str, Any]:
        """Publish and push a document; return what was acknowledged, and what is seen of every replica."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(document.to_json()) + "\n")
        answer: dict[str, Any] = json.loads(self._line())
        return answer

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(20)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    server = ServerProcess()
    yield server
    server.kill()


@pytest.fixture
def replicas(server: ServerProcess, tmp_path: Path) -> Iterator[dict[str, ReplicaUnderTest]]:
    options = ["--url", server.url]
    replicas = {name: ReplicaUnderTest.of(tmp_path / name, SYSTEM, name, [OLD, NEW], options) for name in NAMES}
    for replica in replicas.values():
        replica.start()
    until(lambda: len(server.publish(DEPLOYED)["acknowledged"]) == len(NAMES), "all are connected")
    yield replicas
    for replica in replicas.values():
        replica.close()


def report_of(document: dict[str, Any]) -> ReplicaReport:
    return ReplicaReport.from_json(document)


@pytest.mark.requirement("G1", "A1")
def test_a_flip_is_acknowledged_by_all_with_what_is_durable(
    server: ServerProcess, replicas: dict[str, ReplicaUnderTest]
) -> None:
    acknowledged = server.publish(TRIPPED)["acknowledged"]
    assert {name: report_of(said).state.latched for name, said in acknowledged.items()} == dict.fromkeys(NAMES, 1)
    for name, replica in replicas.items():
        replica.kill()
        assert replica.folder.recover().state == report_of(acknowledged[name]).state


def test_an_agent_that_was_killed_comes_back_to_what_was_decided_meanwhile(
    server: ServerProcess, replicas: dict[str, ReplicaUnderTest]
) -> None:
    replicas["b"].kill()
    acknowledged = server.publish(TRIPPED)["acknowledged"]
    assert sorted(acknowledged) == ["a", "c"]
    replicas["b"].start()
    until(lambda: replicas["b"].folder.word().read() == (1, 1, FULL), "it leaves the version too")
    assert sorted(server.publish(TRIPPED)["acknowledged"]) == ["a", "b", "c"]


@pytest.mark.requirement("G3")
def test_replicas_whose_control_plane_was_killed_leave_by_themselves_and_tell_it_when_it_is_back(
    server: ServerProcess, replicas: dict[str, ReplicaUnderTest]
) -> None:
    server.kill()
    sockets = {name: replicas[name].folder.agent_socket for name in ("a", "b")}
    answers = ask_each(sockets, leave_request(trip_of(NEW), fleet=True), 20)
    assert all(isinstance(answer, ReplicaReport) for answer in answers.values())
    assert replicas["a"].folder.word().read() == (1, 1, FULL)
    assert replicas["c"].folder.word().read() == (1, 0, FULL)
    server.start()

    def told() -> bool:
        seen = server.publish(DEPLOYED)["seen"]
        facts = Facts()
        for said in seen.values():
            facts = facts.merge(report_of(said).state.facts)
        return len(seen) == len(NAMES) and facts.quarantined == {NEW}

    until(told, "their reports bring the trip in")
    # What the control plane merges, it publishes; then the one that was not told leaves too.
    server.publish(TRIPPED)
    assert replicas["c"].folder.word().read() == (1, 1, FULL)


def test_agents_that_are_killed_with_their_control_plane_find_each_other_again(
    server: ServerProcess, replicas: dict[str, ReplicaUnderTest]
) -> None:
    server.publish(TRIPPED)
    server.kill()
    for replica in replicas.values():
        replica.kill()
    server.start()
    for replica in replicas.values():
        replica.start()
    # It lost its store and publishes what it had before the trip: nobody goes back to what was left.
    until(lambda: len(server.publish(DEPLOYED)["acknowledged"]) == len(NAMES), "all are connected again")
    assert {replica.folder.word().read() for replica in replicas.values()} == {(1, 1, FULL)}
