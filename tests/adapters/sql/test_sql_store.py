"""The store keeps the contract of a durable store, in a SQLite file and on a Postgres server."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from knowngood.adapters.sql import SqlStore
from knowngood.testing.contracts.durable_store import DurableStoreContract
from knowngood.testing.contracts.store import StoreHarness


@dataclass(frozen=True)
class SqlHarness:
    where: Path | str

    def open(self, patience: timedelta = timedelta(seconds=30)) -> SqlStore:
        return SqlStore.open(self.where, patience=patience)


class TestSqlStore(DurableStoreContract):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> StoreHarness:
        return SqlHarness(tmp_path / "store.db")


class TestSqlStoreOnPostgres(DurableStoreContract):
    @pytest.fixture
    def harness(self, postgres_url: str) -> StoreHarness:
        return SqlHarness(postgres_url)
