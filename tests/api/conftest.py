"""A real server on a folder with a system in it, and people with tokens of different scopes."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from knowngood.adapters.sql import SqlStore
from knowngood_sdk.model.route import Facts, Trip
from tests.acceptance.control import Control, start_control
from tests.acceptance.stage import Stage
from tests.cli.conftest import with_a_system

BAD = f"sha256:{'a' * 64}"


@pytest.fixture(scope="package")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A folder with a system that was applied, and a version of it in quarantine."""
    stage = with_a_system(Stage(tmp_path_factory.mktemp("api")))
    trip = Trip(uid="t-1", version=BAD, generation=1, source="person", at="2026-11-23T18:00:00.000Z", why="prices")
    with SqlStore.open(stage.home / "store.db") as store, store.change("pricing") as change:
        change.save(replace(change.state, facts=Facts({"t-1": trip})))
        change.append("tripped", "ann", "2026-11-23T18:00:00.000Z", {"version": BAD})
    yield stage
    stage.close()


@pytest.fixture(scope="package")
def control(place: Stage) -> Iterator[Control]:
    """The server."""
    with start_control(place, env={"KNOWNGOOD_BODY_BYTES": "100000"}) as control:
        yield control
