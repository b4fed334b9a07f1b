"""
Quantities as people write them: durations (``80ms``, ``72h``), ratios (``5%``), sizes (``4GiB``), factors (``5x``).

A bare number is refused where a unit decides what it means.
"""

import math
import re
from datetime import timedelta

from knowngood.domain.spelling import described
from knowngood_sdk.errors import InvalidError

__all__ = ["count", "duration", "duration_text", "factor", "ratio", "size", "size_text"]

_MICROSECONDS = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}
_BYTES = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_AMOUNT = r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?"
_DURATION = re.compile(_AMOUNT + f"({'|'.join(_MICROSECONDS)})")
_SIZE = re.compile(_AMOUNT + f"({'|'.join(_BYTES)})")
_PERCENT = re.compile(_AMOUNT + "%")
_FACTOR = re.compile(_AMOUNT + "x")


def duration(value: object, what: str) -> timedelta:
    """
    Read a duration.

    Args:
        value: A number with one of the units us, ms, s, m, h, d; ``80ms``, ``1.5h``.
        what: Name of the field, for the message.

    Raises:
        InvalidError: It is not one, or it is zero.
    """
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    microseconds = round(float(found[1]) * _MICROSECONDS[found[2]]) if found else 0
    if not microseconds:
        raise InvalidError(
            f"{what} must be a duration, not {described(value)}",
            hint="Write a number above 0 and its unit: 80ms, 30s, 5m, 72h, 3d",
        )
    try:
        return timedelta(microseconds=microseconds)
    except OverflowError as error:
        raise InvalidError(f"{what} is {value}, longer than any calendar", hint="Write a shorter duration") from error


def duration_text(value: timedelta) -> str:
    """Return the shortest text that ``duration`` reads back as the same value."""
    microseconds = value // timedelta(microseconds=1)
    unit = max((u for u, size in _MICROSECONDS.items() if microseconds % size == 0), key=_MICROSECONDS.__getitem__)
    return f"{microseconds // _MICROSECONDS[unit]}{unit}"


def ratio(value: object, what: str) -> float:
    """
    Read a ratio.

    Args:
        value: A percentage (``5%``), or the ratio itself as a number (0.05).
        what: Name of the field, for the message.

    Returns:
        The ratio, above 0; ``5%`` is 0.05. The caller checks the upper bound.

    Raises:
        InvalidError: It is neither, or not above 0.
    """
    found = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    number = _positive(float(found[1]) / 100 if found else value)
    if number is None:
        raise InvalidError(f"{what} must be a share above 0, not {described(value)}", hint="Write a percentage: 5%")
    return number


def factor(value: object, what: str) -> float:
    """
    Read how many times something else: ``5x``, or the number 5.

    Raises:
        InvalidError: It is neither, or not above 0.
    """
    found = _FACTOR.fullmatch(value) if isinstance(value, str) else None
    number = _positive(float(found[1]) if found else value)
    if number is None:
        raise InvalidError(f"{what} must be a factor above 0, not {described(value)}", hint="Write how many times: 5x")
    return number


def size(value: object, what: str) -> int:
    """
    Read a size.

    Args:
        value: A number with a unit: B, KB, MB, GB, TB (powers of 1,000) or KiB, MiB, GiB, TiB (powers of 1,024).
        what: Name of the field, for the message.

    Returns:
        Bytes, rounded down to whole ones.

    Raises:
        InvalidError: It is not one, or less than a byte.
    """
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    whole = math.floor(float(found[1]) * _BYTES[found[2]]) if found else 0
    if not whole:
        raise InvalidError(
            f"{what} must be a size, not {described(value)}", hint="Write a number and its unit: 512MiB, 4GiB"
        )
    return whole


def size_text(value: int) -> str:
    """Return the shortest text that ``size`` reads back as the same number of bytes."""
    units = ("TiB", "GiB", "MiB", "KiB", "B")
    unit = next(u for u in units if value % _BYTES[u] == 0)
    return f"{value // _BYTES[unit]}{unit}"


def count(value: object, what: str) -> int:
    """
    Read a count: a whole number of at least 1.

    Raises:
        InvalidError: It is not one.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidError(f"{what} must be a count, not {described(value)}", hint="Write a whole number, 1 or more")
    return value


def _positive(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and value > 0 else None
