"""Without store and control plane, what replicas say that they serve is left; a second time leaves what serves then."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood.control.break_glass import break_glass, foremost
from knowngood.ports.traffic import Unreachable
from knowngood_sdk.errors import ConflictError, NotFoundError, NotReadyError
from knowngood_sdk.model.route import FULL, FleetRoute, Generation, ReplicaState, Trip

pytestmark = pytest.mark.requirement("G2")
V1, V2, V3 = (f"sha256:{digit * 64}" for digit in "123")


def at(generation: int, *chain: str, latched: int = 0, split: int = FULL) -> ReplicaState:
    """A replica that stands on a generation."""
    made = {generation: Generation(number=generation, chain=chain)}
    return ReplicaState(fleet=FleetRoute(generation, 0, split), latched=latched, generations=made)


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        pytest.param([at(1, V1)], (1, V1), id="the only one"),
        pytest.param([at(2, V2, V1)], (2, V2), id="what takes all traffic"),
        pytest.param([at(2, V2, V1, split=1000)], (2, V2), id="a canary before what it is to replace"),
        pytest.param([at(2, V2, V1, split=0)], (2, V1), id="never a candidate that nobody has met"),
        pytest.param([at(2, V2, V1, latched=1)], (2, V1), id="where it was left already, what serves then"),
        pytest.param([at(2, V2, V1, latched=1), at(2, V2, V1)], (2, V2), id="what one of them still serves"),
        pytest.param([at(1, V1), at(2, V2, V1)], (2, V2), id="the newer generation"),
        pytest.param([at(2, V2, latched=1), at(1, V1)], (1, V1), id="one of an older generation, if it alone serves"),
        pytest.param([at(2, V2, V1, latched=2)], None, id="the static fallback is no version"),
        pytest.param([ReplicaState()], None, id="one that has not joined"),
        pytest.param([], None, id="nobody"),
    ],
)
def test_what_stands_furthest_in_front(states: list[ReplicaState], expected: tuple[int, str] | None) -> None:
    assert foremost(states) == expected


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 3), st.sampled_from([0, 1000, FULL])), max_size=5))
def test_what_is_left_is_always_served_by_somebody(places: list[tuple[int, int, int]]) -> None:
    states = [at(number, V3, V2, V1, latched=latched, split=split) for number, latched, split in places]
    found = foremost(states)
    served = {
        (s.fleet.generation, s.chain[position]) for s in states for position in s.positions if position < len(s.chain)
    }
    assert (found in served) if served else (found is None)


def make(generation: int, version: str) -> Trip:
    uid = f"{generation} {version}"
    return Trip(uid=uid, version=version, generation=generation, source="break-glass", at="", why="wrong prices")


def serves(scenario: Any, replica: str) -> str | None:
    state = scenario.traffic.replicas("pricing")[replica].report.state
    (position,) = state.positions
    chain: tuple[str, ...] = state.chain
    return chain[position] if position < len(chain) else None


def test_the_fleet_leaves_version_after_version_until_the_static_fallback_answers(incident: Any) -> None:
    v1, v2 = (made.version for made in incident.store.deployments("pricing"))
    for version, behind in ((v2, v1), (v1, None)):
        broken = break_glass(incident.traffic, "pricing", make)
        assert (broken.trip.version, sorted(broken.answers), broken.unpublished) == (version, ["r1", "r2"], "")
        assert serves(incident, "r1") == serves(incident, "r2") == behind
    with pytest.raises(ConflictError, match="static fallback already"):
        break_glass(incident.traffic, "pricing", make)


def test_a_replica_that_was_not_running_finds_what_was_left_when_it_starts(incident: Any) -> None:
    v1, _ = (made.version for made in incident.store.deployments("pricing"))
    incident.traffic.kill_agent("pricing", "r2")
    break_glass(incident.traffic, "pricing", make)
    incident.traffic.restart_agent("pricing", "r2")
    assert serves(incident, "r2") == v1


def test_a_document_that_nobody_can_read_stops_nothing_and_is_told(incident: Any) -> None:
    v1, _ = (made.version for made in incident.store.deployments("pricing"))
    incident.traffic.damage("pricing")
    assert "cannot be read" in break_glass(incident.traffic, "pricing", make).unpublished
    assert serves(incident, "r1") == v1


def test_one_replica_leaves_and_the_others_stay(incident: Any) -> None:
    v1, v2 = (made.version for made in incident.store.deployments("pricing"))
    broken = break_glass(incident.traffic, "pricing", make, replica="r1")
    assert not isinstance(broken.answers["r1"], Unreachable)
    assert (serves(incident, "r1"), serves(incident, "r2")) == (v1, v2)
    assert incident.traffic.published("pricing").facts.trips == {}


def test_replicas_that_cannot_say_what_they_serve_are_not_taken_for_the_static_fallback(pricing: Any) -> None:
    with pytest.raises(NotReadyError, match="no replica of pricing says what it serves"):
        break_glass(pricing.traffic, "pricing", make)


def test_who_is_not_there_cannot_leave(incident: Any) -> None:
    with pytest.raises(NotFoundError, match="no replica 'r9'") as caught:
        break_glass(incident.traffic, "pricing", make, replica="r9")
    assert caught.value.hint == "It has: r1, r2"
    with pytest.raises(NotFoundError, match="system typo has no replica"):
        break_glass(incident.traffic, "typo", make)
