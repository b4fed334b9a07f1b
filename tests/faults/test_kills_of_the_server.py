"""A control plane that is killed anywhere goes on where it was when it is started again, within five seconds."""

import signal

import pytest

from knowngood.control.fault_point import FaultPoint
from knowngood.domain.saga import StepName
from tests.faults.team import Team, patience

WITHIN_SECONDS = 5.0
SAGA = [FaultPoint(f"saga.{name}") for name in StepName]
# Latest first: whoever goes on with the rollback of the kill before does not come past its own point with that.
CHAINS = {
    "after each step of a rollback": [point.after() for point in reversed(SAGA)],
    "in each step of a rollback": list(reversed(SAGA)),
    "before each step of a rollback": [point.before() for point in reversed(SAGA)],
    "around the flip": [
        FaultPoint.FLIP_RECORDED,
        FaultPoint.FLIP_RECORDING,
        FaultPoint.FLIP_PUSHED,
        FaultPoint.FLIP_FIRST_ACKNOWLEDGED,
        FaultPoint.FLIP_DECIDED,
    ],
}

pytestmark = [pytest.mark.requirement("A1", "B2", "G1", "G2"), pytest.mark.slow]


@pytest.mark.parametrize("points", CHAINS.values(), ids=CHAINS)
def test_the_rollback_is_completed_and_nothing_is_done_twice(team: Team, points: list[FaultPoint]) -> None:
    good = team.plane.store.read("pricing").served
    assert good is not None
    bad = ""
    for point in [*points, ""]:
        server = team.server(point)
        if bad:
            took = team.seconds_until(lambda bad=bad: team.is_over(bad), f"the rollback before {point}", server)  # type: ignore[misc]
            assert took < patience(WITHIN_SECONDS)
            team.assert_left_once(bad, good)
        if point:
            bad = team.deploy(unwell=True)
            assert server.wait() == -signal.SIGKILL, f"{point}: {server.text}"


def test_a_server_that_is_killed_over_and_over_while_it_starts_completes_it_in_the_end(team: Team) -> None:
    good = team.plane.store.read("pricing").served
    assert good is not None
    server = team.server(FaultPoint.SERVER_OPENED)
    bad = team.deploy(unwell=True)
    assert server.wait() == -signal.SIGKILL, server.text
    for point in ("entered", "claimed", "launched", "reaping", "reaped"):
        server = team.server(f"server.{point}")
        assert server.wait() == -signal.SIGKILL, f"{point}: {server.text}"
    server = team.server()
    assert team.seconds_until(lambda: team.is_over(bad), "the rollback", server) < patience(WITHIN_SECONDS)
    team.assert_left_once(bad, good)
