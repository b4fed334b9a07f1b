"""Runs on DBOS keep the port's contract, on SQLite and on Postgres."""

from pathlib import Path

import pytest

from knowngood.adapters.clock import SystemClock
from knowngood.adapters.dbos import DbosRunner
from knowngood.testing.contracts.runner import MakeRunner, RunnerContract

pytestmark = pytest.mark.requirement("B2")


class TestDbosRunnerOnSqlite(RunnerContract):
    @pytest.fixture
    def make_runner(self, tmp_path: Path) -> MakeRunner:
        return lambda incarnation: DbosRunner(f"sqlite:///{tmp_path}/runs.db", incarnation, SystemClock())


class TestDbosRunnerOnPostgres(RunnerContract):
    @pytest.fixture
    def make_runner(self, empty_postgres_url: str) -> MakeRunner:
        return lambda incarnation: DbosRunner(empty_postgres_url, incarnation, SystemClock())
