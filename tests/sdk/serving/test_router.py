"""The router follows word and file, never back up within a generation, and fails no request over its own affairs."""

import threading
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood_sdk.errors import NotReadyError
from knowngood_sdk.model.route import FULL, Facts, FleetRoute, Generation, LocalTrip, ReplicaState, Trip
from knowngood_sdk.model.word import pack
from knowngood_sdk.serving.folder import ReplicaFolder
from knowngood_sdk.serving.router import Router, join_states
from knowngood_sdk.serving.slot import Slot, static_slot
from knowngood_sdk.serving.table import Pick, Table
from knowngood_sdk.serving.trouble import Troubles
from tests.sdk.serving.steward import Steward

V1, V2, V3 = ("sha256:" + digit * 64 for digit in "123")
FALLBACK = static_slot("static")


def slots(*versions: str) -> dict[str, Slot]:
    return {version: Slot(version=version, value=version, headers=()) for version in versions}


def trip(version: str) -> Trip:
    return Trip(uid=version[7], version=version, generation=1, source="person", at="", why="")


class Staged:
    """A router on a real folder, with the given slots ready."""

    def __init__(self, directory: Path) -> None:
        self.steward = Steward(directory)
        self.troubles = Troubles()
        self.picks: list[Pick] = []
        self.router = Router(self.steward.folder, self.troubles, self.picks.append)
        self.router.install(slots(V1, V2, V3), FALLBACK)
        self.router.attach()

    def open(self) -> Router:
        self.router.look()
        self.router.open()
        return self.router


@pytest.fixture
def staged(tmp_path: Path) -> Staged:
    return Staged(tmp_path)


def test_before_the_first_deployment_the_static_fallback_serves(staged: Staged) -> None:
    assert staged.open().pick("rider").value == "static"


def test_a_worker_that_has_not_loaded_what_it_must_serve_serves_nothing(staged: Staged) -> None:
    staged.steward.accept(V2, V1)
    with pytest.raises(NotReadyError):
        staged.router.pick("rider")
    assert staged.open().pick("rider").version == V2


def test_without_a_static_fallback_nothing_ready_is_an_honest_error(staged: Staged) -> None:
    router = staged.open()
    router.install({}, None)
    with pytest.raises(NotReadyError, match="fallback"):
        router.pick("rider")
    router.install({}, FALLBACK)
    assert router.pick("rider").value == "static"


@pytest.mark.requirement("G1", "G3", "B1")
def test_a_flip_is_in_force_at_the_next_pick(staged: Staged) -> None:
    staged.steward.accept(V2, V1)
    router = staged.open()
    assert router.pick().version == V2
    staged.steward.word.join(1, 1, FULL)
    assert router.pick().version == V1


@pytest.mark.requirement("G1", "G3")
def test_a_flip_is_in_force_at_the_next_pick_though_a_thread_that_waits_for_its_turn_has_the_lock(
    staged: Staged,
) -> None:
    staged.steward.accept(V2, V1)
    router = staged.open()
    with router._lock:
        staged.steward.word.join(1, 1, FULL)
        assert router.pick().version == V1
        assert router.table.only is not None
        assert router.table.only.version == V2, "what is in force for everybody is for the lock's holder to say"
    assert router.pick().version == V1
    assert router.table.only.version == V1


def test_a_new_generation_is_waited_for_while_another_thread_reads_it(staged: Staged) -> None:
    router = staged.open()
    served: list[str] = []
    with router._lock:
        staged.steward.accept(V2, V1)
        picker = threading.Thread(target=lambda: served.append(router.pick().version))
        picker.start()
    picker.join(20)
    assert served == [V2]


def test_each_table_puts_a_pick_in_force_and_an_old_one_still_finds_what_serves_now(staged: Staged) -> None:
    staged.steward.accept(V2, V1)
    router = staged.open()
    old = router.pick
    assert staged.picks[-1] is old
    staged.steward.word.join(1, 1, FULL)
    assert old().version == V1
    assert staged.picks[-1] is router.pick is not old


def test_a_generation_that_this_process_has_not_seen_is_read_from_the_file(staged: Staged) -> None:
    router = staged.open()
    staged.steward.accept(V2, V1)
    assert router.pick().version == V2
    staged.steward.accept(V3, V2)
    assert router.pick().version == V3


def test_the_journal_is_read_on_from_where_it_was_read_to(staged: Staged) -> None:
    staged.steward.accept(V3, V2, V1)
    journal, file = staged.steward.folder.journal(), staged.steward.folder.journal_file
    journal.append(trip(V3))
    router = staged.open()
    file.write_bytes(b"#" + file.read_bytes()[1:])
    journal.append(trip(V2))
    assert router.look().warnings == ()
    assert router.state.facts.quarantined == {V3, V2}
    assert router.pick().version == V1


