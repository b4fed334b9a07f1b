"""Figure: what one benchmark found, as values, as JSON and as a table of plain text."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Figure", "Row", "Target", "percentile", "quantiles", "table"]

_HUNDRED = 100
_WIDTH = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The highest acceptable value of one column."""

    column: str
    limit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """
    One line of a figure.

    Attributes:
        name: What was measured.
        unit: Of every value: ``ns``, ``ms``, ``s``, ``MB`` or ``count``.
        values: Column -> value, in the order in which they are printed. A duration that never came is infinite.
        target: What it should reach, or None where it only stands beside.
        note: What a reader must know to read it right.
    """

    name: str
    unit: str
    values: Mapping[str, float]
    target: Target | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target was reached; None without one."""
        return None if self.target is None else self.values[self.target.column] <= self.target.limit

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form; what never came is null there."""
        target = self.target and {"column": self.target.column, "at_most": self.target.limit}
        values = {column: value if math.isfinite(value) else None for column, value in self.values.items()}
        return {
            "name": self.name,
            "unit": self.unit,
            "values": values,
            "target": target,
            "met": self.met,
            "note": self.note,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """
    What one benchmark found.

    Attributes:
        key: Its name on the command line and in JSON.
        title: For people.
        how: How it was measured, in a few sentences.
        rows: What was found.
        seconds: How long measuring took.
    """

    key: str
    title: str
    how: str
    rows: Sequence[Row] = field(default_factory=tuple)
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        rows = [row.to_json() for row in self.rows]
        return {"title": self.title, "how": self.how, "rows": rows, "seconds": round(self.seconds, 1)}


def percentile(values: Sequence[float], percent: float) -> float:
    """
    Return the smallest value that so many percent of the values do not exceed (nearest rank); infinite for none.

    Args:
        values: In any order; shape ``(n,)``.
        percent: In ``(0, 100]``.
    """
    if not values:
        return math.inf
    return sorted(values)[math.ceil(percent / _HUNDRED * len(values)) - 1]


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Return median, 99th percentile, maximum and how many values there are, as columns of a row."""
    return {
        "p50": percentile(values, 50),
        "p99": percentile(values, 99),
        "max": percentile(values, 100),
        "n": len(values),
    }


def table(figure: Figure) -> str:
    """Return a figure as lines of text: a title, how it was measured, and a table."""
    columns = list(dict.fromkeys(column for row in figure.rows for column in row.values))
    head = ["", *columns, "target", ""]
    lines = [[row.name, *(_shown(row, column) for column in columns), *_verdict(row)] for row in figure.rows]
    widths = [max(len(line[place]) for line in [head, *lines]) for place in range(len(head))]
    printed = []
    for line in [head, *lines]:
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:-1], widths[1:-1], strict=True)]
        printed.append("  ".join([*cells, line[-1]]).rstrip())
    notes = [f"  {row.name}: {row.note}" for row in figure.rows if row.note]
    how = textwrap.wrap(figure.how, _WIDTH, initial_indent="  ", subsequent_indent="  ")
    return "\n".join([figure.title, *how, "", *(f"  {line}" for line in printed), *notes, ""])


def _verdict(row: Row) -> tuple[str, str]:
    if row.target is None:
        return "", ""
    return f"{row.target.column} <= {_number(row.target.limit, row.unit)}", "met" if row.met else "MISSED"


def _shown(row: Row, column: str) -> str:
    if column not in row.values:
        return ""
    value = row.values[column]
    if column.startswith("x "):
        return f"{value:.1f}"
    return f"{value:,.0f}" if column == "n" else _number(value, row.unit)


def _number(value: float, unit: str) -> str:
    if math.isinf(value):
        return "never"
    if unit == "count":
        return f"{value:,.0f}"
    digits = 0 if abs(value) >= _HUNDRED or value == 0 else 1 if abs(value) >= 10 else 2  # noqa: PLR2004 - 3 digits
    return f"{value:,.{digits}f} {unit}"
