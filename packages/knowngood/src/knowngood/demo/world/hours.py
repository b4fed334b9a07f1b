"""
Hours: a year of real bike rides, one row an hour, and what a pricing service may know when it is asked for a price.

Index: local hour of Washington D.C. in 2011 without a zone, as the records have it. The rule for gaps: lags go by the
calendar, not by the row; an hour without a record counts as 0 rides, because the records never say 0 (their lowest
count is 1) and the gaps lie in nights and storms. Hours without a whole week of history behind them are left out.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from knowngood_sdk.errors import InvalidError

__all__ = [
    "DATA",
    "EVENING_HOURS",
    "HELD_OUT_FROM",
    "INPUT_COLUMNS",
    "LAGS",
    "OUTCOME_COLUMNS",
    "evening_hours",
    "held_out",
    "hour_frame",
    "hour_row",
    "inputs",
    "load_hours",
    "sample_inputs",
    "thursday_evenings",
    "train_hours",
]

DATA: Final = Path(__file__).parent / "data" / "bikeshare_hourly_2011.csv"

LAGS: Final = {"lag_1h": 1, "lag_24h": 24, "lag_168h": 168}
"""Name of each lag column, and how many calendar hours back its rides were counted."""

_NUMBER_COLUMNS: Final = ("temp", "atemp", "hum", "windspeed", *LAGS)
_WORD_COLUMNS: Final = {
    "mnth": ("Jan", "Feb", "March", "April", "May", "June", "July", "Aug", "Sept", "Oct", "Nov", "Dec"),
    "weathersit": ("clear", "cloudy/misty", "light rain/snow", "heavy rain/snow"),
}
_BOUNDS: Final = {
    "season": (1, 4),
    "day": (1, 365),
    "hr": (0, 23),
    "holiday": (0, 1),
    "weekday": (0, 6),
    "workingday": (0, 1),
}

INPUT_COLUMNS: Final = (
    "season",
    "mnth",
    "day",
    "hr",
    "holiday",
    "weekday",
    "workingday",
    "weathersit",
    "temp",
    "atemp",
    "hum",
    "windspeed",
    *LAGS,
)
"""What is known when a price is asked for: the file's columns without its outcomes, and the lags of rides."""

OUTCOME_COLUMNS: Final = ("casual", "registered", "bikers")
"""Known only once the hour is over; ``bikers`` is the rides of the hour."""

EVENING_HOURS: Final = range(16, 22)
"""Hours of the day that an evening of the replay has: 16:00 to 22:00."""

_NEW_YEAR: Final = pd.Timestamp("2011-01-01")
_HISTORY_FROM: Final = pd.Timestamp("2011-01-08")
HELD_OUT_FROM: Final = pd.Timestamp("2011-10-01")
_THURSDAY: Final = 3


def load_hours(path: Path = DATA) -> pd.DataFrame:
    """
    Read the hours that have a week of history behind them.

    Args:
        path: A CSV file with the columns of the one that is shipped.

    Returns:
        One row an hour with ``INPUT_COLUMNS`` and ``OUTCOME_COLUMNS``, sorted by its index of local hours, no value
        missing. The shipped file gives 8,484 rows, from 2011-01-08 00:00 to 2011-12-31 23:00.
    """
    records = pd.read_csv(path)
    records["hr"] = records["hr"].astype("int64")
    records.index = _NEW_YEAR + pd.to_timedelta((records["day"] - 1) * 24 + records["hr"], unit="h")
    records.index.name = "hour"
    records = records.sort_index()
    calendar = pd.date_range(_NEW_YEAR, records.index[-1], freq="h")
    rides = records["bikers"].reindex(calendar, fill_value=0).astype("float64")
    for name, hours_back in LAGS.items():
        records[name] = rides.shift(hours_back).reindex(records.index)
    known = records.loc[records.index >= _HISTORY_FROM]
    return known[[*INPUT_COLUMNS, *OUTCOME_COLUMNS]]


