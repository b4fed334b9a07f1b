"""Aligned: rows of plain text under their headings."""

from collections.abc import Iterator, Sequence

__all__ = ["aligned"]


def aligned(rows: Sequence[Sequence[str]], headings: Sequence[str]) -> Iterator[str]:
    """Return a table as lines, columns two spaces apart; readable in any terminal, file or mail."""
    table = [headings, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(headings))]
    for row in table:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
