"""The keeper makes a replica's state true in the order of rule 10, and reports only what is durable."""

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from knowngood.testing.replica import StandInWorker, until
from knowngood_sdk.agent.keeper import Keeper
from knowngood_sdk.errors import ConflictError, InvalidError, NotReadyError, TransientError
from knowngood_sdk.model.route import FULL, Facts, FleetRoute, Generation, LocalTrip, ReplicaState, Trip
from knowngood_sdk.model.wire import RouteDocument
from knowngood_sdk.serving.folder import ReplicaFolder
from knowngood_sdk.serving.journal import LocalRecord

A, B, C = ("sha256:" + digit * 64 for digit in "abc")
FIRST = Generation(number=1, chain=(A, C))
SECOND = Generation(number=2, chain=(B, A, C))
ON_A = RouteDocument(system="pricing", route=FleetRoute(1, 0, FULL), generations={1: FIRST})
ON_B = RouteDocument(system="pricing", route=FleetRoute(2, 0, FULL), generations={1: FIRST, 2: SECOND})
AT = "2026-01-01T00:00:00Z"


def trip(version: str = B, uid: str = "t-1", why: str = "prices") -> Trip:
    return Trip(uid=uid, version=version, generation=2, source="person", at=AT, why=why)


def tripped(*trips: Trip, document: RouteDocument = ON_B) -> RouteDocument:
    return replace(document, facts=Facts({t.uid: t for t in trips}))


@pytest.fixture
def keeper(folder: ReplicaFolder, worker: StandInWorker) -> Iterator[Keeper]:  # noqa: ARG001 - it lives
    with Keeper(folder) as keeper:
        yield keeper


def position(folder: ReplicaFolder) -> tuple[int, int, int] | None:
    return folder.word().read()


def on_disk(folder: ReplicaFolder) -> ReplicaState:
    """Return what a restart of the host would find: the file and the journal, without the word."""
    tail = folder.journal().read()
    filed = folder.state() or ReplicaState()
    return filed.rejoin(word=None, trips=tail.facts, local=tail.local_trips, stands=tail.stands)


def look_until(keeper: Keeper, true: Callable[[], bool], what: str) -> None:
    def looked() -> bool:
        keeper.look()
        return true()

    until(looked, what)


