"""What enough replicas left on their own evidence the fleet leaves too; a lone sick one moves nobody (rule 13)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood.domain.fleet import FleetState, abandon, lone, merge, mint, release, trip, undecided, widened
from knowngood_sdk.model.route import LocalTrip, Trip

V1, V2, V3 = (f"sha256:{digit * 64}" for digit in "123")


def deployed(*versions: str) -> FleetState:
    """A fleet on which versions were deployed one after another, each to all traffic."""
    state = FleetState()
    for version in versions:
        state = mint(state, version, ready=frozenset(versions), static_fallback=True)
        row = type(state.row)(state.row.generation, 0, 10_000)
        state = FleetState(row=row, generations=state.generations, facts=state.facts, local=state.local)
    return state


def left_by(state: FleetState, version: str, *replicas: str, generation: int | None = None) -> FleetState:
    """The same, after replicas left a version by themselves."""
    number = state.row.generation if generation is None else generation
    return merge(state, state.facts, frozenset(LocalTrip(name, number, version) for name in replicas))[0]


def names(count: int) -> frozenset[str]:
    return frozenset(f"r{number}" for number in range(count))


@pytest.mark.parametrize(
    ("live", "voters", "leaves"),
    [
        pytest.param(1, 1, True, id="one of one"),
        pytest.param(2, 1, False, id="one of two may be the sick one"),
        pytest.param(2, 2, True, id="both of two"),
        pytest.param(3, 1, False, id="one of three"),
        pytest.param(3, 2, True, id="two of three"),
        pytest.param(10, 2, True, id="two of ten, a fifth"),
        pytest.param(11, 2, False, id="two of eleven, less than a fifth"),
        pytest.param(11, 3, True, id="three of eleven"),
        pytest.param(0, 1, False, id="the one that left has died since, and no other lives"),
        pytest.param(0, 0, False, id="nobody said anything"),
    ],
)
def test_how_many_it_takes(live: int, voters: int, *, leaves: bool) -> None:
    state = left_by(deployed(V1, V2), V2, *sorted(names(voters)))
    assert (V2 in widened(state, names(live))) == leaves


def test_the_voters_are_named() -> None:
    state = left_by(deployed(V1, V2), V2, "r0", "r1")
    assert widened(state, names(2)) == {V2: frozenset({"r0", "r1"})}


def test_one_replica_that_leaves_in_two_generations_has_one_voice() -> None:
    state = left_by(left_by(deployed(V1, V2), V2, "r0"), V2, "r0", generation=1)
    assert widened(state, names(2)) == {}


def test_what_a_deployment_has_seen_counts_no_more() -> None:
    state = left_by(deployed(V1, V2), V2, "r0", "r1")
    after = mint(
        FleetState(row=state.row, generations=state.generations, facts=state.facts, local=state.local),
        V3,
        ready=frozenset({V1, V2}),
        static_fallback=True,
    )
    assert widened(after, names(2)) == {}


def test_a_version_in_quarantine_is_not_left_twice() -> None:
    state = left_by(deployed(V1, V2), V2, "r0", "r1")
    state, _ = trip(state, Trip(uid="a", version=V2, generation=2, source="person", at="", why=""))
    assert widened(state, names(2)) == {}


def test_what_a_person_released_is_not_left_again_for_the_same_reports() -> None:
    state = left_by(deployed(V1, V2), V2, "r0", "r1")
    state, _ = trip(state, Trip(uid="a", version=V2, generation=2, source="widening", at="", why=""))
    assert widened(release(state, frozenset({"a"})), names(2)) == {}


@given(st.integers(2, 60), st.data())
def test_a_lone_voter_of_several_never_moves_the_fleet(live: int, data: st.DataObject) -> None:
    voter = data.draw(st.sampled_from(sorted(names(live))))
    assert widened(left_by(deployed(V1, V2), V2, voter), names(live)) == {}


@given(st.integers(1, 60), st.integers(0, 60))
def test_more_voters_never_take_a_widening_back(live: int, voters: int) -> None:
    state = deployed(V1, V2)
    before = widened(left_by(state, V2, *sorted(names(voters))), names(live))
    after = widened(left_by(state, V2, *sorted(names(voters + 1))), names(live))
    assert before.keys() <= after.keys()


def test_of_a_store_without_deployments_what_replicas_left_still_counts() -> None:
    assert widened(FleetState(), names(2)) == {}
    state = left_by(FleetState(), V2, "r0", "r1", generation=1)
    assert widened(state, names(2)) == {V2: names(2)}


@pytest.mark.parametrize(
    ("live", "voters", "sick"),
    [
        pytest.param(1, 1, 0, id="the only one moves the fleet"),
        pytest.param(2, 1, 1, id="one of two"),
        pytest.param(2, 2, 0, id="both of two move the fleet"),
        pytest.param(10, 1, 1, id="one of ten"),
        pytest.param(11, 2, 2, id="two of eleven are two sick ones"),
        pytest.param(11, 3, 0, id="three of eleven move the fleet"),
        pytest.param(0, 1, 0, id="nobody lives to whom it could be compared"),
    ],
)
def test_too_few_are_sick(live: int, voters: int, sick: int) -> None:
    state = left_by(deployed(V1, V2), V2, *sorted(names(voters)))
    assert {trip.replica for trip in lone(state, names(live))} == names(sick)


def test_nobody_is_sick_with_what_no_deployment_has_behind_it_any_more() -> None:
    state = left_by(deployed(V1, V2), "sha256:" + "9" * 64, "r0")
    assert undecided(state) != frozenset()
    assert lone(state, names(3)) == frozenset()


def test_nobody_is_sick_with_a_candidate_that_was_given_up() -> None:
    state = mint(deployed(V1, V2), V3, ready=frozenset({V1, V2}), static_fallback=True)
    tried = left_by(state, V3, "r0")
    assert {found.replica for found in lone(tried, names(3))} == {"r0"}
    assert lone(abandon(tried), names(3)) == frozenset()


def test_what_was_seen_left_or_released_is_decided() -> None:
    state = left_by(deployed(V1, V2), V2, "r0")
    assert {trip.replica for trip in undecided(state)} == {"r0"}
    left, _ = trip(state, Trip(uid="a", version=V2, generation=2, source="person", at="", why=""))
    assert undecided(left) == frozenset()
    assert undecided(release(left, frozenset({"a"}))) == frozenset()
    assert undecided(mint(state, V3, ready=frozenset({V1, V2}), static_fallback=True)) == frozenset()


def test_a_trip_of_an_earlier_generation_that_was_released_decides_nothing_in_this_one() -> None:
    state, _ = trip(deployed(V1, V2), Trip(uid="a", version=V1, generation=1, source="person", at="", why=""))
    state = left_by(release(state, frozenset({"a"})), V1, "r0")
    assert {found.replica for found in lone(state, names(3))} == {"r0"}


@given(st.integers(1, 40), st.integers(0, 40))
def test_whoever_left_moves_the_fleet_or_is_sick_and_never_both(live: int, voters: int) -> None:
    state = left_by(deployed(V1, V2), V2, *sorted(names(voters)))
    sick = {found.replica for found in lone(state, names(live))}
    moved = widened(state, names(live)).get(V2, frozenset())
    assert sick ^ moved == names(voters)
