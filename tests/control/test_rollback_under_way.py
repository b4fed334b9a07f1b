"""A rollback that is under way is gone on with: nothing is left twice, and one that waits for a person can go on."""

from typing import Any

import pytest

from knowngood.control.flip import flip
from knowngood.control.reconcile import learn
from knowngood.control.resume import resume_stuck
from knowngood.control.roll_back import Wish, roll_back
from knowngood.control.rollback import resume, step_forward, trip_of, under_way
from knowngood.domain.level import Level
from knowngood.domain.saga import SagaState, StepName
from knowngood.ports.verbs import RollbackWish
from knowngood.verbs.rollback import rollback
from knowngood_sdk.errors import ConflictError, NotAuthorizedError, NotReadyError

WITH_A_POINTER = {
    "system": "pricing",
    "kind": "realtime",
    "components": {"model": {"files": "model.joblib"}, "config": {"inline": "surge.yaml", "switching": "pointer"}},
    "fallback": {"price": 2.0},
    "verify": {"requests": 100, "within": "60s"},
    "triggers": {"errors": {"over": "5%", "do": "rollback"}},
}


def two_versions(scenario: Any) -> tuple[str, str]:
    """Version 1 is verified, version 2 serves; return both."""
    first = scenario.deploy().deployment.version
    scenario.serve(first, 200)
    scenario.tick()
    scenario.tick()
    scenario.change(**{name: f"{name} 2" for name in scenario.parts})
    return first, scenario.deploy().deployment.version


@pytest.mark.requirement("A1")
def test_a_rollback_that_is_not_over_is_the_one_to_go_on_with(pricing: Any) -> None:
    first, second = two_versions(pricing)
    assert under_way(pricing.plane, "pricing", "ann") is None
    rolled = roll_back(pricing.plane, "pricing", Wish(actor="ann", why="wrong prices"))
    going = under_way(pricing.plane, "pricing", "ann")
    assert going == rolled.saga
    assert (going.version, going.target) == (second, first)


def test_one_that_is_over_is_not_gone_on_with(pricing: Any) -> None:
    first, _ = two_versions(pricing)
    saga = roll_back(pricing.plane, "pricing", Wish(actor="ann", why="wrong prices")).saga
    step_forward(pricing.plane, saga)
    pricing.serve(first, 200)
    assert step_forward(pricing.plane, pricing.store.sagas("pricing")[-1]).state is SagaState.DONE
    assert under_way(pricing.plane, "pricing", "ann") is None


def test_what_replicas_left_before_a_kill_is_learned_as_the_same_act(pricing: Any) -> None:
    first, second = two_versions(pricing)
    trip = trip_of(pricing.plane, "pricing", second, source="person", why="wrong prices")
    pricing.outbox.put("pricing", trip.uid, {"outcome": "roll back", "reasons": ["wrong prices"], "plan": {}})
    flip(pricing.plane, "pricing", trip)  # and the process dies before it could record it
    started = learn(pricing.plane, "pricing").started
    assert [(saga.version, saga.target) for saga in started] == [(second, first)]
    assert pricing.kinds()[-3:] == ["decided", "tripped", "rollback-started"]
    assert learn(pricing.plane, "pricing").started == (), "once"


@pytest.mark.requirement("A1")
def test_a_reconciler_that_heard_of_it_first_opened_the_very_rollback_that_was_asked_for(pricing: Any) -> None:
    first, second = two_versions(pricing)
    left: list[str] = []

    def heard(replica: str, _seconds: float) -> None:
        left.append(replica)
        learn(pricing.plane, "pricing")

    rolled = roll_back(pricing.plane, "pricing", Wish(actor="ann", why="wrong prices"), acknowledged=heard)
    assert left
    assert (rolled.saga.version, rolled.saga.target) == (second, first)
    assert len(pricing.store.sagas("pricing")) == 1
    assert pricing.kinds().count("tripped") == 1


@pytest.mark.requirement("J1")
def test_nobody_takes_a_level_beyond_their_highest_whatever_the_plan_makes_of_it(pricing: Any) -> None:
    _, second = two_versions(pricing)
    with pytest.raises(NotAuthorizedError, match="ann may take levels up to 1, and this plan is level 2"):
        roll_back(pricing.plane, "pricing", Wish(actor="ann", why="wrong prices", highest=Level.MODEL))
    assert pricing.store.read("pricing").served == second


def waiting_for_a_person(scenario: Any) -> tuple[Any, dict[Any, Any]]:
    """Let a rollback stop at a component that is gone; return it, and what to put back."""
    scenario.parts["config"].pointer = "sha256:" + "0" * 64
    two_versions(scenario)
    kept = dict(scenario.parts["config"].versions)
    saga = roll_back(scenario.plane, "pricing", Wish(actor="ann", why="wrong prices")).saga
    scenario.parts["config"].versions.clear()
    return step_forward(scenario.plane, saga), kept


