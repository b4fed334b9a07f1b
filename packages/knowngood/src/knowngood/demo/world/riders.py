"""
Riders: they arrive as the real hours say, see a price, and take it or leave.

Arrivals are a Poisson process whose rate is the real rides of each hour, drawn by thinning (Lewis and Shedler, 1979):
candidates at the rate of the busiest hour, each kept with the probability that its own hour has of it. Riders of one
hour ask the same question, for the records know no more than the hour.

How riders answer a price is invented. Each has a reference price in mind: what version 1's curve asks at the rides that
the hour really had, for regular riders know what their evening costs. Who leaves has gone to the competition and does
not come back, and the rides of later hours stay those of the record.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
import pandas as pd

from knowngood.demo.world.hours import EVENING_HOURS, evening_hours, hour_row
from knowngood.demo.world.surge import FIRST_CURVE
from knowngood_sdk.errors import InvalidError

__all__ = [
    "BAD_PRICE_MARGIN",
    "EVENING_SECONDS",
    "PRICE_RESPONSE",
    "RIDES_KNOWN_AFTER_SECONDS",
    "PriceResponse",
    "Rider",
    "arrivals",
    "is_bad_price",
]

EVENING_SECONDS: Final = len(EVENING_HOURS) * 3600
"""Length of an evening in replay seconds."""

RIDES_KNOWN_AFTER_SECONDS: Final = 3600
"""
Replay seconds from the beginning of an hour until its rides are known: that is when it is over, an hour after a price
was first asked for in it. So who asks for a price may know the rides of the hour before, as ``lag_1h`` has them.
"""

BAD_PRICE_MARGIN: Final = 0.10
"""A price is bad when it is off by more than this share of version 1's on the same request, above or below."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceResponse:
    """
    How likely a rider takes a price: logistic in the logarithm of price over reference.

    ``p = 1 / (1 + ((1 - a) / a) * (price / reference) ** s)``. The elasticity at the reference is ``-s * (1 - a)``.

    Attributes:
        at_reference: ``a``, the probability at the reference price, in (0, 1).
        steepness: ``s`` > 0.
    """

    at_reference: float = 0.85
    steepness: float = 6.0

    def probability(self, price: float, reference: float) -> float:
        """Return the probability in [0, 1]; nobody takes a price that is no number above 0."""
        if not (math.isfinite(price) and price > 0):
            return 0.0
        odds_against: float = (1 - self.at_reference) / self.at_reference * (price / reference) ** self.steepness
        return 1 / (1 + odds_against)


PRICE_RESPONSE: Final = PriceResponse()
"""An assumption, steep because the story has a competitor: 85 % take the reference price, 60 % take 25 % more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rider:
    """
    One rider who asks for a price.

    Attributes:
        rider_id: Unique in its evening and seed; the subject that a router sticks to.
        offset_seconds: When, in replay seconds from the start of the evening, in ``[0, EVENING_SECONDS)``.
        hour: Local hour of the arrival.
        row: The hour's inputs, JSON-able; shared by the riders of an hour.
        rides: Real rides of that hour; the service is not told.
        reference_price: What the rider thinks right, dollars; the service is not told.
        willingness: Drawn from ``[0, 1)``: the price is taken where its probability is above. One draw a rider,
            so that two versions meet the same riders.
    """

    rider_id: str
    offset_seconds: float
    hour: pd.Timestamp
    row: Mapping[str, int | float | str]
    rides: float
    reference_price: float
    willingness: float

    def takes(self, price: float, response: PriceResponse = PRICE_RESPONSE) -> bool:
        """Return whether the rider takes a price in dollars."""
        return self.willingness < response.probability(price, self.reference_price)


def is_bad_price(price: float, known_price: float, margin: float = BAD_PRICE_MARGIN) -> bool:
    """Return whether a price is off the known version's on the same request by more than ``margin``, or no number."""
    return not known_price * (1 - margin) <= price <= known_price * (1 + margin)


def arrivals(hours: pd.DataFrame, evening: date, *, seed: int, share: float = 1.0) -> list[Rider]:
    """
    Draw the riders of an evening.

    Args:
        hours: The year, as ``load_hours`` gives it.
        evening: A day on record.
        seed: Not negative. Evening and seed determine the riders; another share draws others.
        share: Expected riders for each real ride, > 0. 0.1 replays a tenth of the evening's riders.

    Returns:
        Riders in the order of arrival. An hour without a record sends none.

    Raises:
        InvalidError: The evening is not on record, or the share is not above 0.
    """
    if not (math.isfinite(share) and share > 0):
        raise InvalidError(f"the share of riders is {share}", hint="Give a number above 0, 1 for all of them")
    records = evening_hours(hours, evening)
    rides = {pd.Timestamp(at).hour: float(count) for at, count in records["bikers"].items()}  # type: ignore[arg-type]
    rows = {hour: hour_row(records, pd.Timestamp(evening) + pd.Timedelta(hours=hour)) for hour in rides}
    random = np.random.default_rng([seed, evening.toordinal()])
    busiest = max(rides.values())
    count = int(random.poisson(share * busiest * len(EVENING_HOURS)))
    offsets = np.sort(random.uniform(0, EVENING_SECONDS, count))
    keep, willingness = random.uniform(size=count), random.uniform(size=count)
    riders: list[Rider] = []
    for offset, chance, willing in zip(offsets.tolist(), keep.tolist(), willingness.tolist(), strict=True):
        hour = EVENING_HOURS[int(offset // 3600)]
        if chance * busiest >= rides.get(hour, 0.0):
            continue
        riders.append(
            Rider(
                rider_id=f"{evening:%m%d}-{seed}-{len(riders):05d}",
                offset_seconds=offset,
                hour=pd.Timestamp(evening) + pd.Timedelta(hours=hour),
                row=rows[hour],
                rides=rides[hour],
                reference_price=FIRST_CURVE.price(rides[hour]),
                willingness=willing,
            )
        )
    return riders
