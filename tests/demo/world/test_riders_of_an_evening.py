"""Riders arrive as the real hours say, and take a price or leave it."""

import math
from collections import Counter
from datetime import date

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood.demo.world.hours import INPUT_COLUMNS, OUTCOME_COLUMNS, evening_hours, thursday_evenings
from knowngood.demo.world.pricing import Pricing
from knowngood.demo.world.riders import (
    EVENING_SECONDS,
    PRICE_RESPONSE,
    arrivals,
    is_bad_price,
)
from knowngood.demo.world.surge import FIRST_CURVE
from knowngood_sdk.errors import InvalidError

EVENING = thursday_evenings()[0]
PRICES = st.floats(0.5, 20)


def test_each_hour_sends_about_as_many_riders_as_it_really_had(hours: pd.DataFrame) -> None:
    sent = Counter(rider.row["hr"] for rider in arrivals(hours, EVENING, seed=1))
    for hour, rides in evening_hours(hours, EVENING)[["hr", "bikers"]].itertuples(index=False):
        # Five standard deviations of a Poisson count.
        assert abs(sent[hour] - rides) < 5 * math.sqrt(rides), hour


def test_a_tenth_of_the_riders_is_a_tenth(hours: pd.DataFrame) -> None:
    rides = evening_hours(hours, EVENING)["bikers"].sum()
    sent = len(arrivals(hours, EVENING, seed=1, share=0.1))
    assert abs(sent - 0.1 * rides) < 5 * math.sqrt(0.1 * rides)


def test_riders_come_in_order_within_the_evening_and_have_ids_of_their_own(hours: pd.DataFrame) -> None:
    riders = arrivals(hours, EVENING, seed=1)
    offsets = [rider.offset_seconds for rider in riders]
    assert offsets == sorted(offsets)
    assert 0 <= offsets[0] <= offsets[-1] < EVENING_SECONDS
    assert len({rider.rider_id for rider in riders}) == len(riders)
    assert all(rider.hour.hour == 16 + int(rider.offset_seconds // 3600) for rider in riders)


def test_the_same_seed_sends_the_same_riders_and_another_seed_others(hours: pd.DataFrame) -> None:
    assert arrivals(hours, EVENING, seed=1) == arrivals(hours, EVENING, seed=1)
    assert arrivals(hours, EVENING, seed=1) != arrivals(hours, EVENING, seed=2)


def test_what_a_rider_sends_has_every_input_and_no_outcome(hours: pd.DataFrame) -> None:
    row = arrivals(hours, EVENING, seed=1)[0].row
    assert set(row) == set(INPUT_COLUMNS)
    assert set(row) & set(OUTCOME_COLUMNS) == set()


def test_a_rider_thinks_right_what_the_first_curve_asks_for_the_real_rides(hours: pd.DataFrame) -> None:
    rides = evening_hours(hours, EVENING)["bikers"]
    rider = arrivals(hours, EVENING, seed=1)[0]
    assert rider.reference_price == FIRST_CURVE.price(float(rides[rider.hour]))


@pytest.mark.parametrize("share", [0.0, -1.0, math.nan, math.inf])
def test_a_share_of_riders_that_is_none_is_invalid(hours: pd.DataFrame, share: float) -> None:
    with pytest.raises(InvalidError, match="share of riders"):
        arrivals(hours, EVENING, seed=1, share=share)


def test_an_evening_off_the_record_has_no_riders(hours: pd.DataFrame) -> None:
    with pytest.raises(InvalidError, match="on record"):
        arrivals(hours, date(2010, 1, 1), seed=1)


@pytest.mark.parametrize(
    ("ratio", "probability"), [(0.5, 0.997), (1.0, 0.85), (1.1, 0.762), (1.25, 0.598), (1.4, 0.429), (2.0, 0.081)]
)
def test_price_response(ratio: float, probability: float) -> None:
    assert PRICE_RESPONSE.probability(2.0 * ratio, 2.0) == pytest.approx(probability, abs=0.0005)


@given(PRICES, PRICES, PRICES)
def test_a_higher_price_is_never_taken_more_often(one: float, other: float, reference: float) -> None:
    low, high = sorted((one, other))
    assert PRICE_RESPONSE.probability(high, reference) <= PRICE_RESPONSE.probability(low, reference)


@pytest.mark.parametrize("price", [math.nan, math.inf, 0.0, -1.0])
def test_nobody_takes_a_price_that_is_none(hours: pd.DataFrame, price: float) -> None:
    assert not any(rider.takes(price) for rider in arrivals(hours, EVENING, seed=1, share=0.1))


@pytest.mark.parametrize(
    ("price", "bad"),
    [
        pytest.param(2.0, False, id="the known price"),
        pytest.param(2.2, False, id="ten percent above"),
        pytest.param(2.21, True, id="a cent more"),
        pytest.param(1.8, False, id="ten percent below"),
        pytest.param(1.79, True, id="a cent less"),
        pytest.param(math.nan, True, id="no price"),
    ],
)
def test_bad_price(price: float, *, bad: bool) -> None:
    assert is_bad_price(price, 2.0) is bad


@pytest.mark.requirement("C5")
@pytest.mark.parametrize("change", ["utc", "ratio", "celsius"])
def test_conversion_falls_visibly_within_three_hundred_riders(
    change: str, hours: pd.DataFrame, known: Pricing, deployed: dict[str, Pricing]
) -> None:
    riders = arrivals(hours, EVENING, seed=1)[:300]

    def conversion(served: Pricing) -> float:
        prices = served.quotes(evening_hours(hours, EVENING))["price"].to_dict()
        return sum(rider.takes(prices[rider.hour]) for rider in riders) / len(riders)

    before, after = conversion(known), conversion(deployed[change])
    assert before > 0.7
    # Four standard errors of the difference of two shares of 300.
    assert before - after > 4 * math.sqrt(2 * 0.25 / len(riders))
