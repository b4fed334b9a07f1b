"""A replica that falls ill alone leaves the balancer, comes back once it is verified, and the fleet stays (rule 13)."""

from typing import Any

import pytest

from knowngood.control.reissue import reissue
from knowngood.control.roll_back import Wish, roll_back
from knowngood.control.rollback import leave, led_here, trip_of, under_way
from knowngood.control.sick import open_incidents, verify_replica
from knowngood.domain.saga import SagaState
from knowngood_sdk.errors import ConflictError, NotFoundError, TransientError
from knowngood_sdk.model.route import FULL, FleetRoute


def two_versions(scenario: Any, replicas: int = 3) -> tuple[str, str]:
    """Version 1 is verified, version 2 serves on so many replicas; return both."""
    for number in range(3, replicas + 1):
        scenario.traffic.join("pricing", f"r{number}", loads=True)
    first = scenario.deploy().deployment.version
    scenario.serve(first, 200)
    scenario.tick()
    scenario.tick()
    scenario.change(model="model 2")
    return first, scenario.deploy().deployment.version


def standing(scenario: Any) -> dict[str, tuple[int, int]]:
    return {
        name: (seen.report.state.fleet.generation, seen.report.state.latched)
        for name, seen in scenario.traffic.replicas("pricing").items()
    }


def bodies(scenario: Any, kind: str) -> list[Any]:
    return [entry.body for entry in scenario.store.ledger("pricing") if entry.kind == kind]


@pytest.mark.requirement("G3", "N2")
def test_a_lone_sick_replica_is_on_record_once_and_leaves_the_balancer(pricing: Any) -> None:
    _, second = two_versions(pricing)
    pricing.traffic.trip_locally("pricing", "r1", second)
    notes = [note for _ in range(3) for note in pricing.tick().notes]
    (body,) = bodies(pricing, "sick")
    assert body["incident"] == f"sick:pricing:r1:2:{second}"
    assert pricing.plane.balancer.held_out("pricing") == {"r1"}
    assert pricing.traffic.replicas("pricing")["r1"].report.held_out
    assert pricing.store.read("pricing").served == second, "the fleet stays"
    assert notes.count("r1 is held out of the balancer") == 1
    assert [incident.trip.replica for incident in open_incidents(pricing.plane, "pricing")] == ["r1"]


@pytest.mark.requirement("G3")
def test_once_its_workers_were_started_anew_it_is_verified_let_in_and_brought_back(pricing: Any) -> None:
    _, second = two_versions(pricing)
    pricing.traffic.trip_locally("pricing", "r1", second)
    pricing.tick()
    assert standing(pricing) == {"r1": (2, 1), "r2": (2, 0), "r3": (2, 0)}
    pricing.traffic.restart_workers("pricing", "r1")
    notes = pricing.tick().notes
    assert pricing.plane.balancer.held_out("pricing") == frozenset()
    assert standing(pricing) == {"r1": (3, 0), "r2": (3, 0), "r3": (3, 0)}
    assert "r1 is verified again" in notes
    (body,) = bodies(pricing, "reissued")
    assert body["brings_in"] == {"r1": "stands at step 1, the fleet at 0"}
    assert pricing.store.read("pricing").row == FleetRoute(3, 0, FULL)
    assert pricing.tick().notes == (), "and that is the end of it"


def test_a_start_that_did_not_cure_it_is_no_proof_the_second_time(pricing: Any) -> None:
    _, second = two_versions(pricing)
    for _ in range(2):
        pricing.traffic.trip_locally("pricing", "r1", second)
        pricing.tick()
        pricing.traffic.restart_workers("pricing", "r1")
        pricing.tick()
    assert standing(pricing)["r1"] == (3, 1)
    assert pricing.plane.balancer.held_out("pricing") == {"r1"}
    verify_replica(pricing.plane, "pricing", "r1", actor="ann", why="another card")
    pricing.tick()
    assert standing(pricing)["r1"] == (4, 0)
    assert pricing.plane.balancer.held_out("pricing") == frozenset()
    assert [body["why"] for body in bodies(pricing, "replica-verified")][-1] == "another card"


