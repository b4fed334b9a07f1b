"""A person's rollback: the plan's choice, a version by name, level 1 on evidence, and what is refused."""

from datetime import timedelta
from typing import Any

import pytest

from knowngood.control.deploy import Order, deploy
from knowngood.control.flip import record_trip
from knowngood.control.release import recorded_again
from knowngood.control.roll_back import Wish, roll_back
from knowngood.control.rollback import leave, led_here, run_open, trip_of
from knowngood.domain.fleet import release
from knowngood.domain.level import Level
from knowngood.domain.saga import SagaState, StepName, StepOutcome
from knowngood.testing.contracts.store import noted
from knowngood_sdk.errors import ConflictError, NotFoundError, NotReadyError, RefusedError
from knowngood_sdk.model.manifest import Intent


def verified(pricing: Any, **working: str) -> str:
    """Deploy what stands in the working places and let its own traffic verify it."""
    pricing.change(**working)
    version: str = pricing.deploy().deployment.version
    pricing.tick()
    pricing.serve(version, 150)
    pricing.tick()
    return version


@pytest.mark.requirement("B2", "J2")
def test_goes_back_to_the_version_that_stands_armed_behind(incident: Any) -> None:
    v1, v2 = (made.version for made in incident.store.deployments("pricing"))
    done = roll_back(incident.plane, "pricing", Wish(actor="ada", why="prices too high"))
    assert (done.saga.version, done.saga.target) == (v2, v1)
    assert sorted(done.flip.acknowledged) == ["r1", "r2"]
    assert "2/2 left" in done.flip.summary
    (trip,) = incident.store.read("pricing").facts.trips.values()
    assert (trip.source, trip.why) == ("person", "prices too high")


@pytest.mark.requirement("B2")
def test_a_reason_that_nothing_could_keep_as_it_is_holds_nothing_up(incident: Any) -> None:
    v1, _ = (made.version for made in incident.store.deployments("pricing"))
    roll_back(incident.plane, "pricing", Wish(actor="m\udcfcller", why="zur\udcfcck", override="\ud800"))
    state = incident.store.read("pricing")
    (trip,) = state.facts.trips.values()
    assert (state.served, trip.why) == (v1, "zur\ufffdck")
    decided = next(entry for entry in incident.store.ledger("pricing") if entry.kind == "decided")
    assert (decided.actor, decided.body["reasons"]) == ("m\ufffdller", ["zur\ufffdck"])


@pytest.mark.requirement("C1")
def test_a_decision_whose_reasons_nothing_could_keep_as_they_are_holds_nothing_up_either(incident: Any) -> None:
    _, v2 = (made.version for made in incident.store.deployments("pricing"))
    trip = trip_of(incident.plane, "pricing", v2, source="trigger", why="said \ud800")
    flipped, _ = leave(incident.plane, "pricing", trip, "automation", {"outcome": "roll back", "reasons": ["\udc80"]})
    assert sorted(flipped.acknowledged) == ["r1", "r2"]
    kept = {entry.kind: entry.body for entry in incident.store.ledger("pricing")}
    assert (kept["decided"]["reasons"], kept["tripped"]["why"]) == (["\ufffd"], "said \ufffd")


@pytest.mark.requirement("B1")
def test_a_deployment_of_a_model_alone_is_taken_back_at_level_1(pricing: Any) -> None:
    v1 = verified(pricing)
    pricing.change(model="model 2")
    pricing.deploy()
    done = roll_back(pricing.plane, "pricing", Wish(actor="ada", why="worse"))
    assert done.plan is not None
    assert (done.plan.level, done.saga.target) == (Level.MODEL, v1)


@pytest.mark.requirement("B2")
def test_an_older_version_is_deployed_first_and_what_was_live_is_left_then(pricing: Any) -> None:
    v1 = verified(pricing)
    verified(pricing, model="model 2")
    verified(pricing, model="model 3")
    pricing.change(model="model 4")
    live = pricing.deploy().deployment.version
    done = roll_back(pricing.plane, "pricing", Wish(actor="ada", why="back to the beginning", target=v1))
    state = pricing.store.read("pricing")
    assert (state.served, done.saga.version) == (v1, live)
    assert live in state.facts.quarantined


