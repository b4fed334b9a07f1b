"""
Pricing: what the service answers, composed of a model, feature code and a surge curve.

Each of the three stamps its own digest into the quote, so that a client can see a mixture.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import pandas as pd

from knowngood.demo.world.demand import DemandModel
from knowngood.demo.world.feature_code import FeatureCode
from knowngood.demo.world.hours import hour_frame, inputs
from knowngood.demo.world.surge import SurgeCurve

__all__ = ["OUTPUTS", "Pricing", "Quote"]

OUTPUTS: Final = {"demand": (0.0, 2000.0), "price": (0.5, 20.0)}
"""Declared range of each output: rides an hour, dollars. A value outside is nonsense, not a high price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """
    The answer to one rider.

    Attributes:
        demand: Expected rides in the hour.
        multiplier: What the surge curve makes of it.
        price: Price of a ride, dollars.
        model: Stamp of the model that answered.
        features: Stamp of the feature code that it read through.
        config: Stamp of the curve.
    """

    demand: float
    multiplier: float
    price: float
    model: str
    features: str
    config: str

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)


class Pricing:
    """
    A model on feature code under a surge curve.

    Attributes:
        model: Predicts rides an hour.
        features: Makes what the model reads.
        curve: Makes the price of it.
    """

    def __init__(self, model: DemandModel, features: FeatureCode, curve: SurgeCurve) -> None:
        self.model = model
        self.features = features
        self.curve = curve

    def quote(self, row: Mapping[str, Any]) -> Quote:
        """
        Return the price of a ride in one hour.

        Args:
            row: The hour's inputs by name, as ``hour_row`` gives them; other keys are not read.

        Raises:
            InvalidError: The row lacks an input, or one is of the wrong kind.
            RefusedError: The feature code does not make what the model reads.
        """
        demand = float(self.model.predict(self.features(hour_frame(row)))[0])
        return Quote(
            demand=demand,
            multiplier=self.curve.multiplier(demand),
            price=self.curve.price(demand),
            model=self.model.stamp,
            features=self.features.stamp,
            config=self.curve.stamp,
        )

    def quotes(self, hours: pd.DataFrame) -> pd.DataFrame:
        """
        Return the quotes of many hours at once, for fast mode: the figures that ``quote`` gives for each row.

        Args:
            hours: Rows with at least the input columns; shape ``(n, k)``.

        Returns:
            Columns ``demand`` and ``price`` under the index of ``hours``.
        """
        demand = self.model.predict(self.features(inputs(hours)))
        prices = [self.curve.price(float(value)) for value in demand]
        return pd.DataFrame({"demand": demand, "price": prices}, index=hours.index)
