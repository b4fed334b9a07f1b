"""Replicas of this host and replicas over the network are one fleet, and keep the promises of the port together."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from knowngood.adapters.clock import SystemClock
from knowngood.adapters.folder.telemetry import FolderTelemetry
from knowngood.adapters.folder.traffic import FolderTraffic
from knowngood.adapters.hub.hub import Hub
from knowngood.adapters.hub.joined import JoinedTelemetry, JoinedTraffic
from knowngood.adapters.hub.telemetry import HubTelemetry
from knowngood.adapters.hub.traffic import HubTraffic
from knowngood.adapters.signing import KeyFolder, make_key
from knowngood.control import keys
from knowngood.control.break_glass import break_glass
from knowngood.control.signed_traffic import SignedTraffic, vouched
from knowngood.ports.traffic import Unreachable
from knowngood.testing.contracts.traffic import NEW, OLD, SYSTEM, Fleet, TrafficContract, trip_of
from knowngood.testing.memory_exchange import MemoryExchange
from knowngood.testing.replica import ReplicaUnderTest, until
from knowngood_sdk.errors import InvalidError, TransientError
from knowngood_sdk.model.counts import VersionCounts
from knowngood_sdk.model.route import FULL, FleetRoute, Generation
from knowngood_sdk.model.signed import DocumentKind, Envelope, Signature, Statement, statement_payload
from knowngood_sdk.model.wire import CountsReport, ReplicaReport, RouteDocument
from tests.adapters.hub.served import Control

SOON = timedelta(seconds=20)
DEPLOYED = RouteDocument(
    system=SYSTEM, route=FleetRoute(1, 0, FULL), generations={1: Generation(number=1, chain=(NEW, OLD))}
)


class JoinedFleet:
    """Replicas that start at a host each, in turn on this one and on another."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.control = Control(MemoryExchange())
        self.control.start()
        self.folder = directory / "here"
        self.traffic = JoinedTraffic(FolderTraffic(self.folder), self.control.traffic)
        self.replicas: dict[str, ReplicaUnderTest] = {}
        self.remote: set[str] = set()

    def start(self, name: str, ready: Collection[str]) -> None:
        self.start_at(name, ready, here=len(self.replicas) % 2 == 1)

    def start_at(self, name: str, ready: Collection[str], *, here: bool) -> None:
        if here:
            self.replicas[name] = ReplicaUnderTest.of(self.folder, SYSTEM, name, ready)
        else:
            self.remote.add(name)
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
        self._until(lambda: not self.traffic.replicas(SYSTEM)[name].agent_alive)

    def restart_agent(self, name: str) -> None:
        self.replicas[name].start()
        self._until(lambda: name not in self.remote or self.control.connected(SYSTEM, name))

    def kill_workers(self, name: str) -> None:
        self.replicas[name].workers["w1"].die()
        self._until(lambda: not self.traffic.replicas(SYSTEM)[name].alive)

    def close(self) -> None:
        for replica in self.replicas.values():
            replica.close()
        self.control.stop()

    def _until(self, true: Callable[[], bool]) -> None:
        until(true, "it is seen")


@pytest.fixture
def joined_fleet(tmp_path: Path) -> Iterator[JoinedFleet]:
    fleet = JoinedFleet(tmp_path)
    yield fleet
    fleet.close()


class TestJoinedTraffic(TrafficContract):
    @pytest.fixture
    def fleet(self, joined_fleet: JoinedFleet) -> Fleet:
        return joined_fleet

    def test_breaking_the_glass_works_without_an_agent(self, fleet: Fleet) -> None:
        """On this host it does; over the network the replica is named."""
        fleet.start("there", [OLD, NEW])
        fleet.start("here", [OLD, NEW])
        fleet.traffic.push(DEPLOYED, SOON)
        fleet.kill_agent("there")
        fleet.kill_agent("here")
        answers = fleet.traffic.leave(SYSTEM, trip_of(NEW), SOON)
        assert isinstance(answers["here"], ReplicaReport)
        assert isinstance(answers["there"], Unreachable)


def test_what_is_published_reaches_both_kinds(joined_fleet: JoinedFleet) -> None:
    for name, here in (("here", True), ("there", False)):
        joined_fleet.start_at(name, [OLD, NEW], here=here)
    joined_fleet.traffic.publish(SYSTEM, lambda _: DEPLOYED)
    words = [replica.folder.word() for replica in joined_fleet.replicas.values()]
    until(lambda: {word.read() for word in words} == {(1, 0, FULL)}, "both serve it")
    assert joined_fleet.control.exchange.route(SYSTEM) == DEPLOYED
    assert FolderTraffic(joined_fleet.folder).published(SYSTEM) == DEPLOYED


def test_what_a_command_on_this_host_published_is_not_taken_back(joined_fleet: JoinedFleet) -> None:
    joined_fleet.traffic.publish(SYSTEM, lambda _: DEPLOYED)
    alone = FolderTraffic(joined_fleet.folder)
    alone.publish(SYSTEM, lambda known: replace(known, facts=known.facts.with_trip(trip_of(NEW))))
    joined_fleet.traffic.publish(SYSTEM, lambda known: replace(known, anchor=(1, "head")))
    document = joined_fleet.control.exchange.route(SYSTEM)
    assert document is not None
    assert (set(document.facts.quarantined), document.anchor) == ({NEW}, (1, "head"))
    assert alone.published(SYSTEM) == document


