"""
Fields: reading a declaration that somebody wrote by hand.

Each reader takes the path to a value (for the message, and as ``details["path"]`` of the error) and the value.
"""

from collections.abc import Callable, Collection, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, TypeVar

from knowngood.domain.spelling import described, did_you_mean
from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.canonical import canonical_bytes
from knowngood_sdk.model.manifest import check_name

__all__ = [
    "Fields",
    "Path",
    "as_json_object",
    "as_mapping",
    "as_name",
    "as_names",
    "as_text",
    "dotted",
    "measured",
    "named",
    "one_of",
    "refused",
]

Path = tuple[str, ...]
_E = TypeVar("_E", bound=StrEnum)
_T = TypeVar("_T")


class Fields:
    """
    A mapping that is being read.

    Attributes:
        path: Where it stands.
        values: Its entries.

    Raises:
        InvalidError: It is no mapping, or has a key that is not known; the message names the nearest one.
    """

    def __init__(self, path: Path, value: Any, known: Collection[str]) -> None:
        self.path = path
        self.values = as_mapping(path, value)
        for key in self.values:
            if key not in known:
                raise refused((*path, key), f"unknown key {dotted((*path, key))}", did_you_mean(key, known))

    def required(self, key: str, read: Callable[[Path, Any], _T]) -> _T:
        """Read an entry; raises InvalidError when it is missing or the reader refuses it."""
        if key not in self.values:
            where = f" in {dotted(self.path)}" if self.path else ""
            raise refused(self.path, f"the key {key!r} is missing{where}", f"Add {key}:")
        return read((*self.path, key), self.values[key])

    def optional(self, key: str, read: Callable[[Path, Any], _T], default: _T) -> _T:
        """Read an entry, or return the default when there is none."""
        return read((*self.path, key), self.values[key]) if key in self.values else default


def named(read: Callable[[Path, str, Any], _T]) -> Callable[[Path, Any], dict[str, _T]]:
    """Return a reader of mappings from names (as ``check_name`` wants them) to what ``read`` makes of the entries."""

    def read_all(path: Path, value: Any) -> dict[str, _T]:
        entries = as_mapping(path, value)
        return {key: read((*path, key), as_name((*path, key), key), entry) for key, entry in entries.items()}

    return read_all


def one_of(enum: type[_E]) -> Callable[[Path, Any], _E]:
    """Return a reader of an enumeration's members."""

    def read(path: Path, value: Any) -> _E:
        word = as_text(path, value)
        if word not in set(enum):
            raise refused(path, f"{dotted(path)} is {word!r}", did_you_mean(word, enum))
        return enum(word)

    return read


def measured(read: Callable[[object, str], _T]) -> Callable[[Path, Any], _T]:
    """Return a reader of what a function of domain/quantity.py reads."""

    def read_at(path: Path, value: Any) -> _T:
        try:
            return read(value, dotted(path))
        except InvalidError as error:
            raise refused(path, error.message, error.hint) from error

    return read_at


def as_mapping(path: Path, value: Any) -> Mapping[str, Any]:
    """Read a mapping with text keys."""
    where = dotted(path) or "the system file"
    if not isinstance(value, Mapping):
        raise refused(
            path, f"{where} must be a mapping of keys to values, not {described(value)}", "Write key: value, or {}"
        )
    for key in value:
        if not isinstance(key, str):
            raise refused(path, f"{where} has the key {key!r}, which is not text", f'Put it in quotes: "{key}"')
    return value


def as_text(path: Path, value: Any) -> str:
    """Read a text that is not empty; a number or a truth value is refused, for nobody knows how it was meant."""
    if isinstance(value, str) and value:
        return value
    remedy = "Put it in quotes" if isinstance(value, bool | int | float) else "Write one value"
    raise refused(path, f"{dotted(path)} must be text, not {described(value)}", remedy)


def as_name(path: Path, value: Any) -> str:
    """Read the name of a system, a component or another entry."""
    word = as_text(path, value)
    try:
        return check_name(word, path[0].removesuffix("s"))
    except InvalidError as error:
        raise refused(path, error.message, error.hint) from error


def as_names(path: Path, value: Any) -> tuple[str, ...]:
    """Read a list of names."""
    if not isinstance(value, list | tuple):
        raise refused(path, f"{dotted(path)} must be a list of names, not {described(value)}", "Write [eta, fraud]")
    return tuple(as_name((*path, str(index)), item) for index, item in enumerate(value))


def as_json_object(path: Path, value: Any) -> Mapping[str, Any]:
    """Read a mapping that has a JSON form."""
    fields = as_mapping(path, value)
    try:
        canonical_bytes(fields)
    except InvalidError as error:
        raise refused(path, f"{dotted(path)}: {error.message}", error.hint) from error
    return MappingProxyType(dict(fields))


def dotted(path: Path) -> str:
    """Return a path as people write it."""
    return ".".join(path)


def refused(path: Path, message: str, hint: str) -> InvalidError:
    """Return the error for a value at a path."""
    return InvalidError(message, hint=hint, path=list(path))
