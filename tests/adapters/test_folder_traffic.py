"""Traffic through replica folders keeps the promises of the port, over real agent processes."""

from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from knowngood.adapters.folder.traffic import FolderTraffic
from knowngood.testing.contracts.traffic import SYSTEM, Fleet, TrafficContract
from knowngood.testing.replica import ReplicaUnderTest


class FolderFleet:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.traffic = FolderTraffic(directory)
        self.replicas: dict[str, ReplicaUnderTest] = {}

    def start(self, name: str, ready: Collection[str]) -> None:
        self.replicas[name] = ReplicaUnderTest.of(self.directory, SYSTEM, name, ready)
        self.replicas[name].start()

    def set_ready(self, name: str, ready: Collection[str]) -> None:
        self.replicas[name].workers["w1"].say(ready)

    def stall(self, name: str) -> None:
        self.replicas[name].stall()

    def resume(self, name: str) -> None:
        self.replicas[name].resume()

    def kill_agent(self, name: str) -> None:
        self.replicas[name].kill()

    def restart_agent(self, name: str) -> None:
        self.replicas[name].start()

    def kill_workers(self, name: str) -> None:
        self.replicas[name].workers["w1"].die()


class TestFolderTraffic(TrafficContract):
    @pytest.fixture
    def fleet(self, tmp_path: Path) -> Iterator[Fleet]:
        fleet = FolderFleet(tmp_path / ".knowngood")
        yield fleet
        for replica in fleet.replicas.values():
            replica.close()
