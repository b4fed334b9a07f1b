"""Old model on new features: judged by a rule that was fixed beforehand, and then held against the truth."""

import json
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from knowngood.demo.world.artifacts import placebo_curve
from knowngood.demo.world.evenings import (
    Comparison,
    EveningResult,
    Verdict,
    combination_of,
    evaluate_evening,
    evaluate_evenings,
    tally,
)
from knowngood.demo.world.feature_code import FeatureCode
from knowngood.demo.world.hours import evening_hours, thursday_evenings
from knowngood.demo.world.pricing import Pricing
from knowngood.demo.world.riders import arrivals
from knowngood.demo.world.training import first_version, second_version

TOLERANCE, LEAST_REQUESTS = 0.15, 100
SEED = 1
EVENING = thursday_evenings()[0]


@dataclass(frozen=True)
class Spoken:
    allowed: bool
    reason: str


def rule(divergence: float, n: int) -> Spoken:
    return Spoken(allowed=n >= LEAST_REQUESTS and divergence <= TOLERANCE, reason=f"{divergence:.3f} on {n}")


def evening_of(change: str, known: Pricing, bad: Pricing, hours: pd.DataFrame) -> EveningResult:
    return evaluate_evening(known, bad, arrivals(hours, EVENING, seed=1), change=change, judge=rule)


@pytest.mark.requirement("A2")
@pytest.mark.parametrize(("change", "allowed"), [("utc", False), ("ratio", False), ("celsius", True)])
def test_verdict_on_the_first_held_out_thursday(
    change: str, *, allowed: bool, hours: pd.DataFrame, known: Pricing, deployed: dict[str, Pricing]
) -> None:
    result = evening_of(change, known, deployed[change], hours)
    assert result.allowed is allowed
    assert result.combination is not None
    assert allowed is (result.combination.divergence <= TOLERANCE)
    assert result.reason == f"{result.combination.divergence:.3f} on {result.n}"


@pytest.mark.requirement("A2")
def test_old_model_on_ratio_features_does_worse_than_the_bad_version(
    hours: pd.DataFrame, known: Pricing, deployed: dict[str, Pricing]
) -> None:
    result = evening_of("ratio", known, deployed["ratio"], hours)
    assert result.combination is not None
    assert result.combination.true_error > result.bad.true_error > result.known_error


def test_the_bad_version_asks_too_much_for_too_many_riders(
    hours: pd.DataFrame, known: Pricing, deployed: dict[str, Pricing]
) -> None:
    for change, bad in deployed.items():
        result = evening_of(change, known, bad, hours)
        assert result.bad.demand_shift > 0.1
        assert result.bad.price_shift > 0.1


def test_prices_hide_what_demand_shows_and_decide_nothing(
    hours: pd.DataFrame, known: Pricing, deployed: dict[str, Pricing]
) -> None:
    result = evening_of("utc", known, deployed["utc"], hours)
    assert result.combination is not None
    assert result.combination.price_divergence <= TOLERANCE < result.combination.divergence
    assert (result.allowed, result.allowed_on_prices, result.acceptable) == (False, True, False)


def test_the_page_on_same_requests_says_how_far_conversion_runs_by_itself(hours: pd.DataFrame, known: Pricing) -> None:
    shares = []
    for evening in thursday_evenings():
        prices = known.quotes(evening_hours(hours, evening))["price"].to_dict()
        riders = arrivals(hours, evening, seed=SEED)
        for hour in prices:
            took = [rider.takes(prices[hour]) for rider in riders if rider.hour == hour]
            shares.append(sum(took) / len(took))
    page = (Path(__file__).parents[3] / "docs/adr/0005-same-requests.md").read_text(encoding="utf-8")
    assert f"(seed {SEED}) the known version's own conversion runs from {min(shares):.2f} to {max(shares):.2f}" in page


def test_level_one_changes_the_model_alone(known: Pricing, deployed: dict[str, Pricing]) -> None:
    combination = combination_of(known, deployed["utc"])
    assert combination.model is known.model
    assert (combination.features, combination.curve) == (deployed["utc"].features, deployed["utc"].curve)


def test_the_known_version_against_itself_diverges_by_nothing(hours: pd.DataFrame, known: Pricing) -> None:
    placebo = Pricing(known.model, known.features, placebo_curve(1))
    result = evening_of("placebo", known, placebo, hours)
    assert result.combination == result.bad
    assert (result.bad.divergence, result.bad.price_divergence, result.bad.demand_shift) == (0, 0, 0)
    assert result.verdict is Verdict.RIGHT_ALLOW


