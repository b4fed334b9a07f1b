"""The store's side of the route: what a trip moves and starts, where it leads, and what a release lifts."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood.domain.fleet import Episode, FleetState, merge, release, trip
from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.route import FULL, Facts, FleetRoute, LocalTrip
from tests.domain.numbered_fleets import UIDS, V1, V2, V3, V4, act, facts, fleet, fleets, known, says, uids

pytestmark = pytest.mark.requirement("G3")


# Rule 2: what a route says of its versions.


@pytest.mark.parametrize(
    ("state", "served", "candidate", "watched", "way_back"),
    [
        pytest.param(FleetState(), None, None, None, None, id="nothing was deployed"),
        pytest.param(fleet(at=(0, 0)), V2, V3, V2, V1, id="armed"),
        pytest.param(fleet(at=(0, 1)), V2, V3, V3, V1, id="the smallest share"),
        pytest.param(fleet(at=(0, FULL - 1)), V2, V3, V3, V1, id="nearly all traffic"),
        pytest.param(fleet(), V3, None, V3, V2, id="all traffic"),
        pytest.param(fleet(at=(1, 0)), V2, None, V2, V1, id="given up while armed"),
        pytest.param(fleet(at=(1, FULL)), V2, None, V2, V1, id="stepped back"),
        pytest.param(fleet(at=(2, FULL)), V1, None, V1, None, id="stepped back to the last"),
        pytest.param(fleet(at=(3, FULL)), None, None, None, None, id="on the static fallback"),
        pytest.param(fleet("1", at=(0, 0)), None, V1, None, None, id="a first deployment, armed"),
        pytest.param(fleet("1", at=(0, 1)), None, V1, V1, None, id="a first deployment with a share"),
        pytest.param(fleet("1"), V1, None, V1, None, id="a first deployment"),
        pytest.param(fleet("1", at=(1, FULL)), None, None, None, None, id="a first deployment that was left"),
        pytest.param(fleet(known=facts("2a")), V3, None, V3, V1, id="the one behind is in quarantine"),
        pytest.param(fleet(known=facts("2a", released="2a")), V3, None, V3, V2, id="the one behind was released"),
        pytest.param(fleet(known=facts("2a", "1a")), V3, None, V3, None, id="all behind are in quarantine"),
    ],
)
def test_what_a_route_says_of_its_versions(
    state: FleetState, served: str | None, candidate: str | None, watched: str | None, way_back: str | None
) -> None:
    assert (state.served, state.candidate, state.watched, state.way_back) == (served, candidate, watched, way_back)


@pytest.mark.parametrize(
    ("state", "version", "behind"),
    [
        pytest.param(FleetState(), V1, None, id="nothing was deployed"),
        pytest.param(fleet(), V3, V2, id="what is served"),
        pytest.param(fleet(), V2, V3, id="what is not served moves nothing"),
        pytest.param(fleet(), V4, V3, id="what is not in the chain moves nothing"),
        pytest.param(fleet(at=(0, 0)), V3, V2, id="an armed candidate: what is served stays"),
        pytest.param(fleet(at=(0, 0)), V2, V1, id="armed: what is served"),
        pytest.param(fleet(at=(0, 1)), V3, V2, id="a canary"),
        pytest.param(fleet(at=(0, 1)), V2, V1, id="what a canary is to replace: never forward to the canary"),
        pytest.param(fleet(at=(1, FULL)), V2, V1, id="stepped back"),
        pytest.param(fleet(at=(2, FULL)), V1, None, id="the last one"),
        pytest.param(fleet(at=(3, FULL)), V3, None, id="on the static fallback"),
        pytest.param(fleet(at=(9, FULL)), V3, None, id="far past the end"),
        pytest.param(fleet("1", at=(0, 0)), V1, None, id="a first deployment, armed"),
        pytest.param(fleet(known=facts("2a")), V3, V1, id="past what is in quarantine"),
        pytest.param(fleet(known=facts("1a", "2a")), V3, None, id="all behind are in quarantine"),
    ],
)
def test_where_a_trip_would_lead(state: FleetState, version: str, behind: str | None) -> None:
    assert state.behind(version) == behind


@given(fleets, st.sampled_from(UIDS))
def test_a_trip_leads_where_it_was_said_to_lead(state: FleetState, uid: str) -> None:
    after, _ = trip(state, act(uid))
    expected = state.behind(act(uid).version) if uid not in state.facts.released else state.served
    assert after.served == expected


@given(fleets)
def test_neither_what_is_served_nor_its_way_back_is_in_quarantine(state: FleetState) -> None:
    assert state.served not in state.facts.quarantined
    assert state.way_back not in state.facts.quarantined


# Rules 12 and 14: a report, a person's trip, and the one place where a rollback starts.


@pytest.mark.parametrize(
    ("at", "told", "step"),
    [
        pytest.param((0, FULL), facts("3a"), 1, id="what is served is left"),
        pytest.param((0, FULL), facts("3a", "2a"), 2, id="past what is bad as well"),
        pytest.param((0, FULL), facts("1a", "2a", "3a"), 3, id="the static fallback"),
        pytest.param((0, FULL), facts("2a"), 0, id="what is not live moves nothing"),
        pytest.param((0, FULL), facts("4a"), 0, id="what is not in the chain moves nothing"),
        pytest.param((0, 0), facts("3a"), 0, id="armed: nobody is on the candidate"),
        pytest.param((0, 1), facts("2a"), 2, id="a share: both arms are left"),
        pytest.param((1, FULL), facts("3a"), 1, id="left already"),
        pytest.param((2, FULL), facts("2a"), 2, id="passed already"),
        pytest.param((9, FULL), facts("3a"), 9, id="far past the end: a route never falls"),
    ],
)
def test_the_route_follows_what_is_in_quarantine(at: tuple[int, int], told: Facts, step: int) -> None:
    before = fleet(at=at)
    after, _ = merge(before, told)
    assert (after.row, after.facts) == (FleetRoute(1, step, at[1]), told)
    assert after.generations == before.generations


def test_before_the_first_deployment_a_trip_is_known_and_moves_nothing() -> None:
    after, started = trip(FleetState(), act("1a"))
    assert started == (Episode(V1, 1),)
    assert after == FleetState(facts=facts("1a"), episodes={V1: 1})


def test_each_version_that_comes_into_quarantine_starts_one_rollback() -> None:
    after, started = merge(fleet(), facts("2a", "3a", "3b"))
    assert started == (Episode(V2, 1), Episode(V3, 1))
    assert after.episodes == {V2: 1, V3: 1}


def test_a_second_report_and_a_second_trip_start_nothing() -> None:
    state, _ = trip(fleet(), act("3a"))
    assert merge(state, facts("3a")) == (state, ())
    assert trip(state, act("3b")) == (replace(state, facts=facts("3a", "3b")), ())


def test_a_version_that_was_released_and_is_left_again_is_another_episode() -> None:
    state, _ = merge(fleet(), facts("3a", "2a"))
    again, started = trip(release(state, frozenset({"3a"})), act("3b"))
    assert started == (Episode(V3, 2),)
    assert again.episodes == {V2: 1, V3: 2}


def test_a_report_of_what_was_released_starts_nothing() -> None:
    state = release(trip(fleet(), act("3a"))[0], frozenset({"3a"}))
    assert merge(state, facts("3a")) == (state, ())


def test_a_rollback_is_named_after_its_system_its_version_and_its_episode() -> None:
    assert Episode(V3, 2).saga("pricing") == f"rb:pricing:{V3}:2"


def test_a_release_in_a_report_lifts_nothing() -> None:
    state, _ = trip(fleet(), act("3a"))
    assert merge(state, facts("3a", released="3a")) == (state, ())
    after, started = merge(fleet(), facts("3a", released="3a"))
    assert (after, started) == (state, (Episode(V3, 1),))


def test_a_replica_that_left_on_its_own_moves_nobody_else() -> None:
    one, other = LocalTrip("r1", 1, V3), LocalTrip("r2", 1, V3)
    state, started = merge(fleet(), Facts(), frozenset({one}))
    assert (state, started) == (replace(fleet(), local=frozenset({one})), ())
    assert merge(state, Facts(), frozenset({other}))[0].local == {one, other}
    assert trip(state, act("3a"))[0].local == {one}


@given(fleets, st.lists(uids, max_size=4), st.data())
def test_reports_lead_to_the_same_place_in_any_order_and_each_version_starts_once(
    state: FleetState, reports: list[list[str]], data: st.DataObject
) -> None:
    def take(order: list[list[str]]) -> tuple[FleetState, list[Episode]]:
        now, all_started = state, list[Episode]()
        for report in order:
            now, started = merge(now, facts(*report))
            all_started += started
        return now, sorted(all_started, key=lambda episode: episode.version)

    after, started = take(reports)
    assert take(data.draw(st.permutations(reports)) + reports) == (after, started)
    assert {episode.version for episode in started} == after.facts.quarantined - state.facts.quarantined
    assert len(started) == len({episode.version for episode in started})


@given(fleets, known)
def test_the_fleet_never_goes_back_up_inside_a_generation(state: FleetState, told: Facts) -> None:
    after, _ = merge(state, told)
    assert (after.row.generation, after.row.split) == (state.row.generation, state.row.split)
    assert after.row.step >= state.row.step


# Rule 18: a release.


def test_a_release_lifts_what_was_shown_and_moves_nothing() -> None:
    state, _ = merge(fleet(), facts("3a", "2a"))
    after = release(state, frozenset({"3a"}))
    assert after == replace(state, facts=facts("3a", "2a", released="3a"))
    assert after.facts.quarantined == {V2}
    assert after.served == V1


def test_a_trip_that_was_not_shown_keeps_a_version_in_quarantine() -> None:
    state, _ = merge(fleet(), facts("3a", "3b"))
    after = release(state, frozenset({"3a"}))
    assert after.facts.quarantined == {V3}
    assert release(after, frozenset({"3b"})).facts.quarantined == frozenset()


def test_a_release_again_and_one_of_nothing_change_nothing() -> None:
    state = release(trip(fleet(), act("3a"))[0], frozenset({"3a"}))
    assert release(state, frozenset({"3a"})) == release(state, frozenset()) == state


def test_what_was_never_tripped_cannot_be_released() -> None:
    state, _ = trip(fleet(), act("3a"))
    with pytest.raises(InvalidError) as caught:
        release(state, frozenset({"z", "3a", "b"}))
    assert says(caught) == ("no such trip: b, z", "List them: kg quarantine list SYSTEM")


@given(fleets, st.data())
def test_a_release_by_name_moves_nothing_and_opens_the_way_for_a_deployment(
    state: FleetState, data: st.DataObject
) -> None:
    shown = data.draw(st.frozensets(st.sampled_from(sorted(state.facts.trips)))) if state.facts.trips else frozenset()
    after = release(state, shown)
    assert after == replace(state, facts=after.facts)
    assert after.facts.quarantined == {t.version for u, t in state.facts.trips.items() if u not in after.facts.released}
    assert after.facts.released == state.facts.released | shown