@pytest.mark.requirement("J1")
def test_nobody_resumes_one_that_goes_deeper_than_they_may(make_scenario: Any) -> None:
    scenario = make_scenario(rules=WITH_A_POINTER)
    stuck, _ = waiting_for_a_person(scenario)
    asked = "bob may take levels up to 1, and rollback .* is level 2"
    with pytest.raises(NotAuthorizedError, match=asked):
        resume_stuck(scenario.plane, "pricing", "bob", highest=Level.MODEL)
    with pytest.raises(NotAuthorizedError, match=asked):
        rollback(scenario.plane, "pricing", RollbackWish(why="go on", wait=False), actor="bob", highest=Level.MODEL)
    assert scenario.store.sagas("pricing")[-1] == stuck


def test_who_asks_for_a_rollback_and_so_resumes_one_is_on_record(make_scenario: Any) -> None:
    scenario = make_scenario(rules=WITH_A_POINTER)
    waiting_for_a_person(scenario)
    rollback(scenario.plane, "pricing", RollbackWish(why="go on", wait=False), actor="bob")
    assert [entry.actor for entry in scenario.store.ledger("pricing") if entry.kind == "rollback-resumed"] == ["bob"]


@pytest.mark.parametrize(("changed", "level"), [(("model",), Level.MODEL), (("model", "config"), Level.SYSTEM)])
def test_the_level_of_a_rollback_that_a_person_wants_is_on_record(pricing: Any, changed: Any, level: Level) -> None:
    first = pricing.deploy().deployment.version
    pricing.serve(first, 200)
    pricing.tick()
    pricing.tick()
    pricing.change(**{name: f"{name} 2" for name in changed})
    pricing.deploy()
    assert roll_back(pricing.plane, "pricing", Wish(actor="ann", why="wrong prices")).saga.level == level


def test_one_that_waits_for_a_person_is_tried_again_when_a_person_asks(make_scenario: Any) -> None:
    scenario = make_scenario(rules=WITH_A_POINTER)
    stuck, kept = waiting_for_a_person(scenario)
    first = stuck.target
    assert (stuck.state, stuck.next_step()) == (SagaState.STUCK, StepName.DEPENDENTS)
    assert "is gone" in stuck.needs
    scenario.parts["config"].versions.update(kept)
    resumed = under_way(scenario.plane, "pricing", "ann")
    assert resumed is not None
    assert resumed.state is SagaState.RUNNING
    scenario.serve(first, 200)
    assert step_forward(scenario.plane, resumed).next_step() in {StepName.VERIFY, None}
    assert scenario.parts["config"].pointer in kept
    assert "rollback-resumed" in scenario.kinds()


def test_a_deployment_that_is_stopped_for_any_reason_is_given_up(pricing: Any) -> None:
    first, second = two_versions(pricing)
    pricing.change(model="model 3")
    for replica in ("r1", "r2"):
        pricing.traffic.join("pricing", replica, loads=False)
    with pytest.raises(NotReadyError):
        pricing.deploy()
    assert pricing.kinds()[-1] == "deployment-blocked"
    assert pricing.traffic.published("pricing").prepare == ()
    assert pricing.store.read("pricing").served == second
    assert first in pricing.store.read("pricing").chain


def test_where_no_request_came_the_record_says_so_and_not_that_a_metric_was_bad(pricing: Any) -> None:
    two_versions(pricing)
    saga = step_forward(pricing.plane, roll_back(pricing.plane, "pricing", Wish(actor="ann", why="test")).saga)
    pricing.wait(61)
    step_forward(pricing.plane, saga)
    (verdict,) = [entry.body for entry in pricing.store.ledger("pricing") if entry.body.get("step") == "verify"]
    assert verdict["reason"] == "no request came (0 of 100)"


@pytest.mark.requirement("A1")
def test_of_two_who_resume_it_at_the_same_moment_one_is_told_that_the_other_did(incident: Any) -> None:
    stuck = roll_back(incident.plane, "pricing", Wish(actor="ann", why="wrong prices")).saga.stuck("start replica r2")
    with incident.store.change("pricing") as change:
        change.save_saga(stuck)
        change.append("rollback-stuck", "saga", incident.plane.now(), {"saga": stuck.id})
    assert resume(incident.plane, stuck, "ann").state is SagaState.RUNNING
    with pytest.raises(ConflictError, match="somebody else did the same"):
        resume(incident.plane, stuck, "bob")
    resumed = [entry for entry in incident.store.ledger("pricing") if entry.kind == "rollback-resumed"]
    assert [entry.actor for entry in resumed] == ["ann"]
