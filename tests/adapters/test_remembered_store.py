"""While its database is away a store answers from memory, at once, and takes nothing on record."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from threading import Event
from typing import Any

import pytest

from knowngood.adapters.reach import Reach
from knowngood.adapters.remembered import RememberedStore
from knowngood.domain.evidence import Grade
from knowngood.ports.lease import Held
from knowngood.ports.store import Change, Store
from knowngood.testing.contracts.store import AT, SYSTEM, StoreContract, StoreHarness, digest, manifest, one_more
from knowngood.testing.memory import MemoryClock
from knowngood.testing.memory_leases import MemoryLeases
from knowngood.testing.memory_store import MemoryStore
from knowngood.testing.replica import until
from knowngood_sdk.errors import ConflictError, NotFoundError, TransientError

pytestmark = pytest.mark.requirement("G2")


class Database(MemoryStore):
    """A store whose database can be taken away; whoever asks waits for a while, then is refused."""

    def __init__(self) -> None:
        super().__init__(timedelta(0), leases=MemoryLeases(MemoryClock()))
        self.away = False
        self.asked = 0

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
            yield change

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
