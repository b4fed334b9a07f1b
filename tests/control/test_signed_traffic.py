"""What goes out is signed, what comes back is believed only then, and leaving waits for no key."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from knowngood.adapters.clock import SystemClock
from knowngood.adapters.folder.traffic import FolderTraffic
from knowngood.adapters.signing import KeyFolder, make_key
from knowngood.control import keys
from knowngood.control.signed_traffic import FRESH, RENEWED_AFTER, SignedTraffic
from knowngood.testing.contracts.traffic import NEW, OLD, SYSTEM, Fleet, TrafficContract, trip_of
from knowngood.testing.memory import MemoryClock, MemoryTraffic
from knowngood.testing.replica import ReplicaUnderTest
from knowngood_sdk.agent.trust import ed25519
from knowngood_sdk.errors import KnownGoodError, NotFoundError
from knowngood_sdk.model.manifest import Component, Manifest, Ref, Role
from knowngood_sdk.model.route import FULL, Facts, FleetRoute, Generation
from knowngood_sdk.model.signed import root_of, statement_of
from knowngood_sdk.model.trust import Trust
from knowngood_sdk.model.wire import ReleaseDocument, ReplicaReport, RouteDocument

ON_NEW = RouteDocument(
    system=SYSTEM, route=FleetRoute(2, 0, FULL), generations={2: Generation(number=2, chain=(NEW, OLD))}
)
ON_OLD = RouteDocument(
    system=SYSTEM, route=FleetRoute(1, 0, FULL), generations={1: Generation(number=1, chain=(OLD, NEW))}
)
MOMENT = timedelta(milliseconds=1)
SOON = timedelta(seconds=2)


class Office:
    """A control plane with keys, over replicas in memory."""

    def __init__(self, folder: Path) -> None:
        self.clock = MemoryClock()
        self.signer = KeyFolder(folder / "keys")
        self.root_key = make_key(folder / "root.key")
        keys.begin(self.signer, [self.root_key], threshold=1, now=self.clock.now())
        self.inner = MemoryTraffic(self.clock)
        self.traffic = self.another()

    def another(self) -> SignedTraffic:
        """Another process of the same control plane."""
        return SignedTraffic(self.inner, self.signer, self.clock)

    @property
    def raw(self) -> RouteDocument:
        """What replicas read."""
        document = self.inner.published(SYSTEM)
        assert document is not None
        return document

    @property
    def version(self) -> int:
        assert self.raw.signed is not None
        return statement_of(self.raw.signed.payload).version

    def trusted(self, document: RouteDocument) -> bool:
        """Whether a replica that knows the first root takes a document."""
        verify = ed25519()
        trust = Trust(system=SYSTEM, root=root_of(self.signer.roots()[0], verify))
        trust, _, stopped = trust.follow(document.roots, verify)
        assert not stopped
        try:
            trust.route(document, verify)
        except KnownGoodError:
            return False
        return True

    def lose_keys(self) -> None:
        for path in self.signer._path.glob("*.key"):
            path.unlink()


def test_before_there_are_keys_all_goes_as_it_is(tmp_path: Path) -> None:
    clock = MemoryClock()
    inner, signer = MemoryTraffic(clock), KeyFolder(tmp_path / "keys")
    traffic = SignedTraffic(inner, signer, clock)
    traffic.publish(SYSTEM, lambda _: ON_OLD)
    assert inner.published(SYSTEM) == traffic.published(SYSTEM) == ON_OLD
    keys.begin(signer, [make_key(tmp_path / "root.key")], threshold=1, now=clock.now())
    assert traffic.published(SYSTEM) == RouteDocument(system=SYSTEM)
    traffic.publish(SYSTEM, lambda _: ON_NEW)
    document = inner.published(SYSTEM)
    assert document is not None
    assert document.signed is not None


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_what_is_published_is_signed_and_read_back_without_signatures(office: Office) -> None:
    office.traffic.publish(SYSTEM, lambda _: ON_NEW)
    assert office.trusted(office.raw)
    assert office.traffic.published(SYSTEM) == ON_NEW


def test_each_change_has_a_higher_number_than_the_one_before(office: Office) -> None:
    numbers = []
    for count in range(4):
        office.traffic.publish(SYSTEM, lambda _, count=count: replace(ON_NEW, anchor=(count, "x")))  # type: ignore[misc]
        numbers.append(office.version)
    assert numbers == sorted(set(numbers))


def test_the_number_goes_on_above_what_replicas_saw_when_the_store_was_lost(office: Office) -> None:
    office.traffic.publish(SYSTEM, lambda _: ON_NEW)
    before = office.version
    office.clock.pause(timedelta(seconds=1))
    office.inner = MemoryTraffic(office.clock)
    office.another().publish(SYSTEM, lambda _: ON_OLD)
    assert office.version > before


def test_a_clock_that_was_put_back_lowers_no_number(office: Office) -> None:
    office.traffic.publish(SYSTEM, lambda _: ON_OLD)
    before = office.version
    office.clock.pause(timedelta(days=-1))
    office.clock = MemoryClock()
    office.another().publish(SYSTEM, lambda _: ON_NEW)
    assert office.version > before


def test_publishing_the_same_again_signs_nothing(office: Office) -> None:
    office.traffic.publish(SYSTEM, lambda _: ON_NEW)
    before = office.raw
    office.another().publish(SYSTEM, lambda known: known)
    assert office.raw == before


def test_a_trip_is_added_beside_the_signature_that_was_there(office: Office) -> None:
    office.traffic.publish(SYSTEM, lambda _: ON_NEW)
    before = office.raw
    office.another().publish(SYSTEM, lambda known: replace(known, facts=known.facts.with_trip(trip_of(NEW))))
    assert office.raw.signed == before.signed
    assert office.raw.facts.quarantined == {NEW}
    assert office.trusted(office.raw)


@pytest.mark.parametrize(
    ("age", "again"),
    [
        pytest.param(RENEWED_AFTER, False, id="at the limit"),
        pytest.param(RENEWED_AFTER + MOMENT, True, id="a moment later"),
    ],
)
def test_a_route_is_renewed_after_a_day_though_it_says_nothing_new(
    office: Office,
    age: timedelta,
    again: bool,  # noqa: FBT001 - a row
) -> None:
    office.traffic.publish(SYSTEM, lambda _: ON_NEW)
    before = office.version
    office.clock.pause(age)
    office.another().publish(SYSTEM, lambda known: known)
    assert (office.version > before) is again
    assert FRESH > 2 * RENEWED_AFTER


def test_another_key_signs_what_is_published_next_and_the_roots_come_along(office: Office) -> None:
    office.traffic.publish(SYSTEM, lambda _: ON_NEW)
    before = office.raw
    keys.add_key(office.signer, [office.root_key], now=office.clock.now() + timedelta(seconds=1))
    office.another().publish(SYSTEM, lambda known: known)
    assert office.raw.signed != before.signed
    assert len(office.raw.roots) == 2
    assert office.trusted(office.raw)


# ------------------------------------------------------------------------------------------------ forged


def forge(office: Office, document: RouteDocument) -> None:
    office.inner.publish(SYSTEM, lambda _: document)


def test_what_nobody_vouches_for_is_believed_for_its_trips_alone(office: Office) -> None:
    office.traffic.publish(SYSTEM, lambda _: ON_OLD)
    trips = Facts({"t-1": trip_of(OLD)})
    forge(office, replace(ON_NEW, facts=replace_released(trips), signed=office.raw.signed))
    assert office.traffic.published(SYSTEM) == RouteDocument(system=SYSTEM, facts=trips)


def replace_released(facts: Facts) -> Facts:
    return Facts(facts.trips, frozenset({"t-1"}))


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "under the signature of another one"])
def test_nothing_forged_is_signed_with_the_next_change(office: Office, signed: bool) -> None:  # noqa: FBT001 - a row
    office.traffic.publish(SYSTEM, lambda _: ON_OLD)
    forge(office, replace(ON_NEW, signed=office.raw.signed if signed else None))
    office.another().publish(SYSTEM, lambda known: replace(known, anchor=(9, "x")))
    assert not office.trusted(office.raw)
    office.another().publish(SYSTEM, lambda known: replace(ON_OLD, facts=known.facts))
    assert office.trusted(office.raw)
    assert office.raw.route == ON_OLD.route
    assert NEW not in office.raw.generations.get(2, Generation(number=2, chain=(OLD,))).chain


def test_a_trip_is_published_beside_a_forged_route(office: Office) -> None:
    forge(office, ON_NEW)
    office.traffic.publish(SYSTEM, lambda known: replace(known, facts=known.facts.with_trip(trip_of(NEW))))
    assert office.raw.facts.quarantined == {NEW}
    assert office.raw.signed is None


def test_an_older_document_that_was_put_back_is_not_signed_anew(office: Office) -> None:
    office.traffic.publish(SYSTEM, lambda _: ON_OLD)
    old = office.raw
    office.clock.pause(timedelta(seconds=1))
    office.traffic.publish(SYSTEM, lambda _: ON_NEW)
    newest = office.version
    forge(office, old)
    office.traffic.publish(SYSTEM, lambda known: replace(known, anchor=(9, "x")))
    assert office.raw.signed == old.signed
    office.traffic.publish(SYSTEM, lambda _: ON_NEW)
    assert office.version > newest
    assert office.trusted(office.raw)


def test_before_signing_began_the_published_route_is_replaced_from_the_store(tmp_path: Path) -> None:
    office = Office(tmp_path)
    forge(office, ON_OLD)
    assert office.traffic.published(SYSTEM) == RouteDocument(system=SYSTEM)
    office.traffic.publish(SYSTEM, lambda known: replace(known, anchor=(1, "x")))
    assert office.raw == ON_OLD
    office.traffic.publish(SYSTEM, lambda known: replace(ON_OLD, facts=known.facts, anchor=(1, "x")))
    assert office.trusted(office.raw)


# ------------------------------------------------------------------------------------------------ without a key


def test_without_a_key_trips_are_published_and_the_rest_says_why_not(office: Office) -> None:
    office.traffic.publish(SYSTEM, lambda _: ON_OLD)
    office.lose_keys()
    tripped = replace(ON_NEW, facts=Facts({"t-1": trip_of(OLD)}))
    with pytest.raises(NotFoundError, match=r"no key .* to sign with"):
        office.another().publish(SYSTEM, lambda _: tripped)
    assert office.raw.route == ON_OLD.route
    assert office.raw.facts.quarantined == {OLD}
    assert office.trusted(office.raw)


def test_without_a_key_a_trip_alone_is_published_as_ever(office: Office) -> None:
    office.traffic.publish(SYSTEM, lambda _: ON_OLD)
    office.lose_keys()
    office.another().publish(SYSTEM, lambda known: replace(known, facts=known.facts.with_trip(trip_of(OLD))))
    assert office.trusted(office.raw)
    assert office.raw.facts.quarantined == {OLD}


def test_without_a_key_a_push_takes_the_trips_beside_what_was_signed(office: Office) -> None:
    pushed: list[RouteDocument] = []

    class Seen(MemoryTraffic):
        def push(self, document: RouteDocument, *_: Any, **__: Any) -> Any:
            pushed.append(document)
            return {}

    office.inner = Seen(office.clock)
    traffic = office.another()
    traffic.publish(SYSTEM, lambda _: ON_OLD)
    office.lose_keys()
    office.another().push(replace(ON_NEW, facts=Facts({"t-1": trip_of(OLD)})), SOON)
    assert pushed[-1].route == ON_OLD.route
    assert pushed[-1].facts.quarantined == {OLD}
    assert office.trusted(pushed[-1])


def test_a_root_that_cannot_be_read_holds_no_trip_back(office: Office) -> None:
    office.traffic.publish(SYSTEM, lambda _: ON_OLD)
    office.signer.roots_file.write_text("{")
    traffic = office.another()
    known = traffic.published(SYSTEM)
    assert known == RouteDocument(system=SYSTEM)
    with pytest.raises(KnownGoodError):
        traffic.publish(SYSTEM, lambda _: replace(ON_NEW, facts=Facts({"t-1": trip_of(OLD)})))
    assert office.raw.facts.quarantined == {OLD}


def test_a_release_is_signed_but_for_the_paths_of_this_host(office: Office) -> None:
    released: list[ReleaseDocument] = []

    class Seen(MemoryTraffic):
        def publish_release(self, release: ReleaseDocument) -> None:
            released.append(release)

    office.inner = Seen(office.clock)
    component = Component(role=Role.MODEL, kind="files", ref=Ref(digest=OLD))
    release = ReleaseDocument(manifest=Manifest(system=SYSTEM, components={"model": component}), paths={"model": "/m"})
    office.another().publish_release(release)
    (signed,) = released
    verify = ed25519()
    trust = Trust(system=SYSTEM, root=root_of(office.signer.roots()[0], verify))
    trust.release(replace(signed, paths={"model": "/elsewhere"}), verify)
    with pytest.raises(KnownGoodError):
        trust.release(replace(signed, golden="/forged"), verify)
    with pytest.raises(KnownGoodError):
        Trust(system="fraud", root=trust.root).release(signed, verify)


# ------------------------------------------------------------------------------------------------ real agents with keys


class SignedFleet:
    """Agents that were given the root, as processes, and a control plane that has the keys."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / ".knowngood"
        signer = KeyFolder(directory / "keys")
        root_key = make_key(directory / "root.key")
        clock = SystemClock()
        keys.begin(signer, [root_key], threshold=1, now=clock.now())
        self.root = signer.roots_file
        self.traffic = SignedTraffic(FolderTraffic(self.directory), signer, clock)
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