def test_divergence_counts_each_request_not_each_hour(
    hours: pd.DataFrame, known: Pricing, deployed: dict[str, Pricing]
) -> None:
    riders = arrivals(hours, EVENING, seed=1)
    bad = deployed["utc"]
    result = evaluate_evening(known, bad, riders, change="utc", judge=rule)
    request_by_request = []
    for rider in riders[::40]:
        ours, theirs = known.quote(rider.row), bad.quote(rider.row)
        request_by_request.append(abs(theirs.demand - ours.demand) / ours.demand)
    sample = evaluate_evening(known, bad, riders[::40], change="utc", judge=rule)
    assert sample.bad.divergence == pytest.approx(sum(request_by_request) / len(request_by_request))
    assert (result.n, result.distinct_hours) == (len(riders), 6)


def test_the_rule_is_told_how_many_requests_there_were(
    hours: pd.DataFrame, known: Pricing, deployed: dict[str, Pricing]
) -> None:
    few = arrivals(hours, EVENING, seed=1)[: LEAST_REQUESTS - 1]
    assert not evaluate_evening(known, deployed["celsius"], few, change="celsius", judge=rule).allowed


@pytest.mark.requirement("A2")
def test_a_combination_that_cannot_run_is_refused_with_the_reason(hours: pd.DataFrame, known: Pricing) -> None:
    stranger = FeatureCode(
        "def features(hours): return hours[['hr', 'workingday', 'temp', 'lag_1h', 'lag_168h']]", name="stranger.py"
    )
    bad = second_version(hours.tail(3000), stranger, seed=1)
    result = evening_of("stranger.py", known, bad, hours)
    assert (result.combination, result.n, result.verdict) == (None, 0, Verdict.RIGHT_REFUSAL)
    assert result.reason.startswith("nan on 0: the model reads ")
    assert "which these features do not have" in result.reason


def test_evenings_are_those_of_versions_trained_from_the_same_seed_in_order(
    hours: pd.DataFrame, codes: dict[str, FeatureCode]
) -> None:
    recent = hours.tail(3500)  # from August on: that trains in no time
    days = thursday_evenings()[:2]
    results = evaluate_evenings(recent, {"celsius": codes["celsius"]}, seed=5, judge=rule, evenings=days)
    known, bad = first_version(recent, seed=5), second_version(recent, codes["celsius"], seed=5)
    assert list(results) == [
        evaluate_evening(known, bad, arrivals(recent, day, seed=5), change="celsius", judge=rule) for day in days
    ]


def test_a_result_is_json_with_its_verdict(hours: pd.DataFrame, known: Pricing, deployed: dict[str, Pricing]) -> None:
    document = json.loads(json.dumps(evening_of("utc", known, deployed["utc"], hours).to_json()))
    assert (document["evening"], document["verdict"]) == ("2011-10-06", "right refusal")
    assert document["combination"]["divergence"] > TOLERANCE


SAME = Comparison(divergence=0.0, price_divergence=0.0, demand_shift=0.0, price_shift=0.0, true_error=10.0)
RESULT = EveningResult(
    change="utc",
    evening=date(2011, 10, 6),
    n=200,
    distinct_hours=6,
    known_error=10.0,
    combination=SAME,
    bad=SAME,
    allowed=True,
    reason="0.000 on 200",
    allowed_on_prices=True,
    acceptable=True,
)


@pytest.mark.parametrize(
    ("allowed", "acceptable", "verdict"),
    [
        (True, True, Verdict.RIGHT_ALLOW),
        (True, False, Verdict.FALSE_ALLOW),
        (False, True, Verdict.FALSE_REFUSAL),
        (False, False, Verdict.RIGHT_REFUSAL),
    ],
)
def test_judgement_beside_the_truth(verdict: Verdict, *, allowed: bool, acceptable: bool) -> None:
    assert replace(RESULT, allowed=allowed, acceptable=acceptable).verdict is verdict


def test_tally_names_every_verdict_of_every_change() -> None:
    wrong = replace(RESULT, change="celsius", acceptable=False)
    assert tally([RESULT, RESULT, wrong]) == {
        "utc": {"right allow": 2, "right refusal": 0, "false allow": 0, "false refusal": 0},
        "celsius": {"right allow": 0, "right refusal": 0, "false allow": 1, "false refusal": 0},
    }
