"""
Fields: reading the entries of a JSON object that another program wrote.

A reader takes the object and the name of an entry. It takes nothing for what it is not: a text is no number, 1.5 is no
count, and true is neither. It raises TypeError or ValueError naming the entry; whoever reads the whole document turns
that into an InvalidError that names the document too.
"""

import math
from collections.abc import Mapping
from typing import Any

__all__ = [
    "entry",
    "flag",
    "integer",
    "integer_value",
    "listed",
    "mapping",
    "number",
    "number_value",
    "shown",
    "text",
    "text_map",
    "texts",
]

_LONGEST_BITS = 256


def entry(item: Any, name: str) -> Any:
    """Return an entry; raises when there is none."""
    # What JSON has is a dict: told at once, while asking whether it is some mapping takes long.
    if type(item) is not dict and not isinstance(item, Mapping):
        raise TypeError(f"an object with {name} is expected, not {shown(item)}")
    if name not in item:
        raise ValueError(f"{name} is missing")
    return item[name]


def integer(item: Any, name: str) -> int:
    """Read a whole number, 0 or more."""
    # Looked at here before it is asked for by name: reports of a whole fleet come at once, and nearly all of their
    # entries are there and what they are to be.
    value = item[name] if type(item) is dict and name in item else entry(item, name)
    return value if type(value) is int and value >= 0 else integer_value(value, name)


def integer_value(value: Any, name: str) -> int:
    """Return the value when it is a whole number, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, not {shown(value)}")
    if value < 0:
        raise ValueError(f"{name} must be 0 or more, not {shown(value)}")
    return value


def number(item: Any, name: str) -> float:
    """Read a finite number."""
    return number_value(entry(item, name), name)


def number_value(value: Any, name: str) -> float:
    """Return the value when it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, not {shown(value)}")
    try:
        finite = float(value)
    except OverflowError:
        finite = math.inf
    if not math.isfinite(finite):
        raise ValueError(f"{name} must be finite, not {finite}")
    return finite


def flag(item: Any, name: str) -> bool:
    """Read true or false."""
    value = entry(item, name)
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be true or false, not {shown(value)}")
    return value


def text(item: Any, name: str) -> str:
    """Read a text."""
    value = item[name] if type(item) is dict and name in item else entry(item, name)
    if not isinstance(value, str):
        raise TypeError(f"{name} must be text, not {shown(value)}")
    return value


def listed(item: Any, name: str) -> list[Any]:
    """Read a list."""
    value = item[name] if type(item) is dict and name in item else entry(item, name)
    if not isinstance(value, list):
        raise TypeError(f"{name} must be a list, not {shown(value)}")
    return value


def mapping(item: Any, name: str) -> Mapping[str, Any]:
    """Read an object."""
    value = entry(item, name)
    if type(value) is not dict and not isinstance(value, Mapping):
        raise TypeError(f"{name} must be an object, not {shown(value)}")
    return value


def texts(item: Any, name: str) -> tuple[str, ...]:
    """Read a list of texts."""
    values = listed(item, name)
    for value in values:
        if not isinstance(value, str):
            raise TypeError(f"{name} must be a list of texts")
    return tuple(values)


def text_map(item: Any, name: str) -> dict[str, str]:
    """Read an object whose values are texts."""
    values = mapping(item, name)
    return {key: text(values, key) for key in values}


def shown(value: Any) -> str:
    """Return enough of a value to find it, for a message; never the whole of one that may be huge or deep."""
    if isinstance(value, int) and value.bit_length() > _LONGEST_BITS:
        # Python does not write one of more than 4300 digits at all.
        return f"a whole number of {value.bit_length()} bits"
    if value is None or isinstance(value, bool | int | float | str):
        return f"{value!r:.80}"
    return {"dict": "an object", "list": "a list"}.get(type(value).__name__, type(value).__name__)
