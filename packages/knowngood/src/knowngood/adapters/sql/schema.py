"""
Schema: the tables of the store, as SQLAlchemy Core knows them.

The numbered migrations beside this module build the same tables; a test compares the two. Names of constraints are set,
so that a later migration can name them on every database.
"""

from typing import Any

from sqlalchemy import (
    Column,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    text,
)

from knowngood_sdk.model.canonical import canonical_bytes, parse_canonical

__all__ = [
    "REVISIONS",
    "CanonicalJson",
    "deployments",
    "episodes",
    "evidence",
    "generations",
    "ledger",
    "local_trips",
    "manifests",
    "metadata",
    "releases",
    "routes",
    "sagas",
    "systems",
    "trips",
]

REVISIONS = ("0001", "0002", "0003")
"""Every revision that this program knows, oldest first; the last one is the schema below."""


class CanonicalJson(TypeDecorator[Any]):
    """A JSON value, kept as the text of its canonical form: the same bytes on every database, so hashes hold."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002 - the base's signature
        """Write a value; raises InvalidError when it has no JSON form."""
        return canonical_bytes(value).decode()

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002 - the base's signature
        """Read a value; raises InvalidError when the text is not JSON."""
        return parse_canonical(value)


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)

systems = Table(
    "systems",
    metadata,
    Column("system", Text, primary_key=True),
    Column("spec", CanonicalJson, nullable=False),
)


def _system() -> Column[str]:
    return Column("system", Text, ForeignKey("systems.system"), primary_key=True)


manifests = Table(
    "manifests",
    metadata,
    _system(),
    Column("digest", Text, primary_key=True),
    Column("position", Integer, nullable=False),  # order of recording, from 1
    Column("version", Text, nullable=False),
    Column("recorded_at", Text, nullable=False),
    Column("document", CanonicalJson, nullable=False),
    Index(None, "system", "version"),
)

evidence = Table(
    "evidence",
    metadata,
    _system(),
    Column("position", Integer, primary_key=True, autoincrement=False),  # order of recording, from 1
    Column("version", Text, nullable=False),
    Column("grade", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("figures", CanonicalJson, nullable=False),
)

routes = Table(
    "routes",
    metadata,
    _system(),
    Column("generation", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    Column("split", Integer, nullable=False),
)

generations = Table(
    "generations",
    metadata,
    _system(),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("chain", CanonicalJson, nullable=False),
    Column("saw_quarantine", CanonicalJson, nullable=False),
    Column("saw_local", CanonicalJson, nullable=False),
)

trips = Table(
    "trips",
    metadata,
    _system(),
    Column("uid", Text, primary_key=True),
    Column("version", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("source", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("why", Text, nullable=False),
)

# A release may arrive before its trip: facts merge in any order. So it refers to no row of trips.
releases = Table("releases", metadata, _system(), Column("uid", Text, primary_key=True))

local_trips = Table(
    "local_trips",
    metadata,
    _system(),
    Column("replica", Text, primary_key=True),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("version", Text, primary_key=True),
)

episodes = Table(
    "episodes",
    metadata,
    _system(),
    Column("version", Text, primary_key=True),
    Column("count", Integer, nullable=False),
)

deployments = Table(
    "deployments",
    metadata,
    _system(),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("version", Text, nullable=False),
    Column("manifest", Text, nullable=False),
    Column("strategy", Text, nullable=False),
    Column("split", Integer, nullable=False),
    Column("actor", Text, nullable=False),
    Column("started_at", Text, nullable=False),
    Column("full_at", Text),
    Column("state", Text, nullable=False),
    Column("anchored_at", Text, nullable=False),
    Column("baseline", CanonicalJson, nullable=False),
    Column("leaves", Text),
    Column("held", Text, nullable=False, server_default=text("''")),
    ForeignKeyConstraint(["system", "generation"], ["generations.system", "generations.number"]),
)

sagas = Table(
    "sagas",
    metadata,
    _system(),
    Column("version", Text, primary_key=True),
    Column("episode", Integer, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False, unique=True),
    Column("target", Text),
    Column("generation", Integer, nullable=False),
    Column("started_at", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("steps", CanonicalJson, nullable=False),
    Column("timeline", CanonicalJson, nullable=False),
    Column("needs", Text, nullable=False),
)

ledger = Table(
    "ledger",
    metadata,
    _system(),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("at", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("body", CanonicalJson, nullable=False),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
)
