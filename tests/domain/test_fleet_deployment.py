"""A deployment has a way back behind it, gets traffic only while nothing speaks against it, and can be given up."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood.domain.fleet import MAX_CHAIN, FleetState, abandon, advance, mint, trip
from knowngood_sdk.errors import ConflictError, InvalidError, KnownGoodError, NotReadyError, RefusedError
from knowngood_sdk.model.route import FULL, FleetRoute, Generation, LocalTrip
from tests.domain.numbered_fleets import (
    EVERYWHERE,
    SHORT,
    V1,
    V2,
    V3,
    V4,
    VERSIONS,
    act,
    chain_of,
    facts,
    fleet,
    fleets,
    says,
)

pytestmark = pytest.mark.requirement("G3")
HERE, THERE = LocalTrip("r1", 1, V3), LocalTrip("r2", 1, V3)


# Rule 15: a deployment.


@pytest.mark.requirement("N1")
@pytest.mark.parametrize(
    ("state", "version", "chain"),
    [
        pytest.param(FleetState(), V1, "1", id="the first one"),
        pytest.param(fleet("1"), V2, "21", id="the second one"),
        pytest.param(fleet("21"), V3, "321", id="the third one"),
        pytest.param(fleet("321"), V4, "432", id="no longer than it has to be"),
        pytest.param(fleet("321", at=(1, FULL)), V4, "421", id="after a step back: what was left is not behind"),
        pytest.param(fleet("321", at=(1, 0)), V4, "421", id="after one was given up: it is not behind"),
        pytest.param(fleet("321", at=(1, 0)), V3, "321", id="what was given up may be deployed again"),
        pytest.param(fleet("321", at=(2, FULL)), V4, "41", id="two steps back"),
        pytest.param(fleet("321", at=(3, FULL)), V4, "4", id="on the static fallback"),
        pytest.param(fleet("321"), V2, "231", id="what is behind may be deployed in front"),
        pytest.param(fleet("321", known=facts("2a")), V4, "431", id="what is in quarantine is not behind"),
        pytest.param(fleet("321", known=facts("2a", released="2a")), V4, "432", id="what was released is behind"),
        pytest.param(
            fleet("321", at=(1, FULL), known=facts("3a", released="3a")), V3, "321", id="deployed after release"
        ),
    ],
)
def test_what_stands_behind_a_deployment(state: FleetState, version: str, chain: str) -> None:
    after = mint(state, version, ready=frozenset(), static_fallback=True)
    assert after.chain == chain_of(chain)


def test_a_deployment_starts_without_traffic_and_says_what_its_deployer_saw() -> None:
    local = frozenset({LocalTrip("r1", 1, V3)})
    state = replace(fleet(known=facts("2a", "1a", released="1a")), local=local, episodes={V2: 1})
    after = mint(state, V4, ready=EVERYWHERE, static_fallback=False)
    made = Generation(number=2, chain=(V4, V3, V1), saw_quarantine=frozenset({V2}), saw_local=local)
    assert after == replace(state, row=FleetRoute(2, 0, 0), generations={**state.generations, 2: made})
    assert (after.served, after.candidate) == (state.served, V4)


@pytest.mark.parametrize(
    ("numbers", "above", "number"),
    [
        pytest.param((), 0, 1, id="the first"),
        pytest.param((1,), 0, 2, id="the next"),
        pytest.param((1, 5), 0, 6, id="above every other"),
        pytest.param((1, 5), 4, 6, id="above every other, not only above what replicas know"),
        pytest.param((1, 5), 5, 6, id="replicas know the same"),
        pytest.param((1, 5), 7, 8, id="an older store was put back: above what replicas know"),
        pytest.param((), 7, 8, id="an empty store was put back"),
    ],
)
def test_a_number_is_never_given_twice(numbers: tuple[int, ...], above: int, number: int) -> None:
    made = {given: Generation(number=given, chain=(V1,)) for given in numbers}
    state = FleetState(row=FleetRoute(max(numbers, default=0), 0, FULL if numbers else 0), generations=made)
    after = mint(state, V2, ready=EVERYWHERE, static_fallback=True, above=above)
    assert after.row == FleetRoute(number, 0, 0)
    assert after.generations[number].number == number
    assert after.generations.keys() == {*numbers, number}


def test_what_is_in_quarantine_is_not_deployed() -> None:
    state, _ = trip(fleet(), act("3a"))
    with pytest.raises(RefusedError) as caught:
        mint(state, V3, ready=EVERYWHERE, static_fallback=True)
    assert says(caught) == (
        "version 333333333333 is in quarantine",
        (
            "Deploy the fix, which has another digest, or release it: "
            "kg quarantine release SYSTEM 333333333333 --reason REASON"
        ),
    )
    assert caught.value.details == {"version": V3}


@pytest.mark.parametrize("split", [0, 1, FULL - 1])
def test_one_deployment_is_under_way_at_a_time(split: int) -> None:
    with pytest.raises(ConflictError) as caught:
        mint(fleet(at=(0, split)), V4, ready=EVERYWHERE, static_fallback=True)
    assert says(caught) == (
        "version 333333333333 is still being deployed (generation 1)",
        "Give it all traffic: kg deploy SYSTEM --promote; or give it up: kg deploy SYSTEM --abandon",
    )


@pytest.mark.parametrize(("at", "served"), [((0, FULL), V3), ((1, FULL), V2), ((2, 0), V1)])
def test_what_is_served_is_not_deployed_again(at: tuple[int, int], served: str) -> None:
    with pytest.raises(ConflictError) as caught:
        mint(fleet(at=at), served, ready=EVERYWHERE, static_fallback=True)
    assert says(caught) == (f"version {SHORT[served]} is served already", "There is nothing to deploy")


@pytest.mark.requirement("N1")
@pytest.mark.parametrize(
    ("state", "ready"),
    [
        pytest.param(FleetState(), EVERYWHERE, id="a first deployment has nothing behind it"),
        pytest.param(fleet(), frozenset(), id="nothing is ready"),
        pytest.param(fleet(), frozenset({V4}), id="the candidate is no way back from itself"),
        pytest.param(fleet(), frozenset({V1}), id="what no longer fits the chain is no way back"),
        pytest.param(fleet(known=facts("2a")), frozenset({V2}), id="what is in quarantine is no way back"),
        pytest.param(fleet(at=(1, FULL)), frozenset({V3}), id="what was left is no way back"),
        pytest.param(fleet(at=(3, FULL)), EVERYWHERE, id="the static fallback, which is not declared any more"),
    ],
)
def test_without_a_way_back_that_is_ready_nothing_is_deployed(state: FleetState, ready: frozenset[str]) -> None:
    with pytest.raises(NotReadyError) as caught:
        mint(state, V4, ready=ready, static_fallback=False)
    assert says(caught) == (
        "there is no way back from version 444444444444: no version behind it is ready",
        "Declare a static fallback in the system file, or wait until the version that is served is ready",
    )
    assert mint(state, V4, ready=ready, static_fallback=True).candidate == V4


@pytest.mark.parametrize("ready", [{V3}, {V2}, {V3, V2}])
def test_one_way_back_that_is_ready_is_enough(ready: set[str]) -> None:
    assert mint(fleet(), V4, ready=frozenset(ready), static_fallback=False).chain == (V4, V3, V2)


@given(fleets, st.sampled_from(VERSIONS), st.frozensets(st.sampled_from(VERSIONS)), st.integers(0, 4))
def test_a_deployment_that_is_minted_keeps_the_promises(
    state: FleetState, version: str, ready: frozenset[str], above: int
) -> None:
    try:
        after = mint(state, version, ready=ready, static_fallback=False, above=above)
    except KnownGoodError:
        return
    assert after.chain[0] == version
    assert len(set(after.chain)) == len(after.chain) <= MAX_CHAIN
    assert not set(after.chain) & after.facts.quarantined
    assert ready.intersection(after.chain[1:])
    assert after.row.generation > max(above, *state.generations)
    assert (after.served, after.candidate, after.watched) == (state.served, version, state.served)


# Rule 16: more traffic for the candidate.


@pytest.mark.requirement("N3")
@pytest.mark.parametrize(("given_now", "split"), [(0, 1), (0, FULL), (999, 1_000), (FULL - 1, FULL)])
def test_a_split_rises(given_now: int, split: int) -> None:
    state = fleet(at=(0, given_now))
    assert advance(state, split, refusing={}, unready={}) == replace(state, row=FleetRoute(1, 0, split))


@pytest.mark.parametrize(("given_now", "split"), [(0, 0), (0, -1), (2, 1), (2, 2), (0, FULL + 1), (FULL, FULL)])
def test_a_split_never_falls_and_has_an_end(given_now: int, split: int) -> None:
    with pytest.raises(InvalidError) as caught:
        advance(fleet(at=(0, given_now)), split, refusing={}, unready={})
    assert says(caught) == (f"a split can only rise, from {given_now} to {FULL} basis points, not to {split}", "")


def test_without_a_deployment_nothing_is_given_traffic() -> None:
    with pytest.raises(ConflictError) as caught:
        advance(FleetState(), FULL, refusing={}, unready={})
    assert says(caught) == ("no deployment is under way", "Start one: kg deploy SYSTEM")


def test_what_stepped_back_is_given_no_more_traffic() -> None:
    with pytest.raises(ConflictError) as caught:
        advance(fleet(at=(1, 1)), FULL, refusing={}, unready={})
    assert says(caught) == ("the deployment stepped back", "Look at the decision: kg history SYSTEM")


@pytest.mark.parametrize(
    ("state", "names"),
    [
        pytest.param(fleet(at=(0, 0), known=facts("3a")), "333333333333", id="of the candidate"),
        pytest.param(fleet(at=(0, 0), known=facts("4a")), "444444444444", id="of any version"),
        pytest.param(fleet(at=(0, 0), known=facts("4a", "1a")), "111111111111, 444444444444", id="of several"),
        pytest.param(fleet(at=(0, 0), known=facts("4a", "1a"), saw="4"), "111111111111", id="of one that it saw not"),
        pytest.param(replace(fleet(at=(0, 0)), local=frozenset({HERE})), "a local trip", id="on one replica"),
        pytest.param(
            replace(fleet(at=(0, 0), saw_local=frozenset({HERE})), local=frozenset({HERE, THERE})),
            "a local trip",
            id="on another replica",
        ),
    ],
)
def test_past_a_trip_that_the_deployer_has_not_seen_there_is_no_more_traffic(state: FleetState, names: str) -> None:
    with pytest.raises(ConflictError) as caught:
        advance(state, FULL, refusing={}, unready={})
    assert says(caught) == (f"this deployment has not seen a trip ({names})", "Deploy again")


def test_what_the_deployer_has_seen_holds_nothing_back() -> None:
    state = replace(
        fleet(at=(0, 1), known=facts("4a", "1a", released="1a"), saw="4", saw_local=frozenset({HERE, THERE})),
        local=frozenset({HERE}),
    )
    assert advance(state, FULL, refusing={}, unready={}).served == V3


@pytest.mark.requirement("N1")
@pytest.mark.parametrize(
    ("refusing", "unready", "who"),
    [
        ({"r1": "unseen trip"}, {}, "r1: unseen trip"),
        ({}, {"r2": "333333333333"}, "r2: 333333333333"),
        ({}, {"r2": "cold", "r1": "warming"}, "r1: warming; r2: cold"),
        ({"r2": "unseen trip"}, {"r1": "cold"}, "r2: unseen trip"),
    ],
)
def test_one_replica_that_cannot_take_the_candidate_holds_it_back(
    refusing: Mapping[str, str], unready: Mapping[str, str], who: str
) -> None:
    with pytest.raises(NotReadyError) as caught:
        advance(fleet(at=(0, 0)), 1, refusing=refusing, unready=unready)
    assert says(caught) == (f"not every replica can take the candidate: {who}", "")


# Rule 17: a deployment is given up.


@pytest.mark.parametrize(
    ("state", "step", "served"),
    [
        pytest.param(fleet(at=(0, 0)), 1, V2, id="armed"),
        pytest.param(fleet(at=(0, 1)), 1, V2, id="with a share"),
        pytest.param(fleet(at=(0, FULL - 1)), 1, V2, id="with nearly all traffic"),
        pytest.param(fleet(at=(0, 0), known=facts("3a")), 1, V2, id="after a trip of the candidate"),
        pytest.param(fleet(at=(0, 1), known=facts("2a")), 2, V1, id="not to what is in quarantine"),
        pytest.param(fleet(at=(0, 0), known=facts("1a", "2a")), 3, None, id="to the static fallback"),
        pytest.param(fleet("1", at=(0, 1)), 1, None, id="a first deployment"),
    ],
)
def test_what_is_given_up_leaves_no_trip_no_quarantine_and_no_rollback(
    state: FleetState, step: int, served: str | None
) -> None:
    after = abandon(state)
    assert after == replace(state, row=FleetRoute(1, step, state.row.split))
    assert (after.served, after.candidate) == (served, None)


@pytest.mark.parametrize("state", [FleetState(), fleet(), fleet(at=(1, 0)), fleet(at=(1, 1)), fleet(at=(3, FULL))])
def test_only_what_is_under_way_is_given_up(state: FleetState) -> None:
    with pytest.raises(ConflictError) as caught:
        abandon(state)
    assert says(caught) == ("no deployment is under way", "To leave the version that is served: kg rollback SYSTEM")
