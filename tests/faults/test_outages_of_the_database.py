"""While its database is away a control plane leaves a bad version at once, and puts all of it on record afterwards."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event

import pytest

from knowngood_sdk.model.canonical import short
from tests.faults.team import Team, patience, team_at_work
from tests.postgres import OwnServer
from tests.stalling import Proxy, in_front_of

AWAY_SECONDS = [10.0, pytest.param(40.0, marks=pytest.mark.soak)]
AT_ONCE_SECONDS = 2.5
"""Two seconds for the first question that nobody answers; a health endpoint is looked at ten times a second."""
AFTERWARDS_SECONDS = 5.0

pytestmark = [pytest.mark.requirement("A1", "G1", "G2"), pytest.mark.slow]


class Outage:
    """A team whose database can be taken away from its servers, and what taking it away means."""

    def __init__(self, team: Team, begin: Callable[[], None], end: Callable[[], None]) -> None:
        self.team = team
        self._begin = begin
        self._end = end

    @contextmanager
    def lasting(self, seconds: float) -> Iterator[None]:
        """Take the database away for so long, while the block runs."""
        self._begin()
        try:
            yield
            Event().wait(seconds)
        finally:
            self._end()


@pytest.fixture(scope="module", params=["killed", "frozen", "silent"])
def outage_of_module(
    request: pytest.FixtureRequest, own_postgres: OwnServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Outage]:
    """Give a team on a server of its own: one that is killed, stands still, or can be reached and never answers."""
    folder = tmp_path_factory.mktemp("team")
    with own_postgres.store() as url, in_front_of(url) as proxy, team_at_work(folder, url, url) as (team, _):
        if request.param == "silent":
            # The servers go through it; the test itself does not.
            team.where = team.runs = proxy.url
        yield Outage(team, *_of_kind(request.param, own_postgres, proxy))


@pytest.fixture
def outage(outage_of_module: Outage) -> Iterator[Outage]:
    """Give it for one test: what the test started ends with it, also where it fails."""
    with outage_of_module.team.one_test():
        yield outage_of_module


def _of_kind(kind: str, server: OwnServer, proxy: Proxy) -> tuple[Callable[[], None], Callable[[], None]]:
    if kind == "killed":
        return server.kill, server.start
    if kind == "frozen":
        return lambda: server.signal(signal.SIGSTOP), lambda: server.signal(signal.SIGCONT)
    return proxy.stall, proxy.go_on


@pytest.mark.parametrize("seconds", AWAY_SECONDS)
def test_a_version_is_left_at_once_and_all_of_it_is_on_record_afterwards(outage: Outage, seconds: float) -> None:
    team = outage.team
    good = team.plane.store.read("pricing").served
    assert good is not None
    server = team.server()
    bad = team.deploy()
    team.seconds_until(lambda: f"{short(bad)} verified" in server.text, "it to be watched", server)
    with outage.lasting(seconds):
        team.health.well = False
        took = team.seconds_until(lambda: team.serving() == {good}, "the replicas to leave it", server)
        team.health.well = True
        assert took < patience(AT_ONCE_SECONDS)
    took = team.seconds_until(lambda: team.is_over(bad), "the rollback to be on record and over", server)
    assert took < patience(AFTERWARDS_SECONDS)
    team.assert_left_once(bad, good)
    decided = [e for e in team.plane.store.ledger("pricing") if e.kind == "decided" and e.body["version"] == bad]
    assert [entry.body["outcome"] for entry in decided] == ["roll-back"], "with its reasons, once"


@pytest.mark.parametrize("seconds", AWAY_SECONDS)
@pytest.mark.parametrize(
    "point",
    [
        # On record, and the runner does not know yet: it is the library that finds the database away.
        "saga.fan-out.after",
        pytest.param("saga.verify", marks=pytest.mark.soak),
        pytest.param("flip.recording", marks=pytest.mark.soak),
    ],
)
def test_an_outage_in_the_middle_of_a_rollback_only_delays_its_record(
    outage: Outage, point: str, seconds: float
) -> None:
    team = outage.team
    good = team.plane.store.read("pricing").served
    assert good is not None
    server = team.server(f"{point}:SIGSTOP")
    bad = team.deploy(unwell=True)
    team.seconds_until(lambda: server.stopped, f"it to come to {point}", server)
    with outage.lasting(seconds):
        server.signal(signal.SIGCONT)
    took = team.seconds_until(lambda: team.is_over(bad), "the rollback to be on record and over", server)
    assert took < patience(AFTERWARDS_SECONDS)
    team.assert_left_once(bad, good)
