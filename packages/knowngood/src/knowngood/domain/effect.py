"""
Effect: an act in the world (a mail, a price, an approval), on record with the system version that caused it (A4).

A rollback does not undo it. One that is still *held*, in the time that a team lets acts wait after a deployment, is
cancelled. What was carried out is the damage: it is counted, listed by version, and compensated once if somebody
decides so; nobody but a person can tell which acts of a version were wrong.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from types import MappingProxyType
from typing import Any

from knowngood.domain.fields import Fields, Path, as_text, named
from knowngood.domain.kind import kind_of, options_of
from knowngood_sdk.errors import InvalidError

__all__ = ["Damage", "Effect", "EffectState", "EffectsSpec", "read_effects"]


class EffectState(StrEnum):
    """How far an act went."""

    HELD = "held"  # recorded, and not carried out yet
    CANCELLED = "cancelled"  # and never will be
    EXECUTED = "executed"
    COMPENSATED = "compensated"  # carried out, and made good


_NEXT: Mapping[EffectState, frozenset[EffectState]] = {
    EffectState.HELD: frozenset({EffectState.CANCELLED, EffectState.EXECUTED}),
    EffectState.CANCELLED: frozenset(),
    EffectState.EXECUTED: frozenset({EffectState.COMPENSATED}),
    EffectState.COMPENSATED: frozenset(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectsSpec:
    """
    A record of effects as the system file declares it.

    Attributes:
        name: Its name in the system.
        kind: Name of the adapter that handles it.
        target: What the adapter is pointed at (a table, a topic), in its own terms.
        options: Further options of the adapter.
    """

    name: str
    kind: str
    target: str
    options: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form, as in the system file."""
        return {self.kind: self.target, **self.options}


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """
    One act.

    Attributes:
        id: Names it in its record; what it is compensated by is keyed with it.
        version: Content digest of the system version that caused it.
        what: Kind of act, in the team's own words: "mail", "price".
        subject: Whom or what it concerns, as the team records it.
        at: When it was recorded, ISO 8601 in UTC.
        state: How far it went.
        compensable: Whether there is something that makes it good.
    """

    id: str
    version: str
    what: str
    subject: str
    at: str
    state: EffectState
    compensable: bool

    def check_becomes(self, state: EffectState) -> None:
        """
        Check that an act may go on to a state, or is there already.

        Raises:
            InvalidError: It cannot: what was carried out cannot be cancelled, what was not needs no compensation.
        """
        if state is self.state:
            return
        if state not in _NEXT[self.state]:
            raise InvalidError(f"effect {self.id} is {self.state}, so it cannot become {state}")
        if state is EffectState.COMPENSATED and not self.compensable:
            raise InvalidError(f"nothing makes effect {self.id} good", hint="Tell those whom it concerns")


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """
    What a version did in the world, counted.

    Attributes:
        counts: Kind of act -> state -> how many; a kind without any is not in it.
        incurable: Those of them that were carried out and that nothing makes good; a count.
    """

    counts: Mapping[str, Mapping[EffectState, int]] = field(default_factory=dict)
    incurable: int = 0

    def __post_init__(self) -> None:
        plain = {what: MappingProxyType(dict(states)) for what, states in self.counts.items()}
        object.__setattr__(self, "counts", MappingProxyType(plain))

    @classmethod
    def of(cls, effects: Iterable[Effect]) -> "Damage":
        """Count acts one by one; an adapter that can have them counted where they are does that instead."""
        counts: dict[str, dict[EffectState, int]] = {}
        incurable = 0
        for effect in effects:
            states = counts.setdefault(effect.what, {})
            states[effect.state] = states.get(effect.state, 0) + 1
            incurable += effect.state is EffectState.EXECUTED and not effect.compensable
        return cls(counts=counts, incurable=incurable)

    def in_state(self, state: EffectState) -> int:
        """How many acts of any kind are in a state."""
        return sum(states.get(state, 0) for states in self.counts.values())

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        counts = {
            what: {state.value: number for state, number in sorted(states.items())}
            for what, states in sorted(self.counts.items())
        }
        return {"counts": counts, "incurable": self.incurable}


def read_effects(path: Path, value: Any, kinds: Mapping[str, Collection[str]]) -> dict[str, EffectsSpec]:
    """Read the section ``effects`` of a system file; raises InvalidError, naming the key."""
    return named(partial(_entry, kinds))(path, value)


def _entry(kinds: Mapping[str, Collection[str]], path: Path, name: str, value: Any) -> EffectsSpec:
    kind = kind_of(path, value, kinds, (), "effects")
    fields = Fields(path, value, (kind, *kinds[kind]))
    return EffectsSpec(
        name=name, kind=kind, target=fields.required(kind, as_text), options=options_of(fields, kinds[kind])
    )
