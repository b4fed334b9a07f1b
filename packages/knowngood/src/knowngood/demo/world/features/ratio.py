"""Features of the demand model: rides of earlier hours as shares of what the fleet can serve."""

import pandas as pd

WEATHER = {"clear": 0, "cloudy/misty": 1, "light rain/snow": 2, "heavy rain/snow": 3}
CAPACITY = 500.0  # rides an hour that the fleet can serve


def features(hours: pd.DataFrame) -> pd.DataFrame:
    """Return what the model reads: calendar in local time, weather, and earlier rides as shares of capacity."""
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
            "lag_1h": hours["lag_1h"] / CAPACITY,
            "lag_24h": hours["lag_24h"] / CAPACITY,
            "lag_168h": hours["lag_168h"] / CAPACITY,
        }
    ).astype("float64")
