"""Two programs that hold the same value write the same bytes, and what has no such bytes is refused by name."""

import hashlib
import struct
from collections.abc import Mapping
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Any

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.canonical import (
    DIGEST_PREFIX,
    MAX_SAFE_INTEGER,
    canonical_bytes,
    check_digest,
    digest_of,
    parse_canonical,
    short,
)

HEX = "0123456789abcdef" * 4


class Colour(StrEnum):
    RED = "red"


class Size(IntEnum):
    LARGE = 3


class Loud(float):
    """Like a number of numpy: its repr is no number."""

    def __repr__(self) -> str:
        return f"Loud({float(self)})"


def numbers() -> st.SearchStrategy[float]:
    return st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER) | st.floats(allow_nan=False, allow_infinity=False)


def texts() -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cs"]))


def values() -> st.SearchStrategy[Any]:
    return st.recursive(
        st.none() | st.booleans() | numbers() | texts(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts(), inner, max_size=4),
        max_leaves=12,
    )


@given(values())
def test_another_implementation_writes_the_same_bytes(value: Any) -> None:
    assert canonical_bytes(value) == rfc8785.dumps(value)


@given(numbers())
@example(1e21)
@example(1e-6)
@example(1e-7)
def test_another_implementation_writes_the_same_number(number: float) -> None:
    assert canonical_bytes(number) == rfc8785.dumps(number)


@given(st.integers(0, 2**64 - 1))
def test_another_implementation_agrees_on_any_eight_bytes_and_on_which_are_no_number(bits: int) -> None:
    (number,) = struct.unpack(">d", bits.to_bytes(8, "big"))
    try:
        expected = rfc8785.dumps(number)
    except rfc8785.FloatDomainError:
        with pytest.raises(InvalidError, match="has no JSON form"):
            canonical_bytes(number)
    else:
        assert canonical_bytes(number) == expected


@given(st.dictionaries(texts(), st.integers(0, 9)), st.randoms())
def test_the_order_in_which_keys_were_set_does_not_matter(value: dict[str, int], random: Any) -> None:
    keys = list(value)
    random.shuffle(keys)
    assert canonical_bytes({key: value[key] for key in keys}) == canonical_bytes(value)


@given(values())
def test_a_value_that_is_read_again_is_written_alike(value: Any) -> None:
    assert canonical_bytes(parse_canonical(canonical_bytes(value))) == canonical_bytes(value)


@pytest.mark.parametrize(
    ("bits", "text"),
    [
        # RFC 8785, appendix B.
        ("0000000000000000", "0"),
        ("8000000000000000", "0"),
        ("0000000000000001", "5e-324"),
        ("8000000000000001", "-5e-324"),
        ("7fefffffffffffff", "1.7976931348623157e+308"),
        ("ffefffffffffffff", "-1.7976931348623157e+308"),
        ("4340000000000000", "9007199254740992"),
        ("c340000000000000", "-9007199254740992"),
        ("4430000000000000", "295147905179352830000"),
        ("44b52d02c7e14af5", "9.999999999999997e+22"),
        ("44b52d02c7e14af6", "1e+23"),
        ("44b52d02c7e14af7", "1.0000000000000001e+23"),
        ("444b1ae4d6e2ef4e", "999999999999999700000"),
        ("444b1ae4d6e2ef4f", "999999999999999900000"),
        ("444b1ae4d6e2ef50", "1e+21"),
        ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("3eb0c6f7a0b5ed8d", "0.000001"),
        ("41b3de4355555553", "333333333.3333332"),
        ("41b3de4355555554", "333333333.33333325"),
        ("41b3de4355555555", "333333333.3333333"),
        ("41b3de4355555556", "333333333.3333334"),
        ("41b3de4355555557", "333333333.33333343"),
        ("becbf647612f3696", "-0.0000033333333333333333"),
        ("43143ff3c1cb0959", "1424953923781206.2"),
    ],
)
def test_a_number_is_written_as_the_standard_lists_it(bits: str, text: str) -> None:
    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical_bytes(number).decode() == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (MAX_SAFE_INTEGER, "9007199254740991"),
        (-MAX_SAFE_INTEGER, "-9007199254740991"),
        (1.0, "1"),
        (-1.5, "-1.5"),
        (100.0, "100"),
        (10.25, "10.25"),
        (0.1, "0.1"),
        (1.5e-6, "0.0000015"),
        (1.5e-7, "1.5e-7"),
        (1e22, "1e+22"),
        (Size.LARGE, "3"),
        (Loud(0.25), "0.25"),
        (True, "true"),
        (False, "false"),
        (None, "null"),
    ],
)
def test_a_number_or_a_name_of_a_value_is_written_plainly(number: object, text: str) -> None:
    assert canonical_bytes(number).decode() == text


