"""
Kept: rows whose documents stay texts, so that one which was read before is not parsed again.

Every verb, every look and every step of a rollback reads the whole history of a system. What its rows are read as never
changes, and the same row is the same value: readers keep it by the row.
"""

from typing import Any

from sqlalchemy import Select, Table, Text, select, type_coerce

from knowngood.adapters.sql.schema import CanonicalJson
from knowngood_sdk.model.canonical import parse_canonical

__all__ = ["KEPT", "documents", "texts"]

KEPT = 4_096
"""How many values of each kind are kept, those that were asked for last."""


def texts(table: Table, system: str) -> Select[Any]:
    """Select the rows of a system, their documents as the texts that are kept."""
    columns = (type_coerce(c, Text).label(c.name) if isinstance(c.type, CanonicalJson) else c for c in table.c)
    return select(*columns).where(table.c.system == system)


def documents(table: Table, row: tuple[Any, ...]) -> dict[str, Any]:
    """Return a row of ``texts`` by column, its documents read; raises InvalidError for a text that is not JSON."""
    return {
        column.name: parse_canonical(value) if isinstance(column.type, CanonicalJson) else value
        for column, value in zip(table.c, row, strict=True)
    }
