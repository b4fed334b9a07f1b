"""Database: all that the rest of this package needs to know of the database under it, whichever that is."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection

__all__ = ["Database", "ServerDatabase"]


class Database(Protocol):
    """
    One database. Threads may share it; a process that forks must open its own.

    The context managers raise TransientError (locked, away, or silent for longer than the patience), PermanentError
    (full, forbidden, damaged) and, where a commit was sent and no answer came, OutcomeUnknownError.

    Attributes:
        name: What people call it: its path, or its address without the password.
        insert: Makes an insert that may end with ``on_conflict_do_update``.
    """

    name: str
    insert: Callable[..., Any]

    @property
    def now(self) -> ColumnElement[int]:
        """The time by the database's own clock, in milliseconds since 1970, within a statement."""
        ...

    def reading(self) -> AbstractContextManager[Connection]:
        """Give a connection that sees one moment of the database, whatever is written meanwhile."""
        ...

    def writing(self, what: str = "") -> AbstractContextManager[Connection]:
        """
        Give a connection inside a transaction, which is committed at the end, or aborted by any exception.

        Args:
            what: Nobody else who names the same writes while the block runs. Nothing named: rows alone are locked.
        """
        ...

    def exists(self) -> bool:
        """Whether there is anything to read; a server is taken to be there."""
        ...

    def preparing(self) -> AbstractContextManager[None]:
        """Create what has to be there before a migration; several that come at once may take turns here."""
        ...

    def migrating(self) -> AbstractContextManager[Connection]:
        """Give a connection as ``writing`` does, for changes of the schema, to one process at a time."""
        ...

    def announce(self, connection: Connection) -> None:
        """Tell whoever listens, once the transaction is committed, that something changed."""
        ...

    def listening(self, look: Callable[[], None]) -> AbstractContextManager[None]:
        """
        Call ``look`` in a thread when another process may have committed something, while the block runs.

        It is called once in any case, and again after each time that the database was away; what it raises while the
        database is away is noted, and it is called again later.
        """
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


class ServerDatabase(Database, Protocol):
    """A database on a server, which is copied row by row."""

    def copying(self) -> AbstractContextManager[Connection]:
        """Give a connection as ``reading`` does, for as long as reading everything takes."""
        ...

    def replacing(self) -> AbstractContextManager[Connection]:
        """
        Give a connection as ``writing`` does, to whoever has the database to themselves.

        Raises:
            ConflictError: Somebody else has it open.
        """
        ...