class TestSignedTraffic(TrafficContract):
    """It is a ``Traffic`` like any other, to agents that take signed routes alone."""

    @pytest.fixture
    def fleet(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
        fleet = SignedFleet(tmp_path)
        monkeypatch.setenv("KNOWNGOOD_TRUST", str(fleet.root))
        yield fleet
        for replica in fleet.replicas.values():
            replica.close()


def test_an_agent_with_a_root_refuses_what_the_keys_did_not_sign_and_takes_its_trips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = SignedFleet(tmp_path)
    monkeypatch.setenv("KNOWNGOOD_TRUST", str(fleet.root))
    fleet.start("a", [OLD, NEW])
    fleet.traffic.publish(SYSTEM, lambda _: ON_OLD)
    unsigned = FolderTraffic(fleet.directory)
    seen = unsigned.wait(SYSTEM, lambda seen: seen["a"].report.state.fleet == ON_OLD.route, timedelta(seconds=20))
    assert seen["a"].report.state.fleet == ON_OLD.route
    answers = unsigned.push(replace(ON_NEW, facts=Facts({"t-1": trip_of(OLD)})), timedelta(seconds=20))
    report = answers["a"]
    assert isinstance(report, ReplicaReport)
    assert (report.state.fleet, report.state.latched) == (ON_OLD.route, 1)
    assert report.refusal is not None
    assert report.refusal.reason == (
        "generation 2 refused: the route is not signed, and this replica takes signed ones alone"
    )
    fleet.replicas["a"].close()
