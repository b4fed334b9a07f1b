"""Traffic through replica folders keeps the promises of the port, over real agent processes."""

import fcntl
import json
import stat
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from knowngood.adapters.folder.traffic import FolderTraffic
from knowngood.ports.traffic import Unreachable
from knowngood.testing.contracts.traffic import NEW, OLD, SYSTEM, Fleet, TrafficContract, trip_of
from knowngood.testing.replica import ReplicaUnderTest
from knowngood_sdk.agent.anchor import Anchor
from knowngood_sdk.errors import InvalidError, NewerFormatError, TransientError
from knowngood_sdk.model.manifest import Component, Manifest, Ref, Role
from knowngood_sdk.model.route import FULL, FleetRoute, Generation, LocalTrip
from knowngood_sdk.model.wire import ReleaseDocument, ReplicaReport, RouteDocument
from knowngood_sdk.serving.folder import ReplicaFolder
from knowngood_sdk.serving.journal import LocalRecord

SOON = timedelta(seconds=20)
DEPLOYED = RouteDocument(
    system=SYSTEM, route=FleetRoute(1, 0, FULL), generations={1: Generation(number=1, chain=(NEW, OLD))}
)


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


def test_what_is_published_is_the_owners_alone(tmp_path: Path) -> None:
    directory = tmp_path / ".knowngood"
    FolderTraffic(directory).publish(SYSTEM, lambda _: DEPLOYED)
    made = [directory, *directory.rglob("*")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_dir()} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_file()} == {0o600}


def test_publishing_the_same_again_touches_no_file(tmp_path: Path) -> None:
    traffic = FolderTraffic(tmp_path)
    traffic.publish(SYSTEM, lambda _: DEPLOYED)
    before = (tmp_path / "systems" / SYSTEM / "route.json").stat()
    traffic.publish(SYSTEM, lambda _: DEPLOYED)
    after = (tmp_path / "systems" / SYSTEM / "route.json").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_release_is_where_workers_look_for_it(tmp_path: Path) -> None:
    component = Component(role=Role.MODEL, kind="files", ref=Ref(digest=OLD))
    release = ReleaseDocument(manifest=Manifest(system=SYSTEM, components={"model": component}), paths={"model": "/m"})
    FolderTraffic(tmp_path).publish_release(release)
    folder = ReplicaFolder.of(tmp_path, SYSTEM, "a")
    assert folder.release(release.manifest.content_digest) == release


def test_what_a_replica_heard_of_the_ledger_is_known_although_its_report_was_removed(tmp_path: Path) -> None:
    folder = ReplicaFolder.of(tmp_path, SYSTEM, "a")
    folder.make()
    Anchor(folder.anchor_file).hear((7, "sha256:" + "a" * 64))
    assert FolderTraffic(tmp_path).replicas(SYSTEM)["a"].report.anchor == (7, "sha256:" + "a" * 64)


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 2}', '{"format": 1}'])
def test_a_published_document_that_cannot_be_read_is_refused(tmp_path: Path, text: str) -> None:
    traffic = FolderTraffic(tmp_path)
    traffic.publish(SYSTEM, lambda _: DEPLOYED)
    (tmp_path / "systems" / SYSTEM / "route.json").write_text(text)
    with pytest.raises(InvalidError):
        traffic.published(SYSTEM)


def test_a_document_that_cannot_be_read_is_written_anew_only_by_one_who_knows_all_of_it(tmp_path: Path) -> None:
    traffic = FolderTraffic(tmp_path)
    route = tmp_path / "systems" / SYSTEM / "route.json"
    traffic.publish(SYSTEM, lambda _: DEPLOYED)
    route.write_text("{")
    with pytest.raises(InvalidError):
        traffic.publish(SYSTEM, lambda known: known)
    assert route.read_text() == "{"
    traffic.publish(SYSTEM, lambda _: DEPLOYED, anew=True)
    assert traffic.published(SYSTEM) == DEPLOYED


def test_a_document_of_a_newer_format_is_never_written_over(tmp_path: Path) -> None:
    traffic = FolderTraffic(tmp_path)
    route = tmp_path / "systems" / SYSTEM / "route.json"
    traffic.publish(SYSTEM, lambda _: DEPLOYED)
    newer = json.dumps({**DEPLOYED.to_json(), "format": 99})
    route.write_text(newer)
    with pytest.raises(NewerFormatError, match="format 99") as caught:
        traffic.publish(SYSTEM, lambda _: DEPLOYED, anew=True)
    assert caught.value.hint == "Upgrade knowngood here"
    assert route.read_text() == newer


def test_a_writer_that_hung_takes_nothing_back_from_those_who_went_past(tmp_path: Path) -> None:
    traffic = FolderTraffic(tmp_path)
    traffic.publish(SYSTEM, lambda _: DEPLOYED)
    trip = trip_of(OLD)
    looked = []

    def hang(known: RouteDocument) -> RouteDocument:
        looked.append(known)
        if len(looked) == 1:
            FolderTraffic(tmp_path).publish(SYSTEM, lambda now: replace(now, facts=now.facts.with_trip(trip)))
        return replace(known, prepare=(NEW,))

    traffic.publish(SYSTEM, hang)
    document = traffic.published(SYSTEM)
    assert document is not None
    assert (len(looked), document.prepare, document.facts.trips) == (2, (NEW,), {trip.uid: trip})


