"""The store in memory keeps the contract of every store, and goes by the leases that it is given."""

from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta

import pytest

from knowngood.ports.lease import Held
from knowngood.ports.store import Store
from knowngood.testing.contracts.lease import FencedStoreContract, Shared
from knowngood.testing.contracts.store import StoreContract, StoreHarness
from knowngood.testing.memory_store import MemoryStore


class MemoryHarness:
    def __init__(self) -> None:
        self.store = MemoryStore()

    def open(self, patience: timedelta = timedelta(seconds=30)) -> AbstractContextManager[Store]:
        self.store.patience = patience
        return nullcontext(self.store)


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def harness(self) -> StoreHarness:
        return MemoryHarness()


class EndlessLeases:
    """Leases that are never over by themselves."""

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}
        self._fence = 0

    def claim(self, name: str, holder: str, ttl: timedelta) -> Held | None:
        held = self._held.get(name)
        if held is None:
            self._fence += 1
            held = self._held[name] = Held(name=name, holder=holder, fence=self._fence, expires_in=ttl)
        return held if held.holder == holder else None

    def renew(self, names: Collection[str], holder: str, ttl: timedelta) -> dict[str, Held]:  # noqa: ARG002
        return {name: held for name, held in self._held.items() if name in names and held.holder == holder}

    def release(self, name: str, holder: str) -> None:
        if name in self._held and self._held[name].holder == holder:
            del self._held[name]

    def held(self, prefix: str = "") -> dict[str, Held]:
        return {name: held for name, held in self._held.items() if name.startswith(prefix)}


class TestFencedMemoryStore(FencedStoreContract):
    @pytest.fixture
    def shared(self) -> Shared:
        leases = EndlessLeases()
        return Shared(MemoryStore(leases=leases), leases)
