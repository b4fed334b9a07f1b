"""
What outlives a rollback, in one SQLite file: written state, an outbox of acts, and a journal of all that was changed.

Each change is one transaction together with its line in the journal, so that a test sees what was done, how often, and
for which version, whoever was killed.
"""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from knowngood.domain.effect import Damage, Effect, EffectsSpec, EffectState
from knowngood.domain.state import Repaired, StateSpec, Written
from knowngood_sdk.errors import ConflictError, NotFoundError, TransientError

__all__ = ["OutboxEffects", "TableState", "journal", "record", "write"]

_SCHEMA = """
    CREATE TABLE IF NOT EXISTS written (number INTEGER PRIMARY KEY, place TEXT, version TEXT, key TEXT, value TEXT);
    CREATE TABLE IF NOT EXISTS acts (place TEXT, id TEXT, version TEXT, what TEXT, subject TEXT, at TEXT, state TEXT,
        compensable INTEGER, compensated_as TEXT, PRIMARY KEY (place, id));
    CREATE TABLE IF NOT EXISTS fences (place TEXT, version TEXT, generation INTEGER, PRIMARY KEY (place, version));
    CREATE TABLE IF NOT EXISTS journal (number INTEGER PRIMARY KEY, place TEXT, version TEXT, did TEXT, what TEXT);
"""
_ACT = "id, version, what, subject, at, state, compensable"


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the file for one transaction, which holds or leaves no trace."""
    try:
        with closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as connection:
            connection.executescript(_SCHEMA)
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        raise TransientError(f"{path} cannot be used now: {error}") from error


def _fence(connection: sqlite3.Connection, place: str, version: str, generation: int) -> None:
    row = connection.execute(
        "SELECT generation FROM fences WHERE place = ? AND version = ?", (place, version)
    ).fetchone()
    if row is not None and row[0] > generation:
        raise ConflictError(f"generation {row[0]} saw to this version in {place}, so generation {generation} does not")
    connection.execute("INSERT OR REPLACE INTO fences VALUES (?, ?, ?)", (place, version, generation))


def _note(connection: sqlite3.Connection, place: str, version: str, did: str, what: str) -> None:
    connection.execute(
        "INSERT INTO journal (place, version, did, what) VALUES (?, ?, ?, ?)", (place, version, did, what)
    )


def write(path: Path, place: str, version: str, key: str, value: str) -> None:
    """Write state as a version does."""
    with _opened(path) as connection:
        connection.execute(
            "INSERT INTO written (place, version, key, value) VALUES (?, ?, ?, ?)", (place, version, key, value)
        )


def record(path: Path, place: str, effect: Effect) -> None:
    """Record an act as whoever acts does."""
    row = (place, effect.id, effect.version, effect.what, effect.subject, effect.at, effect.state, effect.compensable)
    with _opened(path) as connection:
        connection.execute("INSERT INTO acts VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)", row)


def journal(path: Path, did: str, version: str | None = None) -> list[str]:
    """Return what was changed in a way, each time that it was."""
    with _opened(path) as connection:
        rows = connection.execute("SELECT version, what FROM journal WHERE did = ? ORDER BY number", (did,)).fetchall()
    return [what for by, what in rows if version in {None, by}]


class TableState:
    """Rows that carry the version that wrote them."""

    options: ClassVar[Collection[str]] = ()

    def __init__(self, spec: StateSpec, *, system: str, root: Path, folder: Path) -> None:  # noqa: ARG002 - the port's
        self.name = spec.name
        self.state_class = spec.state_class
        self._path = root / spec.target

    def read(self, key: str) -> str | None:
        """Read what stands there."""
        with _opened(self._path) as connection:
            row = connection.execute(
                "SELECT value FROM written WHERE place = ? AND key = ? ORDER BY number DESC", (self.name, key)
            ).fetchone()
        return None if row is None else str(row[0])

    def written(self, version: str) -> Written:
        """Count the keys that stand there by a version."""
        with _opened(self._path) as connection:
            return Written(items=len(self._keys(connection, version)))

    def repair(self, version: str, *, generation: int, deadline: timedelta) -> Repaired:  # noqa: ARG002 - it is short
        """Take the rows of a version away; what stood there before shows again."""
        with _opened(self._path) as connection:
            _fence(connection, self.name, version, generation)
            keys = self._keys(connection, version)
            connection.execute("DELETE FROM written WHERE place = ? AND version = ?", (self.name, version))
            for key in keys:
                _note(connection, self.name, version, "discarded", key)
        return Repaired(items=len(keys))

    def _keys(self, connection: sqlite3.Connection, version: str) -> list[str]:
        rows = connection.execute(
            "SELECT DISTINCT key FROM written WHERE place = ? AND version = ? ORDER BY key", (self.name, version)
        )
        return [key for (key,) in rows]


class OutboxEffects:
    """Acts that somebody carries out from a table."""

    options: ClassVar[Collection[str]] = ()

    def __init__(self, spec: EffectsSpec, *, system: str, root: Path, folder: Path) -> None:  # noqa: ARG002 - the port's
        self.name = spec.name
        self._path = root / spec.target

    def caused_by(
        self, version: str, *, state: EffectState | None = None, after: str = "", limit: int = 1000
    ) -> Sequence[Effect]:
        """Return acts of a version, by id."""
        with _opened(self._path) as connection:
            rows = connection.execute(
                f"SELECT {_ACT} FROM acts WHERE place = ? AND version = ? "  # noqa: S608 - its columns
                "AND id > ? AND state LIKE ? ORDER BY id LIMIT ?",
                (self.name, version, after, state or "%", limit),
            ).fetchall()
        return [_effect(row) for row in rows]

    def damage(self, version: str) -> Damage:
        """Count them where they are."""
        counts: dict[str, dict[EffectState, int]] = {}
        incurable = 0
        with _opened(self._path) as connection:
            rows = connection.execute(
                "SELECT what, state, count(*), sum(state = 'executed' AND NOT compensable) FROM acts "
                "WHERE place = ? AND version = ? GROUP BY what, state",
                (self.name, version),
            ).fetchall()
        for what, state, number, beyond in rows:
            counts.setdefault(what, {})[EffectState(state)] = number
            incurable += beyond
        return Damage(counts=counts, incurable=incurable)

    def cancel(self, effect_id: str, *, generation: int) -> Effect:
        """Never carry it out."""
        with _opened(self._path) as connection:
            effect = self._found(connection, effect_id)
            _fence(connection, self.name, effect.version, generation)
            if effect.state is EffectState.HELD:
                self._goes_on(connection, effect, EffectState.CANCELLED)
            return self._found(connection, effect_id)

    def compensate(self, effect_id: str, *, key: str) -> Effect:
        """Make it good, once; what makes it good is a line in the same file, so one transaction has both."""
        with _opened(self._path) as connection:
            effect = self._found(connection, effect_id)
            effect.check_becomes(EffectState.COMPENSATED)
            known = connection.execute(
                "SELECT compensated_as FROM acts WHERE place = ? AND id = ?", (self.name, effect_id)
            ).fetchone()[0]
            if known not in {None, key}:
                raise ConflictError(f"effect {effect_id} is compensated under the key {known}")
            if effect.state is EffectState.EXECUTED:
                connection.execute(
                    "UPDATE acts SET compensated_as = ? WHERE place = ? AND id = ?", (key, self.name, effect_id)
                )
                self._goes_on(connection, effect, EffectState.COMPENSATED)
            return self._found(connection, effect_id)

    def _goes_on(self, connection: sqlite3.Connection, effect: Effect, state: EffectState) -> None:
        connection.execute("UPDATE acts SET state = ? WHERE place = ? AND id = ?", (state, self.name, effect.id))
        _note(connection, self.name, effect.version, state, effect.id)

    def _found(self, connection: sqlite3.Connection, effect_id: str) -> Effect:
        row = connection.execute(
            f"SELECT {_ACT} FROM acts WHERE place = ? AND id = ?",  # noqa: S608 - columns
            (self.name, effect_id),
        ).fetchone()
        if row is None:
            raise NotFoundError(f"there is no act {effect_id} in {self.name}")
        return _effect(row)


def _effect(row: Sequence[Any]) -> Effect:
    id_, version, what, subject, at, state, compensable = row
    return Effect(
        id=id_,
        version=version,
        what=what,
        subject=subject,
        at=at,
        state=EffectState(state),
        compensable=bool(compensable),
    )