def test_whoever_is_not_heard_of_is_no_incident_until_it_is_and_its_workers_of_then_prove_nothing(pricing: Any) -> None:
    _, second = two_versions(pricing)
    pricing.traffic.trip_locally("pricing", "r1", second)
    pricing.traffic.kill_workers("pricing", "r1")
    pricing.tick()
    assert bodies(pricing, "sick") == []
    pricing.traffic.restart_workers("pricing", "r1")
    for _ in range(3):
        pricing.tick()
    assert len(bodies(pricing, "sick")) == 1
    assert bodies(pricing, "replica-verified") == []


def test_a_worker_that_lived_through_it_is_no_proof(pricing: Any) -> None:
    _, second = two_versions(pricing)
    pricing.traffic.trip_locally("pricing", "r1", second)
    for _ in range(3):
        pricing.tick()
    assert standing(pricing)["r1"] == (2, 1)
    assert bodies(pricing, "replica-verified") == []


def test_whoever_is_not_sick_cannot_be_declared_well(pricing: Any) -> None:
    two_versions(pricing)
    with pytest.raises(ConflictError, match="r1 of pricing is not held to be sick"):
        verify_replica(pricing.plane, "pricing", "r1", actor="ann", why="it looks well")


def test_a_replica_that_nobody_knows_is_not_found_with_the_nearest_name(pricing: Any) -> None:
    two_versions(pricing)
    with pytest.raises(NotFoundError, match="pricing has no replica 'rr1'") as caught:
        verify_replica(pricing.plane, "pricing", "rr1", actor="ann", why="it looks well")
    assert "Did you mean 'r1'?" in (caught.value.hint or "")


@pytest.mark.requirement("G3")
def test_when_enough_fall_ill_the_fleet_leaves_and_nobody_is_held_out(pricing: Any) -> None:
    first, second = two_versions(pricing)
    pricing.traffic.trip_locally("pricing", "r1", second)
    pricing.tick()
    pricing.traffic.trip_locally("pricing", "r2", second)
    pricing.tick()
    assert pricing.store.read("pricing").served == first
    assert pricing.plane.balancer.held_out("pricing") == frozenset()
    assert set(standing(pricing).values()) == {(2, 1)}


def test_at_least_half_of_the_live_replicas_stay_in(pricing: Any) -> None:
    _, second = two_versions(pricing, replicas=11)
    for number in (1, 2):
        pricing.traffic.trip_locally("pricing", f"r{number}", second)
    pricing.tick()
    assert pricing.plane.balancer.held_out("pricing") == {"r1", "r2"}
    for number in range(3, 10):
        pricing.traffic.kill_workers("pricing", f"r{number}")
    # Of the four that live two are sick; then one of the well ones dies too.
    pricing.traffic.kill_workers("pricing", "r10")
    pricing.tick()
    out = pricing.plane.balancer.held_out("pricing")
    assert len({"r1", "r2", "r11"} - out) >= 2


def test_a_deployment_that_has_seen_it_ends_the_incident(pricing: Any) -> None:
    _, second = two_versions(pricing)
    pricing.traffic.trip_locally("pricing", "r1", second)
    pricing.tick()
    pricing.change(model="model 3")
    pricing.deploy()
    pricing.tick()
    assert pricing.plane.balancer.held_out("pricing") == frozenset()
    assert open_incidents(pricing.plane, "pricing") == ()


class Deaf:
    """A balancer that cannot be reached."""

    def hold_out(self, _system: str, _replica: str) -> bool:
        raise TransientError("the balancer does not answer")

    def let_in(self, _system: str, _replica: str) -> None:
        raise TransientError("the balancer does not answer")

    def held_out(self, _system: str) -> frozenset[str]:
        return frozenset()


def test_a_balancer_that_cannot_be_told_stops_nothing(pricing: Any) -> None:
    _, second = two_versions(pricing)
    object.__setattr__(pricing.plane, "balancer", Deaf())
    pricing.traffic.trip_locally("pricing", "r1", second)
    pricing.tick()
    assert len(bodies(pricing, "sick")) == 1


