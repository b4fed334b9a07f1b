"""A copy of a store is whole, goes back into a file or onto a server, and never takes the place of what is newer."""

import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from itertools import count
from pathlib import Path
from threading import Event, Thread

import pytest
from sqlalchemy import text

from knowngood.adapters.sql import SqlExchange, SqlLeases, SqlStore
from knowngood.adapters.sql.copies import Copied, back_up, restore
from knowngood.adapters.sql.opening import find_database
from knowngood.domain import fleet
from knowngood.domain.ledger import verify
from knowngood.testing.contracts.exchange import rising
from knowngood.testing.contracts.store import SYSTEM, digest, one_more, version_count, write_everything
from knowngood_sdk.errors import ConflictError, InvalidError, NotFoundError, PermanentError
from tests.postgres import Server

MINUTE = timedelta(minutes=1)
Place = Callable[[], Path | str]


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Name places of stores that are not there yet, all of one kind."""
    numbers = count(1)
    if request.param == "sqlite":
        yield lambda: tmp_path / f"store-{next(numbers)}.db"
        return
    server: Server = request.getfixturevalue("postgres")
    with ExitStack() as stack:
        yield lambda: stack.enter_context(server.empty_database())


def copied(where: Path | str, file: Path) -> Copied:
    with closing(find_database(where)) as database:
        return back_up(database, file)


def restored(file: Path, where: Path | str) -> Copied:
    with closing(find_database(where)) as database:
        return restore(file, database)


def begun(where: Path | str) -> None:
    with SqlStore.open(where) as store:
        with store.change(SYSTEM) as change:
            change.save_system({"system": SYSTEM})
            write_everything(change)
        SqlExchange(store.database).change_route(SYSTEM, rising)
        SqlLeases(store.database).claim("watch:pricing", "a", MINUTE)


def record(where: Path | str) -> list[object]:
    with SqlStore.open(where) as store:
        reads = (store.read, store.system_spec, store.manifests, store.evidence, store.deployments, store.sagas)
        kept = [read(SYSTEM) for read in (*reads, store.ledger)]
        return [store.systems(), SqlExchange(store.database).route(SYSTEM), *kept]


def test_a_copy_goes_back_as_it_was(place: Place, tmp_path: Path) -> None:
    here, there, file = place(), place(), tmp_path / "copy.db"
    begun(here)
    copy = copied(here, file)
    back = restored(file, there)
    assert record(there) == record(here)
    assert back.ledgers == copy.ledgers
    assert back.problems == {}
    assert back.checked
    with SqlStore.open(there) as store, store.change(SYSTEM) as change:
        assert one_more(change) == 2


def test_a_copy_goes_from_a_file_to_a_server_and_back(tmp_path: Path, empty_postgres_url: str) -> None:
    here, again = tmp_path / "here.db", tmp_path / "again.db"
    begun(here)
    copied(here, tmp_path / "one.db")
    restored(tmp_path / "one.db", empty_postgres_url)
    copied(empty_postgres_url, tmp_path / "two.db")
    restored(tmp_path / "two.db", again)
    assert record(here) == record(empty_postgres_url) == record(again)


def test_a_copy_is_of_one_moment_while_everything_moves(place: Place, tmp_path: Path) -> None:
    here = place()
    begun(here)
    over = Event()

    def move() -> None:
        with SqlStore.open(here, patience=MINUTE) as store:
            while not over.is_set():
                with store.change(SYSTEM) as change:
                    one_more(change)

    mover = Thread(target=move)
    mover.start()
    try:
        for number in range(3):
            copied(here, tmp_path / f"copy-{number}.db")
    finally:
        over.set()
        mover.join()
    for number in range(3):
        with SqlStore.open(tmp_path / f"copy-{number}.db") as store:
            entries = store.ledger(SYSTEM)
            assert verify(entries).ok
            assert version_count(store.read(SYSTEM)) == len(entries), "route and ledger are of one moment"


def test_the_checksum_beside_a_copy_is_what_other_programs_read(tmp_path: Path) -> None:
    begun(tmp_path / "store.db")
    copy = copied(tmp_path / "store.db", tmp_path / "copy.db")
    done = subprocess.run(["sha256sum", "--check", "copy.db.sha256"], cwd=tmp_path, check=True, capture_output=True)
    assert done.stdout.split() == [b"copy.db:", b"OK"]
    assert copy.sha256 in (tmp_path / "copy.db.sha256").read_text()
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600


def test_a_copy_that_was_changed_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "copy.db"
    begun(tmp_path / "store.db")
    copied(tmp_path / "store.db", file)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(InvalidError, match=r"is not what was written.*Take another copy"):
        restored(file, tmp_path / "new.db")
    assert not (tmp_path / "new.db").exists()


def test_a_copy_without_a_checksum_is_put_back_and_said_to_be_unchecked(tmp_path: Path) -> None:
    begun(tmp_path / "store.db")
    copied(tmp_path / "store.db", tmp_path / "copy.db")
    (tmp_path / "copy.db.sha256").unlink()
    assert not restored(tmp_path / "copy.db", tmp_path / "new.db").checked


def test_a_ledger_that_was_edited_is_told_after_restoring(place: Place, tmp_path: Path) -> None:
    here = place()
    begun(here)
    with closing(find_database(here)) as database, database.writing() as connection:
        connection.execute(text("UPDATE ledger SET actor = 'Mallory'"))
    copied(here, tmp_path / "copy.db")
    assert "entry 1 was edited" in restored(tmp_path / "copy.db", place()).problems[SYSTEM]


def test_a_copy_never_takes_the_place_of_another(tmp_path: Path) -> None:
    begun(tmp_path / "store.db")
    first = copied(tmp_path / "store.db", tmp_path / "copy.db")
    with pytest.raises(ConflictError, match="exists already"):
        copied(tmp_path / "store.db", tmp_path / "copy.db")
    assert restored(tmp_path / "copy.db", tmp_path / "new.db").sha256 == first.sha256


def test_a_store_that_is_in_use_is_not_replaced(place: Place, tmp_path: Path) -> None:
    here = place()
    begun(here)
    copied(here, tmp_path / "copy.db")
    with SqlStore.open(here) as store:
        store.systems()
        with pytest.raises(ConflictError, match="is in use"):
            restored(tmp_path / "copy.db", here)
        assert store.head(SYSTEM).length == 1


def test_what_is_newer_than_the_copy_is_not_replaced(tmp_path: Path) -> None:
    here = tmp_path / "store.db"
    begun(here)
    copied(here, tmp_path / "copy.db")
    with SqlStore.open(here) as store, store.change(SYSTEM) as change:
        one_more(change)
    with pytest.raises(ConflictError, match=f"holds what the copy does not: entries of {SYSTEM}.*mv "):
        restored(tmp_path / "copy.db", here)
    with SqlStore.open(here) as store:
        assert store.head(SYSTEM).length == 2


def test_what_the_copy_goes_on_from_is_replaced(tmp_path: Path) -> None:
    here = tmp_path / "store.db"
    begun(here)
    copied(here, tmp_path / "old.db")
    with SqlStore.open(here) as store, store.change(SYSTEM) as change:
        one_more(change)
    copied(here, tmp_path / "new.db")
    restored(tmp_path / "old.db", tmp_path / "again.db")
    restored(tmp_path / "new.db", tmp_path / "again.db")
    assert record(tmp_path / "again.db") == record(here)


def test_a_server_is_only_filled_where_nothing_is(postgres_url: str, tmp_path: Path) -> None:
    begun(postgres_url)
    copied(postgres_url, tmp_path / "copy.db")
    with pytest.raises(ConflictError, match=r"is not empty: it has rows in .*createdb"):
        restored(tmp_path / "copy.db", postgres_url)


@pytest.mark.parametrize("content", [b"", b"this was never a database\n" * 100])
def test_what_is_no_copy_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "copy.db").write_bytes(content)
    with pytest.raises(PermanentError, match=r"is no copy of a store|no database"):
        restored(tmp_path / "copy.db", tmp_path / "store.db")
    with pytest.raises(NotFoundError, match="there is no file"):
        restored(tmp_path / "absent.db", tmp_path / "store.db")
    assert not (tmp_path / "store.db").exists()


def test_there_is_nothing_to_copy_where_no_store_is(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no store"):
        copied(tmp_path / "store.db", tmp_path / "copy.db")
    assert list(tmp_path.iterdir()) == []


def test_a_copy_from_before_an_upgrade_is_upgraded_and_left_as_it_is(place: Place, tmp_path: Path) -> None:
    begun(tmp_path / "store.db")
    file = tmp_path / "copy.db"
    copied(tmp_path / "store.db", file)
    (tmp_path / "copy.db.sha256").unlink()
    shared = ["exchange_counts", "exchange_releases", "exchange_reports", "exchange_routes", "exchange_rules"]
    with closing(sqlite3.connect(file)) as connection, connection:
        for table in (*shared, "compatibility", "leases", "token_ledger", "tokens"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("ALTER TABLE deployments DROP COLUMN held")
        connection.execute("UPDATE alembic_version SET version_num = '0002'")
    before = file.read_bytes()
    there = place()
    restored(file, there)
    assert record(there)[2:] == record(tmp_path / "store.db")[2:]
    assert file.read_bytes() == before


def test_a_lease_that_was_held_is_nobodys_afterwards_and_its_fence_is_above_every_earlier_one(
    place: Place, tmp_path: Path
) -> None:
    here, there = place(), place()
    begun(here)
    copied(here, tmp_path / "copy.db")
    with closing(find_database(here)) as database:
        leases = SqlLeases(database)
        leases.release("watch:pricing", "a")
        later = leases.claim("watch:pricing", "b", MINUTE)
    restored(tmp_path / "copy.db", there)
    with closing(find_database(there)) as database:
        leases = SqlLeases(database)
        assert leases.held() == {}
        taken = leases.claim("watch:pricing", "c", MINUTE)
    assert later is not None
    assert taken is not None
    assert taken.fence > later.fence


def test_after_an_older_copy_was_put_back_no_generation_is_given_twice_and_the_cut_shows(
    place: Place, tmp_path: Path
) -> None:
    here, there = place(), place()

    def deploy(where: Path | str, version: str, known: int = 0) -> int:
        with SqlStore.open(where) as store, store.change(SYSTEM) as change:
            change.save_system({"system": SYSTEM})
            state = fleet.mint(change.state, digest(version), ready=frozenset(), static_fallback=True, above=known)
            change.save(fleet.abandon(state))
            one_more(change)
            return state.row.generation

    assert [deploy(here, version) for version in ("1", "2")] == [1, 2]
    copied(here, tmp_path / "copy.db")
    assert [deploy(here, version) for version in ("3", "4")] == [3, 4]
    with SqlStore.open(here) as store:
        remembered = store.head(SYSTEM)  # as every replica does, outside of the store
    restored(tmp_path / "copy.db", there)
    with SqlStore.open(there) as store:
        found = verify(store.ledger(SYSTEM), remembered)
        assert "the end was cut off: 2 entries are left of at least 4" in found.problem
    assert deploy(there, "5", known=4) == 5
