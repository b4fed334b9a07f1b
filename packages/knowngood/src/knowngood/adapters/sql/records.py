"""Records: rows of the store read as values of the domain, on a connection that sees one moment."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Select, Table, Text, select, type_coerce

from knowngood.adapters.sql import schema
from knowngood.domain.deployment import Deployment
from knowngood.domain.evidence import Evidence
from knowngood.domain.ledger import EMPTY, Anchor, Entry
from knowngood.domain.lookup import Recorded, no_deployment
from knowngood.domain.saga import Saga
from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.canonical import parse_canonical, short
from knowngood_sdk.model.manifest import Manifest

__all__ = [
    "deployment",
    "deployments",
    "evidence",
    "head",
    "ledger",
    "manifest",
    "recorded",
    "sagas",
    "spec",
    "systems",
]


def systems(connection: Connection) -> tuple[str, ...]:
    """Return the names of all systems, sorted."""
    return tuple(sorted(connection.execute(select(schema.systems.c.system)).scalars()))


def spec(connection: Connection, system: str) -> Mapping[str, Any]:
    """Return the rules that were applied to a system that is on record."""
    found: Mapping[str, Any] = connection.execute(
        select(schema.systems.c.spec).where(schema.systems.c.system == system)
    ).scalar_one()
    return found


def recorded(connection: Connection, system: str) -> list[Recorded]:
    """Return the digests of every manifest, in the order of recording."""
    table = schema.manifests
    rows = connection.execute(
        select(table.c.version, table.c.digest).where(table.c.system == system).order_by(table.c.position)
    )
    return [Recorded(row.version, row.digest) for row in rows]


def manifest(connection: Connection, system: str, record: Recorded) -> Manifest:
    """Return a manifest that is on record; raises InvalidError when it is not what was recorded."""
    table = schema.manifests
    document = connection.execute(
        select(table.c.document).where(table.c.system == system, table.c.digest == record.manifest)
    ).scalar_one()
    found = Manifest.from_json(document)
    if (found.content_digest, found.digest) != (record.version, record.manifest):
        raise InvalidError(
            f"the manifest of {system} that was recorded as {short(record.manifest)} was edited: its digest is"
            f" {short(found.digest)} now",
            hint="Restore the store from a copy, or deploy that version again from its components",
        )
    return found


def evidence(connection: Connection, system: str) -> tuple[Evidence, ...]:
    """Return all evidence, in the order of recording."""
    rows = connection.execute(_of(schema.evidence, system).order_by(schema.evidence.c.position)).mappings()
    return tuple(Evidence.from_json(row) for row in rows)


def deployments(connection: Connection, system: str) -> tuple[Deployment, ...]:
    """Return every deployment, by generation."""
    rows = connection.execute(_of(schema.deployments, system).order_by(schema.deployments.c.generation)).mappings()
    return tuple(Deployment.from_json(row) for row in rows)


def deployment(connection: Connection, system: str, generation: int) -> Deployment:
    """Return a deployment; raises NotFoundError when there is none."""
    statement = _of(schema.deployments, system).where(schema.deployments.c.generation == generation)
    for row in connection.execute(statement).mappings():
        return Deployment.from_json(row)
    raise no_deployment(system, generation)


def sagas(connection: Connection, system: str) -> tuple[Saga, ...]:
    """Return every rollback, in the order in which they started."""
    table = schema.sagas
    rows = connection.execute(_of(table, system).order_by(table.c.started_at, table.c.id)).mappings()
    return tuple(Saga.from_json(row) for row in rows)


def ledger(connection: Connection, system: str, after: int, limit: int | None) -> tuple[Entry, ...]:
    """Return the entries behind a sequence number as they are kept, edited ones too."""
    table = schema.ledger
    columns = [column for column in table.c if column is not table.c.body]
    statement = (
        select(*columns, type_coerce(table.c.body, Text).label("body"))
        .where(table.c.system == system, table.c.sequence > after)
        .order_by(table.c.sequence)
        .limit(limit)
    )
    rows = connection.execute(statement).mappings()
    return tuple(Entry.from_json({**row, "body": _ledger_body(row["body"])}) for row in rows)


def head(connection: Connection, system: str) -> Anchor:
    """Return how far the ledger goes."""
    table = schema.ledger
    last = (
        select(table.c.sequence, table.c.hash)
        .where(table.c.system == system)
        .order_by(table.c.sequence.desc())
        .limit(1)
    )
    row = connection.execute(last).first()
    return EMPTY if row is None else Anchor(row.sequence, row.hash)


def _of(table: Table, system: str) -> Select[Any]:
    return select(table).where(table.c.system == system)


def _ledger_body(text: Any) -> Mapping[str, Any]:
    """Read the body of an entry; one that is no JSON object any more is shown, so that a check can name its entry."""
    try:
        body = parse_canonical(text)
    except InvalidError:
        body = None
    return body if isinstance(body, dict) else {"unreadable": str(text)}
