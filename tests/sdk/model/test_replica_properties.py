"""Whatever reaches a replica, however often: no live version is bad, and no step is taken back (rules 3 to 10)."""

from collections.abc import Callable, Sequence
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood_sdk.model.route import FULL, Facts, FleetRoute, Generation, LocalTrip, ReplicaState
from tests.sdk.model.lettered import ALL, HERE, A, B, D, facts, generation, here, news, offer, replica, trip

pytestmark = pytest.mark.requirement("G3")
UIDS = [version + act for version in "ABCD" for act in "12"]
Act = Callable[[ReplicaState], ReplicaState]


def offered(
    state: ReplicaState, made: Generation, at: tuple[int, int], known: Facts, ready: frozenset[str]
) -> ReplicaState:
    return offer(state, made, at=at, known=known, ready=ready)[0]


def glass(state: ReplicaState, uid: str, ready: frozenset[str]) -> ReplicaState:
    return state.leave(trip(uid), ready)


def leaves_here(state: ReplicaState, version: str, ready: frozenset[str]) -> ReplicaState:
    return state.leave_here(HERE, version, ready)


def restarts(state: ReplicaState, word: tuple[int, int, int], known: Facts, local: LocalTrip) -> ReplicaState:
    return state.rejoin(word=word, trips=known, local=frozenset({local}))


uids = st.lists(st.sampled_from(UIDS), max_size=3)
trips = uids.map(lambda names: facts(*names))
known = st.builds(lambda names, released: facts(*names, released=" ".join(released)), uids, uids)
slots = st.frozensets(st.sampled_from("ABCD"))
letters = st.text("ABCD", max_size=4).map(lambda text: "".join(dict.fromkeys(text)))
chains = st.permutations("ABCD").flatmap(lambda order: st.integers(1, 4).map(lambda size: "".join(order[:size])))
places = st.tuples(st.integers(0, 4), st.sampled_from([0, 1, 1_000, FULL]))
positions = st.builds(lambda number, at: (number, *at), st.integers(0, 3), places)
replicas = st.builds(
    lambda chain, at, latched, told, local: replica(chain, at=at, latched=latched, known=told, local=local),
    chains,
    places,
    st.integers(0, 4),
    known,
    letters,
).map(lambda state: state.relatch(ALL))
generations = st.builds(
    lambda number, chain, saw: generation(number, chain, saw=saw, saw_local=frozenset(map(here, saw))),
    st.integers(1, 4),
    chains,
    letters,
)
within = st.one_of(
    st.builds(partial, st.just(news), at=places, known=trips, ready=slots),
    st.builds(partial, st.just(glass), uid=st.sampled_from(UIDS), ready=slots),
    st.builds(partial, st.just(leaves_here), version=st.sampled_from("ABCD"), ready=slots),
)
"""What happens to a replica within its generation while nobody releases anything."""
anything = st.one_of(
    within,
    st.builds(partial, st.just(news), at=places, known=known, ready=slots),
    st.builds(partial, st.just(offered), made=generations, at=places, known=known, ready=slots),
    st.builds(partial, st.just(restarts), word=positions, known=known, local=st.sampled_from([here(A), here(B, 2)])),
)


def after(state: ReplicaState, acts: Sequence[Act]) -> ReplicaState:
    for act in acts:
        state = act(state)
    return state


@given(st.just(ReplicaState()) | replicas, st.lists(anything, max_size=5), anything)
def test_nothing_that_happens_takes_a_replica_back(state: ReplicaState, acts: list[Act], act: Act) -> None:
    before = after(state, acts)
    then = act(before)
    assert then.fleet >= before.fleet
    assert then.facts.merge(before.facts) == then.facts
    if then.fleet.generation == before.fleet.generation:
        assert then.latched >= before.latched
        assert then.local >= before.local