def test_without_a_balancer_it_is_on_record_all_the_same(pricing: Any) -> None:
    _, second = two_versions(pricing)
    object.__setattr__(pricing.plane, "balancer", None)
    pricing.traffic.trip_locally("pricing", "r1", second)
    pricing.tick()
    assert len(bodies(pricing, "sick")) == 1


@pytest.mark.requirement("G3")
def test_a_person_can_mint_again_what_is_served(pricing: Any) -> None:
    _, second = two_versions(pricing)
    pricing.traffic.trip_locally("pricing", "r1", second)
    pricing.tick()
    done = reissue(pricing.plane, "pricing", actor="ann", why="the card was changed")
    assert (done.version, done.generation) == (second, 3)
    assert standing(pricing)["r1"] == (3, 0)
    (body,) = bodies(pricing, "reissued")
    assert (body["why"], body["chain"][0]) == ("the card was changed", second)
    with pytest.raises(ConflictError, match="every replica can be where the fleet is"):
        reissue(pricing.plane, "pricing", actor="ann", why="again")


@pytest.mark.requirement("A1", "G3")
def test_a_rollback_that_led_here_is_gone_on_with_also_when_its_target_was_minted_again(pricing: Any) -> None:
    first, second = two_versions(pricing)
    pricing.traffic.cut_off("pricing", "r1")
    rolled = roll_back(pricing.plane, "pricing", Wish(actor="ann", why="wrong prices"))
    assert rolled.saga.target == first
    reissue(pricing.plane, "pricing", actor="ann", why="r1 is cut off")
    assert pricing.store.read("pricing").row == FleetRoute(3, 0, FULL)
    assert under_way(pricing.plane, "pricing", "ann") == rolled.saga
    pricing.traffic.reconnect("pricing", "r1")
    pricing.tick()
    pricing.serve(first, 200)
    pricing.tick()
    assert [saga.state for saga in pricing.store.sagas("pricing")] == [SagaState.DONE]
    assert pricing.store.read("pricing").served == first
    assert led_here(pricing.plane, "pricing") is not None, "the same command again leaves nothing more"
    assert second in pricing.store.read("pricing").facts.quarantined


def test_a_deployment_after_it_is_no_rollback(pricing: Any) -> None:
    two_versions(pricing)
    roll_back(pricing.plane, "pricing", Wish(actor="ann", why="wrong prices"))
    reissue(pricing.plane, "pricing", actor="ann", why="to be sure")
    pricing.change(model="model 3")
    pricing.deploy()
    assert led_here(pricing.plane, "pricing") is None


def test_nothing_is_minted_again_while_a_deployment_is_under_way(pricing: Any) -> None:
    _, second = two_versions(pricing)
    pricing.traffic.trip_locally("pricing", "r1", second)
    pricing.tick()
    with pricing.deploying("pricing"), pytest.raises(ConflictError):
        reissue(pricing.plane, "pricing", actor="ann", why="the card was changed")


@pytest.mark.requirement("N2")
def test_a_replica_that_passed_over_what_was_not_ready_is_brought_back_when_it_is(pricing: Any) -> None:
    first, second = two_versions(pricing)
    pricing.change(model="model 3")
    third = pricing.deploy().deployment.version
    pricing.traffic.fail("pricing", "r1", second, "its file is torn there")
    trip = trip_of(pricing.plane, "pricing", third, source="person", why="wrong prices")
    leave(pricing.plane, "pricing", trip, "ann")
    assert standing(pricing)["r1"] == (3, 2)
    for _ in range(3):
        pricing.serve(second, 200)
        pricing.tick()
    assert standing(pricing)["r1"] == (3, 2), "it is not ready there"
    pricing.traffic._find("pricing", "r1").failed.clear()
    pricing.traffic.restart_workers("pricing", "r1")
    pricing.tick()
    assert set(standing(pricing).values()) == {(4, 0)}
    state = pricing.store.read("pricing")
    assert (state.served, state.chain) == (second, (second, first))
    assert third in state.facts.quarantined
