"""What was written in canonical form is read so that writing it again gives the same bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.canonical import MAX_SAFE_INTEGER, canonical_bytes, parse_canonical


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER))
def test_a_number_is_read_as_one_that_is_written_alike(number: float) -> None:
    again = parse_canonical(canonical_bytes(number))
    assert again == number
    assert canonical_bytes(again) == canonical_bytes(number)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (str(MAX_SAFE_INTEGER), MAX_SAFE_INTEGER),
        (str(-MAX_SAFE_INTEGER), -MAX_SAFE_INTEGER),
        ("9007199254740992", 2.0**53),
        ("100000000000000000000", 1e20),
    ],
)
def test_an_integer_too_large_to_be_written_can_only_have_been_a_float(text: str, number: float) -> None:
    again = parse_canonical(text)
    assert again == number
    assert type(again) is type(number)
    assert canonical_bytes(again).decode() == text


@pytest.mark.parametrize("text", ["", "{", "{'a': 1}", "[1,]", "[" * 100_000, "9" * 400, "9" * 5_000])
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="not JSON"):
        parse_canonical(text)


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": -Infinity}'])
def test_what_python_takes_for_a_number_and_json_does_not_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="has no JSON form"):
        parse_canonical(text)


@pytest.mark.parametrize("text", ["1e400", "-1e400", "1.5e309", "2E+308"])
def test_a_number_too_large_for_a_float_is_refused(text: str) -> None:
    with pytest.raises(InvalidError) as refused:
        parse_canonical(f'{{"a": [{text}]}}')
    assert str(refused.value) == f"{text} has no JSON form"


def test_keys_stand_in_the_order_of_their_utf16_units_whatever_script_they_are_of() -> None:
    # The example of RFC 8785, section 3.2.3: the smiley's first unit is d83d, below fb33.
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    ordered = list(parse_canonical(canonical_bytes(dict.fromkeys(keys, 0))))
    assert ordered == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    assert canonical_bytes({"b": 1, "a": 2, "A": 3}) == b'{"A":3,"a":2,"b":1}'
