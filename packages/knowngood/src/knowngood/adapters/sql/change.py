"""Change: what may be written to one system, inside one transaction."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Insert, Table, Update, bindparam, func, insert, select, update

from knowngood.adapters.sql import records, schema
from knowngood.adapters.sql.as_of import Readings
from knowngood.adapters.sql.fleet_rows import create_fleet, read_fleet, replace_fleet
from knowngood.domain import ledger
from knowngood.domain.deployment import Deployment
from knowngood.domain.evidence import Evidence, Grade
from knowngood.domain.fleet import FleetState
from knowngood.domain.ledger import EMPTY, Entry
from knowngood.domain.lookup import no_system, not_minted, saved_already, untold
from knowngood.domain.saga import Saga
from knowngood_sdk.model.manifest import Manifest, check_name

__all__ = ["SqlChange"]

_OF_ROW = "of_"
"""In front of the names of what says which row: what it is set to has those of the columns."""


class SqlChange:
    """The port's ``Change``, on a connection whose transaction its owner ends."""

    def __init__(self, connection: Connection, system: str, readings: Readings) -> None:
        self._connection = connection
        self._system = system
        self._readings = readings
        self._begun_at = self._head = records.head(connection, system)
        # An entry is of a system that is on record.
        self._begun = self._head != EMPTY or records.exists(connection, system)
        self._state: FleetState | None = None
        self._saved = False
        self._judged = False
        self._sagas: dict[str, Saga] = {}

    @property
    def state(self) -> FleetState:
        """The route, with what this change saved; read only once it is asked for."""
        if self._state is None:
            found = self._readings.route.find(self._system, self._begun_at)
            if found is None:
                found = read_fleet(self._connection, self._system) if self._begun else FleetState()
            self._state = found
        return self._state

    def check_told(self) -> None:
        """Raise InvalidError where something was saved and no entry says so: to be called before the commit."""
        if self._saved and self._head == self._begun_at:
            raise untold(self._system)

    def was_committed(self) -> None:
        """Keep what is known now, so that nobody reads it again: to be called after the commit."""
        readings, system, at = self._readings, self._system, (self._begun_at, self._head)
        if self._state is not None:
            readings.keep_route(system, self._head, self._state)
        else:
            readings.route.carry(system, *at)
        if not self._judged:
            readings.evidence.carry(system, *at)
        readings.carry_sagas(system, *at, self._sagas)

    def deployment(self, generation: int) -> Deployment:
        """Return a deployment, with what this change saved."""
        self._require()
        return records.deployment(self._connection, self._system, generation)

    def save_system(self, document: Mapping[str, Any]) -> None:
        """Keep the rules that were applied to the system."""
        check_name(self._system, "system")
        self._put(schema.systems, {}, {"spec": document})
        if not self._begun:
            create_fleet(self._connection, self._system)
            self._begun = True

    def save(self, state: FleetState) -> None:
        """Keep a state in place of the one before."""
        self._require()
        if state != self.state:
            replace_fleet(self._connection, self._system, self.state, state)
            self._state, self._saved = state, True

    def append(self, kind: str, actor: str, at: str, body: Mapping[str, Any]) -> Entry:
        """Append to the system's ledger."""
        self._require()
        entry = ledger.append(self._system, self._head, at=at, actor=actor, kind=kind, body=body)
        self._connection.execute(_insert(schema.ledger), entry.to_json())
        self._head = entry.anchor
        return entry

    def record_manifest(self, manifest: Manifest, at: str) -> None:
        """Keep a manifest; one that is on record stays as it is."""
        self._require()
        table = schema.manifests
        there = select(table.c.digest).where(table.c.system == self._system, table.c.digest == manifest.digest)
        if self._connection.execute(there).first() is None:
            self._add(
                table,
                {
                    "digest": manifest.digest,
                    "version": manifest.content_digest,
                    "recorded_at": at,
                    "document": manifest.to_json(),
                },
            )

    def add_evidence(self, version: str, grade: Grade, at: str, figures: Mapping[str, Any]) -> None:
        """Keep a piece of evidence about a version."""
        self._require()
        self._saved = self._judged = True
        self._add(schema.evidence, Evidence(version=version, grade=grade, at=at, figures=figures).to_json())

    def save_deployment(self, deployment: Deployment) -> None:
        """Keep a deployment in place of the one of the same generation."""
        self._require()
        if deployment.generation not in self.state.generations:
            raise not_minted(self._system, deployment.generation)
        row = deployment.to_json()
        self._put(schema.deployments, {"generation": row.pop("generation")}, row)

    def save_saga(self, saga: Saga) -> None:
        """Keep a saga in place of what is on record of it."""
        self._require()
        known = records.saga(self._connection, self._system, saga.id)
        if known is not None:
            saga.check_follows(known)
            if saga == known:
                raise saved_already(saga.id)
        self._saved = True
        self._sagas[saga.id] = saga
        document = saga.to_json()
        self._put(schema.sagas, {"version": document.pop("version"), "episode": document.pop("episode")}, document)

    def _require(self) -> None:
        if not self._begun:
            raise no_system(self._system, records.systems(self._connection))

    def _put(self, table: Table, key: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        """Update the row of a key, or insert it; nobody can come in between."""
        which = {f"{_OF_ROW}{name}": value for name, value in {**key, "system": self._system}.items()}
        if self._connection.execute(_update(table), {**values, **which}).rowcount == 0:
            self._connection.execute(_insert(table), {**values, **key, "system": self._system})

    def _add(self, table: Table, values: Mapping[str, Any]) -> None:
        """Insert a row behind all others of the system."""
        last = select(func.max(table.c.position)).where(table.c.system == self._system)
        position = (self._connection.execute(last).scalar_one() or 0) + 1
        self._connection.execute(insert(table), {**values, "system": self._system, "position": position})


@lru_cache
def _insert(table: Table) -> Insert:
    return insert(table)


@lru_cache
def _update(table: Table) -> Update:
    """Return what updates the row of a primary key: made once, as all that a step of a rollback asks a database."""
    return update(table).where(*(column == bindparam(f"{_OF_ROW}{column.name}") for column in table.primary_key))
