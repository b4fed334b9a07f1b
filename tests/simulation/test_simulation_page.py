"""The page of the simulation names every promise, and every rule that is left out, with what breaks."""

from pathlib import Path

from knowngood.testing.simulation.absences import ABSENCES
from knowngood.testing.simulation.page import Row, page, promises_table, row_of, rows_in
from knowngood.testing.simulation.promise import Promise

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "simulation.md"


def test_page_is_up_to_date() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert rows_in(text) == [Row(one, 1, ()).named for one in ABSENCES], "run `make simulate-rules`"
    assert promises_table() in text
    assert "not noticed" not in text


def test_a_row_says_how_soon_it_was_noticed_and_what_else_broke() -> None:
    absence = next(one for one in ABSENCES if one.what == "the row stays")
    row = row_of(absence)
    assert row.runs is not None
    assert str(row).startswith(f"| 12 | the row stays | STANDS | {row.runs} |")


def test_an_absence_that_nobody_notices_is_told() -> None:
    told: list[str] = []
    text = page([Row(ABSENCES[0], None, (Promise.LEFT,))], told.append)
    assert told == [f"{Row(ABSENCES[0], None, ()).named} not noticed | LEFT |"]
    assert told[0] in text
