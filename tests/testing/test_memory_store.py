"""The store in memory keeps the contract of every store."""

from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta

import pytest

from knowngood.ports.store import Store
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