def test_a_text_escapes_what_it_must_and_nothing_else() -> None:
    # The string of RFC 8785, section 3.2.2.
    assert canonical_bytes('\u20ac$\x0f\nA\'B"\\\\"/').decode() == '"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'
    assert canonical_bytes("\b\t\n\f\r\x00\x1f\x7f").decode() == '"\\b\\t\\n\\f\\r\\u0000\\u001f\x7f"'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((), "[]"),
        ((1, [2, ()], "a"), '[1,[2,[]],"a"]'),
        ({}, "{}"),
        (MappingProxyType({"b": (), "a": {}}), '{"a":{},"b":[]}'),
        ({Colour.RED: Colour.RED, "blue": 1}, '{"blue":1,"red":"red"}'),
        ({"a": 1, "\u00e9": 2, "B": 3}, '{"B":3,"a":1,"\u00e9":2}'),
        ({"": 1, "aa": 2, "a": 3}, '{"":1,"a":3,"aa":2}'),
    ],
)
def test_a_collection_is_written_without_white_space_in_the_order_of_its_keys(value: object, text: str) -> None:
    assert canonical_bytes(value).decode() == text


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "nan has no JSON form. Leave the field out"),
        (float("inf"), "inf has no JSON form"),
        (float("-inf"), "-inf has no JSON form"),
        (MAX_SAFE_INTEGER + 1, r"9007199254740992 is beyond ±\(2\*\*53 - 1\) and would lose digits as JSON. Write it"),
        (-MAX_SAFE_INTEGER - 1, "-9007199254740992 is beyond"),
        pytest.param(1 << 20_000, "a whole number of 20001 bits is beyond", id="more digits than Python writes"),
        pytest.param({1 << 20_000: 1}, "text, not int: a whole number of 20001 bits", id="a key of as many digits"),
        (b"bytes", "bytes has no JSON form: b'bytes'"),
        ({1}, r"set has no JSON form: \{1\}"),
        (1j, "complex has no JSON form: 1j"),
        ({1: 2}, "a JSON key must be text, not int: 1"),
        ({"a": {None: 2}}, "a JSON key must be text, not NoneType: None"),
        ({"a": "text", "b": "\ud800!"}, r"text with a lone surrogate has no JSON form: '.*\\ud800!"),
        ({"\udfff": 1}, r"text with a lone surrogate has no JSON form: '.*\\udfff"),
    ],
)
def test_what_has_no_json_form_is_refused_by_its_value(value: object, message: str) -> None:
    for nested in (value, [value], {"key": value}):
        with pytest.raises(InvalidError, match=message):
            canonical_bytes(nested)


def test_of_a_long_text_that_has_no_json_form_the_beginning_is_shown() -> None:
    with pytest.raises(InvalidError) as refused:
        canonical_bytes("x" * 50 + "\ud800")
    assert str(refused.value) == "text with a lone surrogate has no JSON form: " + repr('"' + "x" * 39)


def test_what_is_nested_too_deeply_to_be_read_is_not_written() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(
        InvalidError, match=r"^a value that is nested so deeply has no JSON form that could be read again$"
    ):
        canonical_bytes(deep)


def test_a_digest_is_the_sha256_of_the_canonical_form() -> None:
    assert digest_of({}) == "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert digest_of({"b": 1.0, "a": [True, None]}) == (
        DIGEST_PREFIX + hashlib.sha256(b'{"a":[true,null],"b":1}').hexdigest()
    )


@given(st.dictionaries(texts(), values(), max_size=3))
def test_the_digest_of_any_mapping_is_a_digest(value: Mapping[str, Any]) -> None:
    digest = digest_of(MappingProxyType(value))
    assert check_digest(digest) == digest == digest_of(value)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("sha256:", id="a prefix alone"),
        pytest.param(HEX, id="no prefix"),
        pytest.param("sha256:" + HEX[:-1], id="one digit less"),
        pytest.param("sha256:" + HEX + "0", id="one digit more"),
        pytest.param("sha256:" + HEX.upper(), id="upper case"),
        pytest.param("sha256:" + HEX[:-1] + "g", id="no hex digit"),
        pytest.param("sha256:" + HEX[:-1] + "X", id="no digit at all"),
        pytest.param("sha256:" + HEX[:-1] + "\n", id="a line end"),
        pytest.param("SHA256:" + HEX, id="a prefix in upper case"),
        pytest.param("sha512:" + HEX, id="another prefix"),
        pytest.param("sha256:sha256:" + HEX, id="two prefixes"),
        pytest.param("sha256:sha256:" + HEX[:57], id="two prefixes of the length of one digest"),
        pytest.param(" sha256:" + HEX, id="white space"),
    ],
)
def test_what_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(InvalidError) as refused:
        check_digest(text)
    assert str(refused.value) == f"{text!r} is not a digest. A digest is sha256: and 64 lower-case hex digits"


def test_people_see_the_first_twelve_digits() -> None:
    assert short("sha256:" + HEX) == "0123456789ab"
    assert short("0123456789abcdef") == "0123456789ab"
    assert short("") == ""
