"""While its database is away a store answers from memory, at once, and takes nothing on record."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from knowngood.adapters.known import Known, NotedChange
from knowngood.adapters.reach import Reach
from knowngood.adapters.remembered import RememberedStore
from knowngood.adapters.sql import SqlStore
from knowngood.domain.evidence import Grade
from knowngood.domain.ledger import Anchor
from knowngood.ports.lease import Held
from knowngood.ports.store import Change, Store
from knowngood.testing.contracts.store import (
    AT,
    SYSTEM,
    StoreContract,
    StoreHarness,
    digest,
    manifest,
    one_more,
    version_count,
    write_everything,
)
from knowngood.testing.memory import MemoryClock
from knowngood.testing.memory_leases import MemoryLeases
from knowngood.testing.memory_store import MemoryStore
from knowngood.testing.replica import until
from knowngood_sdk.errors import ConflictError, NotFoundError, OutcomeUnknownError, TransientError

pytestmark = pytest.mark.requirement("G2")


class Database(MemoryStore):
    """A store whose database can be taken away; whoever asks waits for a while, then is refused."""

    def __init__(self) -> None:
        super().__init__(timedelta(0), leases=MemoryLeases(MemoryClock()))
        self.away = False
        self.asked = 0
        self.at_commit: Exception | None = None

    def _of(self, system: str) -> Any:
        self._reach()
        return super()._of(system)

    def systems(self) -> tuple[str, ...]:
        self._reach()
        return super().systems()

    @contextmanager
    def change(self, system: str) -> Iterator[Any]:
        self._reach()
        with super().change(system) as change:
            try:
                yield change
            except OSError as error:
                # As a driver's error is told by the store that knows what it means.
                raise TransientError("a statement was not answered") from error
            if self.at_commit is not None:
                raise self.at_commit

    def _reach(self) -> None:
        self.asked += 1
        if self.away:
            raise TransientError("the store cannot be reached")


class RememberedHarness:
    def __init__(self) -> None:
        self.kept = MemoryStore()
        self.store = RememberedStore(self.kept)

    def open(self, patience: timedelta = timedelta(seconds=30)) -> AbstractContextManager[Store]:
        self.kept.patience = patience
        return nullcontext(self.store)


class TestRememberedStore(StoreContract):
    @pytest.fixture
    def harness(self) -> StoreHarness:
        return RememberedHarness()


class InStep(RememberedStore):
    """Holds what memory made of each change against what is on record."""

    compared = 0

    @contextmanager
    def change(self, system: str) -> Iterator[Change]:
        if system in self._store.systems():
            self.remember(system)
        with super().change(system) as change:
            yield change
            if isinstance(change, NotedChange) and change.wrote and not change.entries:
                # The contract writes this and that alone, where whoever puts something on record says so.
                change.append("written", "somebody", AT, {})
        known = self._memory.of(system)
        found = Known.read(self._store, system, self._store.head(system))
        # Other threads write too: what they did in between is not what is looked for.
        if known is not None and known.head == found.head == self._store.head(system):
            assert known == found
            self.compared += 1


def _all_at_once(store: Store) -> None:
    with store.change(SYSTEM) as change:
        write_everything(change)


CONTRACT = StoreContract()
WRITING: dict[str, Callable[[Store], None]] = {
    "rules": CONTRACT.test_applying_again_replaces_the_rules_and_leaves_the_rest,
    "a state with less in it": CONTRACT.test_a_state_with_less_in_it_replaces_one_with_more,
    **{f"states {n}": partial(CONTRACT.test_every_state_of_a_route_comes_back_exactly, seed=n) for n in range(8)},
    "manifests": CONTRACT.test_manifests_come_back_exactly_in_the_order_of_recording,
    "evidence": CONTRACT.test_evidence_comes_back_in_the_order_of_recording,
    "a deployment": CONTRACT.test_a_deployment_comes_back_exactly_with_its_baseline,
    "steps": CONTRACT.test_a_rollback_goes_on_from_where_it_was_left,
    "two who take steps": CONTRACT.test_of_two_that_take_a_rollback_further_the_second_is_refused,
    "rollbacks": CONTRACT.test_rollbacks_come_in_the_order_in_which_they_started,
    "all at once": _all_at_once,
}


@pytest.mark.parametrize("write", WRITING)
def test_what_is_remembered_of_a_change_is_what_is_on_record(tmp_path: Path, write: str) -> None:
    with SqlStore.open(tmp_path / "store.db") as kept:
        store = InStep(kept)
        with store.change(SYSTEM) as change:
            change.save_system({"system": SYSTEM})
        WRITING[write](store)
        assert store.compared > 0


@pytest.fixture
def database() -> Database:
    database = Database()
    with database.change(SYSTEM) as change:
        change.save_system({"system": SYSTEM})
        change.record_manifest(manifest("one"), AT)
        change.add_evidence(manifest("one").content_digest, Grade.VERIFIED, AT, {})
        one_more(change)
    return database


@pytest.fixture
def store(database: Database) -> RememberedStore:
    store = RememberedStore(database, Reach("the store", database.systems, every=timedelta(milliseconds=20)))
    store.remember(SYSTEM)
    return store


READS: dict[str, Callable[[Store], object]] = {
    "read": lambda store: store.read(SYSTEM),
    "spec": lambda store: store.system_spec(SYSTEM),
    "manifests": lambda store: store.manifests(SYSTEM),
    "manifest": lambda store: store.manifest(SYSTEM, manifest("one").content_digest[7:19]),
    "evidence": lambda store: store.evidence(SYSTEM),
    "deployments": lambda store: store.deployments(SYSTEM),
    "sagas": lambda store: store.sagas(SYSTEM),
    "head": lambda store: store.head(SYSTEM),
    "systems": lambda store: store.systems(),
}


@pytest.mark.parametrize("read", READS)
def test_what_was_remembered_is_what_the_store_said_last(database: Database, store: RememberedStore, read: str) -> None:
    before = READS[read](store)
    database.away = True
    assert READS[read](store) == before
    assert store.away


def test_only_the_first_who_asks_pays_for_the_outage(database: Database) -> None:
    probing = Event()
    reach = Reach("the store", lambda: probing.wait(20) and database.systems())
    store = RememberedStore(database, reach)
    store.remember(SYSTEM)
    database.away = True
    store.read(SYSTEM)
    database.asked = 0
    for read in READS.values():
        read(store)
    assert database.asked == 0, "the probe hangs, and nobody else asks"
    probing.set()


def test_nothing_is_put_on_record_while_it_is_away_and_everything_again_when_it_is_back(
    database: Database, store: RememberedStore
) -> None:
    database.away = True
    store.read(SYSTEM)
    with pytest.raises(TransientError, match="cannot be reached"), store.change(SYSTEM):
        pytest.fail("it is away")
    with pytest.raises(TransientError):
        store.ledger(SYSTEM)
    with pytest.raises(TransientError):
        store.remember(SYSTEM)
    database.away = False
    until(lambda: not store.away, "it to be found back")
    with store.change(SYSTEM) as change:
        one_more(change)
    assert len(store.ledger(SYSTEM)) == 2


def test_a_system_that_was_never_looked_at_is_not_made_up(database: Database, store: RememberedStore) -> None:
    with database.change("fraud") as change:
        change.save_system({"system": "fraud"})
    database.away = True
    with pytest.raises(TransientError):
        store.read("fraud")
    assert store.systems() == (SYSTEM,)
    with pytest.raises(NotFoundError):
        store.deployment(SYSTEM, 7)
    with pytest.raises(NotFoundError):
        store.manifest(SYSTEM, digest("another"))


def test_remembering_again_asks_for_the_head_alone_until_something_is_on_record(
    database: Database, store: RememberedStore
) -> None:
    database.asked = 0
    store.remember(SYSTEM)
    assert database.asked == 1
    with store.change(SYSTEM) as change:
        one_more(change)
    store.remember(SYSTEM)
    database.away = True
    assert store.head(SYSTEM).length == 2


def test_a_lock_that_somebody_holds_is_no_outage(database: Database, store: RememberedStore) -> None:
    with database.change(SYSTEM), pytest.raises(TransientError, match="locked"), store.change(SYSTEM):
        pytest.fail("two changes are open at once")
    assert not store.away
    with store.change(SYSTEM) as change:
        one_more(change)


def test_an_error_in_a_change_leaves_nothing(store: RememberedStore) -> None:
    with pytest.raises(TypeError), store.change(SYSTEM) as change:
        change.append("said", one_more(change))  # type: ignore[call-arg, arg-type]
    assert store.head(SYSTEM).length == 1


def test_whoever_lost_a_lease_is_refused_and_still_reads(database: Database, store: RememberedStore) -> None:
    stale = Held(name="watch:pricing", holder="one", fence=1, expires_in=timedelta())
    fenced = store.fenced(stale)
    refused: AbstractContextManager[Change] = fenced.change(SYSTEM)
    with pytest.raises(ConflictError, match="changed hands"), refused:
        pytest.fail("it is somebody else's")
    database.away = True
    assert fenced.read(SYSTEM) == store.read(SYSTEM)


class Doubt:
    """A store of which it is being found out whether it can be reached, for as long as the test likes."""

    def __init__(self, database: Database) -> None:
        self.over = Event()
        self.reach = Reach("the store", self._look)
        self.store = RememberedStore(database, self.reach)
        self.store.remember(SYSTEM)

    def _look(self) -> None:
        assert self.over.wait(20)

    def begin(self) -> None:
        """Find what stands beside it gone."""
        self.reach.presume("the store of runs", TransientError("no answer came"))


@pytest.fixture
def doubt(database: Database) -> Iterator[Doubt]:
    doubt = Doubt(database)
    yield doubt
    doubt.over.set()


@pytest.mark.parametrize("read", [read for read in READS if read != "systems"])
def test_in_doubt_nobody_waits_for_what_is_remembered(database: Database, doubt: Doubt, read: str) -> None:
    before = READS[read](doubt.store)
    doubt.begin()
    database.away, database.asked = True, 0
    assert READS[read](doubt.store) == before
    assert database.asked == 0
    assert not doubt.store.away


@pytest.mark.parametrize(
    "look", [lambda store: store.remember(SYSTEM), RememberedStore.heads], ids=["remember", "heads"]
)
def test_in_doubt_what_is_looked_for_again_soon_is_refused(
    database: Database, doubt: Doubt, look: Callable[[RememberedStore], object]
) -> None:
    doubt.begin()
    database.asked = 0
    with pytest.raises(TransientError, match="stands where the store of runs does, which is away"):
        look(doubt.store)
    assert database.asked == 0


def test_in_doubt_changes_are_refused(doubt: Doubt) -> None:
    doubt.begin()
    with pytest.raises(TransientError, match="which is away"), doubt.store.change(SYSTEM):
        pytest.fail("it may be away")


def test_a_lock_that_somebody_holds_is_no_reason_to_answer_from_memory(database: Database, doubt: Doubt) -> None:
    with database.change(SYSTEM) as elsewhere:
        one_more(elsewhere)
    doubt.reach.doubted()
    assert version_count(doubt.store.read(SYSTEM)) == 2
    with doubt.store.change(SYSTEM) as change:
        one_more(change)
    assert version_count(doubt.store.read(SYSTEM)) == 3


def test_what_is_written_never_rests_on_memory(database: Database, doubt: Doubt) -> None:
    with doubt.store.change(SYSTEM) as change:
        doubt.begin()
        database.asked = 0
        doubt.store.deployments(SYSTEM)
        assert database.asked == 1
        one_more(change)
        database.away = True
        with pytest.raises(TransientError):
            doubt.store.read(SYSTEM)
    assert version_count(doubt.store.read(SYSTEM)) == 2, "outside of it memory answers again"


def test_in_doubt_a_memory_that_misses_what_was_written_here_is_not_asked(database: Database, doubt: Doubt) -> None:
    with database.change(SYSTEM) as elsewhere:
        elsewhere.record_manifest(manifest("two"), AT)
        one_more(elsewhere)
    with doubt.store.change(SYSTEM) as here:
        here.record_manifest(manifest("three"), AT)
        one_more(here)
    doubt.begin()
    assert doubt.store.manifests(SYSTEM) == (manifest("one"), manifest("two"), manifest("three"))
    assert version_count(doubt.store.read(SYSTEM)) == 3
    doubt.over.set()
    until(lambda: not doubt.reach.presumed, "the doubt to be over")
    doubt.store.remember(SYSTEM)
    database.away = True
    assert doubt.store.manifests(SYSTEM) == (manifest("one"), manifest("two"), manifest("three"))


def test_a_memory_that_missed_a_change_is_not_made_whole_by_the_one_before_it(database: Database) -> None:
    written = []
    for _ in range(2):
        with database.change(SYSTEM) as change:
            written.append(noted := NotedChange(change))
            one_more(noted)
    first, second = written
    before = Known.read(database, SYSTEM, Anchor(first.entries[0].sequence - 1, first.entries[0].previous))
    assert not before.after(first).after(second).behind
    assert before.after(second).after(first).behind, "two threads may come out of their changes in either order"


def test_while_it_is_away_what_was_written_just_before_is_read(database: Database, store: RememberedStore) -> None:
    with store.change(SYSTEM) as change:
        one_more(change)
    database.away = True
    assert version_count(store.read(SYSTEM)) == 2
    assert store.head(SYSTEM).length == 2


def test_a_change_that_wrote_nothing_leaves_memory_as_good_as_it_was(database: Database, doubt: Doubt) -> None:
    with doubt.store.change(SYSTEM) as change:
        change.save(change.state)
    doubt.begin()
    database.asked = 0
    doubt.store.read(SYSTEM)
    assert database.asked == 0


def test_a_look_that_a_change_came_across_is_not_taken_for_newer_than_it(
    database: Database, store: RememberedStore
) -> None:
    with database.change(SYSTEM) as elsewhere:
        one_more(elsewhere)
    read = database.sagas

    def meanwhile(system: str) -> Any:
        database.sagas = read  # type: ignore[method-assign]
        with store.change(system) as change:
            one_more(change)
        return read(system)

    database.sagas = meanwhile  # type: ignore[method-assign]
    store.remember(SYSTEM)
    store.reach.presume("the store of runs", TransientError("no answer came"))
    assert version_count(store.read(SYSTEM)) == 3


@pytest.mark.parametrize("place", ["opening", "statement", "commit"])
def test_a_store_that_falls_silent_in_a_change_is_away_for_all_who_come_next(
    database: Database, doubt: Doubt, place: str
) -> None:
    def write() -> None:
        database.away = place == "opening"
        database.at_commit = TransientError("the store does not answer") if place == "commit" else None
        with doubt.store.change(SYSTEM) as change:
            one_more(change)
            if place == "statement":
                raise OSError("timed out")

    with pytest.raises(TransientError):
        write()
    assert doubt.store.away
    database.asked = 0
    assert version_count(doubt.store.read(SYSTEM)) == 1
    with pytest.raises(TransientError), doubt.store.change(SYSTEM):
        pytest.fail("it is away")
    assert database.asked == 0


def test_a_commit_whose_end_nobody_knows_is_an_outage_after_which_memory_is_looked_anew(
    database: Database, doubt: Doubt
) -> None:
    database.at_commit = OutcomeUnknownError("the connection was lost while a change was committed")
    with pytest.raises(OutcomeUnknownError), doubt.store.change(SYSTEM) as change:
        one_more(change)
    assert doubt.store.away
    database.at_commit = None
    doubt.over.set()
    until(lambda: not doubt.store.away, "it to be found back")
    database.asked = 0
    doubt.store.remember(SYSTEM)
    assert database.asked > 1, "all of it is read, though the head is the one that was known"


def test_what_fails_in_a_change_by_itself_is_no_outage(doubt: Doubt) -> None:
    with pytest.raises(TransientError, match="a replica"), doubt.store.change(SYSTEM):
        raise TransientError("a replica does not answer")
    with pytest.raises(OutcomeUnknownError, match="a replica"), doubt.store.change(SYSTEM):
        raise OutcomeUnknownError("a replica did not answer")
    assert not doubt.store.away
    assert not doubt.reach.presumed
