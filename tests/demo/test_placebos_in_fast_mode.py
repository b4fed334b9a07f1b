"""Placebos: nothing is wrong with them, and nothing may be done to them; what is wrong is found all the same."""

from datetime import date

import pandas as pd
import pytest

from knowngood.demo.placebos import deploy_placebo, run_placebos
from knowngood.demo.workplace import rules
from knowngood.demo.world.artifacts import placebo_curve
from knowngood.demo.world.feature_code import FeatureCode
from knowngood.demo.world.features import source_of
from knowngood.demo.world.hours import evening_hours, thursday_evenings
from knowngood.demo.world.pricing import Pricing
from knowngood.demo.world.riders import arrivals
from knowngood.demo.world.surge import SECOND_CURVE
from knowngood.demo.world.training import second_version
from knowngood.domain.decision import Outcome

RAINY = date(2011, 10, 27)


@pytest.mark.requirement("D2", "D3")
def test_placebos_are_not_rolled_back_on_any_thursday(year: pd.DataFrame, first: Pricing) -> None:
    told: list[int] = []
    placebos = run_placebos(year, first, rules(), seed=3, count=13, tell=told.append)
    assert {item.evening for item in placebos.watched} == set(thursday_evenings())
    assert (placebos.deployments, placebos.automatic_rollbacks, told[-1]) == (13, 0, 13)
    document = placebos.to_json()
    assert document["rate_upper_bound_95"] == pytest.approx(0.2058, abs=1e-4)
    assert document["looks"] > 13 * 20


@pytest.mark.requirement("D2")
def test_it_is_said_which_triggers_a_placebo_can_breach_and_that_evenings_repeat(
    year: pd.DataFrame, first: Pricing
) -> None:
    placebos = run_placebos(year, first, rules(), seed=3, count=14)
    document = placebos.to_json()
    assert (document["deployments"], document["evenings"]) == (14, 13)
    assert document["rate_upper_bound_95_by_evening"] > document["rate_upper_bound_95"]
    assert set(document["breached"]) <= {"conversion"}
    assert "prediction_mean" in document["clear_throughout"]
    named = [*document["breached"], *document["clear_throughout"], *document["without_a_verdict"]]
    assert sorted(named) == sorted(rules().triggers)


@pytest.mark.requirement("D2")
def test_rain_that_drives_riders_away_is_for_a_person_to_look_at(year: pd.DataFrame, first: Pricing) -> None:
    placebo = Pricing(first.model, first.features, placebo_curve(1))
    riders, records = arrivals(year, RAINY, seed=7), evening_hours(year, RAINY)
    watched = deploy_placebo(riders, known=first, candidate=placebo, records=records, rules=rules())
    assert watched.decision is not None
    assert (watched.decision.outcome, watched.rolled_back) == (Outcome.INVESTIGATE, False)
    assert "on the same requests its outputs are the known version's" in watched.decision.reasons[0]


@pytest.mark.requirement("C4", "J5")
def test_the_same_watch_rolls_version_two_back_within_minutes(year: pd.DataFrame, first: Pricing) -> None:
    evening = thursday_evenings()[0]
    bad = second_version(year, FeatureCode(source_of("utc"), name="utc"), seed=1)
    riders, records = arrivals(year, evening, seed=7), evening_hours(year, evening)
    watched = deploy_placebo(riders, known=first, candidate=bad, records=records, rules=rules())
    assert watched.rolled_back
    assert watched.requests < 100
    assert watched.decision is not None
    assert watched.decision.level == 2


def test_a_steeper_curve_alone_is_seen_in_the_prices_only(year: pd.DataFrame, first: Pricing) -> None:
    """What is compared on the same requests is demand: a changed curve is left to business metrics and to a person."""
    evening = thursday_evenings()[0]
    steeper = Pricing(first.model, first.features, SECOND_CURVE)
    riders, records = arrivals(year, evening, seed=7), evening_hours(year, evening)
    watched = deploy_placebo(riders, known=first, candidate=steeper, records=records, rules=rules())
    assert not watched.rolled_back
