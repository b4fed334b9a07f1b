"""Store and runs in one database are away together: a server waits for them once, and not one after the other."""

import time
from pathlib import Path

import pytest

from knowngood.adapters.dbos import DbosRunner
from knowngood.adapters.remembered import RememberedStore
from knowngood.app import Server, open_server
from knowngood.config import Settings
from knowngood_sdk.errors import TransientError
from tests.stalling import in_front_of

AT_ONCE_SECONDS = 0.5
SILENT = TransientError("no answer came")

pytestmark = pytest.mark.requirement("G2")


def ports(server: Server) -> tuple[RememberedStore, DbosRunner]:
    store, runner = server.plane.store, server.plane.runner
    assert isinstance(store, RememberedStore)
    assert isinstance(runner, DbosRunner)
    return store, runner


def test_who_waited_for_the_store_in_vain_waits_for_nothing_else_in_its_database(
    postgres_url: str, tmp_path: Path
) -> None:
    with in_front_of(postgres_url) as proxy:
        server = open_server(Settings(dir=tmp_path, store=proxy.url))
        store, runner = ports(server)
        proxy.stall()
        with pytest.raises(TransientError, match="does not answer"):
            store.heads()
        began = time.monotonic()
        with pytest.raises(TransientError, match="the store of runs stands where the store does, which is away"):
            runner.reach.check()
        with pytest.raises(TransientError, match="does not answer"), server.plane.deploying("pricing"):
            pytest.fail("nobody knows who deploys")
        assert time.monotonic() - began < AT_ONCE_SECONDS
        store.reach.close()
        runner.reach.close()
        proxy.go_on()


def test_who_waited_for_runs_in_vain_waits_for_the_store_in_the_same_database_no_more(
    postgres_url: str, tmp_path: Path
) -> None:
    with in_front_of(postgres_url) as proxy:
        store, runner = ports(open_server(Settings(dir=tmp_path, store=proxy.url)))
        proxy.stall()
        runner.reach.lost(SILENT)
        began = time.monotonic()
        with pytest.raises(TransientError, match="the store stands where the store of runs does, which is away"):
            store.heads()
        assert time.monotonic() - began < AT_ONCE_SECONDS
        store.reach.close()
        runner.reach.close()
        proxy.go_on()


def test_files_of_their_own_are_not_away_together(tmp_path: Path) -> None:
    store, runner = ports(open_server(Settings(dir=tmp_path)))
    store.reach.lost(SILENT)
    runner.reach.check()
    store.reach.close()