@pytest.fixture
def both_ways(joined_fleet: JoinedFleet) -> ReplicaUnderTest:
    """Give a replica of this host whose agent is connected over the network too."""
    options = ["--url", joined_fleet.control.url]
    replica = ReplicaUnderTest.of(joined_fleet.folder, SYSTEM, "a", [OLD, NEW], options)
    joined_fleet.remote.add("a")
    joined_fleet.replicas["a"] = replica
    joined_fleet.restart_agent("a")
    return replica


@pytest.mark.usefixtures("both_ways")
def test_what_was_acknowledged_over_the_network_is_read_on_its_host_at_once(joined_fleet: JoinedFleet) -> None:
    generations = {number: Generation(number=number, chain=(NEW, OLD)) for number in range(1, 7)}
    for number in generations:
        document = RouteDocument(system=SYSTEM, route=FleetRoute(number, 0, FULL), generations=generations)
        answer = joined_fleet.control.traffic.push(document, SOON)["a"]
        assert isinstance(answer, ReplicaReport)
        assert joined_fleet.traffic.replicas(SYSTEM)["a"].report.state == answer.state


def test_the_glass_breaks_on_the_version_that_was_acknowledged_last(
    joined_fleet: JoinedFleet, both_ways: ReplicaUnderTest
) -> None:
    first, second = Generation(number=1, chain=(OLD,)), Generation(number=2, chain=(NEW, OLD))
    network = joined_fleet.control.traffic
    network.push(RouteDocument(system=SYSTEM, route=FleetRoute(1, 0, FULL), generations={1: first}), SOON)
    on_new = RouteDocument(system=SYSTEM, route=FleetRoute(2, 0, FULL), generations={1: first, 2: second})
    network.push(on_new, SOON)
    broken = break_glass(FolderTraffic(joined_fleet.folder), SYSTEM, lambda _, version: trip_of(version))
    assert broken.trip.version == NEW
    assert both_ways.folder.word().read() == (2, 1, FULL)


def test_this_host_is_told_while_the_exchange_is_away(joined_fleet: JoinedFleet) -> None:
    exchange = joined_fleet.control.exchange
    assert isinstance(exchange, MemoryExchange)
    joined_fleet.traffic.publish(SYSTEM, lambda _: DEPLOYED)
    exchange.cut_off()
    with pytest.raises(TransientError, match="not published yet"):
        joined_fleet.traffic.publish(SYSTEM, lambda known: replace(known, prepare=(OLD,)))
    local = FolderTraffic(joined_fleet.folder).published(SYSTEM)
    assert local is not None
    assert local.prepare == (OLD,)


def test_an_agent_of_this_host_that_is_connected_too_is_one_replica(joined_fleet: JoinedFleet) -> None:
    options = ["--url", joined_fleet.control.url]
    joined_fleet.replicas["a"] = ReplicaUnderTest.of(joined_fleet.folder, SYSTEM, "a", [OLD, NEW], options)
    joined_fleet.remote.add("a")
    joined_fleet.restart_agent("a")
    told: list[str] = []
    answers = joined_fleet.traffic.push(DEPLOYED, SOON, on_acknowledged=told.append)
    assert (list(answers), told) == (["a"], ["a"])
    assert list(joined_fleet.traffic.replicas(SYSTEM)) == ["a"]


def test_counts_of_a_worker_that_come_both_ways_count_once(joined_fleet: JoinedFleet) -> None:
    def counts(worker: str, sequence: int, holds: tuple[str, ...] = ()) -> CountsReport:
        versions = {OLD: VersionCounts(requests=sequence)}
        return CountsReport(worker=worker, sequence=sequence, at="", versions=versions, holds=holds)

    joined_fleet.start_at("here", [OLD], here=True)
    joined_fleet.replicas["here"].folder.write_counts(counts("w1", 2))
    hub = joined_fleet.control.hub
    hub.count(SYSTEM, "here", "", [counts("w1", 1)])
    hub.count(SYSTEM, "there", "", [counts("w2", 7), counts("old", 3)])
    hub.count(SYSTEM, "there", "", [counts("departed of there", 1, holds=("old",))])
    telemetry = JoinedTelemetry(FolderTelemetry(joined_fleet.folder), HubTelemetry(hub))
    assert {worker: report.sequence for worker, report in telemetry.counts(SYSTEM).items()} == {
        "w1": 2,
        "w2": 7,
        "departed of there": 1,
    }


# ------------------------------------------------------------------------------------- two places that say other things


class Exchange(MemoryExchange):
    """An exchange whose row can be damaged."""

    damaged = False

    def route(self, system: str) -> RouteDocument | None:
        if self.damaged:
            raise InvalidError("the row is malformed")
        return super().route(system)

    def change_route(
        self, system: str, change: Callable[[RouteDocument], RouteDocument], *, anew: bool = False
    ) -> RouteDocument:
        if self.damaged and not anew:
            raise InvalidError("the row is malformed")
        self.damaged = False
        return super().change_route(system, change, anew=anew)


