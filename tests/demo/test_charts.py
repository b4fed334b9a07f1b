"""Charts: values lie where they should, gaps stay gaps, and moments that are close are numbered side by side."""

import itertools
import re
import xml.etree.ElementTree as ET

import pytest

from knowngood.demo.charts import Axis, Dot, Line, Mark, Stack, chart


def axis(low: float = 0.0, high: float = 10.0) -> Axis:
    return Axis(low=low, high=high, ticks=[low, high], label=lambda value: f"{value:g}", title="x < y")


def drawn(*shapes: Line | Dot | Stack, marks: list[Mark] | None = None) -> ET.Element:
    return ET.fromstring(chart(axis(), axis(), list(shapes), marks=marks or []))  # noqa: S314 - our own


def test_a_line_with_a_gap_is_two_lines() -> None:
    lines = drawn(Line(points=[(0, 0), (1, 1), None, (3, 3), (4, 4)], style="seen")).findall("polyline")
    assert len(lines) == 2
    assert all(len(line.get("points", "").split()) == 2 for line in lines)


def test_higher_values_lie_higher_and_later_ones_to_the_right() -> None:
    first, second = drawn(Dot(x=1, y=1, style="a"), Dot(x=9, y=9, style="a")).findall("circle")
    assert float(second.get("cx", "0")) > float(first.get("cx", "0"))
    assert float(second.get("cy", "0")) < float(first.get("cy", "0"))


def test_shares_of_a_bar_stand_on_each_other() -> None:
    low, high = drawn(Stack(x=0, width=1, shares={"a": 4.0, "b": 6.0})).findall("rect")
    assert float(high.get("y", "0")) + float(high.get("height", "0")) == pytest.approx(
        float(low.get("y", "0")), abs=0.2
    )


def test_moments_that_are_close_have_numbers_that_do_not_touch() -> None:
    marks = [Mark(x=5 + number / 100, number=number, title=f"m{number}") for number in range(1, 6)]
    numbers = drawn(Dot(x=1, y=1, style="a"), marks=marks).findall("g/circle")
    across = sorted(float(number.get("cx", "0")) for number in numbers)
    assert len(across) == 5
    assert all(right - left >= 16 for left, right in itertools.pairwise(across))


@pytest.mark.parametrize(
    "places",
    [
        pytest.param([2.0, 2.1, 2.2, 2.5, 2.6, 9.0], id="two crowds side by side"),
        pytest.param([0.0, 0.0, 0.0], id="at the left edge"),
        pytest.param([9.9, 10.0, 10.0, 10.0], id="at the right edge"),
        pytest.param([5.0], id="one"),
    ],
)
def test_numbers_never_overlap_keep_their_order_and_stay_in_the_chart(places: list[float]) -> None:
    marks = [Mark(x=place, number=number, title="m") for number, place in enumerate(places, start=1)]
    numbers = drawn(Dot(x=1, y=1, style="a"), marks=marks).findall("g")
    across = [float(number.find("circle").get("cx", "0")) for number in numbers]  # type: ignore[union-attr]
    assert [number.findtext("text") for number in numbers] == [str(mark.number) for mark in marks]
    assert all(right - left >= 16 for left, right in itertools.pairwise(across))
    assert across[0] >= 50
    assert across[-1] <= 900


def test_titles_and_labels_are_escaped() -> None:
    text = chart(axis(), axis(), [Dot(x=1, y=1, style="a", title="<b>")], marks=[Mark(x=1, number=1, title="&")])
    assert "<b>" not in text
    assert re.search(r"x &lt; y", text)


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        pytest.param([2.2, 5.5], [2.0, 3.0, 4.0, 5.0, 6.0], id="round dollars"),
        pytest.param([3.0, 3.0], [3.0, 4.0], id="one value"),
        pytest.param([0.0, 0.5], [0.0, 0.1, 0.2, 0.3, 0.4, 0.5], id="tenths"),
    ],
)
def test_ticks_are_round_and_hold_all_values(values: list[float], ticks: list[float]) -> None:
    made = Axis.over(values, str)
    assert made.ticks == pytest.approx(ticks)
    assert (made.low, made.high) == (made.ticks[0], made.ticks[-1])
