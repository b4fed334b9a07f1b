"""
SQLite: the file under the store, its transactions, and what its errors mean.

Write-ahead logging lets readers go on while one process
writes; ``synchronous=FULL`` makes a commit survive a power cut; ``BEGIN IMMEDIATE`` takes the write lock at once, so
that nothing that a change has read can move before it commits.
"""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import quote

from sqlalchemy import ColumnElement, Connection, Engine, Integer, QueuePool, create_engine, event, func
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from knowngood.adapters.sql.sqlite_listening import listening
from knowngood_sdk.errors import ConflictError, KnownGoodError, OutcomeUnknownError, PermanentError, TransientError

__all__ = ["PATIENCE", "SqliteDatabase"]

PATIENCE = timedelta(seconds=5)
"""How long a change waits for another one to end."""

_WRITE = "knowngood_write"
_LONGEST_MIGRATION = timedelta(minutes=1)
_POLL = timedelta(milliseconds=20)


class _Meaning(NamedTuple):
    """What an error of SQLite means for whoever called, by the beginning of its name."""

    names: tuple[str, ...]
    error: type[KnownGoodError]
    what: str
    hint: str
    locked: bool = False


_MEANINGS = (
    _Meaning(
        ("SQLITE_BUSY", "SQLITE_LOCKED"),
        TransientError,
        "the store {path} is locked: another process has been writing to it for {seconds} s",
        "Try again; if it stays locked, see who has it open: fuser -v {path}",
        locked=True,
    ),
    _Meaning(
        ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_TRUNCATE"),
        PermanentError,
        "the store {path} cannot grow; nothing was changed",
        "Make room on the disk or raise the quota, then try again: df {folder}",
    ),
    _Meaning(
        ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH", "SQLITE_IOERR_SHMOPEN"),
        PermanentError,
        "the store {path} cannot be opened or written by user {user}; nothing was changed",
        "Run as its owner, or mend the permissions: ls -la {folder}",
    ),
    _Meaning(
        ("SQLITE_NOTADB", "SQLITE_CORRUPT"),
        PermanentError,
        "the store {path} is damaged or no database",
        "Keep the file for a person to look at, and restore it from a copy",
    ),
)
_DISK_FAILED = _Meaning(
    ("SQLITE_IOERR",),
    PermanentError,
    "the disk under the store {path} fails; nothing was changed",
    "Look at the disk; if it was replaced, restore the store from a copy",
)
_COMMIT_FAILED = _Meaning(
    ("SQLITE_IOERR",),
    OutcomeUnknownError,
    "the disk failed while a change of the store {path} was committed",
    "Look at the disk, then at what is on record, before acting again: kg history SYSTEM",
)


