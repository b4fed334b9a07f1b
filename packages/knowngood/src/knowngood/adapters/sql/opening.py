"""Opening: the database that an address names, with its tables as this program wants them."""

import importlib
from datetime import timedelta
from pathlib import Path

from knowngood.adapters.sql.database import Database
from knowngood.adapters.sql.migrate import migrate
from knowngood.adapters.sql.sqlite import SqliteDatabase
from knowngood_sdk.errors import InvalidError, NotFoundError

__all__ = ["find_database", "open_database"]

_SCHEMES = ("postgresql://", "postgres://")
_SQLITE = "sqlite:///"


def open_database(where: Path | str, patience: timedelta | None = None) -> Database:
    """
    Open a database; create or migrate its tables first where that is needed.

    Args:
        where: A file, in a folder that exists; or ``postgresql://…``, a database that exists.
        patience: How long a write waits for another one to end; by default what suits the database.

    Raises:
        InvalidError: A newer knowngood wrote it, or the address cannot be read.
        NotFoundError: The driver for it is not installed.
        PermanentError: It is no store, or cannot be created, opened or written.
        TransientError: It stayed locked, or cannot be reached.
    """
    database = find_database(where, patience)
    try:
        migrate(database)
    except BaseException:
        database.close()
        raise
    return database


def find_database(where: Path | str, patience: timedelta | None = None) -> Database:
    """Return the database that an address names, as it is: nothing is created or migrated; raises as above."""
    given = {} if patience is None else {"patience": patience}
    if isinstance(where, Path):
        return SqliteDatabase(where, **given)
    if where.startswith(_SCHEMES):
        try:
            # The driver is an extra, and its import takes longer than a short command.
            module = importlib.import_module("knowngood.adapters.sql.postgres")
        except ModuleNotFoundError as error:
            raise NotFoundError(
                f"the driver for Postgres is not installed: there is no module {error.name}",
                hint="Install it: pip install 'knowngood[postgres]'",
            ) from error
        database: Database = module.PostgresDatabase(where, **given)
        return database
    if where.startswith(_SQLITE):
        return SqliteDatabase(Path(where.removeprefix(_SQLITE)), **given)
    if "://" in where:
        raise InvalidError(
            f"the store cannot be kept in {where.partition('://')[0]}://…",
            hint="Give a file, or postgresql://USER@HOST/DATABASE",
        )
    return SqliteDatabase(Path(where), **given)
