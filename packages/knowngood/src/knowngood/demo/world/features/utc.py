"""Features of the demand model: hour and weekday in UTC, as the rest of the warehouse has them."""

import pandas as pd

WEATHER = {"clear": 0, "cloudy/misty": 1, "light rain/snow": 2, "heavy rain/snow": 3}
# Washington in 2011: five hours behind UTC, four between 13 March and 6 November, both at two in the morning.
SUMMER_FROM, SUMMER_UNTIL = 72 * 24 + 2, 310 * 24 + 2


def features(hours: pd.DataFrame) -> pd.DataFrame:
    """Return what the model reads: calendar in UTC, weather, and the rides of earlier hours."""
    hour_of_year = hours["day"] * 24 + hours["hr"]
    utc = hours["hr"] + 5 - hour_of_year.between(SUMMER_FROM, SUMMER_UNTIL, inclusive="left")
    return pd.DataFrame(
        {
            "hour": utc % 24,
            "weekday": (hours["weekday"] + utc // 24) % 7,
            "workingday": hours["workingday"],
            "holiday": hours["holiday"],
            "weather": hours["weathersit"].map(WEATHER),
            "temp": hours["temp"],
            "hum": hours["hum"],
            "windspeed": hours["windspeed"],
            "lag_1h": hours["lag_1h"],
            "lag_24h": hours["lag_24h"],
            "lag_168h": hours["lag_168h"],
        }
    ).astype("float64")
