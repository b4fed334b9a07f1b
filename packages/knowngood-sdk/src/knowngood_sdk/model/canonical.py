"""
Canonical JSON (RFC 8785) and the digests that are taken over it.

Two programs that hold the same value get the same bytes, so a digest names the value and not a spelling of it.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from json.encoder import encode_basestring
from typing import Any, Never

from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.fields import shown

__all__ = [
    "DIGEST_PREFIX",
    "MAX_SAFE_INTEGER",
    "canonical_bytes",
    "check_digest",
    "digest_of",
    "parse_canonical",
    "short",
]

DIGEST_PREFIX = "sha256:"
MAX_SAFE_INTEGER = 2**53 - 1
_HEX_LENGTH = 64
_SHORT_LENGTH = 12
# ECMAScript writes a number without an exponent while its decimal point falls into this range
# (ECMA-262, Number::toString).
_FIRST_PLAIN_POINT = -6
_LAST_PLAIN_POINT = 21


def canonical_bytes(value: Any) -> bytes:
    """
    Serialise a JSON value by RFC 8785.

    Args:
        value: None, bool, int within ±(2**53 - 1), finite float, str, mapping with str keys, list or tuple.

    Returns:
        UTF-8 bytes, without white space, keys sorted by their UTF-16 code units.

    Raises:
        InvalidError: The value has no JSON form (NaN, an infinity, a large integer, a lone surrogate, another type), or
            is nested too deeply for one.
    """
    pieces: list[str] = []
    try:
        _write(value, pieces)
        return "".join(pieces).encode()
    except RecursionError as error:
        raise InvalidError("a value that is nested so deeply has no JSON form that could be read again") from error
    except UnicodeEncodeError as error:
        raise InvalidError(f"text with a lone surrogate has no JSON form: {error.object[:40]!r}") from error


def parse_canonical(text: str | bytes) -> Any:
    """
    Read what ``canonical_bytes`` wrote, so that writing it again gives the same bytes.

    The form has one way to write 1e20 and 10**20; an integer that large can only have been a float.

    Raises:
        InvalidError: It is not JSON, or holds NaN or a number too large to be finite.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode(json.detect_encoding(text), "surrogatepass")
        return _DECODER.decode(text)
    except (ValueError, OverflowError, RecursionError) as error:
        raise InvalidError(f"not JSON: {error}") from error


def digest_of(value: Any) -> str:
    """Return ``sha256:<64 hex>`` of the canonical form of a JSON value."""
    return DIGEST_PREFIX + hashlib.sha256(canonical_bytes(value)).hexdigest()


def check_digest(text: str) -> str:
    """
    Return the text when it is a digest.

    Raises:
        InvalidError: It is anything but ``sha256:`` and 64 lower-case hexadecimal digits.
    """
    hexadecimal = text.removeprefix(DIGEST_PREFIX)
    if len(hexadecimal) != _HEX_LENGTH or len(text) == _HEX_LENGTH or set(hexadecimal) - set("0123456789abcdef"):
        raise InvalidError(f"{text!r} is not a digest", hint="A digest is sha256: and 64 lower-case hex digits")
    return text


def short(digest: str) -> str:
    """Return the first twelve hex digits, as people see them."""
    return digest.removeprefix(DIGEST_PREFIX)[:_SHORT_LENGTH]


def _parse_integer(text: str) -> int | float:
    number = int(text)
    return number if abs(number) <= MAX_SAFE_INTEGER else float(number)


def _parse_float(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse_constant(text)


def _refuse_constant(text: str) -> Never:
    raise InvalidError(f"{text} has no JSON form")


def _write(value: Any, pieces: list[str]) -> None:
    if isinstance(value, str):
        # What ``json.dumps`` calls in the end, without the encoder that it makes anew for each text.
        pieces.append(encode_basestring(value))
    elif value is None or isinstance(value, bool):
        pieces.append({None: "null", True: "true", False: "false"}[value])
    elif isinstance(value, int):
        if abs(value) > MAX_SAFE_INTEGER:
            raise InvalidError(
                f"{shown(value)} is beyond ±(2**53 - 1) and would lose digits as JSON", hint="Write it as a string"
            )
        pieces.append(str(int(value)))
    elif isinstance(value, float):
        # A subclass (numpy's float64 is one) may have a repr of its own.
        pieces.append(_number(float(value)))
    elif isinstance(value, dict | Mapping):  # the plain one first: to ask whether something is a Mapping is slow
        _write_object(value, pieces)
    elif isinstance(value, list | tuple):
        pieces.append("[")
        for index, item in enumerate(value):
            pieces.append("," if index else "")
            _write(item, pieces)
        pieces.append("]")
    else:
        raise InvalidError(f"{type(value).__name__} has no JSON form: {value!r}")


def _write_object(value: Mapping[Any, Any], pieces: list[str]) -> None:
    for key in value:
        if not isinstance(key, str):
            raise InvalidError(f"a JSON key must be text, not {type(key).__name__}: {shown(key)}")
    before = "{"
    for key in _sorted(value):
        pieces.append(f"{before}{encode_basestring(key)}:")
        _write(value[key], pieces)
        before = ","
    pieces.append("}" if value else "{}")


def _sorted(keys: Iterable[str]) -> list[str]:
    """Return keys in the order of their UTF-16 code units; of ASCII alone, as nearly all are, that is Python's own."""
    if all(map(str.isascii, keys)):
        return sorted(keys)
    return sorted(keys, key=lambda key: key.encode("utf-16-be", "surrogatepass"))


def _number(value: float) -> str:
    """Write a float as ECMAScript does; Python's repr already gives the shortest digits that round-trip."""
    if not math.isfinite(value):
        raise InvalidError(f"{value} has no JSON form", hint="Leave the field out when there is no value")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    count = len(digits)
    if count <= point <= _LAST_PLAIN_POINT:
        return sign + digits + "0" * (point - count)
    if 0 < point <= _LAST_PLAIN_POINT:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if _FIRST_PLAIN_POINT < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    power = point - 1
    tail = f".{digits[1:]}" if count > 1 else ""
    return f"{sign}{digits[0]}{tail}e{'+' if power >= 0 else '-'}{abs(power)}"


_DECODER = json.JSONDecoder(parse_int=_parse_integer, parse_float=_parse_float, parse_constant=_refuse_constant)
"""Made once: to make one takes longer than to read a small document with it."""
