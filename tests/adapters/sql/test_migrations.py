"""The store's schema moves by numbered migrations, in one transaction, whoever comes first."""

import fcntl
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import event

from knowngood.adapters.sql import SqlStore, schema
from knowngood.adapters.sql.migrate import migrate
from knowngood.adapters.sql.sqlite import SqliteDatabase
from knowngood.testing.contracts.store import SYSTEM, one_more
from knowngood_sdk.errors import InvalidError, PermanentError


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteDatabase]:
    database = SqliteDatabase(tmp_path / "store.db")
    yield database
    database.close()


def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", "knowngood.adapters.sql:migrations")
    return ScriptDirectory.from_config(config)


def content(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def test_the_program_knows_every_revision_that_has_a_migration() -> None:
    newest_first = [script.revision for script in scripts().walk_revisions()]
    assert tuple(reversed(newest_first)) == schema.REVISIONS


def test_migrating_from_nothing_gives_the_schema_that_the_program_works_with(database: SqliteDatabase) -> None:
    migrate(database)
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, schema.metadata) == []


def test_names_of_constraints_are_those_that_the_schema_sets(database: SqliteDatabase) -> None:
    migrate(database)
    tables = schema.metadata.tables.values()
    names = {str(named.name) for table in tables for named in table.constraints | table.indexes}
    migrated = "\n".join(content(database.path))
    assert [name for name in sorted(names) if f"{name} " not in migrated] == []


def test_migrating_twice_changes_nothing(database: SqliteDatabase) -> None:
    migrate(database)
    database.close()
    before = database.path.read_bytes()
    migrate(database)
    database.close()
    assert database.path.read_bytes() == before


def test_a_store_that_is_up_to_date_is_opened_without_alembic(tmp_path: Path) -> None:
    SqlStore.open(tmp_path / "store.db").close()
    program = (
        "import sys; from pathlib import Path; from knowngood.adapters.sql import SqlStore;"
        "SqlStore.open(Path(sys.argv[1])).systems();"
        "print(*[name for name in sys.modules if name.startswith('alembic')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "store.db")], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == []


def test_several_that_start_at_once_on_nothing_migrate_once(tmp_path: Path) -> None:
    path, together = tmp_path / "store.db", Barrier(4)

    def open_and_count(_: int) -> int:
        together.wait()
        with SqlStore.open(path) as store, store.change(SYSTEM) as change:
            change.save_system({"system": SYSTEM})
            return one_more(change)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(open_and_count, range(4))) == [1, 2, 3, 4]


def test_whoever_comes_while_another_migrates_waits_for_it(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    lock = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with ThreadPoolExecutor(1) as pool:
        opened = pool.submit(SqlStore.open, path)
        with pytest.raises(TimeoutError):
            opened.result(timeout=0.2)
        assert not path.exists()
        os.close(lock)
        opened.result(timeout=30).close()


def test_a_migration_that_was_cut_off_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.touch()  # what a kill between creating the file and migrating it leaves
    with SqlStore.open(path) as store:
        assert store.systems() == ()


def test_a_migration_that_fails_leaves_nothing_and_is_done_again(database: SqliteDatabase) -> None:
    def fail(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "CREATE TABLE ledger" in statement:
            raise RuntimeError("out of luck")

    event.listen(database._engine, "before_cursor_execute", fail)
    with pytest.raises(RuntimeError, match="out of luck"):
        migrate(database)
    assert content(database.path) == ["BEGIN TRANSACTION;", "COMMIT;"]
    event.remove(database._engine, "before_cursor_execute", fail)
    migrate(database)
    assert any("CREATE TABLE ledger" in line for line in content(database.path))


def test_a_store_from_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    SqlStore.open(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0999'")
        connection.execute("UPDATE compatibility SET oldest = '0998'")
    before = content(path)
    with pytest.raises(InvalidError, match=r"has schema 0999; this program knows up to .*upgrade knowngood here"):
        SqlStore.open(path)
    assert content(path) == before


def test_a_store_without_a_revision_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    SqlStore.open(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM alembic_version")
    with pytest.raises(PermanentError, match="says nothing of its schema"):
        SqlStore.open(path)


def test_readers_go_on_while_somebody_writes_because_of_the_write_ahead_log(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    SqlStore.open(path).close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_commit_survives_a_power_cut_and_rows_refer_to_what_exists(database: SqliteDatabase) -> None:
    migrate(database)
    full = 2
    with database.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == full
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1