def test_a_writer_that_hangs_holds_up_nobody_for_long(tmp_path: Path) -> None:
    traffic = FolderTraffic(tmp_path)
    traffic.publish(SYSTEM, lambda _: DEPLOYED)
    trip = trip_of(OLD)
    with (tmp_path / "systems" / SYSTEM / "route.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        traffic.publish(SYSTEM, lambda known: replace(known, facts=known.facts.with_trip(trip)))
    document = traffic.published(SYSTEM)
    assert document is not None
    assert document.facts.trips == {trip.uid: trip}


def test_a_document_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    traffic = FolderTraffic(tmp_path)
    (tmp_path / "systems").write_text("in the way")
    with pytest.raises(TransientError, match="cannot be written"):
        traffic.publish(SYSTEM, lambda _: DEPLOYED)


def test_a_replica_whose_state_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    for name in ("a", "b"):
        ReplicaFolder.of(tmp_path, SYSTEM, name).make()
    newer = ReplicaFolder.of(tmp_path, SYSTEM, "a")
    newer.state_file.write_text(json.dumps({"format": 99, "state": {}, "check": ""}))
    newer.report_file.write_text("{")
    seen = FolderTraffic(tmp_path).replicas(SYSTEM)
    assert (seen["a"].trouble != "", seen["b"].trouble) == (True, "")


def test_a_folder_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "format").write_text("2\n")
    with pytest.raises(InvalidError, match=r"format '2'.*Upgrade"):
        FolderTraffic(tmp_path)


def test_a_report_that_cannot_be_read_is_told_and_hides_no_other(tmp_path: Path) -> None:
    for name in ("a", "b"):
        ReplicaFolder.of(tmp_path, SYSTEM, name).make()
    good = ReplicaFolder.of(tmp_path, SYSTEM, "b")
    with ReplicaUnderTest(good, ready=[OLD]):
        ReplicaFolder.of(tmp_path, SYSTEM, "a").report_file.write_text("{")
        seen = FolderTraffic(tmp_path).replicas(SYSTEM)
    assert "report.json is not JSON" in seen["a"].trouble
    assert (seen["a"].alive, seen["a"].seen_at, seen["a"].report.replica) == (False, None, "a")
    assert (seen["b"].alive, seen["b"].trouble) == (True, "")


def test_a_local_trip_of_workers_without_an_agent_is_seen(tmp_path: Path) -> None:
    traffic = FolderTraffic(tmp_path)
    with ReplicaUnderTest.of(tmp_path, SYSTEM, "a", ready=[OLD, NEW]) as replica:
        traffic.push(DEPLOYED, SOON)
        replica.kill()
        replica.folder.journal().append(
            LocalRecord(trip=LocalTrip("a", 1, NEW), at="2026-01-01T00:00:00Z", why="errors")
        )
        seen = traffic.replicas(SYSTEM)["a"]
    assert seen.report.state.local == {LocalTrip("a", 1, NEW)}
    assert seen.report.state.latched == 1


def test_breaking_the_glass_without_an_agent_tells_the_workers(tmp_path: Path) -> None:
    traffic = FolderTraffic(tmp_path)
    with ReplicaUnderTest.of(tmp_path, SYSTEM, "a", ready=[OLD, NEW]) as replica:
        traffic.push(DEPLOYED, SOON)
        replica.kill()
        traffic.leave(SYSTEM, trip_of(NEW), SOON)
        assert replica.folder.word().read() == (1, 1, FULL)


def test_a_replica_whose_disk_is_full_leaves_and_says_that_it_may_forget(tmp_path: Path) -> None:
    traffic = FolderTraffic(tmp_path)
    with ReplicaUnderTest.of(tmp_path, SYSTEM, "a", ready=[OLD, NEW]) as replica:
        traffic.push(DEPLOYED, SOON)
        replica.fill_disk()
        answer = traffic.leave(SYSTEM, trip_of(NEW), SOON)["a"]
        assert isinstance(answer, Unreachable)
        assert "not durable" in answer.reason
        assert replica.folder.word().read() == (1, 1, FULL)
        replica.free_disk()
        seen = traffic.wait(SYSTEM, lambda all_: all_["a"].report.state.latched == 1, SOON)
        assert seen["a"].report.state.facts.quarantined == {NEW}


def test_a_folder_of_any_length_is_reached(tmp_path: Path) -> None:
    directory = tmp_path / ("long" * 25) / ("path" * 25)
    with ReplicaUnderTest.of(directory, SYSTEM, "a", ready=[OLD, NEW]):
        answer = FolderTraffic(directory).push(DEPLOYED, SOON)["a"]
    assert isinstance(answer, ReplicaReport)


def test_status_needs_no_more_than_the_standard_library_and_the_sdk() -> None:
    code = """if True:
        import json, sys
        before = set(sys.modules)  # a distribution's Python may import something of its own
        import knowngood.adapters.folder.traffic
        print(json.dumps(sorted(name.partition(".")[0] for name in sys.modules.keys() - before)))
    """
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env={})
    foreign = {n for n in json.loads(run.stdout) if n not in sys.stdlib_module_names and not n.startswith("_")}
    assert foreign <= {"knowngood", "knowngood_sdk", "xxhash", "coverage"}


def test_looking_at_replicas_is_quick(tmp_path: Path) -> None:
    for number in range(10):
        ReplicaFolder.of(tmp_path, SYSTEM, f"r{number}").make()
    traffic = FolderTraffic(tmp_path)
    began = time.perf_counter()
    assert len(traffic.replicas(SYSTEM)) == 10
    assert time.perf_counter() - began < 0.1