@pytest.mark.requirement("A2")
def test_level_1_without_evidence_is_refused_and_nothing_moves(incident: Any) -> None:
    served = incident.store.read("pricing").served
    with pytest.raises(NotReadyError, match=r"never measured|no safe target"):
        roll_back(incident.plane, "pricing", Wish(actor="ada", why="model only", level=Level.MODEL))
    assert incident.store.read("pricing").served == served


@pytest.mark.requirement("A2", "B1")
def test_level_1_that_was_measured_within_tolerance_restores_the_model_alone(incident: Any) -> None:
    v1, v2 = (made.version for made in incident.store.deployments("pricing"))
    combination = incident.traffic.published("pricing").shadow.others[1]
    incident.serve(v1, 150, shadow={combination: 0.05, v2: 0.05})
    done = roll_back(incident.plane, "pricing", Wish(actor="ada", why="model only", level=Level.MODEL))
    state = incident.store.read("pricing")
    assert state.served == combination
    assert done.plan is not None
    assert done.plan.chosen is not None
    assert done.plan.chosen.changes.components == ("model",)
    assert v2 in state.facts.quarantined


@pytest.mark.requirement("A2", "B1")
def test_what_was_measured_beside_the_known_version_counts_against_a_contract_too(pricing: Any) -> None:
    pricing.trained_on = pricing.parts["features"].capture(timedelta(seconds=1)).digest
    v1 = verified(pricing)
    pricing.trained_on = None
    pricing.change(model="model 2", features="features 2", config="config 2")
    v2 = pricing.deploy().deployment.version
    combination = pricing.traffic.published("pricing").shadow.others[1]
    pricing.serve(v1, 150, shadow={combination: 0.05, v2: 0.4})
    roll_back(pricing.plane, "pricing", Wish(actor="ada", why="model only", level=Level.MODEL))
    assert pricing.store.read("pricing").served == combination


@pytest.mark.requirement("A2")
def test_a_person_may_take_an_unproven_combination_upon_them_by_name(incident: Any) -> None:
    wish = Wish(actor="ada", why="model only", level=Level.MODEL, override="the features are right, I checked")
    done = roll_back(incident.plane, "pricing", wish)
    assert done.plan is not None
    assert done.plan.chosen is not None
    assert done.plan.chosen.override is not None
    assert done.plan.chosen.override.by == "ada"
    assert "the features are right" in str([entry.body for entry in incident.store.ledger("pricing")])


def test_a_first_version_has_nothing_to_go_back_to_and_says_what_a_person_could_do(pricing: Any) -> None:
    pricing.deploy()
    with pytest.raises(NotReadyError) as caught:
        roll_back(pricing.plane, "pricing", Wish(actor="ada", why="broken"))
    assert "static fallback" in caught.value.hint


def test_leaving_what_is_left_already_is_a_conflict_and_no_second_rollback(incident: Any) -> None:
    roll_back(incident.plane, "pricing", Wish(actor="ada", why="prices too high"))
    with pytest.raises((ConflictError, NotReadyError)):
        roll_back(incident.plane, "pricing", Wish(actor="ada", why="again"))
    assert len(incident.store.sagas("pricing")) == 1


@pytest.mark.requirement("N1")
def test_a_first_version_can_be_left_for_the_static_fallback_by_name(pricing: Any) -> None:
    v1 = pricing.deploy().deployment.version
    done = roll_back(pricing.plane, "pricing", Wish(actor="ada", why="broken", target="fallback"))
    assert (done.saga.version, done.saga.target) == (v1, None)
    assert pricing.store.read("pricing").served is None
    (over,) = run_open(pricing.plane, "pricing")
    assert over.state is SagaState.DONE
    assert {step.outcome for step in over.steps} <= {StepOutcome.DONE, StepOutcome.SKIPPED}, "nothing failed"