def test_a_word_that_no_file_explains_changes_nothing_and_is_reported(staged: Staged) -> None:
    staged.steward.accept(V2, V1)
    router = staged.open()
    staged.steward.word.join(9, 0, FULL)
    assert router.pick().version == V2
    assert "generation 9" in " ".join(staged.troubles.texts)
    assert staged.steward.word.read() == (9, 0, FULL)


@pytest.mark.parametrize("garbage", [0, 1, 2**64 - 1, pack(1, 0, FULL) ^ 1])
def test_a_word_that_was_overwritten_is_repaired_from_what_is_known(staged: Staged, garbage: int) -> None:
    staged.steward.accept(V2, V1)
    router = staged.open()
    staged.steward.word.join(1, 1, FULL)
    assert router.pick().version == V1
    staged.steward.word.cell[0] = garbage
    assert router.pick().version == V1
    assert staged.steward.word.read() == (1, 1, FULL)


def test_a_word_that_fell_within_a_generation_is_raised_again_and_not_followed(staged: Staged) -> None:
    staged.steward.accept(V3, V2, V1)
    router = staged.open()
    staged.steward.word.join(1, 2, FULL)
    assert router.pick().version == V1
    staged.steward.word.cell[0] = pack(1, 1, FULL)
    assert router.pick().version == V1
    assert staged.steward.word.read() == (1, 2, FULL)


def test_a_word_file_that_was_replaced_is_found_again(staged: Staged) -> None:
    staged.steward.accept(V2, V1)
    router = staged.open()
    staged.steward.folder.word_file.unlink()
    router.attach()
    word = staged.steward.folder.word()
    assert word.read() == (1, 0, FULL)
    word.join(1, 1, FULL)
    assert router.pick().version == V1


def test_where_the_slot_is_not_ready_a_deeper_one_serves_until_it_is_loaded(staged: Staged) -> None:
    staged.steward.accept(V3, V2, V1, step=1)
    router = staged.open()
    router.install(slots(V1, V3), FALLBACK)
    assert router.pick().version == V1
    router.install(slots(V1, V2, V3), FALLBACK)
    assert router.pick().version == V2
    assert staged.steward.word.read() == (1, 1, FULL)


def test_a_bad_version_serves_nobody_even_if_it_is_the_only_one_that_is_ready(staged: Staged) -> None:
    staged.steward.accept(V3, V2, V1)
    staged.steward.trip(V3)
    staged.steward.trip(V1)
    router = staged.open()
    router.install(slots(V1, V3), FALLBACK)
    assert router.pick().value == "static"


def test_a_trip_of_the_live_version_leaves_both_arms_of_a_split(staged: Staged) -> None:
    staged.steward.accept(V3, V2, V1, split=5000)
    router = staged.open()
    assert {router.pick(f"rider-{n}").version for n in range(100)} == {V3, V2}
    staged.steward.trip(V2)
    assert {router.pick(f"rider-{n}").version for n in range(100)} == {V1}


def test_a_local_trip_is_in_force_in_this_process_and_in_the_word(staged: Staged) -> None:
    staged.steward.accept(V2, V1)
    router = staged.open()
    assert router.leave_here(V2, frozenset({V1, V2})) == LocalTrip("r1", 1, V2)
    assert router.pick().version == V1
    assert staged.steward.word.read() == (1, 1, FULL)


def test_a_local_trip_without_a_target_moves_nothing(staged: Staged) -> None:
    staged.steward.accept(V2, V1)
    router = staged.open()
    assert router.leave_here(V2, frozenset({V2})) is None
    assert router.leave_here(V3, frozenset({V1, V2, V3})) is None
    assert router.pick().version == V2


