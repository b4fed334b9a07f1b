"""The replica folder gives back what was known, whatever is missing, torn or newer."""

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from knowngood_sdk.errors import InvalidError, NotFoundError, TransientError
from knowngood_sdk.model.route import Facts, FleetRoute, Generation, LocalTrip, ReplicaState, Stand, Trip
from knowngood_sdk.model.wire import RouteDocument, WorkerReport
from knowngood_sdk.serving.folder import ReplicaFolder, hold, is_held
from knowngood_sdk.serving.journal import LocalRecord

V1, V2 = ("sha256:" + digit * 64 for digit in "12")
GENERATIONS = {3: Generation(number=3, chain=(V2, V1))}
LIVE = ReplicaState(fleet=FleetRoute(3, 0, 10_000), generations=GENERATIONS)


@pytest.fixture
def folder(tmp_path: Path) -> ReplicaFolder:
    folder = ReplicaFolder.of(tmp_path, "pricing", "r1")
    folder.make()
    return folder


def trip(version: str) -> Trip:
    return Trip(uid="t1", version=version, generation=3, source="person", at="2026-01-01T00:00:00Z", why="prices")


def local_record(version: str) -> LocalRecord:
    return LocalRecord(trip=LocalTrip("r1", 3, version), at="2026-01-01T00:00:00Z", why="errors")


def test_an_empty_folder_recovers_to_nothing_known_without_a_warning(folder: ReplicaFolder) -> None:
    recovery = folder.recover()
    assert recovery.state == ReplicaState()
    assert recovery.warnings == ()


def test_a_state_comes_back_as_it_was_written(folder: ReplicaFolder) -> None:
    folder.write_state(LIVE)
    assert folder.recover().state == LIVE


def test_everything_in_the_folder_is_the_owners_alone(folder: ReplicaFolder) -> None:
    folder.write_state(LIVE)
    folder.word().join(3, 0, 10_000)
    folder.journal().append(trip(V2))
    folder.write_worker(WorkerReport(worker="w1", pid=1))
    for path in (folder.path, *folder.path.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("{", id="torn"),
        pytest.param("[]", id="another type"),
        pytest.param('{"format": "x"}', id="no number"),
        pytest.param('{"format": 1, "check": "sha256:0", "state": {}}', id="edited"),
    ],
)
def test_a_torn_state_file_is_reported_and_word_and_route_document_still_tell_where_the_replica_stood(
    folder: ReplicaFolder, text: str
) -> None:
    document = RouteDocument(system="pricing", route=FleetRoute(3, 0, 10_000), generations=GENERATIONS)
    folder.route_file.write_text(json.dumps(document.to_json()))
    folder.state_file.write_text(text)
    folder.word().join(3, 1, 10_000)
    recovery = folder.recover()
    assert recovery.torn
    assert str(folder.state_file) in " ".join(recovery.warnings)
    assert (recovery.state.fleet.generation, recovery.state.latched, recovery.state.chain) == (3, 1, (V2, V1))


def test_a_torn_state_file_is_kept_for_a_person(folder: ReplicaFolder) -> None:
    folder.state_file.write_text("torn")
    assert folder.set_aside_state().read_text() == "torn"
    assert not folder.recover().torn


def test_an_edited_state_does_not_agree_with_its_check(folder: ReplicaFolder) -> None:
    folder.write_state(LIVE)
    folder.state_file.write_text(folder.state_file.read_text().replace('"latched":0', '"latched":1'))
    with pytest.raises(InvalidError, match="check"):
        folder.state()


def test_a_state_of_a_newer_version_is_refused_and_never_taken_for_torn(folder: ReplicaFolder) -> None:
    folder.state_file.write_text('{"format": 2}')
    with pytest.raises(InvalidError, match="Upgrade"):
        folder.recover()


def test_a_working_folder_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "format").write_text("2\n")
    with pytest.raises(InvalidError, match="Upgrade"):
        ReplicaFolder.of(tmp_path, "pricing", "r1")


@pytest.mark.requirement("G1")
def test_the_word_and_the_journal_repair_a_state_that_was_not_written_before_a_crash(folder: ReplicaFolder) -> None:
    folder.write_state(LIVE)
    folder.word().join(3, 1, 10_000)
    assert folder.recover().state.latched == 1
    folder.word_file.unlink()
    folder.journal().append(trip(V2))
    recovered = folder.recover().state
    assert (recovered.latched, recovered.facts.quarantined) == (1, frozenset({V2}))


