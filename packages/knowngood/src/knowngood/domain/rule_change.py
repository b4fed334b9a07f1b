"""Rule change: what a system file says otherwise than the one before it, as far as a way back depends on it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from knowngood.domain.system import ComponentSpec, Grant, SystemFile, TriggerSpec

__all__ = ["RuleChange", "changes_of"]

_ORDER = tuple(Grant)
"""Grants from the least to the most that automation may do."""
_LIMITS = frozenset({"over", "shift", "drop", "windows", "min_requests", "failures"})
"""Options of triggers that let more pass the higher they are."""
_SECTIONS = ("sla", "standby", "unproven", "verify", "health")


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleChange:
    """
    One change.

    Attributes:
        what: It, in a sentence.
        weakens: Whether less stands between a bad version and the users of the system than before.
    """

    what: str
    weakens: bool

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"what": self.what, "weakens": self.weakens}


def changes_of(before: SystemFile, after: SystemFile) -> tuple[RuleChange, ...]:
    """Return what matters of the change from one system file to the next, in the order of the file."""
    return tuple(RuleChange(what=what, weakens=weakens) for what, weakens in _changes(before, after))


def _changes(before: SystemFile, after: SystemFile) -> Iterator[tuple[str, bool]]:
    if before.kind is not after.kind:
        yield f"kind: {before.kind} before, {after.kind} now; it decides which levels help in time", True
    for name in sorted(before.components.keys() | after.components.keys()):
        yield from _component(name, before.components.get(name), after.components.get(name))
    for name in sorted(before.triggers.keys() | after.triggers.keys()):
        yield from _trigger(name, before.triggers.get(name), after.triggers.get(name))
    was, now = before.to_json(), after.to_json()
    for section in _SECTIONS:
        if was.get(section) != now.get(section):
            # Whether another bound is weaker depends on what it bounds; a section that is gone bounds nothing.
            yield f"{section}: {_said(was.get(section))} before, {_said(now.get(section))} now", section not in now
    yield from _outlasting("state", before.state, after.state)
    yield from _outlasting("effects", before.effects, after.effects)
    if before.fallback is not None and after.fallback is None:
        yield "fallback removed: nothing answers when no version can", True
    elif before.fallback != after.fallback:
        yield "fallback " + ("added" if before.fallback is None else "changed"), False
    if before.golden is not None and after.golden is None:
        yield "golden removed: versions are no longer tried before they serve", True


def _outlasting(section: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            yield f"{section} {name} removed: no rollback sees to it any longer", True
        elif name not in before:
            yield f"{section} {name} added", False
        elif before[name] != after[name]:
            was, now = (_said(declared[name].to_json()) for declared in (before, after))
            yield f"{section} {name}: {was} before, {now} now; what was written elsewhere is found no longer", True


def _component(name: str, before: ComponentSpec | None, after: ComponentSpec | None) -> Iterator[tuple[str, bool]]:
    if before is None or after is None:
        verb = "added" if before is None else "removed: new versions are recorded and restored without it"
        yield f"component {name} {verb}", after is None
        return
    if before.kind != after.kind:
        yield f"component {name}: {before.kind} before, {after.kind} now; versions of before may not be restored", True
    if before.role is not after.role:
        yield f"component {name}: role {before.role} before, {after.role} now; it decides the level", True


def _trigger(name: str, before: TriggerSpec | None, after: TriggerSpec | None) -> Iterator[tuple[str, bool]]:
    if before is None and after is not None:
        yield f"trigger {name} added: {after.grant}", False
    elif before is not None and after is None:
        yield f"trigger {name} removed: nobody watches it any longer", True
    elif before is not None and after is not None:
        if before.grant is not after.grant:
            weakens = _ORDER.index(after.grant) < _ORDER.index(before.grant)
            yield f"trigger {name}: {before.grant} before, {after.grant} now", weakens
        if before.options != after.options:
            looser = any(
                value > before.options[option]
                for option, value in after.options.items()
                if option in _LIMITS and option in before.options
            )
            yield f"trigger {name}: {_options(before)} before, {_options(after)} now", looser


def _said(section: Any) -> str:
    """Return a section of a system file on one line."""
    if isinstance(section, Mapping):
        return ", ".join(f"{key} {value}" for key, value in section.items())
    return ", ".join(section) if section else "nothing"


def _options(trigger: TriggerSpec) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in trigger.options.items()) or "its defaults"
