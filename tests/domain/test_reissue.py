"""What is served is minted again where that brings somebody in, and by itself only once all is settled (rule 19)."""

from dataclasses import replace

import pytest

from knowngood.domain.fleet import FleetState, merge, mint, release, trip
from knowngood.domain.reissue import check_settled, outside, reissue
from knowngood_sdk.errors import ConflictError, RefusedError
from knowngood_sdk.model.route import FULL, Facts, FleetRoute, LocalTrip, ReplicaState, Trip
from knowngood_sdk.model.wire import ReplicaReport

V1, V2, V3 = (f"sha256:{digit * 64}" for digit in "123")
ALL = frozenset({V1, V2, V3})
SICK = LocalTrip("r1", 2, V2)


def deployed(*versions: str) -> FleetState:
    state = FleetState()
    for version in versions:
        state = mint(state, version, ready=ALL, static_fallback=True)
        state = replace(state, row=FleetRoute(state.row.generation, 0, FULL))
    return state


def left(state: FleetState, version: str, uid: str = "t") -> FleetState:
    fact = Trip(uid=uid, version=version, generation=state.row.generation, source="person", at="", why="")
    return trip(state, fact)[0]


def sick(state: FleetState, *trips: LocalTrip) -> FleetState:
    return merge(state, Facts(), frozenset(trips))[0]


def at(
    state: FleetState, generation: int, *, latched: int = 0, ready: frozenset[str] = ALL, **more: object
) -> ReplicaReport:
    here = ReplicaState(fleet=FleetRoute(generation, 0, FULL), latched=latched, generations=state.generations, **more)  # type: ignore[arg-type]
    return ReplicaReport(replica="r1", state=here, ready=ready)


STATE = deployed(V1, V2)
FELL_ILL = sick(STATE, SICK)
FELL = left(deployed(V1, V2, V3), V3)


@pytest.mark.parametrize(
    ("state", "report", "out"),
    [
        pytest.param(STATE, at(STATE, 2), False, id="it is where the fleet is"),
        pytest.param(STATE, at(STATE, 1), False, id="it is behind, and nothing keeps it there"),
        pytest.param(STATE, at(STATE, 0), False, id="it has no route yet, so it joins"),
        pytest.param(FELL_ILL, at(STATE, 2, latched=1, local=frozenset({SICK})), True, id="it left by itself"),
        pytest.param(STATE, at(STATE, 2, latched=1, local=frozenset({SICK})), False, id="not on record yet"),
        pytest.param(FELL, at(FELL, 3, latched=1), False, id="it fell with the fleet"),
        pytest.param(FELL, at(FELL, 3, latched=2), True, id="it passed over what was not ready"),
        pytest.param(FELL, at(FELL, 3, latched=2, ready=frozenset({V1})), False, id="which is not ready yet"),
        pytest.param(FELL, at(FELL, 2, facts=FELL.facts), True, id="it knows of a trip that the deployer had not seen"),
        pytest.param(FELL, at(FELL, 2), False, id="it does not, and takes the generation by itself"),
        pytest.param(
            sick(FELL, SICK), at(FELL, 2, local=frozenset({SICK})), True, id="it left what the deployer had not seen"
        ),
    ],
)
def test_who_is_outside(state: FleetState, report: ReplicaReport, *, out: bool) -> None:
    assert bool(outside(state, {"r1": report})) == out


def test_a_trip_that_was_released_keeps_nobody_outside() -> None:
    released = release(FELL, frozenset({"t"}))
    assert outside(released, {"r1": at(FELL, 2, facts=FELL.facts)}) == {}


@pytest.mark.requirement("G3")
def test_what_is_served_stays_served_with_its_way_back_and_all_is_seen() -> None:
    after = reissue(sick(FELL, SICK), {"r1": "stayed outside"})
    generation = after.generations[4]
    assert (after.row, after.served, generation.chain) == (FleetRoute(4, 0, FULL), V2, (V2, V1))
    assert generation.saw_quarantine == {V3}
    assert generation.saw_local == {SICK}
    assert after.facts == FELL.facts
    assert after.episodes == FELL.episodes


def test_whoever_was_outside_takes_it() -> None:
    state = FELL_ILL
    here = at(state, 2, latched=1, local=frozenset({SICK})).state
    after = reissue(state, outside(state, {"r1": at(state, 2, latched=1, local=frozenset({SICK}))}))
    taken, refusal = here.receive(after.row, after.generations, after.facts, ALL)
    assert (taken.fleet, taken.latched, taken.local, refusal) == (after.row, 0, frozenset(), None)


def test_a_number_that_replicas_know_is_not_given_again() -> None:
    assert reissue(FELL, {"r1": "outside"}, above=9).row == FleetRoute(10, 0, FULL)


@pytest.mark.parametrize(
    ("state", "error", "says"),
    [
        pytest.param(FleetState(), ConflictError, "no version is served", id="nothing was ever deployed"),
        pytest.param(left(left(STATE, V2), V1, "u"), ConflictError, "no version is served", id="the static fallback"),
        pytest.param(
            mint(STATE, V3, ready=ALL, static_fallback=True), ConflictError, "is still being deployed", id="under way"
        ),
        pytest.param(
            replace(STATE, facts=FELL.facts, row=FleetRoute(2, 0, FULL), generations={2: FELL.generations[3]}),
            RefusedError,
            "is in quarantine",
            id="a live version is in quarantine",
        ),
        pytest.param(STATE, ConflictError, "every replica can be where the fleet is", id="nobody is outside"),
    ],
)
def test_when_nothing_is_minted_again(state: FleetState, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        reissue(state, {})


def test_a_person_may_mint_again_what_nobody_live_is_outside_of_while_something_is_unseen() -> None:
    assert reissue(FELL_ILL, {}).row == FleetRoute(3, 0, FULL)
    assert reissue(FELL, {}).row == FleetRoute(4, 0, FULL)


@pytest.mark.parametrize(
    ("live", "trips", "verified", "says"),
    [
        pytest.param(3, [SICK], [], "not verified .* r1", id="a lone sick one"),
        pytest.param(3, [SICK], [SICK], "", id="that was verified"),
        pytest.param(3, [SICK, LocalTrip("r2", 2, V2)], [SICK], "the fleet has to leave", id="enough of them"),
        pytest.param(1, [SICK], [], "the fleet has to leave", id="the only one"),
        pytest.param(0, [SICK], [], "not verified .* r1", id="nobody lives"),
        pytest.param(3, [], [], "", id="nobody"),
    ],
)
def test_what_has_to_be_settled_first(live: int, trips: list[LocalTrip], verified: list[LocalTrip], says: str) -> None:
    state = sick(STATE, *trips)
    names = frozenset(f"r{number}" for number in range(1, live + 1))
    if not says:
        check_settled(state, names, verified)
        return
    with pytest.raises(ConflictError, match=says):
        check_settled(state, names, verified)
