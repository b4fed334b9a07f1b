"""Features of the demand model: one row an hour in, numeric columns out, row by row."""

import pandas as pd

WEATHER = {"clear": 0, "cloudy/misty": 1, "light rain/snow": 2, "heavy rain/snow": 3}


def features(hours: pd.DataFrame) -> pd.DataFrame:
    """Return what the model reads: calendar in local time, weather, and the rides of earlier hours."""
    return pd.DataFrame(
        {
            "hour": hours["hr"],
            "weekday": hours["weekday"],
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
