"""Records: rows of the store read as values of the domain, on a connection that sees one moment."""

from collections.abc import Mapping
from functools import lru_cache, partial
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, Row, Select, Text, bindparam, select, type_coerce

from knowngood.adapters.sql import schema
from knowngood.adapters.sql.kept import KEPT, KEPT_LARGE, SYSTEM, documents, texts
from knowngood.domain.deployment import Deployment
from knowngood.domain.evidence import Evidence
from knowngood.domain.ledger import EMPTY, Anchor, Entry
from knowngood.domain.lookup import Recorded, find_version, no_deployment
from knowngood.domain.on_record import Unread
from knowngood.domain.saga import Saga, in_order
from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.canonical import DIGEST_PREFIX, canonical_bytes, parse_canonical, short
from knowngood_sdk.model.manifest import Manifest

__all__ = [
    "deployment",
    "deployments",
    "evidence",
    "exists",
    "head",
    "heads",
    "ledger",
    "manifest",
    "manifests",
    "saga",
    "sagas",
    "spec",
    "systems",
    "versions",
]

_EXISTS = select(schema.systems.c.system).where(schema.systems.c.system == SYSTEM)
_SPEC = select(schema.systems.c.spec).where(schema.systems.c.system == SYSTEM)
_EVIDENCE = texts(schema.evidence).order_by(schema.evidence.c.position)
_DEPLOYMENTS = texts(schema.deployments).order_by(schema.deployments.c.generation)
_DEPLOYMENT = texts(schema.deployments).where(schema.deployments.c.generation == bindparam("generation"))
_SAGA = texts(schema.sagas).where(schema.sagas.c.id == bindparam("id"))
_HEAD = (
    select(schema.ledger.c.sequence, schema.ledger.c.hash)
    .where(schema.ledger.c.system == SYSTEM)
    .order_by(schema.ledger.c.sequence.desc())
    .limit(1)
)


def systems(connection: Connection) -> tuple[str, ...]:
    """Return the names of all systems, sorted."""
    return tuple(sorted(connection.execute(select(schema.systems.c.system)).scalars()))


def exists(connection: Connection, system: str) -> bool:
    """Whether a system was ever applied."""
    return connection.execute(_EXISTS, {"system": system}).first() is not None


def spec(connection: Connection, system: str) -> Mapping[str, Any]:
    """Return the rules that were applied to a system; none when it is not on record."""
    found: Mapping[str, Any] | None = connection.execute(_SPEC, {"system": system}).scalar_one_or_none()
    return found or {}


def manifests(connection: Connection, system: str) -> tuple[Manifest, ...]:
    """Return every manifest, in the order of recording; raises InvalidError when one is not what was recorded."""
    rows = connection.execute(_manifests(system).order_by(schema.manifests.c.position))
    return tuple(_manifest(system, row) for row in rows)


def versions(connection: Connection, system: str) -> tuple[Unread, ...]:
    """
    Return every manifest, in the order of recording, its text checked but not read.

    Raises InvalidError when a text is not what was recorded.
    """
    rows = connection.execute(_manifests(system).order_by(schema.manifests.c.position)).all()
    for row in rows:
        if (digest := _digest(row.document)) != row.digest:
            raise _edited(system, row, digest)
    return tuple(Unread(row.version, partial(_manifest, system, row), partial(_mentions, row.document)) for row in rows)


def _mentions(document: str, text: str) -> bool:
    return canonical_bytes(text).decode() in document


def manifest(connection: Connection, system: str, name: str) -> Manifest:
    """Return a manifest by what people call it; raises as the port does."""
    table = schema.manifests
    digest = name if name.startswith(DIGEST_PREFIX) else f"{DIGEST_PREFIX}{name}"
    # A whole digest, as programs give it, is looked up; what people give is held against all that there are.
    for column in (table.c.version, table.c.digest):
        newest = _manifests(system).where(column == digest).order_by(table.c.position.desc()).limit(1)
        for row in connection.execute(newest):
            return _manifest(system, row)
    record = find_version(name, system, _recorded(connection, system))
    return _manifest(system, connection.execute(_manifests(system).where(table.c.digest == record.manifest)).one())


def _recorded(connection: Connection, system: str) -> list[Recorded]:
    table = schema.manifests
    rows = connection.execute(
        select(table.c.version, table.c.digest).where(table.c.system == system).order_by(table.c.position)
    )
    return [Recorded(row.version, row.digest) for row in rows]


