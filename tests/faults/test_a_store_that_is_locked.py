"""A SQLite store that somebody keeps locked holds up no flip: only its record waits."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event

import pytest

from knowngood_sdk.model.canonical import short
from tests.faults.team import Team, patience, team_at_work

LOCKED_SECONDS = 8.0
AT_ONCE_SECONDS = 2.5
AFTERWARDS_SECONDS = 10.0
"""Whoever waited for the lock last may have begun to wait for five seconds just before it was let go."""

pytestmark = [pytest.mark.requirement("A1", "G1", "G2"), pytest.mark.slow]


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Team]:
    home = tmp_path / ".knowngood"
    with team_at_work(tmp_path, str(home / "server.db"), f"sqlite:///{home}/runs.db") as (team, _):
        yield team


def test_a_version_is_left_at_once_and_recorded_when_the_lock_is_gone(team: Team) -> None:
    good = team.plane.store.read("pricing").served
    assert good is not None
    server = team.server()
    bad = team.deploy()
    team.seconds_until(lambda: f"{short(bad)} verified" in server.text, "it to be watched", server)
    with closing(sqlite3.connect(team.where, isolation_level=None)) as somebody:
        somebody.execute("BEGIN IMMEDIATE")
        team.health.well = False
        took = team.seconds_until(lambda: team.serving() == {good}, "the replicas to leave it", server)
        team.health.well = True
        assert took < patience(AT_ONCE_SECONDS)
        Event().wait(LOCKED_SECONDS)
        somebody.execute("ROLLBACK")
    took = team.seconds_until(lambda: team.is_over(bad), "the rollback to be on record and over", server)
    assert took < patience(AFTERWARDS_SECONDS)
    team.assert_left_once(bad, good)
