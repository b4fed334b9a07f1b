"""Quantities are read with their unit, or not at all."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood.domain import quantity
from knowngood_sdk.errors import InvalidError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1us", timedelta(microseconds=1)),
        ("80ms", timedelta(milliseconds=80)),
        ("1.5h", timedelta(minutes=90)),
        ("30 s", timedelta(seconds=30)),
        ("5m", timedelta(minutes=5)),
        ("72h", timedelta(days=3)),
        ("0.1s", timedelta(milliseconds=100)),
        ("2d", timedelta(days=2)),
    ],
)
def test_a_duration_is_a_number_and_its_unit(text: str, value: timedelta) -> None:
    assert quantity.duration(text, "keep") == value


@pytest.mark.parametrize(
    "value",
    [
        80,
        80.5,
        True,
        None,
        "",
        "80x",
        "ms",
        "-5s",
        "0s",
        "0.0000001us",
        "5 minutes",
        "5S",
        "1h30m",
        "5s\n",
        " 5s",
        "٣s",
    ],
)
def test_anything_else_is_no_duration_and_the_message_says_what_is(value: object) -> None:
    with pytest.raises(InvalidError, match=r"keep must be a duration, not .*80ms"):
        quantity.duration(value, "keep")


def test_a_duration_longer_than_any_calendar_is_refused() -> None:
    with pytest.raises(InvalidError, match="longer than any calendar"):
        quantity.duration("999999999999d", "keep")


@given(st.timedeltas(min_value=timedelta(microseconds=1), max_value=timedelta(days=10_000)))
def test_a_duration_survives_being_written(value: timedelta) -> None:
    assert quantity.duration(quantity.duration_text(value), "keep") == value


def test_a_duration_is_written_in_its_largest_whole_unit() -> None:
    assert quantity.duration_text(timedelta(hours=72)) == "3d"
    assert quantity.duration_text(timedelta(minutes=90)) == "90m"
    assert quantity.duration_text(timedelta(seconds=1.5)) == "1500ms"


@pytest.mark.parametrize(
    ("value", "ratio"), [("5%", 0.05), ("0.1%", 0.001), ("15 %", 0.15), ("250%", 2.5), (0.05, 0.05), (2, 2.0)]
)
def test_a_ratio_is_a_percentage_or_the_ratio_itself(value: object, ratio: float) -> None:
    assert quantity.ratio(value, "over") == pytest.approx(ratio, abs=0, rel=1e-15)


@pytest.mark.parametrize("value", ["5", "-5%", "0%", 0, -0.1, True, None, float("nan"), float("inf"), "5%%", [5]])
def test_anything_else_is_no_ratio(value: object) -> None:
    with pytest.raises(InvalidError, match=r"over must be a share above 0, not .*5%"):
        quantity.ratio(value, "over")


@pytest.mark.parametrize(("value", "factor"), [("5x", 5.0), ("1.5x", 1.5), (5, 5.0), (0.5, 0.5)])
def test_a_factor_says_how_many_times(value: object, factor: float) -> None:
    assert quantity.factor(value, "over") == factor


@pytest.mark.parametrize("value", ["5", "x", "0x", 0, -1, False, None, "5 times", float("nan")])
def test_anything_else_is_no_factor(value: object) -> None:
    with pytest.raises(InvalidError, match=r"over must be a factor above 0, not .*5x"):
        quantity.factor(value, "over")


@pytest.mark.parametrize(
    ("text", "size"),
    [("1B", 1), ("4GiB", 4 * 2**30), ("512MiB", 2**29), ("1.5KB", 1500), ("2 kB", 2000), ("1TB", 10**12)],
)
def test_a_size_is_a_number_and_its_unit(text: str, size: int) -> None:
    assert quantity.size(text, "memory") == size


@pytest.mark.parametrize("value", [4, "4.5", "4G", "4gib", "0B", "0.5B", "-1B", None, True, ""])
def test_anything_else_is_no_size(value: object) -> None:
    with pytest.raises(InvalidError, match=r"memory must be a size, not .*4GiB"):
        quantity.size(value, "memory")


@given(st.integers(min_value=1, max_value=10**12 - 1))
def test_a_size_survives_being_written(value: int) -> None:
    assert quantity.size(quantity.size_text(value), "memory") == value


def test_a_size_is_written_in_its_largest_whole_unit() -> None:
    assert quantity.size_text(4 * 2**30) == "4GiB"
    assert quantity.size_text(1500) == "1500B"


@pytest.mark.parametrize("value", [0, -1, 1.0, "1", True, None])
def test_a_count_is_a_whole_number_of_at_least_one(value: object) -> None:
    assert quantity.count(1, "windows") == 1
    with pytest.raises(InvalidError, match="windows must be a count, not"):
        quantity.count(value, "windows")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        pytest.param(5, "the number 5", id="number"),
        pytest.param("5", "the text '5'", id="text"),
        (True, "the truth value True"),
        (None, "empty"),
        ([], "a list"),
        ({}, "a mapping"),
        ((), "a tuple"),
    ],
)
def test_a_message_tells_a_number_from_a_text_of_digits(value: object, said: str) -> None:
    with pytest.raises(InvalidError, match=f"keep must be a duration, not {said}"):
        quantity.duration(value, "keep")