@dataclass(frozen=True)
class Places:
    """The two places where a route is published, without replicas."""

    exchange: Exchange
    hub: Hub
    folder: FolderTraffic
    path: Path
    joined: JoinedTraffic
    signed: SignedTraffic

    @property
    def both(self) -> tuple[RouteDocument | None, RouteDocument | None]:
        return self.exchange.route(SYSTEM), self.folder.published(SYSTEM)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    clock, signer, exchange = SystemClock(), KeyFolder(tmp_path / "keys"), Exchange()
    keys.begin(signer, [make_key(tmp_path / "root.key")], threshold=1, now=clock.now())
    hub, folder = Hub(exchange), FolderTraffic(tmp_path / "here")
    joined = JoinedTraffic(folder, HubTraffic(hub), partial(vouched, signer=signer))
    return Places(
        exchange=exchange,
        hub=hub,
        folder=folder,
        path=tmp_path / "here" / "systems" / SYSTEM / "route.json",
        joined=joined,
        signed=SignedTraffic(joined, signer, clock),
    )


def forged(document: RouteDocument) -> RouteDocument:
    """Put a document under a signature that is none, and a number that no real one will reach."""
    at = "2030-01-01T00:00:00.000Z"
    payload = statement_payload(
        Statement(version=2**50, signed_at=at, fresh_until=at, body=document.vouched.to_json()),
    )
    signatures = (Signature("0" * 64, b"0" * 64),)
    return replace(document, signed=Envelope(kind=DocumentKind.ROUTE, payload=payload, signatures=signatures))


@pytest.mark.parametrize("place", ["folder", "exchange"])
def test_a_forged_route_in_one_place_is_overwritten_and_not_copied_to_the_other(places: Places, place: str) -> None:
    places.signed.publish(SYSTEM, lambda _: DEPLOYED)
    bad = forged(replace(DEPLOYED, route=FleetRoute(1, 1, FULL), facts=DEPLOYED.facts.with_trip(trip_of(OLD))))
    if place == "folder":
        places.folder.publish(SYSTEM, lambda _: bad)
    else:
        HubTraffic(places.hub).publish(SYSTEM, lambda _: bad)
    believed = places.signed.published(SYSTEM)
    assert believed == replace(DEPLOYED, facts=bad.facts), "only its trips count"
    places.signed.publish(SYSTEM, lambda known: replace(known, anchor=(5, "head")))
    there, here = places.both
    assert there == here
    assert there is not None
    assert (there.route, there.anchor, set(there.facts.quarantined)) == (DEPLOYED.route, (5, "head"), {OLD})
    assert places.joined._vouched(there)


def test_a_newer_signed_route_of_a_command_on_this_host_stays(places: Places, tmp_path: Path) -> None:
    places.signed.publish(SYSTEM, lambda _: DEPLOYED)
    command = SignedTraffic(places.folder, KeyFolder(tmp_path / "keys"), SystemClock())
    command.publish(SYSTEM, lambda known: replace(known, route=FleetRoute(1, 1, FULL)))
    places.signed.publish(SYSTEM, lambda known: replace(known, anchor=(5, "head")))
    there, here = places.both
    assert there == here
    assert there is not None
    assert (there.route, there.anchor) == (FleetRoute(1, 1, FULL), (5, "head"))


def with_trip(known: RouteDocument) -> RouteDocument:
    return replace(known, facts=known.facts.with_trip(trip_of(NEW)))


def test_a_file_that_cannot_be_read_holds_no_trip_back_from_the_exchange(places: Places) -> None:
    places.joined.publish(SYSTEM, lambda _: DEPLOYED)
    places.path.write_text("{")
    assert places.joined.published(SYSTEM) == DEPLOYED
    with pytest.raises(InvalidError):
        places.joined.publish(SYSTEM, with_trip)
    assert places.exchange.route(SYSTEM) == with_trip(DEPLOYED)
    assert places.path.read_text() == "{", "it stays until it is asked to be written anew"
    places.joined.publish(SYSTEM, lambda known: known, anew=True)
    assert places.both == (with_trip(DEPLOYED), with_trip(DEPLOYED))


def test_a_row_that_cannot_be_read_holds_no_trip_back_from_this_host(places: Places) -> None:
    places.folder.publish(SYSTEM, lambda _: DEPLOYED)
    places.exchange.damaged = True
    assert places.joined.published(SYSTEM) == DEPLOYED
    with pytest.raises(InvalidError, match="the row is malformed"):
        places.joined.publish(SYSTEM, with_trip)
    assert places.folder.published(SYSTEM) == with_trip(DEPLOYED)
    places.joined.publish(SYSTEM, lambda known: known, anew=True)
    assert places.both == (with_trip(DEPLOYED), with_trip(DEPLOYED))


def test_where_neither_place_can_be_read_that_is_said(places: Places) -> None:
    places.exchange.damaged = True
    with pytest.raises(InvalidError, match="the row is malformed"):
        places.joined.published(SYSTEM)