@pytest.mark.requirement("B2")
def test_what_a_rollback_led_to_is_not_left_by_the_same_command_again(incident: Any) -> None:
    v1, v2 = (made.version for made in incident.store.deployments("pricing"))
    roll_back(incident.plane, "pricing", Wish(actor="ada", why="prices too high"))
    run_open(incident.plane, "pricing")
    incident.serve(v1, 200)
    (over,) = run_open(incident.plane, "pricing")
    assert over.state is SagaState.DONE
    with pytest.raises(ConflictError, match=r"is what the rollback of .* led to") as caught:
        roll_back(incident.plane, "pricing", Wish(actor="ada", why="prices too high"))
    assert "--to VERSION (or fallback)" in caught.value.hint
    assert incident.store.read("pricing").facts.quarantined == {v2}
    left = roll_back(incident.plane, "pricing", Wish(actor="ada", why="this one too", target="fallback"))
    assert (left.saga.version, left.saga.target) == (v1, None)


@pytest.mark.requirement("B2")
def test_a_trip_of_what_nobody_served_does_not_stand_in_the_way_of_leaving_what_serves(incident: Any) -> None:
    v1, v2 = (made.version for made in incident.store.deployments("pricing"))
    elsewhere = trip_of(incident.plane, "pricing", "sha256:" + "e" * 64, source="break-glass", why="found bad")
    record_trip(incident.plane, "pricing", elsewhere, "reconciler")
    assert led_here(incident.plane, "pricing") is None
    done = roll_back(incident.plane, "pricing", Wish(actor="ada", why="prices too high"))
    assert (done.saga.version, done.saga.target) == (v2, v1)


@pytest.mark.requirement("B2")
def test_what_did_not_verify_is_left_by_a_plain_wish(incident: Any) -> None:
    v1, _ = (made.version for made in incident.store.deployments("pricing"))
    roll_back(incident.plane, "pricing", Wish(actor="ada", why="prices too high"))
    run_open(incident.plane, "pricing")
    incident.wait(100)
    (over,) = run_open(incident.plane, "pricing")
    verdict = next(step for step in over.steps if step.name is StepName.VERIFY)
    assert (over.state, verdict.outcome) == (SagaState.DONE, StepOutcome.FAILED)
    with pytest.raises(NotReadyError, match="no safe target"):
        roll_back(incident.plane, "pricing", Wish(actor="ada", why="this one too"))
    assert incident.store.read("pricing").served == v1


@pytest.mark.requirement("B2", "J2")
def test_a_version_on_record_is_deployed_again_from_the_static_fallback(incident: Any) -> None:
    v1, v2 = (made.version for made in incident.store.deployments("pricing"))
    roll_back(incident.plane, "pricing", Wish(actor="ada", why="prices too high"))
    run_open(incident.plane, "pricing")
    incident.serve(v1, 200)
    run_open(incident.plane, "pricing")
    roll_back(incident.plane, "pricing", Wish(actor="ada", why="broken too", target="fallback"))
    with pytest.raises(NotFoundError, match="serves no version") as caught:
        roll_back(incident.plane, "pricing", Wish(actor="ada", why="again"))
    assert "kg deploy pricing --version VERSION" in caught.value.hint
    state = incident.store.read("pricing")
    with incident.store.change("pricing") as change:
        change.save(release(state, frozenset(uid for uid, t in state.facts.trips.items() if t.version == v1)))
        noted(change)
    again = recorded_again(incident.plane, "pricing", v1, Intent(text="it was the network"))
    assert (again.content_digest, again.parent, again.intent.text) == (v1, None, "it was the network")
    deploy(incident.plane, Order(manifest=again, actor="ada"))
    assert incident.store.read("pricing").served == v1
    with pytest.raises(RefusedError, match="is in quarantine"):
        deploy(incident.plane, Order(manifest=recorded_again(incident.plane, "pricing", v2, Intent()), actor="ada"))


def test_the_static_fallback_is_not_reached_past_a_version_that_stands_behind(incident: Any) -> None:
    with pytest.raises(ConflictError, match="stands behind"):
        roll_back(incident.plane, "pricing", Wish(actor="ada", why="broken", target="fallback"))
