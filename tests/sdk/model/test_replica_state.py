"""A replica leaves what is bad at once, takes no generation that has not seen why, and never climbs back."""

from dataclasses import replace

import pytest

from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.route import (
    FULL,
    KEPT_GENERATIONS,
    Facts,
    FleetRoute,
    Generation,
    LocalTrip,
    Refusal,
    ReplicaState,
    Stand,
)
from tests.sdk.model.lettered import ALL, HERE, NONE, A, B, C, D, facts, generation, here, news, offer, replica, trip

pytestmark = pytest.mark.requirement("G3")


# Rule 3: what a replica knows.


def test_a_new_replica_has_left_nothing_and_serves_nothing() -> None:
    new = ReplicaState()
    assert (new.fleet, new.latched, new.chain, new.bad, new.local) == (FleetRoute(0, 0, 0), 0, (), NONE, frozenset())
    assert (new.stand, new.facts, new.generations) == (Stand("", FleetRoute(), 0), Facts(), {})


def test_a_replica_stands_on_the_chain_of_the_accepted_generation() -> None:
    state = replace(replica("AB", at=(0, 10), latched=1), generations={1: generation(1, "AB"), 2: generation(2, "CA")})
    assert (state.chain, state.positions) == (("A", "B"), (1,))
    assert state.stand == Stand(A, FleetRoute(1, 0, 10), 1)


def test_to_leave_is_what_is_in_quarantine_and_what_failed_here() -> None:
    state = replica(known=facts("A1", "B1", "D1", released="B1"), local="C")
    assert state.bad == {A, C, D}


# Rule 6: leaving is unconditional, only arriving is conditional.


@pytest.mark.parametrize(
    ("state", "ready", "latched"),
    [
        pytest.param(replica(), "", 0, id="boot: nothing is ready, and nothing is to be left"),
        pytest.param(replica(latched=1), "AC", 1, id="boot: the latched slot is waited for, though others are ready"),
        pytest.param(replica(known=facts("A1")), "ABC", 1, id="to the version behind"),
        pytest.param(replica(local="A"), "ABC", 1, id="on its own evidence"),
        pytest.param(replica(known=facts("A1"), local="B"), "ABC", 2, id="past what failed here"),
        pytest.param(replica(known=facts("A1")), "C", 2, id="what is not ready is passed over for a deeper one"),
        pytest.param(replica("ABCD", known=facts("A1")), "CD", 2, id="for the first deeper one that is ready"),
        pytest.param(replica("ABCD", known=facts("A1", "C1")), "CD", 3, id="a deeper one that is bad is not taken"),
        pytest.param(
            replica(known=facts("A1", "C1")), "C", 1, id="a deeper one that is bad: the static fallback waits"
        ),
        pytest.param(replica(known=facts("A1")), "A", 1, id="none is ready: the static fallback is not latched"),
        pytest.param(replica(known=facts("A1", "B1", "C1")), "ABC", 3, id="all bad: the static fallback"),
        pytest.param(replica(known=facts("A1", "B1", "C1")), "", 3, id="all bad and nothing ready"),
        pytest.param(replica(known=facts("A1", released="A1")), "ABC", 0, id="a released trip moves nothing"),
        pytest.param(replica(latched=1, known=facts("A1", released="A1")), "ABC", 1, id="nor does it take a step back"),
        pytest.param(replica(at=(1, FULL)), "ABC", 1, id="the fleet stepped back"),
        pytest.param(replica(at=(1, FULL)), "AC", 2, id="the fleet stepped back to what is not ready here"),
        pytest.param(replica(at=(1, FULL), latched=2), "ABC", 2, id="it left more than the fleet did"),
        pytest.param(replica(at=(2, FULL), latched=1), "ABC", 2, id="the fleet left more than it did"),
        pytest.param(replica(at=(3, FULL)), "ABC", 3, id="the fleet is on the static fallback"),
        pytest.param(replica(latched=1, known=facts("B1")), "ABC", 2, id="left again"),
        pytest.param(replica(latched=3, known=facts("B1")), "ABC", 3, id="nothing is behind the static fallback"),
        pytest.param(replica(latched=9), "ABC", 9, id="far past the end: the latch never falls"),
        pytest.param(
            replace(replica(latched=2), generations={}), "ABC", 2, id="its chain is lost: the latch never falls"
        ),
        pytest.param(replica(at=(0, 0), known=facts("A1")), "ABC", 0, id="armed: nobody is on the candidate"),
        pytest.param(replica(at=(0, 0), known=facts("B1")), "ABC", 2, id="armed: the live one is bad"),
        pytest.param(replica(at=(0, 1), known=facts("B1")), "ABC", 2, id="a share: both arms leave"),
        pytest.param(ReplicaState(facts=facts("A1")), "A", 0, id="without a route there is nothing to leave"),
    ],
)
def test_where_a_replica_goes(state: ReplicaState, ready: str, latched: int) -> None:
    after = state.relatch(frozenset(ready))
    assert after == replace(state, latched=latched)