def _manifests(system: str) -> Select[Any]:
    table = schema.manifests
    columns = (table.c.version, table.c.digest, type_coerce(table.c.document, Text).label("document"))
    return select(*columns).where(table.c.system == system)


def _manifest(system: str, row: Row[Any]) -> Manifest:
    found, digest = _parsed(row.document)
    if (found.content_digest, digest) != (row.version, row.digest):
        raise _edited(system, row, digest)
    return found


def _edited(system: str, row: Row[Any], digest: str) -> InvalidError:
    return InvalidError(
        f"the manifest of {system} that was recorded as {short(row.digest)} was edited: its digest is"
        f" {short(digest)} now",
        hint="Restore the store from a copy, or deploy that version again from its components",
    )


def _digest(document: str) -> str:
    return f"{DIGEST_PREFIX}{sha256(document.encode()).hexdigest()}"


@lru_cache(maxsize=KEPT_LARGE)
def _parsed(document: str) -> tuple[Manifest, str]:
    """
    Read a manifest, and take its digest from the text, which is its canonical form unless somebody edited it.

    The same text is the same manifest, so one that was read is kept.
    """
    return Manifest.from_json(parse_canonical(document)), _digest(document)


def evidence(connection: Connection, system: str) -> tuple[Evidence, ...]:
    """Return all evidence, in the order of recording."""
    rows = connection.execute(_EVIDENCE, {"system": system})
    return tuple(_evidence(tuple(row)) for row in rows)


def deployments(connection: Connection, system: str) -> tuple[Deployment, ...]:
    """Return every deployment, by generation."""
    rows = connection.execute(_DEPLOYMENTS, {"system": system})
    return tuple(_deployment(tuple(row)) for row in rows)


def deployment(connection: Connection, system: str, generation: int) -> Deployment:
    """Return a deployment; raises NotFoundError when there is none."""
    for row in connection.execute(_DEPLOYMENT, {"system": system, "generation": generation}):
        return _deployment(tuple(row))
    raise no_deployment(system, generation)


def sagas(connection: Connection, system: str) -> tuple[Saga, ...]:
    """Return every rollback, in the order in which they started."""
    return in_order(_saga(tuple(row)) for row in connection.execute(texts(schema.sagas), {"system": system}))


def saga(connection: Connection, system: str, name: str) -> Saga | None:
    """Return a rollback by its id; None when there is none."""
    row = connection.execute(_SAGA, {"system": system, "id": name}).first()
    return None if row is None else _saga(tuple(row))


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
    row = connection.execute(_HEAD, {"system": system}).first()
    return EMPTY if row is None else Anchor(row.sequence, row.hash)


@lru_cache(maxsize=KEPT_LARGE)
def _deployment(row: tuple[Any, ...]) -> Deployment:
    return Deployment.from_json(documents(schema.deployments, row))


@lru_cache(maxsize=KEPT_LARGE)
def _saga(row: tuple[Any, ...]) -> Saga:
    return Saga.from_json(documents(schema.sagas, row))


@lru_cache(maxsize=KEPT)
def _evidence(row: tuple[Any, ...]) -> Evidence:
    return Evidence.from_json(documents(schema.evidence, row))


def _ledger_body(text: Any) -> Mapping[str, Any]:
    """Read the body of an entry; one that is no JSON object any more is shown, so that a check can name its entry."""
    try:
        body = parse_canonical(text)
    except InvalidError:
        body = None
    return body if isinstance(body, dict) else {"unreadable": str(text)}


def heads(connection: Connection) -> Mapping[str, Anchor]:
    """Return how far the ledger of every system goes: one look at the end of each, and none at what is before."""
    table, every = schema.ledger, schema.systems
    newest = (
        select(table.c.sequence)
        .where(table.c.system == every.c.system)
        .order_by(table.c.sequence.desc())
        .limit(1)
        .correlate(every)
        .scalar_subquery()
    )
    last = (table.c.system == every.c.system) & (table.c.sequence == newest)
    rows = connection.execute(select(every.c.system, table.c.sequence, table.c.hash).join(table, last, isouter=True))
    return {row.system: EMPTY if row.sequence is None else Anchor(row.sequence, row.hash) for row in rows}
