"""
Kept: rows whose documents stay texts, so that one which was read before is not parsed again.

Every verb, every look and every step of a rollback reads the whole history of a system. What its rows are read as never
changes, and the same row is the same value: readers keep it by the row. What they ask with is made once too: to put a
statement together anew costs three times what SQLite takes to answer it.
"""

from functools import lru_cache
from typing import Any

from sqlalchemy import BindParameter, Select, Table, Text, bindparam, select, type_coerce

from knowngood.adapters.sql.schema import CanonicalJson
from knowngood_sdk.model.canonical import parse_canonical

__all__ = ["KEPT", "KEPT_LARGE", "SYSTEM", "documents", "texts"]

KEPT = 4_096
"""How many values of each kind are kept, those that were asked for last; of 1 to 2 kB each, so some 7 MB of a kind."""
KEPT_LARGE = 1_024
"""The same of manifests, deployments and rollbacks, of which the first two take 5 to 6 kB each: some 6 MB of a kind."""
SYSTEM: BindParameter[str] = bindparam("system")
"""The system that a statement which was made once is asked about."""


@lru_cache
def texts(table: Table) -> Select[Any]:
    """Select the rows of the system that is given as ``system``, their documents as the texts that are kept."""
    columns = (type_coerce(c, Text).label(c.name) if isinstance(c.type, CanonicalJson) else c for c in table.c)
    return select(*columns).where(table.c.system == SYSTEM)


def documents(table: Table, row: tuple[Any, ...]) -> dict[str, Any]:
    """Return a row of ``texts`` by column, its documents read; raises InvalidError for a text that is not JSON."""
    return {
        name: parse_canonical(value) if is_document else value
        for (name, is_document), value in zip(_columns(table), row, strict=True)
    }


@lru_cache
def _columns(table: Table) -> tuple[tuple[str, bool], ...]:
    """Return the name of each column, and whether it holds documents."""
    return tuple((column.name, isinstance(column.type, CanonicalJson)) for column in table.c)
