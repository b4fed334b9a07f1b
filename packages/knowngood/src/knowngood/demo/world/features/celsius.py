"""Features of the demand model: temperature in degrees Celsius instead of a share of its range."""

import pandas as pd

WEATHER = {"clear": 0, "cloudy/misty": 1, "light rain/snow": 2, "heavy rain/snow": 3}
COLDEST, HOTTEST = -8.0, 39.0  # degrees Celsius that the records' temperature of 0 and of 1 stands for


def features(hours: pd.DataFrame) -> pd.DataFrame:
    """Return what the model reads: calendar in local time, weather in degrees, and the rides of earlier hours."""
    return pd.DataFrame(
        {
            "hour": hours["hr"],
            "weekday": hours["weekday"],
            "workingday": hours["workingday"],
            "holiday": hours["holiday"],
            "weather": hours["weathersit"].map(WEATHER),
            "temp": COLDEST + hours["temp"] * (HOTTEST - COLDEST),
            "hum": hours["hum"],
            "windspeed": hours["windspeed"],
            "lag_1h": hours["lag_1h"],
            "lag_24h": hours["lag_24h"],
            "lag_168h": hours["lag_168h"],
        }
    ).astype("float64")
