"""
Kind: which adapter an entry of the system file is for, and which kinds there are.

An entry names its kind by a key of its own, whose value is what the adapter is pointed at: ``{files: model.joblib}``.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from knowngood.domain.fields import Fields, Path, as_mapping, as_text, dotted, refused
from knowngood.domain.spelling import did_you_mean

__all__ = ["EMBEDDED_KINDS", "Kinds", "kind_of", "options_of"]

EMBEDDED_KINDS: Mapping[str, Collection[str]] = MappingProxyType({"files": (), "git": (), "inline": ()})
"""Component kinds that need no further package -> names of their options."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kinds:
    """
    The kinds that are installed, each with the names of its options.

    Attributes:
        components: Kinds of components.
        state: Kinds of written state.
        effects: Kinds of records of effects.
    """

    components: Mapping[str, Collection[str]] = field(default_factory=lambda: EMBEDDED_KINDS)
    state: Mapping[str, Collection[str]] = field(default_factory=dict)
    effects: Mapping[str, Collection[str]] = field(default_factory=dict)


def kind_of(path: Path, value: Any, kinds: Mapping[str, Collection[str]], keys: Collection[str], what: str) -> str:
    """
    Return the kind that an entry names.

    Args:
        path: Where it stands.
        value: The entry.
        kinds: Kinds that it may name.
        keys: Its other keys.
        what: What it declares, for messages: "component".

    Raises:
        InvalidError: It names none that is installed, or several.
    """
    values = as_mapping(path, value)
    found = [kind for kind in kinds if kind in values]
    if len(found) > 1:
        raise refused(path, f"{dotted(path)} is declared as {' and '.join(found)}", "Keep one")
    if not found:
        strange = next((key for key in values if key not in keys), "")
        raise refused(
            (*path, strange) if strange else path,
            f"{dotted(path)} names no {what} kind" + (f"; {strange!r} is none" if strange else ""),
            did_you_mean(strange, kinds) if kinds else f"No adapter for {what} is installed",
        )
    return found[0]


def options_of(fields: Fields, names: Collection[str]) -> dict[str, str]:
    """Return the options of an adapter that an entry sets."""
    return {name: as_text((*fields.path, name), fields.values[name]) for name in names if name in fields.values}