def test_a_slot_that_is_loaded_late_serves_from_where_the_fallback_answered() -> None:
    waiting = replica(known=facts("A1")).relatch(frozenset({A}))
    assert waiting.relatch(frozenset({B})) == waiting.relatch(frozenset({C})) == waiting


# Rule 7: any message.


def test_within_a_generation_the_route_is_a_maximum() -> None:
    state = replica(at=(0, 1_000))
    assert news(state, at=(0, FULL)).fleet == FleetRoute(1, 0, FULL)
    assert news(state, at=(0, 999)).fleet == FleetRoute(1, 0, 1_000)
    assert news(state, at=(1, 0)).fleet == FleetRoute(1, 1, 0)


def test_an_older_generation_brings_its_facts_and_moves_nothing_else() -> None:
    state, _ = offer(replica(), generation(2, "DAB"), at=(0, FULL))
    after, refusal = state.receive(FleetRoute(1, 2, FULL), {}, facts("C1"), ALL)
    assert (after, refusal) == (replace(state, facts=facts("C1")), None)


def test_a_newer_generation_that_has_seen_everything_is_taken_from_its_first_position() -> None:
    state = replica(known=facts("A1"), local="B", latched=2)
    made = generation(2, "DC", saw="A", saw_local=frozenset({here(B)}))
    after, refusal = offer(state, made, at=(0, FULL))
    assert refusal is None
    assert (after.fleet, after.latched, after.positions, after.chain) == (FleetRoute(2, 0, FULL), 0, (0,), (D, C))
    assert (after.facts, after.local, after.generations) == (state.facts, frozenset(), {**state.generations, 2: made})


def test_a_local_trip_in_what_a_deployer_saw_of_others_is_theirs() -> None:
    others = LocalTrip("r2", 1, B)
    after, refusal = offer(replica(), generation(2, "DAB", saw_local=frozenset({others})))
    assert (refusal, after.local) == (None, frozenset())


@pytest.mark.parametrize(
    ("state", "made", "ready", "expected"),
    [
        pytest.param(
            replica(known=facts("A1", "B1"), latched=2),
            generation(2, "DC", saw="A"),
            "ABCD",
            Refusal(generation=2, unseen_quarantine=frozenset({B})),
            id="a trip that the deployer had not seen",
        ),
        pytest.param(
            replica(known=facts("D1")),
            generation(2, "BA", saw=""),
            "ABCD",
            Refusal(generation=2, unseen_quarantine=frozenset({D})),
            id="also of a version that it does not name",
        ),
        pytest.param(
            replica(local="AB", latched=2),
            generation(2, "DC", saw_local=frozenset({here(A)})),
            "ABCD",
            Refusal(generation=2, unseen_local=frozenset({here(B)})),
            id="a local trip that the deployer had not seen",
        ),
        pytest.param(
            replica(local="A", latched=1),
            generation(2, "DB", saw="A", saw_local=frozenset({LocalTrip("r2", 1, A)})),
            "ABCD",
            Refusal(generation=2, unseen_local=frozenset({here(A)})),
            id="a local trip of this replica, where it saw another's",
        ),
        pytest.param(
            replica(),
            generation(2, "DAB"),
            "ABC",
            Refusal(generation=2, unready=frozenset({D})),
            id="a live version that is not ready",
        ),
        pytest.param(
            replica(known=facts("A1"), local="B", latched=2),
            generation(2, "DC"),
            "C",
            Refusal(
                generation=2,
                unseen_quarantine=frozenset({A}),
                unseen_local=frozenset({here(B)}),
                unready=frozenset({D}),
            ),
            id="all three",
        ),
    ],
)
def test_a_generation_is_refused_for(state: ReplicaState, made: Generation, ready: str, expected: Refusal) -> None:
    after, refusal = offer(state, made, at=(0, FULL), ready=frozenset(ready))
    assert refusal == expected
    assert after == replace(state, generations={**state.generations, 2: made})


