"""The incident, told on the control plane's own code: deploy, breach, decide, flip, verify, quarantine."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from knowngood.control.audit import audit
from knowngood.control.deploy import promote
from knowngood.control.publish import publish_anchor
from knowngood.domain.deployment import DeploymentState
from knowngood.domain.evidence import Grade, standing_of
from knowngood.domain.saga import SagaState, StepName, StepOutcome
from knowngood.ports.telemetry import HealthSample
from knowngood_sdk.errors import ConflictError, NotReadyError, RefusedError
from tests.control.conftest import RULES


def versions(scenario: Any) -> tuple[str, str]:
    first, second = scenario.store.deployments("pricing")[:2]
    return first.version, second.version


@pytest.mark.requirement("N1")
def test_the_first_deployment_takes_all_traffic_on_every_replica(pricing: Any) -> None:
    deployed = pricing.deploy()
    states = [replica.report.state for replica in pricing.traffic.replicas("pricing").values()]
    assert [(s.chain[s.positions[0]], s.fleet.generation) for s in states] == [(deployed.deployment.version, 1)] * 2


@pytest.mark.requirement("N1")
def test_a_first_deployment_without_a_static_fallback_is_blocked(make_scenario: Any) -> None:
    rules = {key: value for key, value in make_scenario().rules.items() if key != "fallback"}
    pricing = make_scenario(rules=rules)
    with pytest.raises(NotReadyError, match="fallback"):
        pricing.deploy()


@pytest.mark.requirement("N1")
def test_a_deployment_is_blocked_while_a_part_of_the_served_version_is_gone(pricing: Any) -> None:
    pricing.deploy()
    pricing.parts["model"].versions.clear()
    pricing.change(model="model 2")
    with pytest.raises(NotReadyError, match=r"component model of the version that is served .* is gone"):
        pricing.deploy()
    assert pricing.store.read("pricing").row.generation == 1


@pytest.mark.requirement("N1")
def test_a_deployment_that_a_replica_cannot_load_is_blocked_with_its_reason_and_nothing_moves(
    incident: Any,
) -> None:
    incident.change(model="model 3")
    served = incident.store.read("pricing").served
    for replica in ("r1", "r2"):
        incident.traffic.kill_workers("pricing", replica)
    with pytest.raises(NotReadyError, match="none is running"):
        incident.deploy()
    assert incident.store.read("pricing").served == served
    assert "deployment-blocked" in incident.kinds()


@pytest.mark.requirement("A1", "C4", "D1", "B2", "J5")
def test_outputs_that_moved_on_the_same_requests_lead_back_to_the_whole_known_version(incident: Any) -> None:
    v1, v2 = versions(incident)
    incident.serve(v2, 100, mean=135.0)
    incident.serve(v1, 0, shadow={v2: 0.0})
    incident.serve(v1, 60, shadow={v2: 0.35})
    tick = incident.tick()
    assert tick.decision is not None
    assert (tick.decision.trigger, tick.decision.acts, tick.decision.target) == ("prediction_mean", True, v1)
    assert incident.store.read("pricing").served == v1
    states = [replica.report.state for replica in incident.traffic.replicas("pricing").values()]
    assert {state.chain[state.latched] for state in states} == {v1}
    assert incident.store.deployments("pricing")[1].state is DeploymentState.ROLLED_BACK


@pytest.mark.requirement("C1", "D1")
def test_errors_lead_back_within_two_windows(incident: Any) -> None:
    v1, v2 = versions(incident)
    incident.tick()
    for _ in range(2):
        incident.serve(v2, 50, errors=20)
        incident.tick()
    assert incident.store.read("pricing").served == v1


@pytest.mark.requirement("L2m", "J2")
def test_a_rollback_is_over_once_the_restored_version_is_verified_and_says_who_must_hear_of_it(
    incident: Any,
) -> None:
    v1, v2 = versions(incident)
    incident.serve(v1, 60, shadow={v2: 0.35})
    incident.tick()
    incident.serve(v1, 50)
    (running,) = incident.tick().sagas
    assert (running.state, running.next_step()) == (SagaState.RUNNING, StepName.VERIFY)
    incident.serve(v1, 150)
    (saga,) = incident.tick().sagas
    assert saga.state is SagaState.DONE
    people = next(step for step in saga.steps if step.name is StepName.PEOPLE)
    assert people.details["duty"]["notify"] == "team-lead"


@pytest.mark.requirement("A1")
def test_a_version_that_was_left_cannot_be_deployed_again_under_another_intent(incident: Any) -> None:
    v1, v2 = versions(incident)
    incident.serve(v1, 60, shadow={v2: 0.35})
    incident.tick()
    for intent in ("", "another intent"):
        with pytest.raises(RefusedError, match="quarantine"):
            incident.deploy(intent=intent)


@pytest.mark.requirement("L3m")
def test_a_watcher_that_dies_after_the_first_replica_left_loses_nothing(incident: Any) -> None:
    v1, v2 = versions(incident)
    incident.serve(v1, 60, shadow={v2: 0.35})
    answers: list[str] = []

    class KilledError(BaseException):
        pass

    push = incident.traffic.push

    def dies_after_one(document: object, deadline: object, *, on_acknowledged: object = None) -> object:
        def acknowledged(name: str) -> None:
            answers.append(name)
            raise KilledError

        return push(document, deadline, on_acknowledged=acknowledged if on_acknowledged else None)

    incident.traffic.push = dies_after_one
    with pytest.raises(KilledError):
        incident.tick()
    incident.traffic.push = push
    assert answers == ["r1"]
    assert incident.store.read("pricing").served == v2, "nothing was recorded yet"
    incident.restart_watch()
    incident.tick()
    assert incident.store.read("pricing").served == v1
    assert {r.report.state.latched for r in incident.traffic.replicas("pricing").values()} == {1}
    assert [kind for kind in incident.kinds() if kind in {"decided", "tripped", "rollback-started"}] == [
        "decided",
        "tripped",
        "rollback-started",
    ]


@pytest.mark.requirement("C5", "D2")
def test_a_seasonal_fall_of_conversion_with_the_same_outputs_is_investigated_and_not_acted_on(
    incident: Any,
) -> None:
    v1, v2 = versions(incident)
    incident.serve(v1, 1000, shadow={v2: 0.0})
    incident.serve(v2, 1000, conversion=0.5)
    tick = incident.tick()
    assert tick.decision is not None
    assert (tick.decision.outcome, tick.decision.acts) == ("investigate", False)
    assert incident.store.read("pricing").served == v2


@pytest.mark.requirement("A2", "N1")
def test_a_model_on_features_that_it_was_not_trained_on_is_refused_without_evidence(incident: Any) -> None:
    incident.change(model="model 3")
    incident.trained_on = "sha256:" + "0" * 64
    with pytest.raises(RefusedError, match="unproven"):
        incident.deploy()


@pytest.mark.requirement("N3")
def test_a_canary_takes_its_share_and_a_trip_takes_it_away_from_both_arms(pricing: Any) -> None:
    v1 = pricing.deploy().deployment.version
    pricing.serve(v1, 200)
    pricing.tick()
    pricing.change(model="model 2", features="features 2")
    v2 = pricing.deploy(split=1000).deployment.version
    assert {r.report.state.positions for r in pricing.traffic.replicas("pricing").values()} == {(0, 1)}
    pricing.serve(v1, 100, shadow={v2: 0.35})
    pricing.serve(v2, 10)
    pricing.tick()
    assert {r.report.state.positions for r in pricing.traffic.replicas("pricing").values()} == {(1,)}


@pytest.mark.requirement("N3")
def test_a_second_deployment_is_refused_while_a_canary_is_under_way(pricing: Any) -> None:
    pricing.deploy()
    pricing.change(model="model 2")
    pricing.deploy(split=1000)
    pricing.change(model="model 3")
    with pytest.raises(ConflictError, match="still being deployed"):
        pricing.deploy()


@pytest.mark.requirement("B2")
def test_a_version_becomes_verified_by_its_own_traffic_and_known_good_by_time(pricing: Any) -> None:
    v1 = pricing.deploy().deployment.version
    pricing.tick()
    pricing.serve(v1, 120)
    pricing.tick()
    evidence, facts = pricing.store.evidence("pricing"), pricing.store.read("pricing").facts
    assert standing_of(v1, evidence, facts, now=pricing.clock.now()).grade is Grade.VERIFIED
    pricing.wait(73 * 3600)
    assert standing_of(v1, evidence, facts, now=pricing.clock.now()).grade is Grade.KNOWN_GOOD


def test_a_rollback_that_nobody_used_within_the_deadline_ends_unverified(incident: Any) -> None:
    v1, v2 = versions(incident)
    incident.serve(v1, 60, shadow={v2: 0.35})
    incident.tick()
    incident.tick(61)
    (saga,) = incident.store.sagas("pricing")
    verify = next(step for step in saga.steps if step.name is StepName.VERIFY)
    assert (saga.state, verify.outcome) == (SagaState.DONE, StepOutcome.FAILED)


@pytest.mark.requirement("N4")
def test_the_watch_goes_on_after_a_rollback_and_leaves_a_restored_version_that_fails(incident: Any) -> None:
    v1, v2 = versions(incident)
    incident.serve(v1, 60, shadow={v2: 0.35})
    incident.tick()
    for _ in range(3):
        incident.serve(v1, 50, errors=40)
        incident.tick()
    assert incident.store.read("pricing").served is None, "the static fallback answers now"


@pytest.mark.requirement("D2")
def test_errors_that_the_known_version_shares_are_no_reason_to_leave_the_candidate(pricing: Any) -> None:
    v1 = pricing.deploy().deployment.version
    pricing.serve(v1, 200)
    pricing.tick()
    pricing.change(model="model 2")
    v2 = pricing.deploy(split=5000).deployment.version
    pricing.tick()
    for _ in range(2):
        pricing.serve(v1, 50, errors=20)
        pricing.serve(v2, 50, errors=20)
        pricing.wait(1)
        pricing.watcher.tick()
    pricing.serve(v1, 50, errors=20)
    pricing.serve(v2, 50, errors=20)
    tick = pricing.tick()
    assert tick.decision is not None
    assert (tick.decision.outcome, tick.decision.acts) == ("investigate", False)
    assert "known version does the same" in " ".join(tick.decision.reasons)


HELD = {**RULES, "triggers": {**RULES["triggers"], "errors": {"over": "5%", "do": "hold"}}}


def held(make_scenario: Any) -> Any:
    """A canary of version 2 that fails two in five of its requests, where errors hold a deployment."""
    pricing = make_scenario(rules=HELD)
    v1 = pricing.deploy().deployment.version
    for _ in range(2):
        pricing.serve(v1, 200)
        pricing.tick()
    pricing.change(model="model 2")
    v2 = pricing.deploy(split=1_000).deployment.version
    pricing.watcher.hold = timedelta(seconds=5)
    pricing.tick()
    for _ in range(2):
        pricing.serve(v2, 50, errors=20)
        pricing.tick()
    for _ in range(10):
        pricing.serve(v2, 50)
        pricing.serve(v1, 50)
        pricing.tick()
    return pricing


@pytest.mark.requirement("D2", "J5", "N3")
def test_a_breach_that_is_to_be_held_keeps_a_canary_where_it_is_until_a_person_has_looked(make_scenario: Any) -> None:
    pricing = held(make_scenario)
    deployment = pricing.store.deployments("pricing")[-1]
    assert (deployment.state, pricing.store.read("pricing").row.split) == (DeploymentState.CANARY, 1_000)
    assert "20 of 50 requests failed" in deployment.held
    pricing.restart_watch()
    pricing.watcher.hold = timedelta(seconds=5)
    for _ in range(5):
        pricing.serve(deployment.version, 50)
        pricing.tick()
    assert pricing.store.read("pricing").row.split == 1_000


@pytest.mark.requirement("J5")
def test_a_person_lets_a_held_canary_go_on(make_scenario: Any) -> None:
    pricing = held(make_scenario)
    promoted = promote(pricing.plane, "pricing", "ann")
    assert (promoted.state, promoted.held) == (DeploymentState.FULL, "")


@pytest.mark.requirement("J5", "E5")
def test_what_is_held_with_all_traffic_is_not_verified_until_a_person_has_looked(make_scenario: Any) -> None:
    pricing = make_scenario(rules=HELD)
    v1 = pricing.deploy().deployment.version
    pricing.tick()
    for _ in range(2):
        pricing.serve(v1, 50, errors=30)
        pricing.tick()
    for _ in range(10):
        pricing.serve(v1, 2_000)
        pricing.tick()
    assert pricing.store.deployments("pricing")[-1].state is DeploymentState.FULL
    assert promote(pricing.plane, "pricing", "ann").held == ""
    assert pricing.kinds()[-1] == "hold-lifted"
    pricing.serve(v1, 2_000)
    pricing.tick()
    assert pricing.store.deployments("pricing")[-1].state is DeploymentState.VERIFIED
    with pytest.raises(ConflictError, match="no deployment"):
        promote(pricing.plane, "pricing", "ann")


@pytest.mark.requirement("E5", "L3m")
def test_a_restored_version_is_not_left_for_what_chance_shows_in_twenty_requests(incident: Any) -> None:
    v1, v2 = versions(incident)
    incident.tick()
    for _ in range(2):
        incident.serve(v2, 50, errors=20)
        incident.tick()
    incident.serve(v1, 20, errors=2)
    incident.tick()
    assert incident.store.read("pricing").served == v1
    incident.serve(v1, 30, errors=30)
    incident.tick()
    assert incident.store.read("pricing").served is None, "beyond chance, the restored version is left too"


HEALTH = {**RULES, "health": ["http://localhost/health"]}
HEALTH["triggers"] = {**RULES["triggers"], "health": {"failures": 3, "do": "rollback"}}


@pytest.mark.requirement("C3", "D2")
def test_an_endpoint_that_was_down_before_the_deployment_is_no_fault_of_it(make_scenario: Any) -> None:
    pricing = make_scenario(rules=HEALTH)
    v1 = pricing.deploy().deployment.version
    pricing.serve(v1, 200)
    for _ in range(5):
        pricing.tick()
    pricing.change(model="model 2")
    v2 = pricing.deploy().deployment.version
    ticks = [pricing.tick() for _ in range(5)]
    assert pricing.store.read("pricing").served == v2
    assert ticks[0].decision is None, "checks before the deployment are no evidence about it"
    assert "the known version does the same" in str(ticks[-1].decision.reasons)


@pytest.mark.requirement("C3", "D1")
def test_an_endpoint_that_fails_since_the_deployment_is_its_fault(make_scenario: Any) -> None:
    pricing = make_scenario(rules=HEALTH)
    url = "http://localhost/health"
    pricing.telemetry.set_health(url, HealthSample(ok=True, status=200, latency_seconds=0.01))
    v1 = pricing.deploy().deployment.version
    pricing.serve(v1, 200)
    for _ in range(5):
        pricing.tick()
    pricing.change(model="model 2")
    pricing.deploy()
    pricing.telemetry.set_health(url, HealthSample(ok=False, status=503, latency_seconds=0.01))
    for _ in range(4):
        pricing.tick()
    assert pricing.store.read("pricing").served == v1


@pytest.mark.requirement("G2", "N4")
def test_once_verified_a_version_is_scored_now_and_then_and_no_combination_is_kept_loaded(incident: Any) -> None:
    v1, v2 = versions(incident)
    armed = incident.traffic.published("pricing")
    assert len(armed.wanted) == 3, "the two versions, and the old model on new features"
    incident.serve(v1, 60, shadow={v2: 0.0})
    incident.serve(v2, 200)
    incident.tick()
    incident.tick()
    assert incident.store.deployments("pricing")[-1].state is DeploymentState.VERIFIED
    settled = incident.traffic.published("pricing")
    assert settled.wanted == (v2, v1)
    assert (settled.shadow.others, settled.shadow.per_second) == ((v2,), 1.0)


def test_a_ledger_that_grows_while_it_is_verified_is_whole(incident: Any) -> None:
    class Growing:
        """The store, with an entry that is appended, and heard of by replicas, as soon as the entries were read."""

        def __getattr__(self, name: str) -> Any:
            return getattr(incident.store, name)

        def ledger(self, system: str) -> Any:
            entries = incident.store.ledger(system)
            with incident.store.change(system) as change:
                change.append("note", "bob", incident.plane.now(), {})
            publish_anchor(incident.plane, system)
            return entries

    assert audit(replace(incident.plane, store=Growing()), "pricing").ok


@pytest.mark.requirement("D3", "G3")
def test_a_replica_of_which_nothing_is_heard_is_not_taken_for_one_that_left(incident: Any) -> None:
    _, v2 = versions(incident)
    incident.traffic.lose("pricing", "r2")
    incident.tick()
    for _ in range(3):
        incident.serve(v2, 50, errors=40)
        incident.tick()
    (saga,) = incident.store.sagas("pricing")
    fan_out = next(step for step in saga.steps if step.name is StepName.FAN_OUT)
    assert (fan_out.outcome, fan_out.details["left"], fan_out.details["staying"]) == (
        StepOutcome.FAILED,
        ["r1"],
        ["r2"],
    )
    assert fan_out.details["why"] == "r2 may still serve it"
