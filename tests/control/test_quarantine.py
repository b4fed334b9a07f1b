"""A version that serves nobody can be barred by name: nothing moves, and nothing brings it into service."""

from typing import Any

import pytest

from knowngood.control.quarantine import quarantine
from knowngood.control.reconcile import learn
from knowngood.control.release_quarantine import release_quarantine
from knowngood.control.roll_back import Wish, roll_back
from knowngood.control.rollback import run_open
from knowngood.domain.saga import SagaState, StepName, StepOutcome
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


def steps_of(scenario: Any, saga: str) -> dict[StepName, StepOutcome]:
    (found,) = (one for one in scenario.store.sagas("pricing") if one.id == saga)
    return {step.name: step.outcome for step in found.steps}


@pytest.mark.parametrize("errors", [pytest.param(0, id="well"), pytest.param(100, id="badly")])
def test_what_serves_is_not_judged_by_it_for_it_restored_nothing(incident: Any, errors: int) -> None:
    v1, v2 = (made.version for made in incident.store.deployments("pricing")[:2])
    saga = barred(incident, v1)
    run_open(incident.plane, "pricing")
    incident.serve(v2, 200, errors=errors)
    incident.wait(1)
    run_open(incident.plane, "pricing")
    state = incident.store.read("pricing")
    assert (state.served, state.facts.quarantined) == (v2, {v1})
    steps = steps_of(incident, saga.id)
    assert (steps[StepName.VERIFY], steps[StepName.PEOPLE]) == (StepOutcome.SKIPPED, StepOutcome.SKIPPED)


def test_it_ends_without_a_failure_where_no_traffic_comes(incident: Any) -> None:
    saga = barred(incident, incident.store.deployments("pricing")[0].version)
    run_open(incident.plane, "pricing")
    incident.wait(120)
    run_open(incident.plane, "pricing")
    assert StepOutcome.FAILED not in steps_of(incident, saga.id).values()


def test_what_a_rollback_restored_is_judged_also_where_a_standby_was_barred_before(pricing: Any) -> None:
    versions = []
    for number in (1, 2, 3):
        pricing.change(model=f"model {number}")
        versions.append(pricing.deploy().deployment.version)
        pricing.serve(versions[-1], 200)
        pricing.tick()
    barred(pricing, versions[0])
    done = roll_back(pricing.plane, "pricing", Wish(actor="ann", why="worse"))
    assert done.saga.target == versions[1]
    run_open(pricing.plane, "pricing")
    pricing.serve(versions[1], 200)
    pricing.wait(1)
    run_open(pricing.plane, "pricing")
    assert steps_of(pricing, done.saga.id)[StepName.VERIFY] is StepOutcome.DONE


def test_barred_once_more_after_its_release_it_is_no_rollback_of_what_serves(incident: Any) -> None:
    v1, v2 = (made.version for made in incident.store.deployments("pricing")[:2])
    roll_back(incident.plane, "pricing", Wish(actor="ann", why="worse"))
    release_quarantine(incident.plane, "pricing", v2, shown=None, reason="no fault of its", actor="ann")
    saga = barred(incident, v2)
    run_open(incident.plane, "pricing")
    assert (saga.target, steps_of(incident, saga.id)[StepName.VERIFY]) == (v1, StepOutcome.SKIPPED)


def test_the_deployment_of_a_standby_that_is_barred_was_not_rolled_back(incident: Any) -> None:
    before = incident.store.deployments("pricing")
    barred(incident, before[0].version)
    run_open(incident.plane, "pricing")
    assert [made.state for made in incident.store.deployments("pricing")] == [made.state for made in before]


def test_a_server_that_puts_the_act_on_record_first_does_not_make_it_fail(incident: Any) -> None:
    v1 = incident.store.deployments("pricing")[0].version
    flipped = incident.traffic.publish

    def learned(system: str, change: Any, *, anew: bool = False) -> None:
        """What a server's next look does, between the flip and its record."""
        flipped(system, change, anew=anew)
        incident.traffic.publish = flipped
        learn(incident.plane, system)

    incident.traffic.publish = learned
    saga = barred(incident, v1)
    assert [saga.id] == [one.id for one in incident.store.sagas("pricing")]


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
