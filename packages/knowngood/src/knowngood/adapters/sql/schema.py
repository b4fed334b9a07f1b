"""
Schema: the tables of the store, as SQLAlchemy Core knows them.

The numbered migrations beside this module build the same tables; a test compares the two. Names of constraints are set,
so that a later migration can name them on every database.
"""

import json
from typing import Any

from sqlalchemy import (
    BigInteger,
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
)

from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.canonical import canonical_bytes, parse_canonical

__all__ = [
    "REVISIONS",
    "CanonicalJson",
    "PlainJson",
    "compatibility",
    "deployments",
    "episodes",
    "evidence",
    "exchange_counts",
    "exchange_releases",
    "exchange_reports",
    "exchange_routes",
    "exchange_rules",
    "generations",
    "leases",
    "ledger",
    "local_trips",
    "manifests",
    "metadata",
    "releases",
    "routes",
    "sagas",
    "systems",
    "token_ledger",
    "tokens",
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


class PlainJson(TypeDecorator[Any]):
    """A JSON value, kept as text: for documents that come and go by the thousand, and that nobody hashes."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002 - the base's signature
        """Write a value; raises InvalidError when it has no JSON form."""
        try:
            return json.dumps(value, separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InvalidError(f"a document has no JSON form: {error}") from error

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002 - the base's signature
        """Read a value; raises InvalidError when the text is not JSON."""
        try:
            return json.loads(value)
        except ValueError as error:
            raise InvalidError(f"a document on record is not JSON: {error}") from error


Whole = BigInteger().with_variant(Integer, "sqlite")
"""A whole number as JSON may carry it: what replicas report can be larger than 32 bits."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)

# One row: the oldest revision whose program may still work with these tables. A migration that takes away what older
# programs need raises it; all others leave it, so that going back to the program before needs no restoring.
compatibility = Table("compatibility", metadata, Column("oldest", Text, primary_key=True))

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
    Column("position", Whole, nullable=False),  # order of recording, from 1
    Column("version", Text, nullable=False),
    Column("recorded_at", Text, nullable=False),
    Column("document", CanonicalJson, nullable=False),
    Index(None, "system", "version"),
)

evidence = Table(
    "evidence",
    metadata,
    _system(),
    Column("position", Whole, primary_key=True, autoincrement=False),  # order of recording, from 1
    Column("version", Text, nullable=False),
    Column("grade", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("figures", CanonicalJson, nullable=False),
)

routes = Table(
    "routes",
    metadata,
    _system(),
    Column("generation", Whole, nullable=False),
    Column("step", Whole, nullable=False),
    Column("split", Whole, nullable=False),
)

generations = Table(
    "generations",
    metadata,
    _system(),
    Column("number", Whole, primary_key=True, autoincrement=False),
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
    Column("generation", Whole, nullable=False),
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
    Column("generation", Whole, primary_key=True, autoincrement=False),
    Column("version", Text, primary_key=True),
)

episodes = Table(
    "episodes",
    metadata,
    _system(),
    Column("version", Text, primary_key=True),
    Column("count", Whole, nullable=False),
)

deployments = Table(
    "deployments",
    metadata,
    _system(),
    Column("generation", Whole, primary_key=True, autoincrement=False),
    Column("version", Text, nullable=False),
    Column("manifest", Text, nullable=False),
    Column("strategy", Text, nullable=False),
    Column("split", Whole, nullable=False),
    Column("actor", Text, nullable=False),
    Column("started_at", Text, nullable=False),
    Column("full_at", Text),
    Column("state", Text, nullable=False),
    Column("anchored_at", Text, nullable=False),
    Column("baseline", CanonicalJson, nullable=False),
    Column("leaves", Text),
    ForeignKeyConstraint(["system", "generation"], ["generations.system", "generations.number"]),
)

sagas = Table(
    "sagas",
    metadata,
    _system(),
    Column("version", Text, primary_key=True),
    Column("episode", Whole, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False, unique=True),
    Column("target", Text),
    Column("generation", Whole, nullable=False),
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
    Column("sequence", Whole, primary_key=True, autoincrement=False),
    Column("at", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("body", CanonicalJson, nullable=False),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
)

# What replicas over a network and the processes of a control plane leave for each other. None of it is part of the
# record, and a replica may report before its system is applied: these refer to no row of systems.

exchange_routes = Table(
    "exchange_routes",
    metadata,
    Column("system", Text, primary_key=True),
    Column("document", PlainJson, nullable=False),
    Column("changes", Whole, nullable=False),  # rises with each change, from 1
    Column("writer", Text, nullable=False),  # the process that changed it last
)

exchange_releases = Table(
    "exchange_releases",
    metadata,
    Column("system", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("document", PlainJson, nullable=False),
)

exchange_rules = Table(
    "exchange_rules",
    metadata,
    Column("system", Text, primary_key=True),
    Column("document", PlainJson, nullable=False),
)

exchange_reports = Table(
    "exchange_reports",
    metadata,
    Column("system", Text, primary_key=True),
    Column("replica", Text, primary_key=True),
    Column("written", Whole, nullable=False),  # microseconds since 1970, by the clock of the replica
    Column("seen", Whole, nullable=False),  # milliseconds since 1970, by the clock of the database
    Column("document", PlainJson, nullable=False),
)

exchange_counts = Table(
    "exchange_counts",
    metadata,
    Column("system", Text, primary_key=True),
    Column("replica", Text, primary_key=True),
    Column("worker", Text, primary_key=True),
    Column("sequence", Whole, nullable=False),
    Column("document", PlainJson, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),  # empty: given back
    Column("fence", Whole, nullable=False),  # rises with each new holder, from 1
    Column("expires", Whole, nullable=False),  # milliseconds since 1970, by the clock of the database
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("sha256", Text, nullable=False, unique=True),
    Column("scopes", PlainJson, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("expires_at", Text),
    Column("revoked_at", Text),
    Column("last_used_at", Text),
    Column("document", PlainJson, nullable=False),  # what else there is to know of it
)

# What was done to tokens: a chain as a system's ledger is, of no system.
token_ledger = Table(
    "token_ledger",
    metadata,
    Column("sequence", Whole, primary_key=True, autoincrement=False),
    Column("at", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("body", CanonicalJson, nullable=False),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
)
