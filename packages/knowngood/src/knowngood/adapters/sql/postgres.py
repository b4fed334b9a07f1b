"""
Postgres: the server under the store, its transactions, and how long anybody waits for it.

One writer for each system at a time: a change begins by taking an advisory lock on the system's name, which ends with
its transaction. A statement sees what was committed before it, so what a change reads after that lock is the newest,
and cannot move. A read is a transaction of its own that sees one moment.

A process that is frozen in the middle of a change would hold the lock as long as it is: the server ends such a
transaction after a few seconds. Settings are made by statements, not in the opening of a connection, so that a pooler
in session mode passes them on. One that hands out connections for each transaction cannot be used: the settings, and
the listeners, would be lost.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import timedelta
from functools import partial
from hashlib import sha256
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import BigInteger, ColumnElement, Connection, Engine, QueuePool, create_engine, extract, func, text
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError

from knowngood.adapters.sql.patient import (
    LONGEST_WAIT,
    PatientConnection,
    SilentError,
    no_time_left,
    resolved,
    waiting_at_most,
)
from knowngood.adapters.sql.postgres_errors import translated
from knowngood.adapters.sql.postgres_listening import CHANNEL, listening
from knowngood_sdk.errors import ConflictError, InvalidError

__all__ = ["PATIENCE", "PostgresDatabase"]

_GRACE = timedelta(milliseconds=500)
"""How much longer than its own limits the server is waited for, so that it can say itself that one is over."""
PATIENCE = LONGEST_WAIT - _GRACE
"""How long a change waits for another one to end."""

_LONGEST_MIGRATION = timedelta(minutes=1)
_LONGEST_COPY = timedelta(minutes=30)
_LONGEST_PAUSE = timedelta(seconds=5)
"""How long a change may do nothing before the server aborts it: whoever began it is frozen, or cut off."""

_PORT = 5432
_LINK = {
    "connect_timeout": "2",
    "tcp_user_timeout": "2000",
    "keepalives": "1",
    "keepalives_idle": "2",
    "keepalives_interval": "1",
    "keepalives_count": "2",
    "application_name": "knowngood",
}
_MIGRATION = "the schema"
_OTHERS = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name = 'knowngood' AND pid <> pg_backend_pid()"
)


class PostgresDatabase:
    """
    One database on a server.

    Attributes:
        name: Its address without the password.
        patience: How long a change waits for another one to end. Nobody waits longer than half a second more for all
            that the server answers in one transaction, opening the connection included.
    """

    insert = staticmethod(insert)

    def __init__(self, url: str, patience: timedelta = PATIENCE) -> None:
        try:
            self._link: dict[str, Any] = {**_LINK, **conninfo_to_dict(url)}
        except psycopg.Error as error:
            raise InvalidError(
                f"the address of the store cannot be read: {str(error).strip()}",
                hint="Give postgresql://USER@HOST/DATABASE; the password may stand in PGPASSWORD or ~/.pgpass",
            ) from error
        self.patience = patience
        self._longest = max(patience, PATIENCE)
        self.name = _shown(self._link)
        self._engine = self._make_engine()
        self._reader = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @property
    def now(self) -> ColumnElement[int]:
        """The time by the server's clock, in milliseconds since 1970, as of the statement."""
        return sql_cast(extract("epoch", func.statement_timestamp()) * 1000, BigInteger)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees one moment of the database; see ``Database``."""
        with self._transaction(self._reader, self._longest) as connection:
            yield connection

    @contextmanager
    def writing(self, what: str = "") -> Iterator[Connection]:
        """Give a connection inside a transaction that nobody else has on the same thing; see ``Database``."""
        with self._transaction(self._engine, self._longest) as connection:
            if what:
                connection.execute(_take_lock(what))
            yield connection

    def exists(self) -> bool:
        """Whether there is anything to read: a server is taken to be there."""
        return True

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Do nothing: the database was created by whoever runs the server."""
        yield

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """Give a connection for changes of the schema, to one process at a time; see ``Database``."""
        with self._transaction(self._engine, _LONGEST_MIGRATION) as connection:
            connection.execute(_set_locally(_LONGEST_MIGRATION, "lock_timeout"))
            connection.execute(_set_locally(_LONGEST_MIGRATION + _GRACE / 2, "statement_timeout"))
            connection.execute(_take_lock(_MIGRATION))
            # Whoever reads a table now is not to be kept from it by a change of it that waits in the queue.
            connection.execute(_set_locally(self.patience, "lock_timeout"))
            yield connection

    @contextmanager
    def copying(self) -> Iterator[Connection]:
        """Give a connection for reading everything; see ``Database``."""
        with self._transaction(self._reader, _LONGEST_COPY) as connection:
            connection.execute(_set_locally(_LONGEST_COPY, "statement_timeout", "idle_in_transaction_session_timeout"))
            yield connection

    @contextmanager
    def replacing(self) -> Iterator[Connection]:
        """Give a connection for writing everything, to whoever is alone here; see ``Database``."""
        with self._transaction(self._engine, _LONGEST_COPY) as connection:
            connection.execute(_set_locally(_LONGEST_COPY, "statement_timeout", "idle_in_transaction_session_timeout"))
            connection.execute(_take_lock(_MIGRATION))
            others = connection.execute(_OTHERS).scalar_one()
            if others:
                raise ConflictError(
                    f"the store {self.name} is in use: knowngood has {others} other connection(s) to it",
                    hint="Stop every kg serve on it first",
                )
            yield connection

    def announce(self, connection: Connection) -> None:
        """Tell whoever listens, once the transaction is committed."""
        connection.execute(text(f"NOTIFY {CHANNEL}"))

    def listening(self, look: Callable[[], None]) -> AbstractContextManager[None]:
        """Call back when another process may have committed something; see ``Database``."""
        return listening(self.connect, look)

    def connect(self) -> PatientConnection:
        """Open a connection beside the pool; the caller waits for notifications on it and closes it."""
        if no_time_left():
            raise SilentError("no time is left to connect")
        connection = PatientConnection.connect(**_with_addresses(self._link), autocommit=True)
        try:
            connection.execute(self._settings())
            connection.autocommit = False
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _settings(self) -> bytes:
        bounds = {
            # Above that of locks, so that one that is held is told as what it is.
            "statement_timeout": self._longest + _GRACE / 2,
            "lock_timeout": self.patience,
            "idle_in_transaction_session_timeout": max(_LONGEST_PAUSE, self.patience),
        }
        settings = "; ".join(f"SET {name} = {_milliseconds(bound)}" for name, bound in bounds.items())
        return f"SET TIME ZONE 'UTC'; SET client_encoding = 'UTF8'; {settings}".encode()

    def _make_engine(self) -> Engine:
        return create_engine(
            "postgresql+psycopg://",
            creator=self.connect,
            poolclass=QueuePool,
            pool_size=8,
            max_overflow=8,
            pool_timeout=self._longest.total_seconds(),
            pool_pre_ping=True,  # a connection from before an outage is replaced without anybody noticing
            pool_use_lifo=True,
            use_native_hstore=False,
        )

    @contextmanager
    def _transaction(self, engine: Engine, longest: timedelta) -> Iterator[Connection]:
        translating = partial(translated, name=self.name, seconds=f"{self.patience.total_seconds():g}")
        with translating(committing=False), waiting_at_most(longest + _GRACE), engine.connect() as connection:
            transaction = connection.begin()
            try:
                yield connection
            except BaseException:
                # A server that is gone aborts by itself, and what went wrong in the block is what counts.
                with suppress(DBAPIError):
                    transaction.rollback()
                raise
            with translating(committing=True), waiting_at_most(longest, at_least=_GRACE):
                transaction.commit()


