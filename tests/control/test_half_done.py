"""What a process that died left half done is given up, gone on with, or passed over; it never stands in the way."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from knowngood.control.apply import apply
from knowngood.control.deploy import Order, deploy, put_into_service
from knowngood.control.flip import flip
from knowngood.control.publish import Arming, publish, publish_anchor, published
from knowngood.control.reconcile import complete, reconcile
from knowngood.control.release import capture
from knowngood.control.roll_back import Wish, roll_back
from knowngood.control.rollback import leave, run_open, step_forward, trip_of, under_way
from knowngood.domain.deployment import Deployment, DeploymentState, Strategy
from knowngood.domain.fleet import mint, release
from knowngood.domain.saga import SagaState, StepName, StepOutcome
from knowngood.domain.system import SystemFile
from knowngood.testing.contracts.store import noted
from knowngood_sdk.errors import ConflictError, InvalidError, OutcomeUnknownError, PermanentError, TransientError
from knowngood_sdk.model.manifest import Intent
from knowngood_sdk.model.route import FULL

WISH = Wish(actor="ann", why="wrong prices")


@pytest.fixture
def verified(pricing: Any) -> Any:
    """Version 1 serves, verified; other content stands in the working places."""
    first = pricing.deploy().deployment.version
    pricing.serve(first, 200)
    pricing.tick()
    pricing.tick()
    pricing.change(model="model 2", features="features 2", config="config 2")
    return pricing


def killed_behind_the_mint(scenario: Any) -> str:
    """Leave behind what a deployer that dies right after the mint does; return the candidate."""
    plane, manifest = scenario.plane, capture(scenario.plane, "pricing", Intent())
    version: str = manifest.content_digest
    with scenario.store.change("pricing") as change:
        change.record_manifest(manifest, plane.now())
        minted = mint(change.state, version, ready=frozenset(change.state.chain), static_fallback=True)
        change.save(minted)
        deployment = Deployment(
            system="pricing",
            generation=minted.row.generation,
            version=version,
            manifest=manifest.digest,
            strategy=Strategy.FULL,
            split=FULL,
            actor="ann",
            started_at=plane.now(),
        )
        change.save_deployment(deployment)
        noted(change)
    publish(plane, "pricing", minted)
    return version


@pytest.mark.requirement("N3")
class TestDeploymentWhoseDeployerDied:
    def test_what_is_left_is_what_serves_and_never_the_candidate_that_nobody_met(self, verified: Any) -> None:
        served = verified.store.read("pricing").served
        killed_behind_the_mint(verified)
        state = verified.store.read("pricing")
        assert state.watched == state.chain[1] == served
        done = roll_back(verified.plane, "pricing", replace(WISH, target="fallback"))
        assert (done.saga.version, done.saga.target) == (served, None)

    def test_what_serves_behind_it_is_watched_on(self, verified: Any) -> None:
        served = verified.store.read("pricing").served
        killed_behind_the_mint(verified)
        with verified.plane.deploying("pricing"):  # whoever deploys hangs, so nobody gives it up
            verified.tick()
            verified.serve(served, 200, errors=100)
            assert verified.tick().judgements != ()

    def test_it_is_given_up_by_whoever_looks_next(self, verified: Any) -> None:
        served = verified.store.read("pricing").served
        candidate = killed_behind_the_mint(verified)
        assert reconcile(verified.plane, "pricing").abandoned == candidate
        state = verified.store.read("pricing")
        assert (state.served, state.candidate, state.facts.quarantined) == (served, None, frozenset())
        assert verified.store.deployments("pricing")[-1].state is DeploymentState.ABANDONED
        assert reconcile(verified.plane, "pricing").abandoned is None
        assert verified.deploy().deployment.state is DeploymentState.FULL

    def test_it_is_left_alone_while_its_deployer_lives(self, verified: Any) -> None:
        killed_behind_the_mint(verified)
        with verified.plane.deploying("pricing"):
            assert reconcile(verified.plane, "pricing").abandoned is None

    def test_two_deployments_at_once_are_one_and_a_refusal(self, verified: Any) -> None:
        manifest = capture(verified.plane, "pricing", Intent())
        with verified.plane.deploying("pricing"), pytest.raises(ConflictError, match="another deployment"):
            deploy(verified.plane, Order(manifest=manifest, actor="ann"))

    def test_a_rollback_of_what_serves_closes_the_deployment_in_front_of_it(self, verified: Any) -> None:
        served = verified.store.read("pricing").served
        candidate = killed_behind_the_mint(verified)
        with verified.plane.deploying("pricing"):
            saga = roll_back(verified.plane, "pricing", replace(WISH, target="fallback")).saga
            step_forward(verified.plane, saga)
        states = {made.version: made.state for made in verified.store.deployments("pricing")}
        assert states == {served: DeploymentState.ROLLED_BACK, candidate: DeploymentState.ABANDONED}

    def test_what_a_deployer_had_loaded_when_it_died_while_arming_is_withdrawn(self, verified: Any) -> None:
        never_minted = "sha256:" + "f" * 64
        arming = Arming(version=never_minted, shadow=None)
        publish(verified.plane, "pricing", verified.store.read("pricing"), arming=arming)
        with verified.plane.deploying("pricing"):
            reconcile(verified.plane, "pricing")
            assert published(verified.plane, "pricing").prepare == (never_minted,), "its deployer lives"
        reconcile(verified.plane, "pricing")
        assert published(verified.plane, "pricing").prepare == ()

    def test_a_canary_goes_on_while_a_version_that_nobody_serves_is_left(self, verified: Any) -> None:
        served = verified.store.read("pricing").served
        canary = verified.deploy(split=1_000).deployment.version
        elsewhere = trip_of(verified.plane, "pricing", "sha256:" + "e" * 64, source="person", why="found bad")
        leave(verified.plane, "pricing", elsewhere, "ann")
        run_open(verified.plane, "pricing")
        newest = verified.store.deployments("pricing")[-1]
        assert (newest.version, newest.state) == (canary, DeploymentState.CANARY)
        assert (verified.store.read("pricing").candidate, verified.store.read("pricing").served) == (canary, served)

    def test_a_late_rollback_does_not_close_a_newer_deployment_of_the_same_version(self, verified: Any) -> None:
        bad = verified.deploy().deployment.version
        old = roll_back(verified.plane, "pricing", WISH).saga
        state = verified.store.read("pricing")
        with verified.store.change("pricing") as change:
            change.save(release(state, frozenset(state.facts.trips)))
            noted(change)
        again = verified.deploy().deployment
        step_forward(verified.plane, old)
        newest = verified.store.deployments("pricing")[-1]
        assert (newest.version, newest.generation, newest.state) == (bad, again.generation, DeploymentState.FULL)

    def test_after_an_older_copy_of_the_store_was_put_back_no_number_names_two_chains(self, verified: Any) -> None:
        old = verified.store.read("pricing")
        ahead = verified.deploy().deployment
        with verified.store.change("pricing") as change:
            change.save(old)
            noted(change)
        verified.change(model="model 3")
        newer = verified.deploy().deployment
        assert newer.generation == ahead.generation + 1
        replicas = verified.traffic.replicas("pricing").values()
        assert {replica.report.state.chain[0] for replica in replicas} == {newer.version}


@pytest.mark.requirement("B2")
class TestRollbackWhoseTargetIsDeployedFirst:
    """Killed between the deployment of the target and the trip of what was to be left."""

    @pytest.fixture
    def interrupted(self, verified: Any) -> Any:
        good = verified.store.read("pricing").served
        bad = verified.deploy().deployment.version
        manifest = verified.store.manifest("pricing", good)
        with verified.plane.deploying("pricing"):
            put_into_service(verified.plane, Order(manifest=manifest, actor="ann", leaves=bad), lambda _: None)
            assert complete(verified.plane, "pricing") == (), "whoever asked for it lives"
        return verified

    def test_whoever_looks_next_completes_it_once(self, interrupted: Any) -> None:
        good, bad = interrupted.store.read("pricing").chain[:2]
        (saga,) = reconcile(interrupted.plane, "pricing").started
        assert (saga.version, saga.target) == (bad, good)
        assert "ann asked for" in next(iter(interrupted.store.read("pricing").facts.trips.values())).why
        assert reconcile(interrupted.plane, "pricing").started == ()

    def test_a_second_wish_in_between_is_refused_and_not_taken_for_leaving_the_target(self, interrupted: Any) -> None:
        good = interrupted.store.read("pricing").served
        with interrupted.plane.deploying("pricing"), pytest.raises(ConflictError, match="is being completed"):
            roll_back(interrupted.plane, "pricing", WISH)
        assert interrupted.store.read("pricing").served == good

    def test_it_is_completed_also_where_the_target_was_left_meanwhile(self, interrupted: Any) -> None:
        good, bad = interrupted.store.read("pricing").chain[:2]
        leave(interrupted.plane, "pricing", trip_of(interrupted.plane, "pricing", good, source="person", why=""), "bob")
        (saga,) = complete(interrupted.plane, "pricing")
        assert (saga.version, saga.target) == (bad, None)

    def test_once_it_is_complete_nobody_takes_the_lock_for_it(self, interrupted: Any) -> None:
        complete(interrupted.plane, "pricing")

        def refused(_system: str) -> Any:
            raise TransientError("the folder is read-only")

        assert complete(replace(interrupted.plane, deploying=refused), "pricing") == ()

    def test_what_a_person_released_since_is_not_left_again(self, interrupted: Any) -> None:
        complete(interrupted.plane, "pricing")
        state = interrupted.store.read("pricing")
        with interrupted.store.change("pricing") as change:
            change.save(release(state, frozenset(state.facts.trips)))
            noted(change)
        assert complete(interrupted.plane, "pricing") == ()


@pytest.mark.requirement("G2")
class TestWhatIsPublished:
    def test_a_flip_takes_back_nothing_that_another_process_published_meanwhile(self, verified: Any) -> None:
        bad = verified.deploy().deployment.version
        trip = trip_of(verified.plane, "pricing", bad, source="person", why="wrong prices")
        push = verified.traffic.push

        def meanwhile(*arguments: Any, **options: Any) -> Any:
            state = verified.store.read("pricing")
            publish(verified.plane, "pricing", state, arming=Arming(version="sha256:" + "f" * 64, shadow=None))
            return push(*arguments, **options)

        verified.traffic.push = meanwhile
        flip(verified.plane, "pricing", trip)
        document = published(verified.plane, "pricing")
        assert document.prepare == ("sha256:" + "f" * 64,)
        assert trip.uid in document.facts.trips

    def test_a_rollback_that_closes_leaves_the_next_candidate_in_the_hands_of_the_replicas(self, verified: Any) -> None:
        first = verified.store.read("pricing").served
        verified.deploy()
        saga = roll_back(verified.plane, "pricing", WISH).saga
        fix = "sha256:" + "f" * 64
        publish(verified.plane, "pricing", verified.store.read("pricing"), arming=Arming(version=fix, shadow=None))
        step_forward(verified.plane, saga)
        verified.serve(first, 200)
        (over,) = run_open(verified.plane, "pricing")
        assert over.state is SagaState.DONE
        assert published(verified.plane, "pricing").prepare == (fix,)

    def test_an_older_route_never_replaces_a_later_one(self, verified: Any) -> None:
        old = verified.store.read("pricing")
        verified.deploy()
        late = published(verified.plane, "pricing")
        assert publish(verified.plane, "pricing", old).route == late.route
        assert published(verified.plane, "pricing").generations.keys() >= {late.route.generation}

    def test_a_document_that_nobody_can_read_stops_no_flip_and_is_written_anew(self, verified: Any) -> None:
        bad = verified.deploy().deployment.version
        verified.traffic.damage("pricing")
        done = roll_back(verified.plane, "pricing", WISH)
        assert sorted(done.flip.acknowledged) == ["r1", "r2"]
        assert "cannot be read" in done.flip.unpublished
        assert "not published yet" in done.flip.summary
        assert bad in verified.traffic.published("pricing").facts.quarantined
        assert verified.traffic.published("pricing").route == verified.store.read("pricing").row

    def test_the_anchor_makes_a_document_anew_that_nobody_can_read(self, verified: Any) -> None:
        known = published(verified.plane, "pricing").facts
        verified.traffic.damage("pricing")
        publish_anchor(verified.plane, "pricing")
        anew = verified.traffic.published("pricing")
        assert (anew.route, anew.facts) == (verified.store.read("pricing").row, known)
        assert anew.anchor == verified.store.head("pricing")


@pytest.mark.requirement("A1")
class TestRecords:
    def test_a_trip_that_cannot_be_recorded_is_an_unknown_outcome_and_said_to_be_left(self, verified: Any) -> None:
        bad = verified.deploy().deployment.version
        trip = trip_of(verified.plane, "pricing", bad, source="person", why="wrong prices")
        verified.store.patience = timedelta(0)
        locked = verified.store.change("pricing")
        with (
            locked,
            pytest.raises(OutcomeUnknownError, match=r"was left \(2/2 left.*not on record yet: the store is locked"),
        ):
            leave(verified.plane, "pricing", trip, "ann")

    def test_what_somebody_else_puts_on_record_stands_there_under_the_name_of_who_decided_it(
        self, verified: Any
    ) -> None:
        bad = verified.deploy().deployment.version
        trip = trip_of(verified.plane, "pricing", bad, source="person", why="wrong prices")
        patience, verified.store.patience = verified.store.patience, timedelta(0)
        with verified.store.change("pricing"), pytest.raises(OutcomeUnknownError):
            leave(verified.plane, "pricing", trip, "ann", {"outcome": "roll back"})
        verified.store.patience = patience
        reconcile(verified.plane, "pricing")
        acted = {entry.kind: (entry.actor, entry.body) for entry in verified.store.ledger("pricing")}
        assert acted["tripped"][0] == "ann"
        assert acted["decided"] == ("ann", {"outcome": "roll back"})

    def test_a_decision_that_could_not_be_kept_beside_the_trip_is_on_record_all_the_same(self, verified: Any) -> None:
        bad = verified.deploy().deployment.version
        trip = trip_of(verified.plane, "pricing", bad, source="trigger", why="errors")

        def full(*_: Any) -> None:
            raise TransientError("the disk is full")

        verified.outbox.put = full
        leave(verified.plane, "pricing", trip, "automation", {"outcome": "roll back", "why": "errors"})
        decided = [entry for entry in verified.store.ledger("pricing") if entry.kind == "decided"]
        assert decided[-1].body["why"] == "errors"

    def test_a_decision_that_cannot_be_read_or_removed_stops_no_record(self, verified: Any) -> None:
        bad = verified.deploy().deployment.version
        trip = trip_of(verified.plane, "pricing", bad, source="person", why="wrong prices")

        def damaged(*_: Any) -> Any:
            raise InvalidError("the decision is no object")

        verified.outbox.get = verified.outbox.drop = damaged
        _, (saga,) = leave(verified.plane, "pricing", trip, "ann", {"outcome": "roll back"})
        assert saga.version == bad

    def test_a_rollback_that_somebody_else_resumes_at_the_same_moment_goes_on(self, verified: Any) -> None:
        verified.deploy()
        saga = roll_back(verified.plane, "pricing", WISH).saga
        with verified.store.change("pricing") as change:
            change.save_saga(saga.stuck("somebody is needed"))
            noted(change)
        verified.store.patience = timedelta(0)
        with verified.store.change("pricing"):
            going = under_way(verified.plane, "pricing", "ann")
        assert going is not None
        assert going.id == saga.id

    def test_a_plan_is_made_without_counts_that_cannot_be_read(self, verified: Any) -> None:
        bad = verified.deploy().deployment.version

        def torn(_system: str) -> Any:
            raise PermanentError("the counts of w1 cannot be read")

        verified.telemetry.counts = torn
        assert roll_back(verified.plane, "pricing", WISH).saga.version == bad

    def test_counts_that_cannot_be_read_hold_up_no_step_and_verify_nothing(self, verified: Any) -> None:
        verified.deploy()
        saga = roll_back(verified.plane, "pricing", WISH).saga
        counts = verified.telemetry.counts

        def torn(_system: str) -> Any:
            raise PermanentError("the counts of w1 cannot be read")

        verified.telemetry.counts = torn
        (waiting,) = run_open(verified.plane, "pricing")
        assert (waiting.state, waiting.next_step()) == (SagaState.RUNNING, StepName.VERIFY)
        verified.telemetry.counts = counts
        (over,) = run_open(verified.plane, "pricing")
        verdict = next(step for step in over.steps if step.name is StepName.VERIFY)
        assert (over.id, verdict.outcome) == (saga.id, StepOutcome.FAILED)
        assert "not measured: the counts of w1" in verdict.details["reason"]

    @pytest.mark.parametrize(
        ("problem", "state"),
        [
            pytest.param(TransientError("later"), SagaState.RUNNING, id="what may succeed later"),
            pytest.param(ConflictError("somebody moved it"), SagaState.RUNNING, id="what somebody else moved"),
            pytest.param(OutcomeUnknownError("no reply"), SagaState.RUNNING, id="what nobody knows"),
            pytest.param(PermanentError("gone"), SagaState.STUCK, id="what cannot succeed"),
            pytest.param(InvalidError("not a document"), SagaState.STUCK, id="what can never be valid"),
        ],
    )
    def test_a_step_that_fails_is_tried_again_or_waits_for_a_person(
        self, verified: Any, problem: Exception, state: SagaState
    ) -> None:
        verified.deploy()
        saga = roll_back(verified.plane, "pricing", WISH).saga

        def fail(_system: str) -> Any:
            raise problem

        verified.traffic.replicas, replicas = fail, verified.traffic.replicas
        assert step_forward(verified.plane, saga).state is state
        verified.traffic.replicas = replicas


@pytest.mark.requirement("A1", "B2")
def test_a_version_with_a_component_that_the_file_no_longer_has_can_be_gone_back_to(verified: Any) -> None:
    first = verified.store.read("pricing").served
    rules = {**verified.rules, "components": {k: v for k, v in verified.rules["components"].items() if k != "config"}}
    apply(verified.plane, SystemFile.from_json(rules), root="/", actor="test")
    assert verified.store.system_spec("pricing")["retired"].keys() == {"config"}
    without = verified.deploy()
    assert "config" not in verified.store.manifest("pricing", without.deployment.manifest).components
    assert roll_back(verified.plane, "pricing", WISH).saga.target == first
    apply(verified.plane, SystemFile.from_json(verified.rules), root="/", actor="test")
    assert verified.store.system_spec("pricing")["retired"] == {}


@pytest.mark.requirement("D1")
def test_a_decision_not_to_act_is_on_record_once_for_each_deployment_and_breach(make_scenario: Any) -> None:
    scenario = make_scenario(
        rules={
            "system": "pricing",
            "kind": "realtime",
            "components": {"model": {"files": "model.joblib"}},
            "fallback": {"price": 2.0},
            "verify": {"requests": 100, "within": "60s"},
            "triggers": {"errors": {"over": "5%", "windows": 1, "min_requests": 5}},
        }
    )

    def decided() -> int:
        return int(scenario.kinds().count("decided"))

    first = scenario.deploy().deployment.version
    scenario.tick()
    for errors, expected in ((50, 1), (50, 1), (0, 1), (50, 2), (50, 2)):
        scenario.serve(first, 100, errors=errors)
        scenario.tick()
        assert decided() == expected
    scenario.change(model="model 2")
    second = scenario.deploy().deployment.version
    scenario.serve(second, 100, errors=50)
    scenario.tick()
    assert decided() == 3
