"""A reader takes an entry for what it is and for nothing else, and says which it would not take and what was there."""

import math
import sys
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood_sdk.model.fields import (
    entry,
    flag,
    integer,
    integer_value,
    listed,
    mapping,
    number,
    number_value,
    shown,
    text,
    text_map,
    texts,
)

LARGEST = int(sys.float_info.max)
READERS = [entry, flag, integer, listed, mapping, number, text, text_map, texts]


@pytest.mark.parametrize("read", READERS)
def test_an_entry_that_is_not_there_is_missing(read: Callable[[Any, str], Any]) -> None:
    with pytest.raises(ValueError, match=r"^split is missing$"):
        read({"step": 1}, "split")


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("item", "what"),
    [(None, "None"), ([], "a list"), ("split", "'split'"), (3, "3"), (True, "True"), (("split",), "tuple")],
)
def test_what_is_no_object_has_no_entries(read: Callable[[Any, str], Any], item: object, what: str) -> None:
    with pytest.raises(TypeError, match=f"^an object with split is expected, not {what}$"):
        read(item, "split")


def test_an_entry_of_nothing_is_an_entry() -> None:
    assert entry({"split": None}, "split") is None
    assert entry(MappingProxyType({"split": 3}), "split") == 3


@pytest.mark.parametrize(
    ("read", "values"),
    [
        (integer, [0, 1, 2**53, 10**30]),
        (number, [0, -1, 1.5, -0.25, LARGEST, -LARGEST, sys.float_info.max, 5e-324]),
        (flag, [True, False]),
        (text, ["", "a", "1"]),
        (listed, [[], [1, None]]),
        (mapping, [{}, {"a": 1}]),
        (text_map, [{}, {"a": "b", "": ""}]),
    ],
)
def test_what_it_should_be_is_taken_as_it_is(read: Callable[[Any, str], Any], values: list[Any]) -> None:
    for value in values:
        assert read({"it": value}, "it") == value


@pytest.mark.parametrize("values", [[], ["b"], ["b", "a", "b"]])
def test_texts_are_taken_in_their_order(values: list[str]) -> None:
    assert texts({"it": values}, "it") == tuple(values)


@pytest.mark.parametrize(
    ("read", "value", "message"),
    [
        (integer, 1.0, "it must be a whole number, not 1.0"),
        (integer, True, "it must be a whole number, not True"),
        (integer, "1", "it must be a whole number, not '1'"),
        (integer, None, "it must be a whole number, not None"),
        (integer, [1], "it must be a whole number, not a list"),
        (number, True, "it must be a number, not True"),
        (number, "1", "it must be a number, not '1'"),
        (number, None, "it must be a number, not None"),
        (number, {}, "it must be a number, not an object"),
        (number, 1j, "it must be a number, not complex"),
        (flag, 1, "it must be true or false, not 1"),
        (flag, 0, "it must be true or false, not 0"),
        (flag, "true", "it must be true or false, not 'true'"),
        (flag, None, "it must be true or false, not None"),
        (text, 1, "it must be text, not 1"),
        (text, None, "it must be text, not None"),
        (text, b"a", "it must be text, not bytes"),
        (listed, (1,), "it must be a list, not tuple"),
        (listed, {}, "it must be a list, not an object"),
        (listed, "ab", "it must be a list, not 'ab'"),
        (mapping, [], "it must be an object, not a list"),
        (mapping, "a", "it must be an object, not 'a'"),
        (texts, ["a", 1], "it must be a list of texts"),
        (texts, [None], "it must be a list of texts"),
        (texts, "ab", "it must be a list, not 'ab'"),
        (text_map, {"a": "b", "c": 1}, "c must be text, not 1"),
        (text_map, [], "it must be an object, not a list"),
    ],
)
def test_nothing_is_taken_for_what_it_is_not(read: Callable[[Any, str], Any], value: object, message: str) -> None:
    with pytest.raises(TypeError) as refused:
        read({"it": value}, "it")
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("read", "value", "message"),
    [
        (integer, -1, "it must be 0 or more, not -1"),
        pytest.param(
            integer, -(1 << 20_000), "it must be 0 or more, not a whole number of 20001 bits", id="far below 0"
        ),
        (number, math.nan, "it must be finite, not nan"),
        (number, math.inf, "it must be finite, not inf"),
        (number, -math.inf, "it must be finite, not -inf"),
        pytest.param(number, LARGEST * 2, "it must be finite, not inf", id="a whole number that no float can be"),
    ],
)
def test_a_number_that_cannot_be_is_refused(read: Callable[[Any, str], Any], value: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        read({"it": value}, "it")


@given(st.integers(0, 2**70) | st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_read_as_a_float(value: float) -> None:
    assert number_value(value, "it") == float(value)
    assert type(number_value(value, "it")) is float


@given(st.integers())
def test_a_whole_number_is_taken_from_0_upward(value: int) -> None:
    if value >= 0:
        assert integer_value(value, "it") == value
    else:
        with pytest.raises(ValueError, match="it must be 0 or more"):
            integer_value(value, "it")


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        (None, "None"),
        (True, "True"),
        (-3, "-3"),
        (0.5, "0.5"),
        ("it's", '"it\'s"'),
        ("x" * 78, "'" + "x" * 78 + "'"),
        ("x" * 79, "'" + "x" * 79),
        ("x" * 1000, "'" + "x" * 79),
        (2**256 - 1, str(2**256 - 1)),
        (2**256, "a whole number of 257 bits"),
        pytest.param(-(1 << 20_000), "a whole number of 20001 bits", id="more digits than Python writes"),
        ({"a": 1}, "an object"),
        ([1, 2], "a list"),
        ((1, 2), "tuple"),
        (b"secret", "bytes"),
    ],
)
def test_a_message_shows_enough_of_a_value_to_find_it(value: object, seen: str) -> None:
    assert shown(value) == seen


@given(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()))
def test_what_a_message_shows_is_short(value: object) -> None:
    assert 0 < len(shown(value)) <= 80
