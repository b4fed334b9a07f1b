"""What another process hears is learnt at every beat, and however many replicas ever joined, changes can be told."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from knowngood.adapters.hub.hub import Hub
from knowngood.adapters.sql import SqlExchange, open_database
from knowngood.testing.contracts.traffic import SYSTEM
from knowngood.testing.memory_exchange import MemoryExchange
from knowngood_sdk.model.route import ReplicaState
from knowngood_sdk.model.wire import ReplicaReport


def report(name: str, at: str) -> ReplicaReport:
    return ReplicaReport(replica=name, state=ReplicaState(), ready=frozenset(), workers=1, at=at)


def test_a_round_that_is_a_beat_and_no_look_learns_of_replicas_elsewhere() -> None:
    exchange = MemoryExchange()
    here = Hub(exchange)
    here.loaded(SYSTEM)
    exchange.save_reports(SYSTEM, [report("r2", "2026-01-01T18:00:00Z")])
    here._go_round(looks=True, beats=True)
    assert set(here.replicas(SYSTEM)) == {"r2"}
    exchange.save_reports(SYSTEM, [replace(report("r2", "2026-01-01T18:00:01Z"), workers=3)])
    here._go_round(looks=False, beats=True)
    assert here.replicas(SYSTEM)["r2"].report.workers == 3


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[SqlExchange]:
    database = open_database(tmp_path / "store.db")
    yield SqlExchange(database)
    database.close()


def test_changes_can_be_told_of_replicas_of_the_far_future_too(exchange: SqlExchange) -> None:
    exchange.save_reports(SYSTEM, [report(f"r{number}", "9999-12-31T00:00:00Z") for number in range(80)])
    before = exchange.stamps()[SYSTEM]
    exchange.save_reports(SYSTEM, [report("r80", "9999-12-31T00:00:00Z")])
    assert exchange.stamps()[SYSTEM] != before


class Overflowing(MemoryExchange):
    """An exchange that fails in a way that nobody foresaw."""

    def stamps(self) -> NoReturn:
        raise RuntimeError("integer overflow")


def test_what_cannot_be_told_ends_no_thread() -> None:
    exchange = Overflowing()
    exchange.save_reports(SYSTEM, [report("r2", "2026-01-01T18:00:00Z")])
    here = Hub(exchange)
    here.loaded(SYSTEM)
    here._go_round(looks=True, beats=True)
    assert set(here.replicas(SYSTEM)) == {"r2"}