@pytest.mark.parametrize(
    ("at", "needed"),
    [
        pytest.param((0, 0), "A", id="armed: what is live"),
        pytest.param((0, 1), "AD", id="a share: both arms"),
        pytest.param((0, FULL), "D", id="all traffic: the candidate"),
        pytest.param((2, FULL), "B", id="stepped back: where it stepped to"),
        pytest.param((3, FULL), "", id="the static fallback needs no slot"),
    ],
)
def test_only_what_takes_traffic_has_to_be_ready(at: tuple[int, int], needed: str) -> None:
    for ready in (ALL - {missing} for missing in "ABD"):
        _, refusal = offer(replica(), generation(2, "DAB"), at=at, ready=ready)
        assert (refusal.unready if refusal else NONE) == frozenset(needed) - ready


def test_what_a_refused_message_knows_is_merged_and_followed() -> None:
    state, refusal = offer(replica(known=facts("D1")), generation(2, "CB"), known=facts("A1"))
    assert refusal == Refusal(generation=2, unseen_quarantine=frozenset({D}))
    assert (state.facts, state.latched, state.fleet) == (facts("D1", "A1"), 1, FleetRoute(1, 0, FULL))


def test_a_trip_that_comes_with_a_generation_is_left_in_it() -> None:
    after, refusal = offer(replica(), generation(2, "DAB"), at=(0, FULL), known=facts("D1"))
    assert (refusal, after.fleet.generation, after.latched) == (None, 2, 1)


def test_a_trip_that_is_released_in_the_same_message_is_no_reason_to_refuse() -> None:
    state = replica(known=facts("A1"), latched=1)
    after, refusal = offer(state, generation(2, "AB"), at=(0, FULL), known=facts(released="A1"))
    assert (refusal, after.fleet.generation, after.latched) == (None, 2, 0)


def test_a_release_of_one_act_does_not_answer_for_another() -> None:
    state = replica(known=facts("A1", "A2"), latched=1)
    _, refusal = offer(state, generation(2, "AB"), at=(0, FULL), known=facts(released="A1"))
    assert refusal == Refusal(generation=2, unseen_quarantine=frozenset({A}))


def test_one_that_has_no_route_joins_and_leaves_what_is_bad() -> None:
    after, refusal = offer(ReplicaState(facts=facts("D1")), generation(2, "DAB"), at=(0, FULL))
    assert (refusal, after.fleet, after.latched) == (None, FleetRoute(2, 0, FULL), 1)


def test_one_that_has_no_route_still_waits_for_what_it_is_to_serve() -> None:
    after, refusal = offer(ReplicaState(facts=facts("C1")), generation(1, "AB"), at=(0, FULL), ready=frozenset({B}))
    assert refusal == Refusal(generation=1, unready=frozenset({A}))
    assert after.fleet == FleetRoute()