class BlockedFile:
    """A file that cannot be replaced, for a folder that holds something stands in its place."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.aside = path.with_name(f"{path.name}.aside")
        if path.exists():
            path.rename(self.aside)
        (path / "something").mkdir(parents=True)

    def free(self) -> None:
        (self.path / "something").rmdir()
        self.path.rmdir()
        if self.aside.exists():
            self.aside.rename(self.path)


# ------------------------------------------------------------------------------------------------ order of writes


def test_what_is_left_is_durable_whatever_bytes_its_reason_had(keeper: Keeper, folder: ReplicaFolder) -> None:
    keeper.take(ON_B)
    keeper.leave(trip(why="zur\udcfcck"))
    keeper.leave_here(trip(A, why="half \ud800"))
    assert [record.why for record in folder.journal().read().local] == ["half \ufffd"]
    assert on_disk(folder).facts.trips["t-1"].why == "zur\ufffdck"
    assert on_disk(folder).bad == {A, B}


@pytest.mark.requirement("G3")
def test_a_document_moves_word_file_and_report(keeper: Keeper, folder: ReplicaFolder) -> None:
    keeper.take(ON_B)
    assert position(folder) == (2, 0, FULL)
    assert on_disk(folder) == keeper.report().state
    assert keeper.report().state.fleet == ON_B.route


def test_within_a_generation_workers_leave_before_the_disk_has_it(keeper: Keeper, folder: ReplicaFolder) -> None:
    keeper.take(ON_B)
    blocked, blocked_too = BlockedFile(folder.state_file), BlockedFile(folder.journal_file)
    with pytest.raises(TransientError, match="in force, and not durable"):
        keeper.take(tripped(trip()))
    assert position(folder) == (2, 1, FULL)
    assert keeper.report().state.latched == 0
    assert any("state.json" in warning for warning in keeper.report().warnings)
    blocked.free()
    blocked_too.free()
    look_until(keeper, lambda: keeper.report().state.latched == 1, "the state is durable after all")
    assert on_disk(folder).facts.quarantined == {B}
    assert keeper.report().warnings == ()


def test_a_trip_is_acknowledged_on_its_line_in_the_journal_and_filed_later(
    keeper: Keeper, folder: ReplicaFolder
) -> None:
    keeper.take(ON_B)
    keeper.take(tripped(trip()))
    assert folder.journal().read().trips == (trip(),)
    filed = folder.state()
    assert filed is not None
    assert filed.latched == 0
    look_until(keeper, lambda: folder.state() == keeper.report().state, "it is filed")


def test_a_step_of_the_route_is_acknowledged_on_its_line_in_the_journal_and_filed_later(
    keeper: Keeper, folder: ReplicaFolder
) -> None:
    keeper.take(ON_B)
    filed = folder.state()
    keeper.take(replace(ON_B, route=FleetRoute(2, 1, FULL)))
    assert keeper.report().state.fleet == FleetRoute(2, 1, FULL)
    assert folder.state() == filed
    assert on_disk(folder) == keeper.report().state
    look_until(keeper, lambda: folder.state() == keeper.report().state, "it is filed")


def test_a_step_that_its_trip_does_not_explain_is_acknowledged_on_a_line_of_its_own(
    keeper: Keeper, folder: ReplicaFolder, worker: StandInWorker
) -> None:
    keeper.take(ON_B)
    worker.say([B, C])
    keeper.look_around()
    keeper.take(tripped(trip()))
    assert keeper.report().state.latched == 2, "the version behind is not ready, a deeper one is"
    assert on_disk(folder) == keeper.report().state


def test_what_no_line_can_say_goes_into_the_file(keeper: Keeper, folder: ReplicaFolder) -> None:
    keeper.take(tripped(trip(C)))
    keeper.take(replace(tripped(trip(C)), facts=Facts({"t-1": trip(C)}, frozenset({"t-1"}))))
    assert folder.state() == keeper.report().state
    assert folder.journal().read().stands == ()


def test_a_new_generation_that_is_not_durable_is_shown_to_no_worker(keeper: Keeper, folder: ReplicaFolder) -> None:
    keeper.take(ON_A)
    blocked = BlockedFile(folder.state_file)
    with pytest.raises(TransientError):
        keeper.take(ON_B)
    assert position(folder) == (1, 0, FULL)
    assert keeper.report().state.fleet == ON_A.route
    blocked.free()
    look_until(keeper, lambda: position(folder) == (2, 0, FULL), "the generation is taken after all")
    assert on_disk(folder).fleet == ON_B.route


def test_facts_beside_a_generation_that_is_not_durable_are_in_force(keeper: Keeper, folder: ReplicaFolder) -> None:
    keeper.take(ON_A)
    BlockedFile(folder.state_file)
    newer = replace(ON_B, generations={1: FIRST, 2: replace(SECOND, saw_quarantine=frozenset({A}))})
    with pytest.raises(TransientError):
        keeper.take(tripped(trip(A), document=newer))
    assert position(folder) == (1, 1, FULL)


def test_what_the_disk_refused_is_not_acknowledged_the_second_time_either(
    keeper: Keeper, folder: ReplicaFolder
) -> None:
    keeper.take(ON_B)
    BlockedFile(folder.state_file)
    BlockedFile(folder.journal_file)
    for _ in range(2):
        with pytest.raises(TransientError):
            keeper.leave(trip())


# --------------------------------------------------------------------------------------------------- what is taken


@pytest.mark.usefixtures("worker")
def test_a_generation_is_refused_until_every_worker_has_its_live_versions(
    keeper: Keeper, folder: ReplicaFolder
) -> None:
    keeper.take(ON_A)
    second = StandInWorker(folder, "w2", [A])
    keeper.take(ON_B)
    refusal = keeper.report().refusal
    assert refusal is not None
    assert refusal.unready == {B}
    second.say([A, B])
    keeper.look_around()
    assert keeper.report().refusal is None
    assert position(folder) == (2, 0, FULL)
    second.die()


def test_readiness_is_looked_at_before_a_generation_is_refused(keeper: Keeper, worker: StandInWorker) -> None:
    worker.say([A])
    keeper.look_around()
    worker.say([A, B])
    keeper.take(ON_B)
    assert keeper.report().refusal is None


def test_with_no_live_worker_nothing_is_ready(keeper: Keeper, worker: StandInWorker) -> None:
    worker.die()
    keeper.look_around()
    keeper.take(ON_B)
    report = keeper.report()
    assert (report.ready, report.workers) == (frozenset(), 0)
    assert report.refusal is not None


def test_an_older_document_does_not_hide_a_refusal(keeper: Keeper, worker: StandInWorker) -> None:
    keeper.take(ON_A)
    worker.say([A])
    keeper.look_around()
    keeper.take(ON_B)
    keeper.take(ON_A)
    refusal = keeper.report().refusal
    assert refusal is not None
    assert refusal.generation == 2


def test_a_release_that_comes_with_an_older_document_lets_the_refused_one_in(keeper: Keeper) -> None:
    keeper.take(ON_A)
    keeper.leave(trip())
    keeper.take(ON_B)
    assert keeper.report().refusal is not None
    keeper.take(replace(ON_A, facts=Facts(released=frozenset({"t-1"}))))
    assert keeper.report().refusal is None
    assert keeper.report().state.fleet == ON_B.route


def test_another_systems_document_changes_nothing(keeper: Keeper) -> None:
    before = keeper.report().state
    with pytest.raises(InvalidError, match=r"'fraud'.*'pricing'"):
        keeper.take(tripped(trip(), document=replace(ON_B, system="fraud")))
    assert keeper.report().state == before


def test_a_generation_that_changed_is_refused_and_its_facts_are_taken(keeper: Keeper, folder: ReplicaFolder) -> None:
    keeper.take(ON_B)
    forged = replace(ON_B, generations={2: Generation(number=2, chain=(C, B))})
    with pytest.raises(InvalidError, match=r"generation 2 was minted as .* older copy of the store"):
        keeper.take(tripped(trip(), document=forged))
    assert keeper.report().state.chain == SECOND.chain
    assert position(folder) == (2, 1, FULL)


def test_a_route_without_its_chain_is_refused_and_its_facts_are_taken(keeper: Keeper, folder: ReplicaFolder) -> None:
    keeper.take(ON_B)
    with pytest.raises(InvalidError, match="without bringing its chain"):
        keeper.take(tripped(trip(), document=RouteDocument(system="pricing", route=FleetRoute(3, 0, 0))))
    assert position(folder) == (2, 1, FULL)


@pytest.mark.parametrize(
    "poison",
    [
        pytest.param(tripped(trip(uid="half \ud83d a pair")), id="a text that no file holds"),
        pytest.param(tripped(replace(trip(), generation=2**60)), id="a number that no file holds"),
        pytest.param(
            RouteDocument(
                system="pricing",
                route=FleetRoute(2**33, 0, 0),
                generations={2**33: Generation(number=2**33, chain=(A,))},
            ),
            id="a generation that the word does not hold",
        ),
    ],
)
def test_what_could_never_be_durable_changes_nothing(
    keeper: Keeper, folder: ReplicaFolder, poison: RouteDocument
) -> None:
    keeper.take(ON_B)
    before = keeper.report()
    with pytest.raises(InvalidError):
        keeper.take(poison)
    after = keeper.report()
    assert (after.state, after.refusal, position(folder)) == (before.state, before.refusal, (2, 0, FULL))
    keeper.take(tripped(trip(uid="sound")))
    keeper.look()
    assert on_disk(folder).latched == 1


# ----------------------------------------------------------------------------------------------- breaking the glass


def test_a_trip_for_the_fleet_is_taken_even_where_nothing_stands_behind(keeper: Keeper, folder: ReplicaFolder) -> None:
    keeper.take(ON_A)
    keeper.leave(trip(A, "t-1"))
    keeper.leave(trip(C, "t-2"))
    assert position(folder) == (1, 2, FULL)
    assert on_disk(folder).facts.quarantined == {A, C}


def test_leaving_here_is_kept_with_its_reason(keeper: Keeper, folder: ReplicaFolder) -> None:
    keeper.take(ON_B)
    keeper.leave_here(trip(why="this host is sick"))
    keeper.leave_here(trip(uid="t-2", why="again"))
    records = folder.journal().read().local
    assert [(record.trip, record.why) for record in records] == [(LocalTrip("a", 2, B), "this host is sick")]
    assert on_disk(folder).local == {LocalTrip("a", 2, B)}


@pytest.mark.parametrize("version", [A, C])
def test_a_version_that_is_not_served_here_cannot_be_left_here(keeper: Keeper, version: str) -> None:
    keeper.take(ON_B)
    with pytest.raises(NotReadyError, match="does not serve"):
        keeper.leave_here(trip(version))


@pytest.mark.parametrize("version", ["", "v7", "sha256:xyz"])
def test_what_is_no_version_cannot_be_left(keeper: Keeper, version: str) -> None:
    for leave in (keeper.leave, keeper.leave_here):
        with pytest.raises(InvalidError, match="is not a digest"):
            leave(trip(version))


# ------------------------------------------------------------------------------------------------ what workers write


def test_a_local_trip_in_the_journal_is_taken(keeper: Keeper, folder: ReplicaFolder) -> None:
    keeper.take(ON_B)
    folder.journal().append(LocalRecord(trip=LocalTrip("a", 2, B), at=AT, why="errors"))
    keeper.look()
    assert position(folder) == (2, 1, FULL)
    assert on_disk(folder).local == {LocalTrip("a", 2, B)}


def test_a_fleet_trip_in_the_journal_is_taken(keeper: Keeper, folder: ReplicaFolder) -> None:
    keeper.take(ON_B)
    folder.journal().append(trip())
    keeper.look()
    assert on_disk(folder).facts.quarantined == {B}
    assert on_disk(folder).latched == 1


def test_a_damaged_line_in_the_journal_is_told_and_hides_no_other(keeper: Keeper, folder: ReplicaFolder) -> None:
    keeper.take(ON_B)
    with folder.journal_file.open("ab") as file:
        file.write(b"not a line of ours\n")
    folder.journal().append(trip())
    keeper.look()
    assert on_disk(folder).latched == 1
    assert any("malformed" in warning for warning in keeper.report().warnings)


def test_a_word_that_a_worker_raised_is_taken(keeper: Keeper, folder: ReplicaFolder) -> None:
    keeper.take(ON_B)
    folder.word().join(2, 1, FULL)
    keeper.look()
    assert on_disk(folder).latched == 1


def test_a_word_that_was_lowered_is_raised_again(keeper: Keeper, folder: ReplicaFolder) -> None:
    keeper.take(tripped(trip(), document=ON_A))
    keeper.take(replace(ON_B, generations={2: replace(SECOND, saw_quarantine=frozenset({B}))}))
    word = folder.word()
    word.cell[0] = 0
    keeper.look()
    assert word.read() == position(folder) == (2, 1, FULL)


def test_a_word_file_that_is_gone_is_made_again(keeper: Keeper, folder: ReplicaFolder) -> None:
    keeper.take(ON_B)
    folder.word_file.unlink()
    keeper.look_around()
    assert position(folder) == (2, 0, FULL)


# ------------------------------------------------------------------------------------------- what is found at a start


@pytest.mark.usefixtures("worker")
def test_a_restart_knows_what_was_acknowledged(folder: ReplicaFolder) -> None:
    with Keeper(folder) as keeper:
        keeper.take(tripped(trip()))
        before = keeper.report().state
    with Keeper(folder) as keeper:
        assert keeper.report().state == before


@pytest.mark.usefixtures("worker")
def test_a_restart_knows_what_only_the_word_says(folder: ReplicaFolder) -> None:
    with Keeper(folder) as keeper:
        keeper.take(ON_B)
    folder.word().join(2, 2, FULL)
    with Keeper(folder) as keeper:
        assert keeper.report().state.latched == 2
        assert on_disk(folder).latched == 2


@pytest.mark.usefixtures("worker")
def test_a_torn_state_is_set_aside_and_joined_from_what_is_left(folder: ReplicaFolder) -> None:
    (folder.system_folder / "route.json").write_text(json.dumps(ON_B.to_json()))
    with Keeper(folder) as keeper:
        keeper.take(ON_B)
        keeper.leave_here(trip())
    folder.state_file.write_text('{"half')
    with Keeper(folder) as keeper:
        report = keeper.report()
    assert (report.state.fleet.generation, report.state.latched) == (2, 1)
    assert report.warnings
    assert [path.read_text() for path in folder.path.glob("state.json.torn-*")] == ['{"half']


@pytest.mark.usefixtures("worker")
def test_a_published_document_is_read_at_a_start(folder: ReplicaFolder) -> None:
    (folder.system_folder / "route.json").write_text(json.dumps(ON_B.to_json()))
    with Keeper(folder) as keeper:
        assert keeper.report().state.fleet == ON_B.route


def test_a_published_document_that_cannot_be_read_is_told_until_it_is_mended(
    keeper: Keeper, folder: ReplicaFolder
) -> None:
    keeper.take(ON_A)
    (folder.system_folder / "route.json").write_text("{")
    keeper.look()
    assert any("route.json is not JSON" in warning for warning in keeper.report().warnings)
    assert keeper.report().state.fleet == ON_A.route
    (folder.system_folder / "route.json").write_text(json.dumps(ON_B.to_json()))
    keeper.look()
    assert keeper.report().warnings == ()
    assert keeper.report().state.fleet == ON_B.route


@pytest.mark.usefixtures("keeper")
def test_two_cannot_keep_one_folder(folder: ReplicaFolder) -> None:
    with pytest.raises(ConflictError, match="another agent keeps"):
        Keeper(folder)


# --------------------------------------------------------------------------------------------------------- the ledger


def anchored(count: int, head: str) -> RouteDocument:
    return RouteDocument(system="pricing", anchor=(count, head))


@pytest.mark.parametrize(
    ("second", "kept", "warning"),
    [
        pytest.param((6, "f" * 12), (6, "f" * 12), None, id="longer"),
        pytest.param((5, "e" * 12), (5, "e" * 12), None, id="the same"),
        pytest.param((0, ""), (5, "e" * 12), None, id="a message that says nothing of it"),
        pytest.param((4, "d" * 12), (5, "e" * 12), "4 entries and had 5 before", id="shorter"),
        pytest.param((5, "x" * 12), (5, "e" * 12), "two ledgers have 5 entries", id="another of the same length"),
    ],
)
def test_the_anchor_never_goes_back_and_refuses_nothing(
    keeper: Keeper, second: tuple[int, str], kept: tuple[int, str], warning: str | None
) -> None:
    keeper.take(anchored(5, "e" * 12))
    keeper.take(anchored(*second))
    assert keeper.report().anchor == kept
    told = " ".join(keeper.report().warnings)
    assert warning in told if warning else told == ""


def test_the_anchor_outlives_the_agent(folder: ReplicaFolder) -> None:
    with Keeper(folder) as keeper:
        keeper.take(anchored(5, "e"))
    folder.report_file.unlink()
    with Keeper(folder) as keeper:
        assert keeper.report().anchor == (5, "e")


def test_an_anchor_that_is_not_durable_is_not_acknowledged(keeper: Keeper, folder: ReplicaFolder) -> None:
    BlockedFile(folder.anchor_file)
    with pytest.raises(TransientError):
        keeper.take(anchored(5, "e"))
    assert keeper.report().anchor == (0, "")


def test_an_anchor_that_was_lost_is_told(folder: ReplicaFolder) -> None:
    folder.anchor_file.write_text("[]")
    with Keeper(folder) as keeper:
        assert any("anchor of the ledger is lost" in warning for warning in keeper.report().warnings)


# --------------------------------------------------------------------------------------------------------- the report


def test_a_report_is_written_when_it_says_something_new(keeper: Keeper, folder: ReplicaFolder) -> None:
    keeper.write_report()
    first = folder.report_file.stat().st_mtime_ns
    keeper.write_report()
    assert folder.report_file.stat().st_mtime_ns == first
    keeper.take(ON_A)
    keeper.write_report()
    report = folder.report()
    assert report is not None
    assert report.state.fleet == ON_A.route


def test_what_is_answered_stands_in_the_file(keeper: Keeper, folder: ReplicaFolder) -> None:
    keeper.write_report()
    keeper.take(ON_A)
    answer = keeper.answer()
    assert answer.state.fleet == ON_A.route
    assert folder.report() == answer


def test_an_answer_that_says_nothing_new_writes_no_file(keeper: Keeper, folder: ReplicaFolder) -> None:
    keeper.answer()
    first = folder.report_file.stat().st_mtime_ns
    assert keeper.answer().state == ReplicaState()
    assert folder.report_file.stat().st_mtime_ns == first


def test_what_was_answered_stands_in_the_file_however_the_agent_ends(folder: ReplicaFolder) -> None:
    with contextlib.suppress(LookupError), Keeper(folder) as keeper:
        keeper.write_report()
        keeper.leave(trip(B))
        keeper.answer()
        raise LookupError("a fault of the agent")
    report = folder.report()
    assert report is not None
    assert report.state.facts.quarantined == {B}
    assert not report.stopped


def test_a_report_is_written_each_second(keeper: Keeper, folder: ReplicaFolder) -> None:
    keeper.write_report()
    first = folder.report_file.stat().st_mtime_ns

    def written_again() -> bool:
        keeper.write_report()
        return folder.report_file.stat().st_mtime_ns != first

    until(written_again, "a second report")
    assert folder.report_file.stat().st_mtime_ns - first > 0.9e9


def test_the_last_report_says_that_the_agent_stopped(folder: ReplicaFolder) -> None:
    with Keeper(folder) as keeper:
        keeper.write_report()
    report = folder.report()
    assert report is not None
    assert report.stopped


def test_a_report_that_cannot_be_written_stops_nothing(keeper: Keeper, folder: ReplicaFolder) -> None:
    BlockedFile(folder.report_file)
    keeper.write_report()
    assert any("report.json" in warning for warning in keeper.report().warnings)
    keeper.take(ON_A)
    assert on_disk(folder).fleet == ON_A.route


def test_a_worker_whose_report_cannot_be_read_has_nothing_ready(keeper: Keeper, folder: ReplicaFolder) -> None:
    (folder.workers / "w1.json").write_text("{")
    keeper.look_around()
    report = keeper.report()
    assert (report.ready, report.workers) == (frozenset(), 1)
    assert any("w1.json is not JSON" in warning for warning in report.warnings)
