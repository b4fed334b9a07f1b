"""Fleet rows: a ``FleetState`` as rows of six tables, and back, exactly."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Table, and_, delete, insert, update

from knowngood.adapters.sql.kept import KEPT, documents, texts
from knowngood.adapters.sql.schema import episodes, generations, local_trips, releases, routes, trips
from knowngood.domain.fleet import FleetState
from knowngood_sdk.model.route import Facts, FleetRoute, Generation, LocalTrip, Trip

__all__ = ["create_fleet", "read_fleet", "replace_fleet"]

Rows = Mapping[tuple[Any, ...], Mapping[str, Any]]
"""Primary key without the system -> the row without the system."""


def create_fleet(connection: Connection, system: str) -> None:
    """Write the rows of the empty state, for a system that is new."""
    connection.execute(insert(routes), {"system": system, **_rows(FleetState())[routes][()]})


def read_fleet(connection: Connection, system: str) -> FleetState:
    """Read the state of a system that is on record."""

    def rows(table: Table) -> list[Any]:
        return list(connection.execute(texts(table), {"system": system}))

    (route,) = rows(routes)
    minted = (_generation(tuple(row)) for row in rows(generations))
    known = (_trip(tuple(row)) for row in rows(trips))
    return FleetState(
        row=FleetRoute(route.generation, route.step, route.split),
        generations={one.number: one for one in sorted(minted, key=lambda one: one.number)},
        facts=Facts({trip.uid: trip for trip in known}, frozenset(row.uid for row in rows(releases))),
        local=frozenset(LocalTrip(row.replica, row.generation, row.version) for row in rows(local_trips)),
        episodes={row.version: row.count for row in rows(episodes)},
    )


@lru_cache(maxsize=KEPT)
def _generation(row: tuple[Any, ...]) -> Generation:
    document = documents(generations, row)
    return Generation(
        number=document["number"],
        chain=tuple(document["chain"]),
        saw_quarantine=frozenset(document["saw_quarantine"]),
        saw_local=frozenset(LocalTrip(*trip) for trip in document["saw_local"]),
    )


@lru_cache(maxsize=KEPT)
def _trip(row: tuple[Any, ...]) -> Trip:
    document = documents(trips, row)
    return Trip(**{name: document[name] for name in ("uid", "version", "generation", "source", "at", "why")})


def replace_fleet(connection: Connection, system: str, before: FleetState, after: FleetState) -> None:
    """Write what differs between the state on record and the one to keep: a few rows, however long the history."""
    old, new = _rows(before), _rows(after)
    for table in new:
        _replace(connection, table, system, old[table], new[table])


def _replace(connection: Connection, table: Table, system: str, old: Rows, new: Rows) -> None:
    names = [column.name for column in table.primary_key if column.name != "system"]

    def this_row(key: tuple[Any, ...]) -> Any:
        return and_(table.c.system == system, *(table.c[n] == value for n, value in zip(names, key, strict=True)))

    for key in old.keys() - new.keys():
        connection.execute(delete(table).where(this_row(key)))
    for key in old.keys() & new.keys():
        if old[key] != new[key]:
            connection.execute(update(table).where(this_row(key)), new[key])
    added = [{"system": system, **new[key]} for key in new if key not in old]
    if added:
        connection.execute(insert(table), added)


def _rows(state: FleetState) -> dict[Table, Rows]:
    return {
        routes: {(): {"generation": state.row.generation, "step": state.row.step, "split": state.row.split}},
        generations: {
            (number,): {
                "number": number,
                "chain": list(item.chain),
                "saw_quarantine": sorted(item.saw_quarantine),
                "saw_local": [[t.replica, t.generation, t.version] for t in sorted(item.saw_local)],
            }
            for number, item in state.generations.items()
        },
        trips: {
            (uid,): {
                "uid": uid,
                "version": trip.version,
                "generation": trip.generation,
                "source": trip.source,
                "at": trip.at,
                "why": trip.why,
            }
            for uid, trip in state.facts.trips.items()
        },
        releases: {(uid,): {"uid": uid} for uid in state.facts.released},
        local_trips: {
            (t.replica, t.generation, t.version): {
                "replica": t.replica,
                "generation": t.generation,
                "version": t.version,
            }
            for t in state.local
        },
        episodes: {(version,): {"version": version, "count": count} for version, count in state.episodes.items()},
    }
