"""A newcomer takes route and facts from all peers that answer, and from nobody what is that replica's own (rule 22)."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood_sdk.errors import ConflictError
from knowngood_sdk.model.join import joined
from knowngood_sdk.model.route import FULL, Facts, FleetRoute, Generation, LocalTrip, ReplicaState, Trip

V1, V2, V3 = (f"sha256:{digit * 64}" for digit in "123")
FIRST = Generation(number=1, chain=(V2, V1))
SECOND = Generation(number=2, chain=(V3, V2, V1))
READY = frozenset({V1, V2, V3})


def trip_of(version: str, uid: str = "t") -> Trip:
    return Trip(uid=uid, version=version, generation=2, source="person", at="", why="")


def peer(generation: Generation, *trips: Trip, split: int = FULL, latched: int = 0) -> ReplicaState:
    return ReplicaState(
        fleet=FleetRoute(generation.number, 0, split),
        latched=latched,
        facts=Facts({trip.uid: trip for trip in trips}),
        generations={1: FIRST, generation.number: generation},
    )


def newcomer(*peers: ReplicaState, ready: frozenset[str] = READY) -> ReplicaState:
    """What a replica that knows nothing becomes."""
    document = joined("pricing", peers)
    assert document is not None
    return ReplicaState().receive(document.route, document.generations, document.facts, ready)[0]


@pytest.mark.requirement("G3", "N2")
def test_the_furthest_route_and_every_fact_are_taken() -> None:
    # The one that is furthest has not heard of the trip yet, and the one that has is behind.
    state = newcomer(peer(SECOND), peer(FIRST, trip_of(V3)))
    assert (state.fleet, state.latched) == (FleetRoute(2, 0, FULL), 1)
    assert state.facts.quarantined == {V3}


def test_nobodys_own_evidence_and_nobodys_step_is_taken() -> None:
    sick = replace(peer(SECOND, latched=1), local=frozenset({LocalTrip("r1", 2, V3)}))
    state = newcomer(sick)
    assert (state.fleet, state.latched, state.local) == (FleetRoute(2, 0, FULL), 0, frozenset())


@pytest.mark.parametrize(
    "peers", [pytest.param([], id="nobody answers"), pytest.param([ReplicaState()], id="nor knows")]
)
def test_where_nobody_knows_a_route_there_is_nothing_to_start_from(peers: list[ReplicaState]) -> None:
    assert joined("pricing", peers) is None


def test_what_is_not_loaded_yet_is_not_arrived_on() -> None:
    state = newcomer(peer(SECOND), ready=frozenset())
    assert (state.fleet, state.chain) == (FleetRoute(), ())


def test_two_chains_of_one_number_are_refused_by_name() -> None:
    anew = Generation(number=2, chain=(V1, V2))
    with pytest.raises(ConflictError, match=r"generation 2 as .* and as "):
        joined("pricing", [peer(SECOND), peer(anew)])
    assert newcomer(peer(SECOND), peer(FIRST)).chain == SECOND.chain


@given(st.permutations([peer(SECOND, split=500), peer(SECOND, trip_of(V1, "a")), peer(FIRST, trip_of(V3, "b"))]))
def test_the_order_of_the_answers_does_not_matter(peers: list[ReplicaState]) -> None:
    document = joined("pricing", peers)
    assert document is not None
    assert document.route == FleetRoute(2, 0, FULL)
    assert document.facts.quarantined == {V1, V3}
    assert document.generations == {2: SECOND}
