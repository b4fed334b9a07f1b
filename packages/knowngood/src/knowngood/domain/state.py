"""
State: what a system writes while it serves, outside of its components, and what therefore outlives a rollback (A3).

*Derived* state can be computed again: cached predictions, namespaced by system version, so that those of the standby
are still warm. *Accumulated* state cannot: profiles, histories. A rollback discards what the version that it left has
derived. What that version accumulated it counts and leaves to a person, who alone can tell how far back it is wrong: a
version may have served well for months before it had to be left.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from types import MappingProxyType
from typing import Any

from knowngood.domain.fields import Fields, Path, as_text, named, one_of
from knowngood.domain.kind import kind_of, options_of

__all__ = ["Repaired", "StateClass", "StateSpec", "Written", "read_state"]

_KEYS = ("class",)


class StateClass(StrEnum):
    """Whether what is lost can be had again."""

    DERIVED = "derived"
    ACCUMULATED = "accumulated"


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSpec:
    """
    Written state as the system file declares it.

    Attributes:
        name: Its name in the system.
        kind: Name of the adapter that handles it.
        target: What the adapter is pointed at (a pattern of keys, a table), in its own terms.
        state_class: Whether it can be computed again.
        options: Further options of the adapter.
    """

    name: str
    kind: str
    target: str
    state_class: StateClass
    options: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form, as in the system file."""
        return {self.kind: self.target, "class": self.state_class.value, **self.options}


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """
    What stands there that was written under one version.

    Attributes:
        items: How many entries, in the adapter's own terms (keys, rows); a count.
        first_at: When the first one was written, ISO 8601 in UTC; None when nobody knows, or there is none.
        last_at: The same of the last one.
    """

    items: int
    first_at: str | None = None
    last_at: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"items": self.items, "first_at": self.first_at, "last_at": self.last_at}


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """
    What became of what was written under one version.

    Attributes:
        items: Entries that were discarded, restored or computed again by this call; a count.
        left: Entries that stand as they were, for they could not be repaired; a count.
        why: Why some are left; empty when none is.
    """

    items: int
    left: int = 0
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"items": self.items, "left": self.left, "why": self.why}


def read_state(path: Path, value: Any, kinds: Mapping[str, Collection[str]]) -> dict[str, StateSpec]:
    """Read the section ``state`` of a system file; raises InvalidError, naming the key."""
    return named(partial(_entry, kinds))(path, value)


def _entry(kinds: Mapping[str, Collection[str]], path: Path, name: str, value: Any) -> StateSpec:
    kind = kind_of(path, value, kinds, _KEYS, "state")
    fields = Fields(path, value, (kind, *_KEYS, *kinds[kind]))
    return StateSpec(
        name=name,
        kind=kind,
        target=fields.required(kind, as_text),
        state_class=fields.required("class", one_of(StateClass)),
        options=options_of(fields, kinds[kind]),
    )