class SqliteDatabase:
    """
    One database file.

    Attributes:
        name: Its path.
        path: Where it is; opening it never creates it.
        patience: How long a write waits for another one to end.
    """

    insert = staticmethod(insert)

    def __init__(self, path: Path, patience: timedelta = PATIENCE) -> None:
        self.name = str(path)
        self.path = path
        self.patience = patience
        self._engine = self._make_engine()
        self._writer = self._engine.execution_options(**{_WRITE: True})

    @property
    def now(self) -> ColumnElement[int]:
        """The time by this host's clock, in milliseconds since 1970, as of the statement."""
        seconds = sql_cast(func.strftime("%s", "now"), Integer)
        return seconds * 1000 + sql_cast(func.substr(func.strftime("%f", "now"), 4), Integer)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """
        Give a connection that sees one moment of the database, whatever is written meanwhile.

        Raises:
            TransientError: The database stayed locked.
            PermanentError: It cannot be opened or read.
        """
        with self._transaction(self._engine) as connection:
            yield connection

    @contextmanager
    def writing(self, what: str = "") -> Iterator[Connection]:  # noqa: ARG002 - there is one lock, on the whole file
        """
        Give a connection inside an exclusive transaction, which is committed at the end, or aborted by any exception.

        Raises:
            TransientError: Another process held the write lock for longer than the patience; nothing was changed.
            PermanentError: The disk is full, or the file cannot be opened or written; nothing was changed.
            OutcomeUnknownError: The commit was sent to the disk, and the disk reported a failure.
        """
        with self._transaction(self._writer) as connection:
            yield connection

    def exists(self) -> bool:
        """Whether the file is there."""
        return self.path.exists()

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """
        Create the file where there is none, for its owner alone, in the turn of this process.

        The write-ahead log beside it inherits its permissions.
        """
        lock = self._own(self.path.with_name(f"{self.path.name}.lock"))
        try:
            self._acquire(lock)
            os.close(self._own(self.path))
            yield
        finally:
            os.close(lock)

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """Give a connection for changes of the schema; to be called while ``preparing``."""
        self._use_write_ahead_log()
        with self.writing("the schema") as connection:
            yield connection

    def _own(self, path: Path) -> int:
        try:
            return os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise PermanentError(
                f"the store {self.path} cannot be created or migrated by user {os.geteuid()}: {error.strerror}",
                hint=f"See that its folder exists, belongs to you and has room: ls -la {self.path.parent}",
            ) from error

    def _acquire(self, descriptor: int) -> None:
        last = monotonic() + _LONGEST_MIGRATION.total_seconds()
        never = Event()
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if monotonic() > last:
                    raise TransientError(
                        f"the store {self.path} has been migrated by another process for {_LONGEST_MIGRATION}",
                        hint=f"Try again; if it stays, see who holds it: fuser -v {self.path}.lock",
                    ) from error
                never.wait(_POLL.total_seconds())
            else:
                return

    def _use_write_ahead_log(self) -> None:
        """Put the file into WAL mode, where it stays."""
        with self._translated(committing=False), closing(self._engine.raw_connection()) as connection:
            (mode,) = connection.cursor().execute("PRAGMA journal_mode=WAL").fetchone()  # impossible in a transaction
        if mode != "wal":
            raise PermanentError(
                f"the file system of {self.path} cannot hold a write-ahead log (journal mode is {mode})",
                hint="Put KNOWNGOOD_DIR on a local disk",
            )

    @contextmanager
    def alone(self) -> Iterator[sqlite3.Connection]:
        """Give a connection of the driver's that nobody else has beside it; raises ConflictError when somebody has."""
        with self.translated(), closing(self.connect()) as connection:
            connection.execute("PRAGMA busy_timeout = 100")
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("COMMIT")  # the lock stays until the connection is closed
            except sqlite3.OperationalError as error:
                if error.sqlite_errorname.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
                    raise ConflictError(
                        f"the store {self.path} is in use",
                        hint=f"Stop whoever has it open, then try again: fuser -v {self.path}",
                    ) from error
                raise
            yield connection

    def translated(self) -> AbstractContextManager[None]:
        """Turn the driver's errors into ours, for whoever uses a connection of its own."""
        return self._translated(committing=False)

    def announce(self, connection: Connection) -> None:
        """Do nothing: the file's number of changes rises by itself."""

    def listening(self, look: Callable[[], None]) -> AbstractContextManager[None]:
        """Call back when another process may have committed something; see ``Database``."""
        return listening(self.connect, look)

    def connect(self) -> sqlite3.Connection:
        """Open a connection beside the pool, which the caller closes."""
        connection = sqlite3.connect(
            # Never created by opening it: a store that was deleted must not come back empty.
            f"file:{quote(str(self.path))}?mode=rw",
            uri=True,
            timeout=self.patience.total_seconds(),
            isolation_level=None,  # the driver opens no transaction by itself: _begin below does
            check_same_thread=False,  # the pool hands a connection to one thread at a time
        )
        try:
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _make_engine(self) -> Engine:
        engine = create_engine(
            "sqlite://", creator=self.connect, poolclass=QueuePool, pool_timeout=self.patience.total_seconds()
        )
        event.listen(engine, "begin", _begin)
        return engine

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Connection]:
        with self._translated(committing=False), engine.connect() as connection:
            transaction = connection.begin()
            try:
                yield connection
            except BaseException:
                transaction.rollback()
                raise
            with self._translated(committing=True):
                transaction.commit()

    @contextmanager
    def _translated(self, *, committing: bool) -> Iterator[None]:
        """Turn the driver's errors into ours, in this one place; a mistake of ours in a statement stays what it is."""
        try:
            yield
        except PoolTimeoutError as error:
            raise TransientError(
                f"all connections to the store {self.path} have been in use for {self.patience.total_seconds():g} s",
                hint="Try again; changes do not nest",
                locked=True,
            ) from error
        except (DBAPIError, sqlite3.Error) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            meaning = _meaning_of(str(getattr(cause, "sqlite_errorname", "")), committing=committing)
            if meaning is None:
                raise
            facts = {
                "path": self.path,
                "folder": self.path.parent,
                "seconds": f"{self.patience.total_seconds():g}",
                "user": os.geteuid(),
            }
            what, details = meaning.what.format(**facts), {"locked": True} if meaning.locked else {}
            raise meaning.error(f"{what} ({cause})", hint=meaning.hint.format(**facts), **details) from error


def _begin(connection: Connection) -> None:
    options: dict[str, Any] = dict(connection.get_execution_options())
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get(_WRITE) else "BEGIN")


def _meaning_of(name: str, *, committing: bool) -> _Meaning | None:
    known = (*_MEANINGS, _COMMIT_FAILED if committing else _DISK_FAILED)
    return next((meaning for meaning in known if name.startswith(meaning.names)), None)
