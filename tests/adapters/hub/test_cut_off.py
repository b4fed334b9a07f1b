"""A replica that was cut off from its control plane serves on, and knows within two seconds of being back."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from knowngood.testing.contracts.traffic import NEW, OLD, SYSTEM, trip_of
from knowngood.testing.memory_exchange import MemoryExchange
from knowngood.testing.replica import ReplicaUnderTest, until
from knowngood_sdk.agent.client import ask_each
from knowngood_sdk.agent.protocol import leave_request
from knowngood_sdk.model.route import FULL, FleetRoute, Generation
from knowngood_sdk.model.wire import RouteDocument
from tests.adapters.hub.cut_proxy import Proxy
from tests.adapters.hub.served import Control

SOON = timedelta(seconds=20)
BRIEF = timedelta(milliseconds=300)
DEPLOYED = RouteDocument(
    system=SYSTEM, route=FleetRoute(1, 0, FULL), generations={1: Generation(number=1, chain=(NEW, OLD))}
)
BACK_WITHIN_SECONDS = 2.0
SLACK_SECONDS = 0.5
"""For a machine that is busy with other tests."""


@pytest.fixture
def control() -> Iterator[Control]:
    control = Control(MemoryExchange())
    control.start()
    yield control
    control.stop()


@pytest.fixture
def proxy(control: Control) -> Iterator[Proxy]:
    with Proxy(control.port) as proxy:
        yield proxy


@pytest.fixture
def replica(control: Control, proxy: Proxy, tmp_path: Path) -> Iterator[ReplicaUnderTest]:
    with ReplicaUnderTest.of(tmp_path, SYSTEM, "a", [OLD, NEW], ["--url", proxy.url]) as replica:
        until(lambda: control.connected(SYSTEM, "a"), "it is connected")
        control.traffic.publish(SYSTEM, lambda _: DEPLOYED)
        until(lambda: replica.folder.word().read() == (1, 0, FULL), "it serves the first version")
        yield replica


def publish_trip(control: Control, version: str = NEW, uid: str = "t-1") -> None:
    trip = trip_of(version, uid)
    control.traffic.publish(SYSTEM, lambda known: replace(known, facts=known.facts.with_trip(trip)))


@pytest.mark.requirement("G1")
@pytest.mark.parametrize("how", ["cut", "hold"])
@pytest.mark.parametrize("seconds", [0.2, 1.7, 4.0])
def test_a_replica_that_was_cut_off_knows_soon_after_it_is_back(
    control: Control, proxy: Proxy, replica: ReplicaUnderTest, how: str, seconds: float
) -> None:
    getattr(proxy, how)()
    publish_trip(control)
    time_out = time.monotonic() + seconds
    until(lambda: time.monotonic() > time_out, "the outage is over")
    assert replica.folder.word().read() == (1, 0, FULL)
    proxy.heal()
    back = time.monotonic()
    until(lambda: replica.folder.word().read() == (1, 1, FULL), "it leaves the version")
    assert time.monotonic() - back < BACK_WITHIN_SECONDS + SLACK_SECONDS
    seen = control.traffic.wait(SYSTEM, lambda all_: all_["a"].report.state.latched == 1, SOON)
    assert seen["a"].agent_alive


def test_a_push_to_a_replica_that_is_cut_off_names_it(
    control: Control, proxy: Proxy, replica: ReplicaUnderTest
) -> None:
    proxy.hold()
    tripped = replace(DEPLOYED, facts=DEPLOYED.facts.with_trip(trip_of(NEW)))
    answers = control.traffic.push(tripped, BRIEF)
    word = replica.folder.word().read()
    proxy.heal()
    assert "no answer within 0.3 s" in str(answers["a"])
    assert word == (1, 0, FULL)


def test_a_push_under_way_reaches_a_replica_that_comes_back(
    control: Control, proxy: Proxy, replica: ReplicaUnderTest
) -> None:
    proxy.cut()
    until(lambda: not control.hub.streaming(SYSTEM), "its stream has ended")
    proxy.heal()
    tripped = replace(DEPLOYED, facts=DEPLOYED.facts.with_trip(trip_of(NEW)))
    told: list[str] = []
    # Its last report is fresh, so it is waited for, whether or not its stream is open again.
    answers = control.traffic.push(tripped, SOON, on_acknowledged=told.append)
    assert told == list(answers) == ["a"]
    assert replica.folder.word().read() == (1, 1, FULL)


def test_what_a_replica_did_while_it_was_cut_off_is_known_once_it_is_back(
    control: Control, proxy: Proxy, replica: ReplicaUnderTest
) -> None:
    proxy.cut()
    until(lambda: not control.traffic.replicas(SYSTEM)["a"].agent_alive, "it is seen to be gone")
    ask_each({"a": replica.folder.agent_socket}, leave_request(trip_of(NEW), fleet=True), 20)
    assert replica.folder.word().read() == (1, 1, FULL)
    proxy.heal()
    seen = control.traffic.wait(SYSTEM, lambda all_: all_["a"].report.state.latched == 1, SOON)
    assert seen["a"].report.state.facts.quarantined == {NEW}
