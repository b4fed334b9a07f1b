"""The in-memory ports keep the promises that every adapter keeps."""

from collections.abc import Collection
from datetime import timedelta

import pytest

from knowngood.ports.telemetry import HealthSample, Telemetry
from knowngood.ports.traffic import Unreachable
from knowngood.testing.contracts.traffic import NEW, OLD, SYSTEM, Counted, Fleet, TelemetryContract, TrafficContract
from knowngood.testing.memory import MemoryClock, MemoryTelemetry, MemoryTraffic
from knowngood_sdk.model.route import FULL, FleetRoute, Generation
from knowngood_sdk.model.wire import CountsReport, RouteDocument

DEPLOYED = RouteDocument(
    system=SYSTEM,
    route=FleetRoute(1, 0, FULL),
    generations={1: Generation(number=1, chain=(NEW, OLD))},
)


class MemoryFleet:
    def __init__(self) -> None:
        self.traffic = MemoryTraffic()

    def start(self, name: str, ready: Collection[str]) -> None:
        self.traffic.join(SYSTEM, name, ready=ready)

    def set_ready(self, name: str, ready: Collection[str]) -> None:
        self.traffic.set_ready(SYSTEM, name, ready)

    def stall(self, name: str) -> None:
        self.traffic.cut_off(SYSTEM, name)

    def resume(self, name: str) -> None:
        self.traffic.reconnect(SYSTEM, name)

    def kill_agent(self, name: str) -> None:
        self.traffic.kill_agent(SYSTEM, name)

    def restart_agent(self, name: str) -> None:
        self.traffic.restart_agent(SYSTEM, name)

    def kill_workers(self, name: str) -> None:
        self.traffic.kill_workers(SYSTEM, name)


class MemoryCounted:
    def __init__(self) -> None:
        self.memory = MemoryTelemetry()
        self.telemetry: Telemetry = self.memory

    def put_counts(self, replica: str, counts: CountsReport) -> None:
        assert replica
        self.memory.report(SYSTEM, counts)

    def serve(self, status: int) -> str:
        url = f"http://memory/{status}"
        self.memory.set_health(url, HealthSample(ok=status < 400, status=status, latency_seconds=0.001))
        return url

    def hang(self) -> str:
        self.memory.set_health("http://memory/hang", HealthSample(ok=True, status=200, latency_seconds=1e9))
        return "http://memory/hang"

    def nothing(self) -> str:
        return "http://memory/nothing"


class TestMemoryTraffic(TrafficContract):
    @pytest.fixture
    def fleet(self) -> Fleet:
        return MemoryFleet()


class TestMemoryTelemetry(TelemetryContract):
    @pytest.fixture
    def counted(self) -> Counted:
        return MemoryCounted()


def test_a_replica_that_loads_takes_what_a_document_wants() -> None:
    traffic = MemoryTraffic()
    traffic.join(SYSTEM, "a", loads=True)
    traffic.publish(SYSTEM, lambda _: DEPLOYED)
    report = traffic.replicas(SYSTEM)["a"].report
    assert report.ready == {NEW, OLD}
    assert report.state.fleet == DEPLOYED.route


def test_a_replica_on_which_a_version_fails_refuses_it() -> None:
    traffic = MemoryTraffic()
    traffic.join(SYSTEM, "a", loads=True)
    traffic.fail(SYSTEM, "a", NEW, "the golden output differs")
    traffic.publish(SYSTEM, lambda _: DEPLOYED)
    report = traffic.replicas(SYSTEM)["a"].report
    assert report.failed == {NEW: "the golden output differs"}
    assert report.refusal is not None


def test_a_replica_that_trips_locally_stays_alone_with_it() -> None:
    traffic = MemoryTraffic()
    for name in ("a", "b"):
        traffic.join(SYSTEM, name, ready=[OLD, NEW])
    traffic.publish(SYSTEM, lambda _: DEPLOYED)
    traffic.trip_locally(SYSTEM, "a", NEW)
    assert {name: seen.report.state.latched for name, seen in traffic.replicas(SYSTEM).items()} == {"a": 1, "b": 0}


def test_a_push_that_nobody_answers_lets_its_deadline_pass_on_the_clock() -> None:
    clock = MemoryClock()
    traffic = MemoryTraffic(clock)
    traffic.join(SYSTEM, "a")
    traffic.cut_off(SYSTEM, "a")
    answers = traffic.push(DEPLOYED, timedelta(seconds=2))
    assert isinstance(answers["a"], Unreachable)
    assert clock.monotonic() == 2.0


def test_time_stands_still_until_somebody_pauses() -> None:
    clock = MemoryClock()
    before = clock.now()
    clock.pause(timedelta(seconds=-1))
    assert clock.now() == before
    clock.pause(timedelta(minutes=3))
    assert (clock.now() - before, clock.monotonic()) == (timedelta(minutes=3), 180.0)