def test_a_local_trip_in_the_journal_holds_until_a_generation_that_has_seen_it(folder: ReplicaFolder) -> None:
    record = local_record(V2)
    folder.journal().append(record)
    folder.write_state(LIVE)
    assert folder.recover().state.local == {record.trip}
    seen = Generation(number=4, chain=(V2, V1), saw_local=frozenset({record.trip}))
    folder.write_state(ReplicaState(fleet=FleetRoute(4, 0, 0), generations={4: seen}))
    assert folder.recover().state.local == frozenset()


@pytest.mark.parametrize(
    ("stand", "latched"),
    [
        pytest.param(Stand(V2, FleetRoute(3, 1, 10_000), 1), 1, id="in the generation of the file"),
        pytest.param(Stand(V2, FleetRoute(2, 1, 10_000), 1), 0, id="in one that is over"),
        pytest.param(Stand(V1, FleetRoute(3, 1, 10_000), 1), 0, id="in one that another store minted"),
    ],
)
def test_where_the_replica_stood_by_the_journal_holds_in_that_generation_alone(
    folder: ReplicaFolder, stand: Stand, latched: int
) -> None:
    folder.write_state(LIVE)
    folder.journal().append(stand, Stand(V2, FleetRoute(3, 0, 10_000), 0))
    assert folder.recover().state.latched == latched


def test_a_word_of_another_generation_than_the_file_is_passed_over(folder: ReplicaFolder) -> None:
    folder.write_state(LIVE)
    folder.word().join(2, 1, 0)
    assert folder.recover().state == LIVE


def test_a_full_or_read_only_disk_is_an_error_that_names_the_file_and_changes_nothing(folder: ReplicaFolder) -> None:
    folder.write_state(LIVE)
    folder.path.joinpath("blocked").write_text("")
    blocked = ReplicaFolder(folder.path / "blocked")
    with pytest.raises(TransientError, match=r"state\.json cannot be written"):
        blocked.write_state(LIVE)
    assert [path.name for path in folder.path.iterdir() if path.name.startswith(".")] == []


def test_a_release_that_never_came_is_named(folder: ReplicaFolder) -> None:
    with pytest.raises(NotFoundError, match=V1):
        folder.release(V1)


def test_the_route_of_another_system_is_refused(folder: ReplicaFolder) -> None:
    folder.route_file.write_text(json.dumps(RouteDocument(system="fraud").to_json()))
    with pytest.raises(InvalidError, match="fraud"):
        folder.route()


def test_a_worker_counts_as_live_for_as_long_as_its_process_holds_its_lock(folder: ReplicaFolder) -> None:
    lock = folder.worker_lock("w1")
    folder.write_worker(WorkerReport(worker="w1", pid=1, ready=frozenset({V1})))
    program = (
        "import sys, pathlib; from knowngood_sdk.serving.folder import hold; "
        "print(hold(pathlib.Path(sys.argv[1])), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert folder.live_workers()["w1"].ready == {V1}
        assert hold(lock) is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert folder.live_workers() == {}


def test_a_live_worker_without_a_report_has_nothing_ready(folder: ReplicaFolder) -> None:
    descriptor = hold(folder.worker_lock("w1"))
    assert descriptor is not None
    try:
        assert folder.live_workers()["w1"].ready == frozenset()
        folder.workers.joinpath("w1.json").write_text("torn")
        assert folder.live_workers()["w1"].failed
        assert is_held(folder.worker_lock("w1"))
    finally:
        os.close(descriptor)


def test_facts_of_the_route_document_are_kept_when_the_state_is_rebuilt(folder: ReplicaFolder) -> None:
    facts = Facts().with_trip(trip(V2))
    document = RouteDocument(system="pricing", route=FleetRoute(3, 0, 0), generations=GENERATIONS, facts=facts)
    folder.route_file.write_text(json.dumps(document.to_json()))
    folder.word().join(3, 0, 10_000)
    assert folder.recover().state.latched == 1


@pytest.mark.requirement("G3")
def test_what_a_replica_left_by_itself_outlives_its_file_and_its_word(folder: ReplicaFolder) -> None:
    folder.journal().append(local_record(V2))
    folder.state_file.write_bytes(b"garbage")
    found = folder.recover().state
    joined, refusal = found.receive(LIVE.fleet, GENERATIONS, Facts(), frozenset({V1, V2}))
    assert refusal is None
    assert joined.positions == (1,)
