"""The hours are the real ones, and what a price may depend on was known when it was asked for."""

import hashlib
import json
from datetime import date
from typing import Any

import pandas as pd
import pytest

from knowngood.demo.world.hours import (
    DATA,
    INPUT_COLUMNS,
    LAGS,
    OUTCOME_COLUMNS,
    evening_hours,
    held_out,
    hour_frame,
    hour_row,
    inputs,
    load_hours,
    sample_inputs,
    thursday_evenings,
    train_hours,
)
from knowngood_sdk.errors import InvalidError

SIX_PM = pd.Timestamp("2011-10-06 18:00")


def test_shipped_data_are_the_bytes_that_their_origin_names() -> None:
    origin = (DATA.parent / "ORIGIN.md").read_text(encoding="utf-8")
    assert hashlib.sha256(DATA.read_bytes()).hexdigest() in origin


def test_hours_are_sorted_complete_and_begin_after_a_week_of_history(hours: pd.DataFrame) -> None:
    assert hours.index[0] == pd.Timestamp("2011-01-08 00:00")
    assert hours.index[-1] == pd.Timestamp("2011-12-31 23:00")
    assert hours.index.is_monotonic_increasing
    assert hours.index.is_unique
    assert not hours.isna().to_numpy().any()
    assert len(hours) == 8484


def test_index_agrees_with_the_weekday_that_the_records_state(hours: pd.DataFrame) -> None:
    sunday_is_zero = (pd.DatetimeIndex(hours.index).day_of_week + 1) % 7
    assert (sunday_is_zero == hours["weekday"]).all()


@pytest.mark.parametrize(("lag", "hours_back"), LAGS.items())
def test_lag_is_the_rides_of_the_calendar_hour_before(hours: pd.DataFrame, lag: str, hours_back: int) -> None:
    before = hours["bikers"].loc[SIX_PM - pd.Timedelta(hours=hours_back)]
    assert hours[lag].loc[SIX_PM] == before


def test_lag_of_an_hour_without_a_record_is_zero_not_the_row_before(hours: pd.DataFrame) -> None:
    skipped_by_the_clock = pd.Timestamp("2011-03-13 02:00")
    assert skipped_by_the_clock not in hours.index
    assert hours["lag_1h"].loc[pd.Timestamp("2011-03-13 03:00")] == 0
    assert hours["lag_24h"].loc[pd.Timestamp("2011-03-14 02:00")] == 0


def test_no_record_says_zero_rides_which_is_why_a_gap_counts_as_zero(hours: pd.DataFrame) -> None:
    assert hours["bikers"].min() == 1


def test_no_outcome_of_an_hour_is_among_its_inputs(hours: pd.DataFrame) -> None:
    assert set(inputs(hours).columns) & set(OUTCOME_COLUMNS) == set()


def test_training_ends_where_held_out_hours_begin(hours: pd.DataFrame) -> None:
    assert train_hours(hours).index[-1] == pd.Timestamp("2011-09-30 23:00")
    assert held_out(hours).index[0] == pd.Timestamp("2011-10-01 00:00")
    assert len(train_hours(hours)) + len(held_out(hours)) == len(hours)


def test_every_held_out_thursday_has_its_six_evening_hours(hours: pd.DataFrame) -> None:
    evenings = thursday_evenings()
    assert (evenings[0], evenings[-1], len(evenings)) == (date(2011, 10, 6), date(2011, 12, 29), 13)
    for evening in evenings:
        rows = evening_hours(hours, evening)
        assert list(rows["hr"]) == [16, 17, 18, 19, 20, 21]
        assert set(rows["weekday"]) == {4}


def test_an_evening_off_the_record_is_refused(hours: pd.DataFrame) -> None:
    with pytest.raises(InvalidError, match="2012-10-04 is on record"):
        evening_hours(hours, date(2012, 10, 4))


def test_an_hour_survives_the_way_through_a_request(hours: pd.DataFrame) -> None:
    row = json.loads(json.dumps(hour_row(hours, SIX_PM)))
    pd.testing.assert_frame_equal(hour_frame(row), inputs(hours).loc[[SIX_PM]])


def test_a_request_may_carry_more_than_the_hour(hours: pd.DataFrame) -> None:
    row = hour_row(hours, SIX_PM)
    assert tuple(hour_frame({**row, "rider_id": "r1"}).columns) == INPUT_COLUMNS


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        pytest.param("hr", 24, "hr is 24. Send a whole number from 0 to 23", id="hour past the day"),
        pytest.param("hr", 17.5, "hr is 17.5", id="half an hour"),
        pytest.param("day", 0, "day is 0", id="day before the year"),
        pytest.param("holiday", True, "holiday is True", id="a truth value for a count"),
        pytest.param("temp", "0.5", "temp is '0.5'. Send a finite number", id="text for a number"),
        pytest.param("lag_1h", float("nan"), "lag_1h is nan", id="no number"),
        pytest.param("weathersit", "hail", "Use one of clear, cloudy/misty", id="weather nobody trained on"),
    ],
)
def test_a_wrong_value_is_named_with_its_column(hours: pd.DataFrame, column: str, value: Any, says: str) -> None:
    with pytest.raises(InvalidError) as caught:
        hour_frame({**hour_row(hours, SIX_PM), column: value})
    assert says in str(caught.value)


def test_a_missing_column_is_named(hours: pd.DataFrame) -> None:
    row = hour_row(hours, SIX_PM)
    del row["lag_24h"]
    with pytest.raises(InvalidError, match="lacks lag_24h"):
        hour_frame(row)


def test_sample_meets_every_weather_and_every_hour_of_the_day(hours: pd.DataFrame) -> None:
    sample = sample_inputs(hours)
    assert set(sample["weathersit"]) == set(hours["weathersit"])
    assert set(sample["hr"]) == set(range(24))
    pd.testing.assert_frame_equal(sample, sample_inputs(load_hours()))
