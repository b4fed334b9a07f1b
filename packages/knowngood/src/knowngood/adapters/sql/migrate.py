"""
Migrate: bring a database to the schema of this program, once, whoever comes first.

One that is up to date is recognised by one read, without Alembic. Anything else takes turns, so that of several
processes that start at once one migrates and the others find it done. A migration is one transaction.
"""

import logging

from sqlalchemy import Connection, column, inspect, select, table

from knowngood.adapters.sql.database import Database
from knowngood.adapters.sql.schema import REVISIONS, compatibility
from knowngood_sdk.errors import InvalidError, PermanentError

__all__ = ["migrate", "revision"]

_log = logging.getLogger(__name__)
_VERSIONS = table("alembic_version", column("version_num"))


def migrate(database: Database) -> None:
    """
    Create or upgrade the tables of a store; do nothing where they are up to date.

    Raises:
        InvalidError: The store was written by a newer knowngood.
        PermanentError: It is no store, or cannot be created, opened or written.
        TransientError: Another process has been migrating it for a minute, or it cannot be reached.
    """
    if database.exists() and revision(database) == REVISIONS[-1]:
        return
    with database.preparing():
        if revision(database) == REVISIONS[-1]:
            return
        with database.migrating() as connection:
            # Another one may have been here while this one waited for its turn.
            if _revision(connection, database.name) != REVISIONS[-1]:
                _upgrade(connection)


def revision(database: Database) -> str | None:
    """
    Return the revision of the tables, or None for a database without any; raises as ``migrate`` does.

    Tables of a newer program that this one can work with are as good as those of its own newest revision.
    """
    with database.reading() as connection:
        return _revision(connection, database.name)


def _revision(connection: Connection, name: str) -> str | None:
    tables = inspect(connection).get_table_names()
    if not tables:
        return None
    if _VERSIONS.name not in tables:
        raise PermanentError(
            f"{name} is a database of something else: it has the tables {', '.join(sorted(tables))}",
            hint="Give knowngood a place of its own: a folder (KNOWNGOOD_DIR), or a database that is empty",
        )
    found = connection.execute(select(_VERSIONS.c.version_num)).scalar_one_or_none()
    if found is None:
        raise PermanentError(
            f"the store {name} says nothing of its schema: alembic_version is empty",
            hint="Keep it for a person to look at, and restore it from a copy",
        )
    if found in REVISIONS:
        return str(found)
    if compatibility.name in tables and connection.execute(select(compatibility.c.oldest)).scalar() in REVISIONS:
        _log.warning("the store %s was migrated by a newer knowngood, to schema %s", name, found)
        return REVISIONS[-1]
    raise InvalidError(
        f"the store {name} has schema {found}; this program knows up to {REVISIONS[-1]}",
        hint="A newer knowngood wrote it: upgrade knowngood here",
    )


def _upgrade(connection: Connection) -> None:
    # Half the time of a short command would go into this import, and hardly any command needs it.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", "knowngood.adapters.sql:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