@given(st.just(ReplicaState()) | replicas, st.lists(anything, min_size=1, max_size=6))
def test_no_live_version_is_bad_whatever_is_ready(state: ReplicaState, acts: list[Act]) -> None:
    then = after(state, acts)
    assert not {then.chain[position] for position in then.positions if position < len(then.chain)} & then.bad


@given(st.just(ReplicaState()) | replicas, st.lists(anything, max_size=4), anything)
def test_what_happens_twice_happened_once(state: ReplicaState, acts: list[Act], act: Act) -> None:
    then = act(after(state, acts))
    assert act(then) == then


@given(replicas, st.lists(within, max_size=5), slots)
def test_what_is_arrived_at_is_ready_or_the_first_that_is_not_bad(
    state: ReplicaState, acts: list[Act], ready: frozenset[str]
) -> None:
    before = after(state, acts)
    then = news(before, at=(1, FULL), ready=ready)
    if then.latched > before.latched and then.latched < len(then.chain) and then.chain[then.latched] not in ready:
        start = max(1, then.fleet.step, before.latched)
        assert set(then.chain[start : then.latched]) <= then.bad
        assert not set(then.chain[then.latched :]) & ready - then.bad


@given(replicas, st.lists(st.tuples(st.integers(0, 4), trips), max_size=4), st.data())
def test_messages_of_one_generation_end_in_the_same_place_in_any_order(
    state: ReplicaState, messages: list[tuple[int, Facts]], data: st.DataObject
) -> None:
    told: list[Act] = [partial(news, at=(step, state.fleet.split), known=found) for step, found in messages]
    again = data.draw(st.lists(st.sampled_from(told), max_size=2)) if told else []
    assert after(state, data.draw(st.permutations(told + again))) == after(state, told)


@given(replicas, st.lists(st.tuples(places, known, slots), max_size=4), st.data())
def test_route_and_facts_are_the_same_in_any_order_whatever_is_released_or_ready(
    state: ReplicaState, messages: list[tuple[tuple[int, int], Facts, frozenset[str]]], data: st.DataObject
) -> None:
    told: list[Act] = [partial(news, at=at, known=found, ready=ready) for at, found, ready in messages]
    one, other = after(state, told), after(state, data.draw(st.permutations(told)))
    assert (one.fleet, one.facts, one.local) == (other.fleet, other.facts, other.local)


def test_only_the_latch_remembers_an_order() -> None:
    """A step that was taken is not taken back; whoever heard of the release first never took it."""
    left, released = partial(news, known=facts("A1")), partial(news, known=facts(released="A1"))
    assert (after(replica(), [left, released]).latched, after(replica(), [released, left]).latched) == (1, 0)


@given(replicas, st.lists(within, max_size=5))
def test_after_a_restart_it_stands_where_it_stood(state: ReplicaState, acts: list[Act]) -> None:
    """The file is as old as can be; the journal has all trips, and the word or a stand the place."""
    then = after(state, acts)
    word = (then.fleet.generation, then.latched, then.fleet.split)
    rejoin = partial(state.rejoin, trips=then.facts, local=then.local)
    assert rejoin(word=word, stands=[then.stand]) == then
    assert rejoin(word=None, stands=[then.stand]) == then
    by_word = rejoin(word=word)
    assert (by_word.positions, by_word.bad, by_word.local) == (then.positions, then.bad, then.local)


@given(replicas, st.lists(anything, max_size=4), letters)
def test_a_deployment_that_has_not_seen_a_trip_never_undoes_it(state: ReplicaState, acts: list[Act], saw: str) -> None:
    before = after(state, acts)
    made = generation(before.fleet.generation + 5, A + D, saw=saw)
    then, refusal = offer(before, made, at=(0, FULL))
    unseen = bool(before.facts.quarantined - set(saw) or before.local)
    assert (refusal is not None) == unseen
    assert then.fleet == (before.fleet if unseen else FleetRoute(made.number, 0, FULL))
