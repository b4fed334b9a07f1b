"""What a route means: facts merge in any order, positions have bounds, and a trip leads behind, never forward."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.route import (
    FULL,
    Facts,
    FleetRoute,
    Generation,
    LocalTrip,
    Refusal,
    live_positions,
    served_position,
    step_of,
)
from tests.sdk.model.lettered import A, B, C, D, facts, trip

UIDS = [version + act for version in "ABCD" for act in "12"]
any_uids = st.sets(st.sampled_from(UIDS))
any_facts = st.builds(lambda trips, released: facts(*trips, released=" ".join(released)), any_uids, any_uids)
steps = st.integers(0, 5)
splits = st.sampled_from([0, 1, 1_000, FULL - 1, FULL])
chains = st.lists(st.sampled_from("ABCD"), unique=True, max_size=4).map(tuple)
versions = st.frozensets(st.sampled_from("ABCD"))


# Rules 1 and 2: facts only grow, and nobody's order matters.


@given(any_facts, any_facts)
def test_merging_is_commutative(one: Facts, other: Facts) -> None:
    assert one.merge(other) == other.merge(one)


@given(any_facts, any_facts, any_facts)
def test_merging_is_associative(one: Facts, two: Facts, three: Facts) -> None:
    assert one.merge(two).merge(three) == one.merge(two.merge(three))


@given(any_facts, any_facts)
def test_merging_again_adds_nothing(one: Facts, other: Facts) -> None:
    merged = one.merge(other)
    assert merged.merge(other) == merged.merge(one) == merged.merge(merged) == merged


@given(any_facts, any_facts)
def test_merging_forgets_nothing(one: Facts, other: Facts) -> None:
    merged = one.merge(other)
    assert merged.trips == {**one.trips, **other.trips}
    assert merged.released == one.released | other.released


@given(any_facts)
def test_no_facts_change_nothing(known: Facts) -> None:
    assert known.merge(Facts()) == Facts().merge(known) == known


@given(any_facts, st.sampled_from(UIDS))
def test_one_trip_more_is_a_merge(known: Facts, uid: str) -> None:
    assert known.with_trip(trip(uid)) == known.merge(facts(uid))


@pytest.mark.parametrize(
    ("known", "quarantined"),
    [
        pytest.param(facts(), "", id="nothing happened"),
        pytest.param(facts("A1"), "A", id="a trip"),
        pytest.param(facts("A1", "B1"), "AB", id="two versions"),
        pytest.param(facts("A1", "A2"), "A", id="two acts of leaving one version"),
        pytest.param(facts("A1", released="A1"), "", id="released"),
        pytest.param(facts("A1", "A2", released="A1"), "A", id="an act that was not shown keeps it in quarantine"),
        pytest.param(facts("A1", "A2", released="A1 A2"), "", id="both were shown"),
        pytest.param(facts("B1", released="A1"), "B", id="the release of another"),
    ],
)
def test_in_quarantine_is_what_has_a_trip_that_nobody_released(known: Facts, quarantined: str) -> None:
    assert known.quarantined == set(quarantined)


def test_a_release_that_arrives_before_its_trip_holds() -> None:
    early = facts(released="A1").merge(facts("A1"))
    assert early.quarantined == frozenset()
    assert early == facts("A1").merge(facts(released="A1"))


@given(any_facts, any_uids)
def test_a_release_never_brings_a_version_into_quarantine(known: Facts, uids: set[str]) -> None:
    assert known.merge(facts(released=" ".join(uids))).quarantined <= known.quarantined


@given(any_facts, any_uids)
def test_a_trip_never_takes_a_version_out_of_quarantine(known: Facts, uids: set[str]) -> None:
    assert known.merge(facts(*uids)).quarantined >= known.quarantined


# Rule 2: a position is ordered by generation, then step, then split.


@given(st.tuples(st.integers(0, 3), steps, splits), st.tuples(st.integers(0, 3), steps, splits))
def test_routes_are_ordered_as_they_are_written(one: tuple[int, int, int], other: tuple[int, int, int]) -> None:
    assert (FleetRoute(*one) < FleetRoute(*other)) == (one < other)
    assert max(FleetRoute(*one), FleetRoute(*other)) == FleetRoute(*max(one, other))


def test_the_first_route_is_below_every_other() -> None:
    assert FleetRoute() == FleetRoute(0, 0, 0) < FleetRoute(0, 0, 1) < FleetRoute(0, 1, 0) < FleetRoute(1, 0, 0)


@pytest.mark.parametrize("route", [(0, 0, 0), (1, 0, FULL), (2**32, 255, 1)])
def test_a_route_within_its_bounds_is_taken(route: tuple[int, int, int]) -> None:
    made = FleetRoute(*route)
    assert (made.generation, made.step, made.split) == route


@pytest.mark.parametrize("route", [(-1, 0, 0), (0, -1, 0), (0, 0, -1), (0, 0, FULL + 1)])
def test_a_route_beyond_its_bounds_is_refused(route: tuple[int, int, int]) -> None:
    with pytest.raises(InvalidError) as caught:
        FleetRoute(*route)
    assert str(caught.value) == f"route {route} is out of range"


@pytest.mark.parametrize(
    ("number", "chain", "says"),
    [
        (0, (A,), "generation 0 with 1 versions is none that a store mints"),
        (-1, (A, B), "generation -1 with 2 versions is none that a store mints"),
        (1, (), "generation 1 with 0 versions is none that a store mints"),
    ],
)
def test_a_generation_that_no_store_mints_is_refused(number: int, chain: tuple[str, ...], says: str) -> None:
    with pytest.raises(InvalidError) as caught:
        Generation(number=number, chain=chain)
    assert str(caught.value) == says


def test_local_trips_are_ordered_by_replica_then_generation() -> None:
    trips = [LocalTrip("r2", 1, A), LocalTrip("r1", 10, A), LocalTrip("r1", 2, B), LocalTrip("r1", 2, A)]
    assert sorted(trips) == [trips[3], trips[2], trips[1], trips[0]]


# Rule 4: which positions take traffic.


@pytest.mark.parametrize(
    ("step", "split", "live", "served"),
    [
        pytest.param(0, 0, (1,), 1, id="armed: the candidate has met nobody"),
        pytest.param(0, 1, (0, 1), 1, id="the smallest share"),
        pytest.param(0, FULL - 1, (0, 1), 1, id="all but the last"),
        pytest.param(0, FULL, (0,), 0, id="all traffic"),
        pytest.param(1, 0, (1,), 1, id="stepped back while armed"),
        pytest.param(1, 1, (1,), 1, id="stepped back from a share"),
        pytest.param(1, FULL, (1,), 1, id="stepped back from all traffic"),
        pytest.param(3, FULL, (3,), 3, id="past the end"),
    ],
)
def test_which_positions_take_traffic(step: int, split: int, live: tuple[int, ...], served: int) -> None:
    assert (live_positions(step, split), served_position(step, split)) == (live, served)


@given(steps, st.integers(0, FULL))
def test_what_is_served_takes_traffic(step: int, split: int) -> None:
    assert served_position(step, split) in live_positions(step, split)


# Rule 5: the step that a route means.


@pytest.mark.parametrize(
    ("step", "split", "bad", "expected"),
    [
        pytest.param(0, 0, "", 0, id="armed, nothing is bad"),
        pytest.param(0, 0, "A", 0, id="armed: a candidate that has met nobody is not left"),
        pytest.param(0, 0, "B", 2, id="armed: what is live is left for what is behind, not for the candidate"),
        pytest.param(0, 0, "C", 0, id="armed: what is behind is not live"),
        pytest.param(0, 0, "BC", 3, id="armed: the static fallback"),
        pytest.param(0, 1, "", 0, id="a share, nothing is bad"),
        pytest.param(0, 1, "A", 1, id="a share: the candidate is left"),
        pytest.param(0, 1, "B", 2, id="a share: a bad live version leaves both arms, never forward"),
        pytest.param(0, FULL - 1, "B", 2, id="nearly all: a bad live version leaves both arms, never forward"),
        pytest.param(0, 1, "C", 0, id="a share: what is behind is not live"),
        pytest.param(0, 1, "AB", 2, id="a share: both are left"),
        pytest.param(0, FULL, "", 0, id="all traffic, nothing is bad"),
        pytest.param(0, FULL, "A", 1, id="all traffic: left for the one behind"),
        pytest.param(0, FULL, "B", 0, id="all traffic: the one behind is not live"),
        pytest.param(0, FULL, "BC", 0, id="all traffic: those behind are not live"),
        pytest.param(0, FULL, "AB", 2, id="all traffic: left for the first that is not bad"),
        pytest.param(0, FULL, "ABC", 3, id="all traffic: all bad, the static fallback"),
        pytest.param(0, FULL, "D", 0, id="a version that is not in the chain"),
        pytest.param(1, 0, "", 1, id="stepped back"),
        pytest.param(1, FULL, "A", 1, id="stepped back: the candidate is left already"),
        pytest.param(1, FULL, "B", 2, id="stepped back: left again"),
        pytest.param(2, FULL, "B", 2, id="what was passed is not met again"),
        pytest.param(2, FULL, "C", 3, id="the last one is left"),
        pytest.param(3, FULL, "", 3, id="on the static fallback"),
        pytest.param(9, FULL, "", 3, id="far past the end is the static fallback"),
    ],
)
def test_the_step_of_a_route(step: int, split: int, bad: str, expected: int) -> None:
    assert step_of((A, B, C), FleetRoute(1, step, split), frozenset(bad)) == expected


@pytest.mark.parametrize(
    ("chain", "step", "split", "bad", "expected"),
    [
        pytest.param((), 0, 0, "A", 0, id="no chain: nothing to leave"),
        pytest.param((), 0, FULL, "A", 0, id="no chain at full: nothing to leave"),
        pytest.param((), 1, 0, "", 0, id="no chain: the static fallback is at its end"),
        pytest.param((A,), 0, 0, "A", 0, id="a first deployment, armed: the static fallback answers"),
        pytest.param((A,), 0, 1, "A", 1, id="a first deployment with a share is left for the static fallback"),
        pytest.param((A,), 0, FULL, "A", 1, id="a first deployment is left for the static fallback"),
        pytest.param((A,), 1, FULL, "", 1, id="a first deployment that was left"),
    ],
)
def test_the_step_of_a_short_chain(chain: tuple[str, ...], step: int, split: int, bad: str, expected: int) -> None:
    assert step_of(chain, FleetRoute(1, step, split), frozenset(bad)) == expected


@given(chains, steps, splits, versions)
def test_no_live_position_is_bad(chain: tuple[str, ...], step: int, split: int, bad: frozenset[str]) -> None:
    reached = step_of(chain, FleetRoute(1, step, split), bad)
    assert not any(chain[position] in bad for position in live_positions(reached, split) if position < len(chain))


@given(chains, steps, splits, versions)
def test_only_what_is_bad_is_passed(chain: tuple[str, ...], step: int, split: int, bad: frozenset[str]) -> None:
    reached = step_of(chain, FleetRoute(1, step, split), bad)
    assert min(step, len(chain)) <= reached <= len(chain)
    assert set(chain[max(1, step) : reached]) <= bad


@given(chains, steps, splits, versions, versions)
def test_more_to_leave_never_leads_forward(
    chain: tuple[str, ...], step: int, split: int, bad: frozenset[str], more: frozenset[str]
) -> None:
    route = FleetRoute(1, step, split)
    assert step_of(chain, route, bad | more) >= step_of(chain, route, bad)


@given(chains, steps, splits, versions)
def test_a_step_once_taken_means_itself(chain: tuple[str, ...], step: int, split: int, bad: frozenset[str]) -> None:
    reached = step_of(chain, FleetRoute(1, step, split), bad)
    assert step_of(chain, FleetRoute(1, reached, split), bad) == reached


# Rule 7: why a replica did not take a generation.


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (
            Refusal(generation=2, unseen_quarantine=frozenset({A})),
            "generation 2 refused: it has not seen the quarantine of 1 version(s)",
        ),
        (
            Refusal(generation=3, unseen_local=frozenset({LocalTrip("r1", 1, A), LocalTrip("r1", 1, B)})),
            "generation 3 refused: it has not seen 2 local trip(s)",
        ),
        (Refusal(generation=4, unready=frozenset({A})), "generation 4 refused: 1 live version(s) are not ready here"),
        (
            Refusal(
                generation=5,
                unseen_quarantine=frozenset({A, B}),
                unseen_local=frozenset({LocalTrip("r1", 1, A)}),
                unready=frozenset({C, D}),
            ),
            (
                "generation 5 refused: it has not seen the quarantine of 2 version(s) "
                "and it has not seen 1 local trip(s) and 2 live version(s) are not ready here"
            ),
        ),
    ],
)
def test_a_refusal_says_why(refusal: Refusal, reason: str) -> None:
    assert refusal.reason == reason
