"""Traffic through a hub keeps the promises of the port, over real agents that are linked to it over HTTP."""

from collections.abc import Collection, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from knowngood.ports.traffic import Unreachable
from knowngood.testing.contracts.traffic import NEW, OLD, SYSTEM, Fleet, TrafficContract, trip_of
from knowngood.testing.memory_exchange import MemoryExchange
from knowngood.testing.replica import ReplicaUnderTest, until
from knowngood_sdk.model.route import FULL, FleetRoute, Generation
from knowngood_sdk.model.wire import RouteDocument
from tests.adapters.hub.served import Control

SOON = timedelta(seconds=20)
DEPLOYED = RouteDocument(
    system=SYSTEM, route=FleetRoute(1, 0, FULL), generations={1: Generation(number=1, chain=(NEW, OLD))}
)


class HubFleet:
    """Replicas on hosts of their own, each with a working folder of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.control = Control(MemoryExchange())
        self.control.start()
        self.traffic = self.control.traffic
        self.replicas: dict[str, ReplicaUnderTest] = {}

    def start(self, name: str, ready: Collection[str]) -> None:
        options = ["--url", self.control.url]
        self.replicas[name] = ReplicaUnderTest.of(self.directory / name, SYSTEM, name, ready, options)
        self.restart_agent(name)

    def set_ready(self, name: str, ready: Collection[str]) -> None:
        self.replicas[name].workers["w1"].say(ready)

    def stall(self, name: str) -> None:
        self.replicas[name].stall()

    def resume(self, name: str) -> None:
        self.replicas[name].resume()

    def kill_agent(self, name: str) -> None:
        self.replicas[name].kill()
        until(lambda: not self.traffic.replicas(SYSTEM)[name].agent_alive, "its stream is seen to end")

    def restart_agent(self, name: str) -> None:
        self.replicas[name].start()
        until(lambda: self.control.connected(SYSTEM, name), "it is connected")

    def kill_workers(self, name: str) -> None:
        self.replicas[name].workers["w1"].die()
        until(lambda: not self.traffic.replicas(SYSTEM)[name].alive, "it is taken for dead, for nobody tells of it")

    def close(self) -> None:
        for replica in self.replicas.values():
            replica.close()
        self.control.stop()


class TestHubTraffic(TrafficContract):
    @pytest.fixture
    def fleet(self, tmp_path: Path) -> Iterator[Fleet]:
        fleet = HubFleet(tmp_path)
        yield fleet
        fleet.close()

    def test_breaking_the_glass_works_without_an_agent(self, fleet: Fleet) -> None:
        """Over the network it does not: the replica is named, and its workers can be told on their host alone."""
        fleet.start("a", [OLD, NEW])
        fleet.traffic.push(DEPLOYED, SOON)
        fleet.kill_agent("a")
        answer = fleet.traffic.leave(SYSTEM, trip_of(NEW), SOON)["a"]
        assert isinstance(answer, Unreachable)
        assert "no agent is connected" in answer.reason