def inputs(hours: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that a price may depend on, without the outcomes."""
    return hours[list(INPUT_COLUMNS)]


def train_hours(hours: pd.DataFrame) -> pd.DataFrame:
    """Return the hours of January to September."""
    return hours.loc[hours.index < HELD_OUT_FROM]


def held_out(hours: pd.DataFrame) -> pd.DataFrame:
    """Return the hours of October to December, which no model is trained on."""
    return hours.loc[hours.index >= HELD_OUT_FROM]


def thursday_evenings() -> list[date]:
    """Return the dates of the held-out Thursdays, oldest first: 13, Thanksgiving among them."""
    days = pd.date_range(HELD_OUT_FROM, "2011-12-31", freq="D")
    return [day.date() for day in days if day.weekday() == _THURSDAY]


def evening_hours(hours: pd.DataFrame, evening: date) -> pd.DataFrame:
    """
    Return the rows of one evening.

    Raises:
        InvalidError: The evening has no hour on record.
    """
    start = pd.Timestamp(evening)
    index = pd.DatetimeIndex(hours.index)
    rows = hours.loc[(index.normalize() == start) & index.hour.isin(list(EVENING_HOURS))]
    if rows.empty:
        raise InvalidError(
            f"no hour of the evening of {evening.isoformat()} is on record",
            hint="Choose a day between 2011-01-08 and 2011-12-31",
        )
    return rows


def sample_inputs(hours: pd.DataFrame, count: int = 48) -> pd.DataFrame:
    """
    Return inputs of about ``count`` hours for a check: spread evenly over the year, and an hour of each weather.

    The same hours each time. 48 of them meet all hours of the day, for the stride is no multiple of a day.
    """
    spread = hours.iloc[np.linspace(0, len(hours) - 1, count).astype(int)]
    weathers = hours.groupby("weathersit").head(1)
    return inputs(pd.concat([spread, weathers])).drop_duplicates().sort_index()


def hour_row(hours: pd.DataFrame, at: pd.Timestamp) -> dict[str, int | float | str]:
    """Return the inputs of one hour as a JSON-able dict."""
    return {str(name): _plain(hours.loc[at, name]) for name in INPUT_COLUMNS}


def hour_frame(row: Mapping[str, Any]) -> pd.DataFrame:
    """
    Return one hour from a request as a frame of one row: the columns, types and index that ``load_hours`` gives.

    Args:
        row: The inputs by name; other keys are not read.

    Raises:
        InvalidError: A column is missing or its value is of the wrong kind or out of its range.
    """
    missing = [name for name in INPUT_COLUMNS if name not in row]
    if missing:
        raise InvalidError(f"the hour lacks {', '.join(missing)}", hint="Send every input column", missing=missing)
    columns = {name: [_checked(name, row[name])] for name in INPUT_COLUMNS}
    at = _NEW_YEAR + timedelta(days=int(row["day"]) - 1, hours=int(row["hr"]))
    return pd.DataFrame(columns, index=pd.DatetimeIndex([at], name="hour"))


def _plain(value: Any) -> int | float | str:
    """Return a cell as the plain Python value that JSON has."""
    plain: int | float | str = value.item() if isinstance(value, np.generic) else value
    return plain


def _checked(name: str, value: Any) -> int | float | str:
    """Return a value of a request in the type of its column."""
    if name in _WORD_COLUMNS:
        if value not in _WORD_COLUMNS[name]:
            raise InvalidError(f"{name} is {value!r}", hint=f"Use one of {', '.join(_WORD_COLUMNS[name])}")
        return str(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise InvalidError(f"{name} is {value!r}", hint="Send a finite number")
    if name in _NUMBER_COLUMNS:
        return float(value)
    low, high = _BOUNDS[name]
    if int(value) != value or not low <= value <= high:
        raise InvalidError(f"{name} is {value!r}", hint=f"Send a whole number from {low} to {high}")
    return int(value)
