"""A control plane that is killed while it deploys leaves nothing half done behind, and nobody was served by a half."""

import signal

import pytest

from knowngood.control.fault_point import FaultPoint
from tests.faults.team import Team, patience

WITHIN_SECONDS = 5.0
BEFORE_TRAFFIC = [p for p in FaultPoint if p.startswith("deploy.") and p is not FaultPoint.DEPLOY_ADVANCED]

pytestmark = [pytest.mark.requirement("A1", "N2"), pytest.mark.slow]


def test_a_deployment_that_is_killed_before_it_takes_traffic_is_given_up_by_whoever_comes_next(team: Team) -> None:
    good = team.plane.store.read("pricing").served
    go = team.stage.folder / "deploy-now"
    for point in [*BEFORE_TRAFFIC, FaultPoint.DEPLOY_ADVANCED]:
        server = team.server(point, "--deploy-when", str(go))
        # It runs when it watches; then whatever the one before left half done is given up.
        took = team.seconds_until(
            lambda server=server: " carries out runs" in server.text and not team.half_done(),  # type: ignore[misc]
            f"what was left before {point} to be given up",
            server,
        )
        assert took < patience(WITHIN_SECONDS)
        assert team.plane.store.read("pricing").served == good
        assert team.serving() == {good}
        team.write()
        go.touch()
        assert server.wait() == -signal.SIGKILL, f"{point}: {server.text}"
    server = team.server()
    newest = team.plane.store.read("pricing").served
    assert newest != good, "the last one was killed when it was in service"
    team.seconds_until(lambda: team.serving() == {newest}, "the replicas to serve it", server)
    team.seconds_until(lambda: " verified: " in server.text, "it to be verified", server)
