"""Telemetry through a hub keeps the promises of the port: counts travel from a worker's file through a real agent."""

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from knowngood.adapters.hub.telemetry import HubTelemetry
from knowngood.testing.contracts.traffic import OLD, SYSTEM, Counted, TelemetryContract
from knowngood.testing.memory_exchange import MemoryExchange
from knowngood.testing.replica import ReplicaUnderTest, until
from knowngood_sdk.model.counts import Sums, VersionCounts
from knowngood_sdk.model.wire import CountsReport
from tests.adapters.hub.served import Control, answering


class HubCounted:
    def __init__(self, directory: Path, stack: contextlib.ExitStack) -> None:
        self.directory = directory
        self.stack = stack
        self.control = Control(MemoryExchange())
        self.control.start()
        self.stack.callback(self.control.stop)
        self.telemetry = HubTelemetry(self.control.hub)
        self.replicas: dict[str, ReplicaUnderTest] = {}

    def put_counts(self, replica: str, counts: CountsReport) -> None:
        if replica not in self.replicas:
            options = ["--url", self.control.url]
            folder = self.directory / replica
            self.replicas[replica] = self.stack.enter_context(ReplicaUnderTest.of(folder, SYSTEM, replica, [], options))
        self.replicas[replica].folder.write_counts(counts)

        def arrived() -> bool:
            known = self.telemetry.counts(SYSTEM).get(counts.worker)
            return known is not None and known.sequence >= counts.sequence

        until(arrived, "the counts arrive")

    def serve(self, status: int) -> str:
        return self.stack.enter_context(answering(status))

    def hang(self) -> str:
        listener = self.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"

    def nothing(self) -> str:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            return f"http://127.0.0.1:{listener.getsockname()[1]}/"


@pytest.fixture
def hub_counted(tmp_path: Path) -> Iterator[HubCounted]:
    with contextlib.ExitStack() as stack:
        yield HubCounted(tmp_path, stack)


class TestHubTelemetry(TelemetryContract):
    @pytest.fixture
    def counted(self, hub_counted: HubCounted) -> Counted:
        return hub_counted


def counts(worker: str, sequence: int, requests: int) -> CountsReport:
    outcomes = {f"metric-{number}": Sums() for number in range(20)}
    versions = {OLD: VersionCounts(requests=requests, outcomes=outcomes)}
    return CountsReport(worker=worker, sequence=sequence, at="2026-01-01T00:00:00Z", versions=versions)


@pytest.mark.requirement("L4m")
def test_an_outage_loses_no_count_and_needs_no_backlog(hub_counted: HubCounted) -> None:
    hub_counted.put_counts("a", counts("w1", 1, 10))
    hub_counted.control.stop()
    folder = hub_counted.replicas["a"].folder
    for sequence in range(2, 50):
        folder.write_counts(counts("w1", sequence, sequence * 10))
    hub_counted.control.start()
    telemetry = HubTelemetry(hub_counted.control.hub)
    until(lambda: telemetry.counts(SYSTEM)["w1"].versions[OLD].requests == 490, "all of it arrives")


def test_counts_of_one_worker_that_cannot_be_read_keep_no_other_away(hub_counted: HubCounted) -> None:
    hub_counted.put_counts("a", counts("w1", 1, 10))
    folder = hub_counted.replicas["a"].folder
    (folder.counts / "w0.json").write_text('{"format": 1}')
    hub_counted.put_counts("a", counts("w1", 2, 20))
    assert hub_counted.telemetry.counts(SYSTEM)["w1"].versions[OLD].requests == 20


def test_what_workers_counted_that_are_gone_arrives_and_counts_once(hub_counted: HubCounted) -> None:
    hub_counted.put_counts("a", counts("w1", 1, 10))
    folder = hub_counted.replicas["a"].folder
    folded = CountsReport(
        worker="departed of a", sequence=1, at="", versions={OLD: VersionCounts(requests=10)}, holds=("w1",)
    )
    folder.departed_file.write_text(json.dumps(folded.to_json()))
    (folder.counts / "w1.json").unlink()
    until(lambda: set(hub_counted.telemetry.counts(SYSTEM)) == {"departed of a"}, "the worker is folded")
