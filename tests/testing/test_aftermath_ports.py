"""The in-memory ports of written state and of effects keep their promises."""

from collections.abc import Sequence

import pytest

from knowngood.domain.effect import Effect
from knowngood.domain.state import StateClass
from knowngood.ports.effects import Effects
from knowngood.ports.written_state import WrittenState
from knowngood.testing.contracts.effects import Acts, EffectsContract
from knowngood.testing.contracts.written_state import Place, Places, WrittenStateContract
from knowngood.testing.memory_aftermath import MemoryEffects, MemoryState


class StateInMemory:
    """Derived state stands in a namespace of its version; accumulated state is shared."""

    def __init__(self, state_class: StateClass) -> None:
        self.memory = MemoryState("profiles", state_class)
        self.state: WrittenState = self.memory

    def write(self, version: str, key: str, value: str) -> None:
        self.memory.write(version, self._key(version, key), value)

    def read(self, version: str, key: str) -> str | None:
        return self.memory.read(self._key(version, key))

    def _key(self, version: str, key: str) -> str:
        return f"{version}:{key}" if self.memory.state_class is StateClass.DERIVED else key


class ActsInMemory:
    def __init__(self) -> None:
        self.memory = MemoryEffects("mails")
        self.effects: Effects = self.memory

    def record(self, effect: Effect) -> None:
        self.memory.add(effect)

    def made_good(self) -> Sequence[str]:
        return self.memory.made_good


class TestMemoryState(WrittenStateContract):
    @pytest.fixture
    def places(self) -> Places:
        def make(state_class: StateClass) -> Place:
            return StateInMemory(state_class)

        return make


class TestMemoryEffects(EffectsContract):
    @pytest.fixture
    def acts(self) -> Acts:
        return ActsInMemory()
