"""In-memory written state and effects; what a fault would do to them is done by name: ``fails``."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from knowngood.domain.effect import Damage, Effect, EffectState
from knowngood.domain.state import Repaired, StateClass, Written
from knowngood_sdk.errors import ConflictError, KnownGoodError, NotFoundError

__all__ = ["MemoryEffects", "MemoryState"]


@dataclass(slots=True)
class MemoryState:
    """
    State in memory.

    Attributes:
        name: Its name in the system.
        state_class: Whether it can be computed again.
        entries: Key -> every write of it, oldest first, as (version, value); the last one is what is read.
        fails: Raised by every call; None while all is well.
        generations: The fence: version -> highest generation.
    """

    name: str
    state_class: StateClass
    entries: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    fails: KnownGoodError | None = None
    generations: dict[str, int] = field(default_factory=dict)

    def write(self, version: str, key: str, value: str) -> None:
        """Write as a version."""
        self.entries.setdefault(key, []).append((version, value))

    def read(self, key: str) -> str | None:
        """Read what stands there."""
        return self.entries[key][-1][1] if self.entries.get(key) else None

    def written(self, version: str) -> Written:
        """Count what stands there that was written under a version."""
        self._check()
        return Written(items=len(self._keys(version)))

    def repair(self, version: str, *, generation: int, deadline: timedelta) -> Repaired:  # noqa: ARG002 - it is at once
        """Take back what was written under a version."""
        self._check()
        _pass(self.generations, version, generation)
        keys = self._keys(version)
        for key in keys:
            self.entries[key] = [write for write in self.entries[key] if write[0] != version]
        return Repaired(items=len(keys))

    def _keys(self, version: str) -> list[str]:
        return [key for key, writes in self.entries.items() if any(by == version for by, _ in writes)]

    def _check(self) -> None:
        if self.fails is not None:
            raise self.fails


@dataclass(slots=True)
class MemoryEffects:
    """
    A record of effects in memory.

    Attributes:
        name: Its name in the system.
        record: Effect id -> the act.
        fails: Raised by every call; None while all is well.
        generations: The fence: version -> highest generation.
        keys: Effect id -> key that it was compensated under.
        made_good: Ids, each time that an act was really made good.
    """

    name: str
    record: dict[str, Effect] = field(default_factory=dict)
    fails: KnownGoodError | None = None
    generations: dict[str, int] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    made_good: list[str] = field(default_factory=list)

    def add(self, effect: Effect) -> None:
        """Record an act."""
        self.record[effect.id] = effect

    def caused_by(
        self, version: str, *, state: EffectState | None = None, after: str = "", limit: int = 1000
    ) -> Sequence[Effect]:
        """Return acts of a version, by id."""
        self._check()
        found = (effect for _, effect in sorted(self.record.items()) if effect.version == version)
        return [effect for effect in found if effect.id > after and state in {None, effect.state}][:limit]

    def damage(self, version: str) -> Damage:
        """Count them."""
        self._check()
        return Damage.of(effect for effect in self.record.values() if effect.version == version)

    def cancel(self, effect_id: str, *, generation: int) -> Effect:
        """Never carry it out."""
        effect = self._found(effect_id)
        _pass(self.generations, effect.version, generation)
        if effect.state is EffectState.HELD:
            self.record[effect_id] = replace(effect, state=EffectState.CANCELLED)
        return self.record[effect_id]

    def compensate(self, effect_id: str, *, key: str) -> Effect:
        """Make it good, once."""
        effect = self._found(effect_id)
        effect.check_becomes(EffectState.COMPENSATED)
        if self.keys.setdefault(effect_id, key) != key:
            raise ConflictError(f"effect {effect_id} is compensated under the key {self.keys[effect_id]}")
        if effect.state is EffectState.EXECUTED:
            self.made_good.append(effect_id)
            self.record[effect_id] = replace(effect, state=EffectState.COMPENSATED)
        return self.record[effect_id]

    def _found(self, effect_id: str) -> Effect:
        self._check()
        if effect_id not in self.record:
            raise NotFoundError(f"there is no effect {effect_id} in {self.name}")
        return self.record[effect_id]

    def _check(self) -> None:
        if self.fails is not None:
            raise self.fails


def _pass(generations: dict[str, int], version: str, generation: int) -> None:
    highest = generations.get(version, 0)
    if generation < highest:
        raise ConflictError(f"generation {highest} saw to this version, so generation {generation} does not")
    generations[version] = generation
