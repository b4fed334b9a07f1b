"""No read of one system looks at the rows of all: what it costs does not grow with the number of systems."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import event

from knowngood.adapters.sql import SqlExchange, SqlLeases, SqlStore
from knowngood.adapters.sql.sqlite import SqliteDatabase
from knowngood.testing.contracts.exchange import rising
from knowngood.testing.contracts.store import SYSTEM, manifest, one_more, write_everything


def change(store: SqlStore) -> None:
    with store.change(SYSTEM) as one:
        one_more(one)
        one.record_manifest(manifest("another"), "2026-01-01T18:00:00.000Z")
        one.save_deployment(one.deployment(1))


READS: dict[str, Callable[[SqlStore], object]] = {
    "read": lambda store: store.read(SYSTEM),
    "system_spec": lambda store: store.system_spec(SYSTEM),
    "manifests": lambda store: store.manifests(SYSTEM),
    "versions": lambda store: store.versions(SYSTEM),
    "manifest": lambda store: store.manifest(SYSTEM, manifest("new 1").content_digest),
    "manifest by its first digits": lambda store: store.manifest(SYSTEM, manifest("new 1").label),
    "evidence": lambda store: store.evidence(SYSTEM),
    "deployments": lambda store: store.deployments(SYSTEM),
    "deployment": lambda store: store.deployment(SYSTEM, 1),
    "sagas": lambda store: store.sagas(SYSTEM),
    "ledger": lambda store: store.ledger(SYSTEM, after=0, limit=5),
    "head": lambda store: store.head(SYSTEM),
    "route": lambda store: SqlExchange(store.database).route(SYSTEM),
    "reports": lambda store: SqlExchange(store.database).reports(SYSTEM),
    "counts": lambda store: SqlExchange(store.database).counts(SYSTEM),
    "change": change,
    "change of a route": lambda store: SqlExchange(store.database).change_route(SYSTEM, rising),
    "renew": lambda store: SqlLeases(store.database).renew(["watch:pricing"], "a", timedelta(minutes=1)),
    "claim": lambda store: SqlLeases(store.database).claim("watch:pricing", "a", timedelta(minutes=1)),
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with SqlStore.open(tmp_path / "store.db") as store:
        with store.change(SYSTEM) as change:
            change.save_system({"system": SYSTEM})
            write_everything(change)
        yield store


@pytest.mark.parametrize("name", READS)
def test_rows_are_found_by_an_index(store: SqlStore, name: str) -> None:
    assert isinstance(store.database, SqliteDatabase)
    asked: list[tuple[str, object]] = []

    def listen(_connection: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        asked.append((statement, parameters))

    event.listen(store.database._engine, "before_cursor_execute", listen)
    READS[name](store)
    event.remove(store.database._engine, "before_cursor_execute", listen)
    statements = [(text, given) for text, given in asked if text.startswith(("SELECT", "UPDATE", "DELETE"))]
    assert statements or name == "claim"
    with store.database.reading() as connection:
        for text, given in statements:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", given).all()  # type: ignore[arg-type]
            assert [row[3] for row in plan if row[3].startswith("SCAN")] == [], text
