"""
Migrate: bring a database file to the schema of this program, once, whoever comes first.

A file that is up to date is recognised by one read, without Alembic. Anything else waits for a lock file, so that of
several processes that start at once one migrates and the others find it done. A migration is one transaction.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Event
from time import monotonic

from sqlalchemy import Connection, column, inspect, select, table

from knowngood.adapters.sql.schema import REVISIONS
from knowngood.adapters.sql.sqlite import SqliteDatabase
from knowngood_sdk.errors import InvalidError, PermanentError, TransientError

__all__ = ["migrate"]

_LONGEST_MIGRATION = timedelta(minutes=1)
_POLL = timedelta(milliseconds=20)
_VERSIONS = table("alembic_version", column("version_num"))


def migrate(database: SqliteDatabase) -> None:
    """
    Create or upgrade the tables of a store; do nothing where they are up to date.

    Raises:
        InvalidError: The file was written by a newer knowngood.
        PermanentError: It is no store, or cannot be created, opened or written.
        TransientError: Another process has been migrating it for a minute.
    """
    if database.path.exists() and _revision(database) == REVISIONS[-1]:
        return
    with _lock(database.path):
        _create(database.path)
        if _revision(database) != REVISIONS[-1]:
            database.use_write_ahead_log()
            with database.writing() as connection:
                _upgrade(connection)


def _revision(database: SqliteDatabase) -> str | None:
    """Return the revision of the tables; None for a file without any."""
    with database.reading() as connection:
        tables = inspect(connection).get_table_names()
        if not tables:
            return None
        if _VERSIONS.name not in tables:
            raise PermanentError(
                f"{database.path} is a database of something else: it has the tables {', '.join(sorted(tables))}",
                hint="Give knowngood a folder of its own: KNOWNGOOD_DIR",
            )
        revision = connection.execute(select(_VERSIONS.c.version_num)).scalar_one_or_none()
    if revision is None:
        raise PermanentError(
            f"the store {database.path} says nothing of its schema: alembic_version is empty",
            hint="Keep the file for a person to look at, and restore it from a copy",
        )
    if revision not in REVISIONS:
        raise InvalidError(
            f"the store {database.path} has schema {revision}; this program knows up to {REVISIONS[-1]}",
            hint="A newer knowngood wrote it: upgrade knowngood here",
        )
    return str(revision)


def _create(path: Path) -> None:
    """Create the file where there is none, for its owner alone; the log beside it inherits that."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise _unusable(path, error) from error


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    lock = path.with_name(f"{path.name}.lock")
    try:
        descriptor = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        _acquire(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path) -> None:
    last = monotonic() + _LONGEST_MIGRATION.total_seconds()
    never = Event()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if monotonic() > last:
                raise TransientError(
                    f"the store {path} has been migrated by another process for {_LONGEST_MIGRATION}",
                    hint=f"Try again; if it stays, see who holds it: fuser -v {path}.lock",
                ) from error
            never.wait(_POLL.total_seconds())
        else:
            return


def _unusable(path: Path, error: OSError) -> PermanentError:
    return PermanentError(
        f"the store {path} cannot be created or migrated by user {os.geteuid()}: {error.strerror}",
        hint=f"See that its folder exists, belongs to you and has room: ls -la {path.parent}",
    )


def _upgrade(connection: Connection) -> None:
    # Half the time of a short command would go into this import, and hardly any command needs it.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", "knowngood.adapters.sql:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
