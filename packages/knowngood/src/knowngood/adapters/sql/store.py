"""Store: the port's ``Store`` on SQL tables."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import Connection

from knowngood.adapters.sql import records
from knowngood.adapters.sql.as_of import AsOf, Readings
from knowngood.adapters.sql.change import SqlChange
from knowngood.adapters.sql.database import Database
from knowngood.adapters.sql.fleet_rows import read_fleet
from knowngood.adapters.sql.leases import check_held
from knowngood.adapters.sql.opening import open_database
from knowngood.domain.deployment import Deployment
from knowngood.domain.evidence import Evidence
from knowngood.domain.fleet import FleetState
from knowngood.domain.ledger import EMPTY, Anchor, Entry
from knowngood.domain.lookup import no_system
from knowngood.domain.on_record import Unread
from knowngood.domain.saga import Saga
from knowngood.ports.lease import Held
from knowngood_sdk.model.manifest import Manifest

__all__ = ["SqlStore"]

_T = TypeVar("_T")


class SqlStore:
    """
    What is on record, in one database. Threads may share it; a process that forks must open its own.

    Attributes:
        database: The database, for what else is kept in it.
    """

    def __init__(self, database: Database, held: Held | None = None, readings: Readings | None = None) -> None:
        self.database = database
        self._held = held
        self._readings = readings or Readings()

    @classmethod
    def open(cls, where: Path | str, *, patience: timedelta | None = None) -> "SqlStore":
        """
        Open the store in a file or on a server; create or migrate it first where that is needed.

        Args:
            where: The file, in a folder that exists, or ``postgresql://…``: a database that exists.
            patience: How long a write waits for another one to end; five seconds, or one and a half on a server.

        Raises:
            InvalidError: A newer knowngood wrote it, or the address cannot be read.
            PermanentError: It is no store, or cannot be created, opened or written.
            TransientError: It stayed locked, or cannot be reached.
        """
        return cls(open_database(where, patience))

    def close(self) -> None:
        """Close every connection."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def systems(self) -> tuple[str, ...]:
        """Return the names of all systems, sorted."""
        with self.database.reading() as connection:
            return records.systems(connection)

    def fenced(self, held: Held) -> "SqlStore":
        """Return the store for the holder of a lease; see the port."""
        return SqlStore(self.database, held, self._readings)

    @contextmanager
    def change(self, system: str) -> Iterator[SqlChange]:
        """Open the one transaction that there can be at a time; see the port."""
        with self.database.writing(f"system {system}") as connection:
            if self._held is not None:
                check_held(connection, self._held)
            change = SqlChange(connection, system, self._readings)
            yield change
            change.check_told()
            if self._held is not None:
                # Again, for the block may have taken long; from here on nobody can take it before the commit.
                check_held(connection, self._held, until_the_end=True)
        change.was_committed()

    def read(self, system: str) -> FleetState:
        """Return the route."""
        with self.database.reading() as connection:
            head = records.head(connection, system)
            kept = self._readings.route.find(system, head)
            if kept is not None:
                return kept
            if head == EMPTY and not records.exists(connection, system):
                raise no_system(system, records.systems(connection))
            state = read_fleet(connection, system)
        self._readings.keep_route(system, head, state)
        return state

    def system_spec(self, system: str) -> Mapping[str, Any]:
        """Return the rules that were applied, as JSON."""
        return self._found(system, records.spec)

    def manifests(self, system: str) -> tuple[Manifest, ...]:
        """Return every manifest, in the order of recording."""
        return self._found(system, records.manifests)

    def versions(self, system: str) -> tuple[Unread, ...]:
        """Return every manifest, in the order of recording, each to be read once it is asked for."""
        return self._found(system, records.versions)

    def manifest(self, system: str, name: str) -> Manifest:
        """Return a manifest by what people call it."""
        with self._reading(system) as connection:
            return records.manifest(connection, system, name)

    def evidence(self, system: str) -> tuple[Evidence, ...]:
        """Return all evidence, in the order of recording."""
        return self._as_of(system, self._readings.evidence, records.evidence)

    def deployments(self, system: str) -> tuple[Deployment, ...]:
        """Return every deployment, by generation."""
        return self._found(system, records.deployments)

    def deployment(self, system: str, generation: int) -> Deployment:
        """Return a deployment."""
        with self._reading(system) as connection:
            return records.deployment(connection, system, generation)

    def sagas(self, system: str) -> tuple[Saga, ...]:
        """Return every rollback, in the order in which they started."""
        return self._as_of(system, self._readings.sagas, records.sagas)

    def ledger(self, system: str, *, after: int = 0, limit: int | None = None) -> tuple[Entry, ...]:
        """Return the entries behind a sequence number, as they are kept."""
        with self._reading(system) as connection:
            return records.ledger(connection, system, after, limit)

    def head(self, system: str) -> Anchor:
        """Return how far the ledger goes."""
        with self._reading(system) as connection:
            return records.head(connection, system)

    def heads(self) -> Mapping[str, Anchor]:
        """Return how far every ledger goes."""
        with self.database.reading() as connection:
            return records.heads(connection)

    def _as_of(
        self, system: str, kept: AsOf[tuple[_T, ...]], read: Callable[[Connection, str], tuple[_T, ...]]
    ) -> tuple[_T, ...]:
        """Return what is read, or was read of a ledger that goes as far."""
        with self.database.reading() as connection:
            head = records.head(connection, system)
            found = kept.find(system, head)
            if found is not None:
                return found
            if head == EMPTY and not records.exists(connection, system):
                raise no_system(system, records.systems(connection))
            found = read(connection, system)
        kept.keep(system, head, found, len(found))
        return found

    def _found(self, system: str, read: Callable[[Connection, str], _T]) -> _T:
        """Return what is read; whether the system is on record is asked only where nothing is found of it."""
        with self.database.reading() as connection:
            found = read(connection, system)
            if not found and not records.exists(connection, system):
                raise no_system(system, records.systems(connection))
            return found

    @contextmanager
    def _reading(self, system: str) -> Iterator[Connection]:
        with self.database.reading() as connection:
            if not records.exists(connection, system):
                raise no_system(system, records.systems(connection))
            yield connection