class TestSplit:
    @staticmethod
    def table(split: int, chain: tuple[str, ...] = (V2, V1)) -> Table:
        state = ReplicaState(fleet=FleetRoute(1, 0, split), generations={1: Generation(number=1, chain=chain)})
        return Table.of(state, slots(V1, V2, V3), FALLBACK, word=0, system="pricing")

    @staticmethod
    def chosen(table: Table, subject: str | bytes | None) -> str:
        return table.choose(subject).version

    @pytest.mark.parametrize("split", [100, 1000, 5000, 9900])
    def test_the_candidates_share_is_near_what_was_asked(self, split: int) -> None:
        table = self.table(split)
        share = sum(self.chosen(table, f"rider-{n}") == V2 for n in range(20_000)) / 20_000
        assert share == pytest.approx(split / FULL, abs=0.012)

    def test_a_subject_that_is_on_the_candidate_stays_there_while_the_share_grows(self) -> None:
        subjects = [f"rider-{n}" for n in range(500)]
        before: set[str] = set()
        for split in (100, 1000, 5000, FULL):
            now = {subject for subject in subjects if self.chosen(self.table(split), subject) == V2}
            assert before <= now
            before = now
        assert before == set(subjects)

    def test_another_candidate_is_tried_on_others(self) -> None:
        subjects = [f"rider-{n}" for n in range(2000)]
        one = {s for s in subjects if self.chosen(self.table(1000), s) == V2}
        other = {s for s in subjects if self.chosen(self.table(1000, (V3, V1)), s) == V3}
        assert len(one & other) < len(one) / 2

    def test_text_and_its_bytes_are_one_subject(self) -> None:
        table = self.table(5000)
        assert all(
            self.chosen(table, f"fährgast-{n}") == self.chosen(table, f"fährgast-{n}".encode()) for n in range(99)
        )

    @pytest.mark.parametrize("subject", [42, 4.5, UUID(int=7), ("a", 1)], ids=str)
    def test_what_is_neither_text_nor_bytes_is_the_subject_of_its_text(self, subject: Any) -> None:
        for split in range(0, FULL, 500):
            assert self.chosen(self.table(split), subject) == self.chosen(self.table(split), str(subject))

    def test_any_text_and_no_subject_at_all_are_served(self) -> None:
        table = self.table(5000)
        assert self.chosen(table, "\ud800") in {V1, V2}
        assert {self.chosen(table, None) for _ in range(100)} == {V1, V2}

    def test_a_candidate_that_is_not_ready_leaves_all_to_the_others(self) -> None:
        state = ReplicaState(fleet=FleetRoute(1, 0, 5000), generations={1: Generation(number=1, chain=(V2, V1))})
        table = Table.of(state, slots(V1), FALLBACK, word=0, system="pricing")
        assert {self.chosen(table, f"rider-{n}") for n in range(50)} == {V1}


@pytest.mark.requirement("A1", "G3")
def test_threads_never_see_a_mixture_or_a_step_back_while_the_route_is_flipped(staged: Staged) -> None:
    staged.steward.accept(V3, V2, V1)
    router = staged.open()
    order = {V3: 0, V2: 1, V1: 2}
    faults: list[str] = []
    done = threading.Event()

    def read() -> None:
        deepest = 0
        while not done.is_set():
            table = router.current()
            slot = table.choose("rider")
            step = int(table.route.split(b".")[1])
            if order[slot.version] != step or step < deepest:
                faults.append(f"{table.route!r} serves {slot}")
            deepest = max(deepest, step)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for step in (0, 1, 0, 2, 1, 0):
        for _ in range(200):
            staged.steward.word.cell[0] = pack(1, step, FULL)
    done.set()
    for reader in readers:
        reader.join()
    assert faults == []


VERSIONS = st.sampled_from([V1, V2, V3])
CHAINS = st.lists(VERSIONS, min_size=1, max_size=3, unique=True).map(tuple)
LOCAL = st.builds(LocalTrip, st.just("r1"), st.integers(1, 3), VERSIONS)
GENERATIONS = {
    number: Generation(number=number, chain=(V3, V2, V1), saw_local=frozenset({LocalTrip("r1", number - 1, V3)}))
    for number in (1, 2, 3)
}
STATES = st.builds(
    ReplicaState,
    fleet=st.builds(FleetRoute, st.integers(1, 3), st.integers(0, 2), st.integers(0, FULL)),
    latched=st.integers(0, 3),
    facts=st.lists(VERSIONS).map(lambda versions: Facts({v[7]: trip(v) for v in versions})),
    local=st.frozensets(LOCAL, max_size=3),
    generations=st.just(GENERATIONS),
)


@given(STATES, STATES)
def test_two_accounts_of_a_replica_join_to_the_same_whichever_comes_first(
    one: ReplicaState, other: ReplicaState
) -> None:
    assert join_states(one, other) == join_states(other, one)


@given(STATES, STATES)
def test_joining_again_changes_nothing_and_nothing_known_is_lost(one: ReplicaState, other: ReplicaState) -> None:
    joined = join_states(one, other)
    assert join_states(joined, other) == joined
    assert joined.facts.quarantined >= one.facts.quarantined | other.facts.quarantined
    for account in (one, other):
        same = account.fleet.generation == joined.fleet.generation
        assert joined.fleet.generation > account.fleet.generation or (same and joined.latched >= account.latched)


def test_a_folder_that_cannot_be_read_leaves_requests_as_they_are(tmp_path: Path) -> None:
    troubles = Troubles()
    router = Router(ReplicaFolder(tmp_path / "nowhere" / "replicas" / "r1"), troubles, lambda _pick: None)
    router.install(slots(V1), FALLBACK)
    router.attach()
    router.open()
    assert router.pick().value == "static"
    assert troubles.texts
