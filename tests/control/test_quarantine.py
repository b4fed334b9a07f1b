"""A version that serves nobody can be barred by name: nothing moves, and nothing brings it into service."""

from typing import Any

import pytest

from knowngood.control.quarantine import quarantine
from knowngood.domain.saga import SagaState
from knowngood_sdk.errors import ConflictError, NotFoundError, RefusedError


def barred(scenario: Any, name: str) -> Any:
    return quarantine(scenario.plane, "pricing", name, reason="trained on leaked labels", actor="ann")


@pytest.mark.requirement("A1")
def test_a_standby_that_is_barred_is_passed_over_by_the_next_rollback_and_moves_nobody(incident: Any) -> None:
    v1, v2 = (made.version for made in incident.store.deployments("pricing")[:2])
    barred(incident, v1)
    state = incident.store.read("pricing")
    assert (state.served, state.way_back, state.facts.quarantined) == (v2, None, {v1})
    states = [replica.report.state for replica in incident.traffic.replicas("pricing").values()]
    assert {state.chain[state.latched] for state in states} == {v2}
    (trip,) = state.facts.trips.values()
    assert (trip.source, trip.why) == ("person", "trained on leaked labels")


def test_the_rollback_that_it_starts_comes_to_its_end_and_what_serves_stays(incident: Any) -> None:
    v1, v2 = (made.version for made in incident.store.deployments("pricing")[:2])
    barred(incident, v1)
    for _ in range(5):
        incident.serve(v2, 50)
        incident.tick()
    assert [saga.state for saga in incident.store.sagas("pricing")] == [SagaState.DONE]
    assert incident.store.read("pricing").served == v2


def test_a_version_that_is_barred_is_not_deployed(incident: Any) -> None:
    v1, _ = (made.version for made in incident.store.deployments("pricing")[:2])
    barred(incident, v1)
    incident.change(model="model 1", features="features 1", config="config 1")
    with pytest.raises(RefusedError, match="quarantine"):
        incident.deploy()


@pytest.mark.parametrize(
    ("name", "hint"),
    [pytest.param("live", "kg rollback pricing", id="what serves"), pytest.param("00ff", "", id="none")],
)
def test_what_serves_is_left_by_a_rollback_and_what_is_not_there_is_not_barred(
    incident: Any, name: str, hint: str
) -> None:
    with pytest.raises((ConflictError, NotFoundError)) as refused:
        barred(incident, name)
    assert hint in refused.value.hint
    assert incident.store.read("pricing").facts.trips == {}


def test_a_version_is_barred_once(incident: Any) -> None:
    v1 = incident.store.deployments("pricing")[0].version
    barred(incident, v1)
    with pytest.raises(ConflictError, match="in quarantine already"):
        barred(incident, v1)
