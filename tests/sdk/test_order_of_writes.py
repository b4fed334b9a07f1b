"""What is acknowledged is durable, in the order of rule 10: no test that reads the files afterwards can see that."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from knowngood.testing.replica import StandInWorker
from knowngood_sdk.agent.keeper import Keeper
from knowngood_sdk.model.route import FULL, Facts, FleetRoute, Generation, LocalTrip, Trip
from knowngood_sdk.model.wire import RouteDocument
from knowngood_sdk.serving.disk import write_whole
from knowngood_sdk.serving.folder import ReplicaFolder
from knowngood_sdk.serving.journal import Journal, LocalRecord
from tests.sdk.disk_recorder import DiskRecorder
from tests.sdk.serving.steward import Steward, until

A, B, C = ("sha256:" + digit * 64 for digit in "abc")
ON_B = RouteDocument(
    system="pricing", route=FleetRoute(1, 0, 5_000), generations={1: Generation(number=1, chain=(B, A, C))}
)
ON_C = RouteDocument(
    system="pricing",
    route=FleetRoute(2, 0, FULL),
    generations={**ON_B.generations, 2: Generation(number=2, chain=(C, B, A))},
)
TRIP = Trip(uid="t-1", version=B, generation=1, source="person", at="2026-01-01T00:00:00Z", why="prices")
RECORD = LocalRecord(trip=LocalTrip("a", 1, B), at="2026-01-01T00:00:00Z", why="10 of 10 requests failed")

JOURNAL = ["append journal.jsonl", "sync journal.jsonl"]
FILE = ["sync new state.json", "rename state.json", "sync folder"]

pytestmark = pytest.mark.requirement("G1", "G3")


@pytest.fixture
def folder(tmp_path: Path) -> ReplicaFolder:
    folder = ReplicaFolder.of(tmp_path, "pricing", "a")
    folder.make()
    return folder


@pytest.fixture
def worker(folder: ReplicaFolder) -> Iterator[StandInWorker]:
    worker = StandInWorker(folder, "w1", [A, B, C])
    yield worker
    worker.die()


@pytest.fixture
def keeper(folder: ReplicaFolder, worker: StandInWorker) -> Iterator[Keeper]:  # noqa: ARG001 - it lives
    folder.journal().append(RECORD)
    with Keeper(folder) as keeper:
        yield keeper


@pytest.fixture
def disk(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> DiskRecorder:
    """What happens after the replica has taken its first generation."""
    first = replace(ON_B.generations[1], saw_local=frozenset({RECORD.trip}))
    keeper.take(replace(ON_B, generations={1: first}))
    return DiskRecorder(monkeypatch, "state.json", "journal.jsonl")


def test_a_new_generation_is_in_the_file_before_it_is_in_the_word(keeper: Keeper, disk: DiskRecorder) -> None:
    generations = {**keeper.report().state.generations, 2: ON_C.generations[2]}
    keeper.take(replace(ON_C, generations=generations))
    assert disk.take() == [*FILE, f"word 2.0.{FULL}"]


def test_what_is_to_be_left_is_left_in_the_word_that_holds_before_the_file_of_a_new_generation(
    keeper: Keeper, disk: DiskRecorder
) -> None:
    generations = {**keeper.report().state.generations, 2: ON_C.generations[2]}
    keeper.take(replace(ON_C, generations=generations, facts=Facts({TRIP.uid: TRIP})))
    disk.note("acknowledged")
    assert disk.take() == ["word 1.1.5000", *FILE, f"word 2.0.{FULL}", "acknowledged"]


def test_within_a_generation_the_word_comes_first_and_the_journal_makes_it_durable(
    keeper: Keeper, disk: DiskRecorder
) -> None:
    generations = keeper.report().state.generations
    keeper.take(replace(ON_B, generations=generations, facts=Facts({TRIP.uid: TRIP})))
    disk.note("acknowledged")
    assert disk.take() == ["word 1.1.5000", *JOURNAL, "acknowledged"]

    def filed() -> list[str]:
        keeper.look()
        return disk.log

    until(filed, "what the journal holds to be filed")
    assert disk.take() == FILE


def test_a_split_that_rises_is_in_the_word_first(keeper: Keeper, disk: DiskRecorder) -> None:
    keeper.take(replace(ON_B, generations=keeper.report().state.generations, route=FleetRoute(1, 0, FULL)))
    disk.note("acknowledged")
    assert disk.take() == [f"word 1.0.{FULL}", *JOURNAL, "acknowledged"]


def test_what_no_line_of_the_journal_can_say_is_in_the_word_and_then_in_the_file(
    keeper: Keeper, disk: DiskRecorder
) -> None:
    released = Facts({TRIP.uid: TRIP}, frozenset({"t-0"}))
    keeper.take(replace(ON_B, generations=keeper.report().state.generations, facts=released))
    disk.note("acknowledged")
    assert disk.take() == ["word 1.1.5000", *FILE, "acknowledged"]


def test_a_broken_glass_is_in_the_word_first(keeper: Keeper, disk: DiskRecorder) -> None:
    keeper.leave(TRIP)
    disk.note("acknowledged")
    assert disk.take() == ["word 1.1.5000", *JOURNAL, "acknowledged"]


def test_a_broken_glass_of_one_replica_is_in_the_word_first(keeper: Keeper, disk: DiskRecorder) -> None:
    keeper.leave_here(TRIP)
    disk.note("acknowledged")
    assert disk.take() == ["word 1.1.5000", *FILE, *JOURNAL, "acknowledged"]


@pytest.mark.usefixtures("worker")
def test_an_agent_that_starts_files_what_the_journal_says_and_then_raises_the_word(
    folder: ReplicaFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Keeper(folder) as keeper:
        keeper.take(ON_B)
    folder.journal().append(TRIP)
    disk = DiskRecorder(monkeypatch, "state.json", "journal.jsonl")
    with Keeper(folder) as keeper:
        assert keeper.report().state.latched == 1
    assert disk.log == ["sync folder", *FILE, "word 1.1.5000"], "the journal's name first, then what it says"


def test_a_line_of_the_journal_is_durable_and_so_is_its_name_whoever_made_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = DiskRecorder(monkeypatch, "journal.jsonl")
    maker, other = Journal(tmp_path / "journal.jsonl"), Journal(tmp_path / "journal.jsonl")
    for journal, named in ((maker, True), (other, True), (maker, False), (other, False)):
        journal.append(TRIP, RECORD)
        assert disk.take() == [*JOURNAL, *(["sync folder"] if named else [])]
    (tmp_path / "journal.jsonl").unlink()
    maker.append(TRIP)
    assert disk.take() == [*JOURNAL, "sync folder"]


def test_a_journal_that_was_settled_waits_for_one_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Journal(tmp_path / "journal.jsonl").append(TRIP)
    disk = DiskRecorder(monkeypatch, "journal.jsonl")
    journal = Journal(tmp_path / "journal.jsonl")
    journal.settle()
    assert disk.take() == ["sync folder"]
    journal.append(TRIP)
    assert disk.take() == JOURNAL


def test_only_what_must_last_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = DiskRecorder(monkeypatch, "f")
    write_whole(tmp_path / "f", b"1")
    assert disk.take() == ["sync new f", "rename f", "sync folder"]
    write_whole(tmp_path / "f", b"2", durable=False)
    assert disk.take() == ["rename f"]
    write_whole(tmp_path / "f", b"3", unless=lambda: True)
    assert disk.take() == ["sync new f"]


def test_a_worker_that_leaves_is_elsewhere_first_then_in_the_word_and_then_in_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steward = Steward(tmp_path)
    steward.settle({"triggers": {"errors": {"do": "rollback"}}})
    bad, good = steward.release(2.0), steward.release(1.0)
    steward.accept(bad, good)
    with steward.system() as kg:
        until(lambda: kg.ready and len(kg.loaded) == 2, "both slots")
        disk = DiskRecorder(monkeypatch, "state.json", "journal.jsonl")
        served = kg.pick
        for _ in range(10):
            kg.count(kg.pick("rider"), 0, error=RuntimeError("broken"))
        until(lambda: "sync folder" in disk.log, "the trip to be durable")
        assert kg.pick is not served
    assert disk.log == [f"word 1.1.{FULL}", *JOURNAL, "sync folder"]
