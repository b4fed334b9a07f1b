"""What goes wrong under the store is said with what, where and what to do, and changes nothing."""

import multiprocessing
import os
import resource
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from knowngood.adapters.sql import SqlStore
from knowngood.adapters.sql.sqlite import SqliteDatabase
from knowngood.domain.ledger import verify
from knowngood.testing.contracts.store import AT, SYSTEM, manifest, one_more
from knowngood_sdk.errors import InvalidError, KnownGoodError, PermanentError, TransientError

NOBODY = 65534
# A forked child would share the parent's connections and locks.
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def place() -> Iterator[Path]:
    """Give a folder that every user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="knowngood-store-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def begun(path: Path) -> Path:
    with SqlStore.open(path) as store, store.change(SYSTEM) as change:
        change.save_system({"system": SYSTEM})
        one_more(change)
    return path


def engine_of(store: SqlStore) -> Engine:
    assert isinstance(store.database, SqliteDatabase)
    return store.database._engine


def in_a_process(work: Callable[..., None], *arguments: Any) -> Any:
    """Do some work in a process of its own, and return what it tells."""
    ours, theirs = SPAWN.Pipe(duplex=False)
    child = SPAWN.Process(target=work, args=(theirs, *arguments))
    child.start()
    theirs.close()
    with ours:
        told = ours.recv()
    child.join()
    return told


def fill(store: SqlStore, rounds: int) -> KnownGoodError | None:
    """Append large entries until there is no more room; return the error."""
    for _ in range(rounds):
        try:
            with store.change(SYSTEM) as change:
                one_more(change)
                for _ in range(8):
                    change.append("filled", "test", AT, {"text": os.urandom(8_192).hex()})
        except KnownGoodError as error:
            return error
    return None


def assert_whole_and_writable(store: SqlStore) -> None:
    entries = store.ledger(SYSTEM)
    assert verify(entries).ok
    assert len([entry for entry in entries if entry.kind == "counted"]) == sum(store.read(SYSTEM).episodes.values())
    with store.change(SYSTEM) as change:
        one_more(change)


class TestLocked:
    def test_a_store_that_another_program_holds_says_so_and_reading_goes_on(self, tmp_path: Path) -> None:
        path = begun(tmp_path / "store.db")
        patience = timedelta(milliseconds=100)
        with SqlStore.open(path, patience=patience) as store:
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                with pytest.raises(TransientError) as caught, store.change(SYSTEM):
                    pytest.fail("the store is locked")
                assert store.head(SYSTEM).length == 1
                other.execute("ROLLBACK")
            assert f"the store {path} is locked" in str(caught.value)
            assert "0.1 s" in str(caught.value)
            assert f"fuser -v {path}" in str(caught.value)
            assert_whole_and_writable(store)

    def test_a_store_that_another_program_keeps_to_itself_cannot_be_opened_either(self, tmp_path: Path) -> None:
        path = begun(tmp_path / "store.db")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("PRAGMA locking_mode=EXCLUSIVE")
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(TransientError, match="is locked"):
                SqlStore.open(path, patience=timedelta(milliseconds=100))
            other.execute("ROLLBACK")


class TestFull:
    def test_a_full_disk_stops_a_change_as_a_whole(self, tmp_path: Path) -> None:
        path = begun(tmp_path / "store.db")
        with SqlStore.open(path) as store:
            engine = engine_of(store)

            @event.listens_for(engine, "begin")
            def _limit(connection: Any) -> None:
                connection.exec_driver_sql("PRAGMA max_page_count=60")

            error = fill(store, 100)
            assert isinstance(error, PermanentError)
            assert f"the store {path} cannot grow; nothing was changed" in str(error)
            assert f"df {tmp_path}" in str(error)
            event.remove(engine, "begin", _limit)
            engine.dispose()
            assert_whole_and_writable(store)

    def test_a_quota_on_the_file_stops_a_change_as_a_whole(self, tmp_path: Path) -> None:
        path = begun(tmp_path / "store.db")
        kind, message, length = in_a_process(fill_under_a_limit, path)
        assert kind is PermanentError
        assert "cannot grow; nothing was changed" in message
        with SqlStore.open(path) as store:
            assert store.head(SYSTEM).length == length
            assert_whole_and_writable(store)

    def test_a_new_store_needs_room_too(self, tmp_path: Path) -> None:
        path = tmp_path / "store.db"
        kind, message = in_a_process(open_under_a_limit, path)
        assert kind is PermanentError
        assert str(path) in message
        with SqlStore.open(path) as store:
            assert store.systems() == ()

    def test_a_disk_that_is_really_full_stops_a_change_as_a_whole(self, tmp_path: Path) -> None:
        disk = tmp_path / "disk"
        disk.mkdir()
        if os.geteuid() != 0 or os.system(f"mount -t tmpfs -o size=1m tmpfs {disk} 2>/dev/null") != 0:  # noqa: S605
            pytest.skip("only a user who may mount can have a small disk")
        try:
            path = begun(disk / "store.db")
            with SqlStore.open(path) as store:
                error = fill(store, 100)
                assert isinstance(error, PermanentError)
                assert "cannot grow; nothing was changed" in str(error)
                entries = store.ledger(SYSTEM)
                assert verify(entries).ok
                counted = [entry for entry in entries if entry.kind == "counted"]
                assert len(counted) == sum(store.read(SYSTEM).episodes.values())
        finally:
            assert os.system(f"umount {disk}") == 0  # noqa: S605


class TestForbidden:
    def test_another_user_cannot_write_a_store_and_is_told_whose_it_is(self, place: Path) -> None:
        path = begun(place / "store.db")
        path.chmod(0o444)
        place.chmod(0o555)
        before = path.read_bytes()
        kind, message = in_a_process(write_as_nobody, path)
        assert kind is PermanentError
        assert f"the store {path} cannot be opened or written by user" in message
        assert f"ls -la {place}" in message
        assert path.read_bytes() == before
        assert sorted(file.name for file in place.iterdir()) == ["store.db", "store.db.lock"]

    def test_another_user_cannot_open_a_store_that_is_private(self, place: Path) -> None:
        if os.geteuid() != 0:
            pytest.skip("the owner of a file can always read it")
        path = begun(place / "store.db")
        kind, message = in_a_process(write_as_nobody, path)
        assert kind is PermanentError
        assert f"cannot be opened or written by user {NOBODY}" in message

    def test_a_store_cannot_be_created_in_a_folder_that_is_not_ours(self, place: Path) -> None:
        place.chmod(0o555)
        kind, message = in_a_process(write_as_nobody, place / "store.db")
        assert kind is PermanentError
        assert f"the store {place / 'store.db'} cannot be created or migrated by user" in message
        assert list(place.iterdir()) == []

    def test_a_folder_that_does_not_exist_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(PermanentError, match=r"absent/store.db cannot be created .*No such file or directory"):
            SqlStore.open(tmp_path / "absent" / "store.db")

    def test_the_files_of_a_store_are_for_its_owner_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "store.db"
        with SqlStore.open(begun(path)) as store, store.change(SYSTEM) as change:
            one_more(change)
            files = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
        assert files == dict.fromkeys(("store.db", "store.db-wal", "store.db-shm", "store.db.lock"), 0o600)


class TestDamaged:
    def test_a_file_that_is_no_database_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "store.db"
        path.write_text("this was never a database, however long one looks at it\n" * 50)
        with pytest.raises(PermanentError, match="is damaged or no database") as caught:
            SqlStore.open(path)
        assert "restore it from a copy" in str(caught.value)
        assert path.read_text().startswith("this was never a database")

    def test_a_store_whose_middle_was_overwritten_is_damaged(self, tmp_path: Path) -> None:
        path = begun(tmp_path / "store.db")
        with path.open("r+b") as file:
            file.seek(4_096)
            file.write(os.urandom(path.stat().st_size - 4_096))
        with pytest.raises(PermanentError, match="is damaged or no database"), SqlStore.open(path) as store:
            store.read(SYSTEM)

    def test_the_database_of_another_program_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "store.db"
        with closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE bookmarks (url TEXT)")
        with pytest.raises(PermanentError, match="a database of something else: it has the tables bookmarks"):
            SqlStore.open(path)

    def test_a_store_that_was_deleted_while_it_was_open_does_not_come_back_empty(self, tmp_path: Path) -> None:
        path = begun(tmp_path / "store.db")
        with SqlStore.open(path) as store:
            engine_of(store).dispose()
            for file in tmp_path.iterdir():
                file.unlink()
            with pytest.raises(PermanentError, match="cannot be opened or written"):
                store.read(SYSTEM)
            assert list(tmp_path.iterdir()) == []

    @pytest.mark.requirement("B2")
    def test_a_manifest_that_was_edited_by_hand_is_found_out(self, tmp_path: Path) -> None:
        path = tmp_path / "store.db"
        edited = with_a_manifest(path)
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("UPDATE manifests SET document = replace(document, '\"files\"', '\"git\"')")
        with SqlStore.open(path) as store:
            reads = (store.manifests, store.versions, lambda system: store.manifest(system, edited))
            for read in reads:
                with pytest.raises(InvalidError, match="was edited: its digest is"):
                    read(SYSTEM)


def with_a_manifest(path: Path) -> str:
    with SqlStore.open(path) as store, store.change(SYSTEM) as change:
        change.save_system({"system": SYSTEM})
        change.record_manifest(manifest("1"), AT)
    return manifest("1").label


def fill_under_a_limit(told: "Connection[Any, Any]", path: Path) -> None:
    with SqlStore.open(path) as store:
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
        error = fill(store, 100)
        told.send((type(error), str(error), store.head(SYSTEM).length))


def open_under_a_limit(told: "Connection[Any, Any]", path: Path) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    try:
        SqlStore.open(path)
    except KnownGoodError as error:
        told.send((type(error), str(error)))


def write_as_nobody(told: "Connection[Any, Any]", path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        begun(Path(folder) / "store.db")  # imports what is imported late, while this user may read it
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    try:
        with SqlStore.open(path) as store, store.change(SYSTEM) as change:
            one_more(change)
    except KnownGoodError as error:
        told.send((type(error), str(error)))
