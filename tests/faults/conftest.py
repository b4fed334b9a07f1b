"""One team for the tests of a module, on each database."""

from collections.abc import Iterator

import pytest

from tests.faults.team import Team, team_at_work


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def team_of_module(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """Give the team; its store is a file, or a database on the server of the session."""
    folder = tmp_path_factory.mktemp("team")
    if request.param == "sqlite":
        home = folder / ".knowngood"
        with team_at_work(folder, str(home / "server.db"), f"sqlite:///{home}/runs.db") as (team, _):
            yield team
        return
    with request.getfixturevalue("postgres").store() as url, team_at_work(folder, url, url) as (team, _):
        yield team


@pytest.fixture
def team(team_of_module: Team) -> Iterator[Team]:
    """Give the team for one test: what the test started ends with it, also where it fails."""
    with team_of_module.one_test() as team:
        yield team