def test_a_generation_without_its_chain_is_an_error_and_its_facts_can_be_taken_alone() -> None:
    state = replica()
    with pytest.raises(InvalidError) as caught:
        state.receive(FleetRoute(2, 0, 0), {3: generation(3, "DA")}, facts("A1"), ALL)
    assert str(caught.value) == "a route names generation 2 without bringing its chain"
    after, refusal = state.receive(FleetRoute(), {}, facts("A1"), ALL)
    assert (after, refusal) == (replace(state, facts=facts("A1"), latched=1), None)


def test_a_chain_that_was_offered_before_need_not_be_brought_again() -> None:
    made = generation(2, "DAB")
    waiting, _ = offer(replica(), made, at=(0, FULL), ready=frozenset({A}))
    after, refusal = waiting.receive(FleetRoute(2, 0, FULL), {}, Facts(), ALL)
    assert (refusal, after.chain) == (None, (D, A, B))


def test_a_generation_that_is_known_is_never_written_over() -> None:
    state = replica("ABC")
    after, _ = state.receive(state.fleet, {1: generation(1, "DAB")}, Facts(), ALL)
    assert after == state


def test_the_newest_of_the_past_generations_are_kept_and_all_that_were_offered() -> None:
    accepted = KEPT_GENERATIONS + 3
    made = {number: generation(number, "AB") for number in range(1, accepted + 3)}
    after, _ = ReplicaState().receive(FleetRoute(accepted, 0, FULL), made, Facts(), ALL)
    assert sorted(after.generations) == list(range(3, accepted + 3))


# Rules 8 and 9: leaving without a control plane.


def test_breaking_the_glass_is_a_fact_for_all() -> None:
    state = replica()
    after = state.leave(trip("A1"), ALL)
    assert after == replace(state, facts=facts("A1"), latched=1)
    assert after.leave(trip("A1"), ALL) == after


def test_a_version_that_is_not_live_is_left_without_a_move() -> None:
    state = replica()
    assert state.leave(trip("B1"), ALL) == replace(state, facts=facts("B1"))


def test_a_local_trip_is_a_fact_about_this_replica_alone() -> None:
    state = replica()
    after = state.leave_here(HERE, A, ALL)
    assert after == replace(state, local=frozenset({here(A)}), latched=1)
    assert after.facts.quarantined == NONE
    assert after.bad == {A}
    assert after.leave_here(HERE, B, ALL) == replace(state, local=frozenset({here(A), here(B)}), latched=2)


@pytest.mark.parametrize(
    ("state", "version", "ready", "target"),
    [
        pytest.param(replica(), A, "ABC", 1, id="the version behind"),
        pytest.param(replica(), A, "AC", 2, id="a deeper one that is ready"),
        pytest.param(replica(known=facts("B1")), A, "ABC", 2, id="not one in quarantine"),
        pytest.param(replica(local="B"), A, "ABC", 2, id="not one that failed here"),
        pytest.param(replica(), A, "A", None, id="nothing behind is ready"),
        pytest.param(replica("A"), A, "A", None, id="nothing is behind"),
        pytest.param(replica(latched=2), C, "ABC", None, id="the static fallback is no target"),
        pytest.param(replica(), B, "ABC", None, id="not live here"),
        pytest.param(replica(), D, "ABCD", None, id="not in the chain"),
        pytest.param(replica(latched=1), A, "ABC", None, id="left already"),
        pytest.param(replica(latched=3), C, "ABC", None, id="on the static fallback already"),
        pytest.param(replica(at=(0, 0)), A, "ABC", None, id="a candidate that takes no traffic"),
        pytest.param(replica(at=(0, 1)), A, "ABC", 1, id="a canary"),
        pytest.param(replica(at=(0, 1)), B, "ABC", 2, id="the live arm: both arms are left"),
        pytest.param(replica("A", at=(0, 1)), A, "A", None, id="a first canary: only the static fallback is behind"),
        pytest.param(ReplicaState(), A, "A", None, id="no route yet"),
    ],
)
def test_what_a_local_trip_would_lead_to(state: ReplicaState, version: str, ready: str, target: int | None) -> None:
    assert state.target_after_leaving(version, frozenset(ready)) == target