def _with_addresses(link: dict[str, Any]) -> dict[str, Any]:
    """Resolve a host's name here, in the time that there is; several hosts, and what is no name, are the driver's."""
    host = str(link.get("host") or "")
    if not host or host.startswith(("/", "@")) or "," in host or link.get("hostaddr"):
        return link
    addresses = resolved(host, int(link.get("port") or _PORT))
    return {**link, "host": ",".join([host] * len(addresses)), "hostaddr": ",".join(addresses)}


def _take_lock(what: str) -> Any:
    number = int.from_bytes(sha256(f"knowngood {what}".encode()).digest()[:8], signed=True)
    return text("SELECT pg_advisory_xact_lock(:number)").bindparams(number=number)


def _set_locally(bound: timedelta, *names: str) -> Any:
    settings = ", ".join(f"set_config('{name}', :value, true)" for name in names)
    return text(f"SELECT {settings}").bindparams(value=str(_milliseconds(bound)))


def _milliseconds(bound: timedelta) -> int:
    return max(1, round(bound / timedelta(milliseconds=1)))


def _shown(link: dict[str, Any]) -> str:
    host = str(link.get("host") or link.get("hostaddr") or "")
    database = link.get("dbname") or link.get("user") or ""
    if host.startswith("/"):
        return f"postgresql:///{database}?host={host}"
    return f"postgresql://{host}{':' if link.get('port') else ''}{link.get('port') or ''}/{database}"
