"""The schema of a store moves forward with rows in it, on both databases, and a program from before it goes on."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, event, insert, inspect, select, text

from knowngood.adapters.sql import SqlStore, open_database, schema
from knowngood.adapters.sql.database import Database
from knowngood.adapters.sql.migrate import migrate, revision
from knowngood.adapters.sql.opening import find_database
from knowngood.adapters.sql.postgres import PostgresDatabase
from knowngood.domain.ledger import verify
from knowngood.testing.contracts.store import SYSTEM, one_more, write_everything
from knowngood_sdk.errors import InvalidError, PermanentError

EARLIER = schema.REVISIONS[:-1]


@pytest.fixture(params=["sqlite", "postgres"])
def nowhere(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Name a place for a store in which there is none yet."""
    if request.param == "postgres":
        return str(request.getfixturevalue("empty_postgres_url"))
    return tmp_path / "store.db"


@pytest.fixture
def database(nowhere: Path | str) -> Iterator[Database]:
    """Give a database without tables."""
    database = find_database(nowhere)
    yield database
    database.close()


@pytest.fixture
def full(tmp_path: Path) -> Iterator[SqlStore]:
    """Give a store with something of everything on record."""
    with SqlStore.open(tmp_path / "full.db") as store:
        with store.change(SYSTEM) as change:
            change.save_system({"system": SYSTEM})
            write_everything(change)
        yield store


def migrate_to(database: Database, name: str) -> None:
    config = Config()
    config.set_main_option("script_location", "knowngood.adapters.sql:migrations")
    with database.preparing(), database.migrating() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, name)


def reflected(connection: Connection) -> MetaData:
    metadata = MetaData()
    metadata.reflect(connection)
    return metadata


def copy_rows(store: SqlStore, database: Database) -> None:
    """Write the rows of a store into tables of an older revision, as the program of that revision would have."""
    with store.database.reading() as source, database.writing() as target:
        new, old = reflected(source), reflected(target)
        for table in old.sorted_tables:
            columns = [new.tables[table.name].c[column.name] for column in table.c]
            rows = [dict(row) for row in source.execute(select(*columns)).mappings()]
            if rows and table.name != "alembic_version":
                target.execute(insert(table), rows)


def everything(store: SqlStore) -> list[Any]:
    return [
        store.systems(),
        store.read(SYSTEM),
        store.system_spec(SYSTEM),
        store.manifests(SYSTEM),
        store.evidence(SYSTEM),
        store.deployments(SYSTEM),
        store.sagas(SYSTEM),
        store.ledger(SYSTEM),
        store.head(SYSTEM),
    ]


@pytest.mark.parametrize("earlier", EARLIER)
def test_an_upgrade_keeps_every_row(nowhere: Path | str, database: Database, full: SqlStore, earlier: str) -> None:
    migrate_to(database, earlier)
    copy_rows(full, database)
    assert revision(database) == earlier
    with SqlStore.open(nowhere) as store:
        assert revision(store.database) == schema.REVISIONS[-1]
        assert everything(store) == everything(full)
        with store.change(SYSTEM) as change:
            one_more(change)
        assert verify(store.ledger(SYSTEM)).ok


def test_the_program_before_goes_on_while_the_schema_moves_on_under_it(
    nowhere: Path | str, database: Database, full: SqlStore
) -> None:
    migrate_to(database, EARLIER[-1])
    copy_rows(full, database)
    before = SqlStore(database)
    assert everything(before) == everything(full)
    with SqlStore.open(nowhere) as after:
        for store in (before, after, before):
            with store.change(SYSTEM) as change:
                write_everything(change)
            assert everything(before) == everything(after)
        assert verify(after.ledger(SYSTEM)).ok


def test_what_the_program_before_writes_is_enough_for_every_table(database: Database) -> None:
    migrate_to(database, EARLIER[-1])
    with database.reading() as connection:
        before = reflected(connection)
    migrate(database)
    with database.reading() as connection:
        after = reflected(connection)
    for table in before.tables.values():
        now = after.tables[table.name]
        assert {column.name for column in table.c} <= {column.name for column in now.c}
        assert all(column.nullable or column.server_default for column in now.c if column.name not in table.c)
        assert all(now.c[column.name].nullable == column.nullable for column in table.c)


def test_a_store_of_a_newer_program_is_used_as_long_as_that_one_leaves_it_compatible(where: Path | str) -> None:
    database = open_database(where)
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0999'"))
    with SqlStore.open(where) as store:
        with store.change(SYSTEM) as change:
            change.save_system({"system": SYSTEM})
            one_more(change)
        assert store.head(SYSTEM).length == 1
    with database.writing() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "0999"
        connection.execute(text("UPDATE compatibility SET oldest = '0998'"))
    with pytest.raises(InvalidError, match=r"has schema 0999; this program knows up to .*upgrade knowngood here"):
        SqlStore.open(where)
    database.close()


def test_migrating_from_nothing_gives_the_schema_that_the_program_works_with(database: Database) -> None:
    migrate(database)
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, schema.metadata) == []
        found = inspect(connection)
        keys = {name: found.get_pk_constraint(name)["name"] for name in schema.metadata.tables}
        assert keys == {name: f"pk_{name}" for name in schema.metadata.tables}


def test_several_that_start_at_once_on_nothing_migrate_once(nowhere: Path | str) -> None:
    together = Barrier(4)

    def open_and_count(_: int) -> int:
        together.wait()
        with SqlStore.open(nowhere) as store, store.change(SYSTEM) as change:
            change.save_system({"system": SYSTEM})
            return one_more(change)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(open_and_count, range(4))) == [1, 2, 3, 4]


def test_a_migration_that_fails_on_a_server_leaves_nothing_and_is_done_again(empty_postgres_url: str) -> None:
    database = PostgresDatabase(empty_postgres_url)

    def fail(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "CREATE TABLE ledger" in statement:
            raise RuntimeError("out of luck")

    event.listen(database._engine, "before_cursor_execute", fail)
    with pytest.raises(RuntimeError, match="out of luck"):
        migrate(database)
    event.remove(database._engine, "before_cursor_execute", fail)
    assert revision(database) is None
    migrate(database)
    assert revision(database) == schema.REVISIONS[-1]
    database.close()


def test_the_database_of_another_program_is_left_alone(nowhere: Path | str, database: Database) -> None:
    with database.preparing(), database.migrating() as connection:
        connection.execute(text("CREATE TABLE bookmarks (url TEXT)"))
    with pytest.raises(PermanentError, match="a database of something else: it has the tables bookmarks"):
        SqlStore.open(nowhere)
