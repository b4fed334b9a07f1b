"""
Training: version 1 on rides, version 2 on attempts, each reported on its own measure and on the other's.

Version 2 is what a careful team could have shipped. Its thought: rides are not demand, for who finds no bike is never
recorded; casual riders have no habit and no account and give up first; so each casual ride stands for further attempts.
That the weight is right is an assumption of that team, stated here as ``CASUAL_WEIGHT``; nothing in the data supports
or refutes it. Measured on attempts version 2 beats version 1, by far; measured on rides it is the other way round, and
the riders who come are those of the real hours.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from sklearn.ensemble import GradientBoostingRegressor

from knowngood.demo.world.demand import DemandModel
from knowngood.demo.world.feature_code import FeatureCode
from knowngood.demo.world.features import FIRST, source_of
from knowngood.demo.world.hours import held_out, inputs, train_hours
from knowngood.demo.world.pricing import Pricing
from knowngood.demo.world.surge import FIRST_CURVE, SECOND_CURVE

__all__ = [
    "ATTEMPTS",
    "CASUAL_WEIGHT",
    "RIDES",
    "Measure",
    "Score",
    "first_version",
    "second_version",
    "train_model",
]

CASUAL_WEIGHT: Final = 2.0
"""Attempts never served that version 2 counts for each casual ride. An assumption, not a measurement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """
    A label: rides, plus a weight times casual rides.

    Attributes:
        name: ``rides`` or ``attempts``.
        casual_weight: Further attempts for each casual ride, >= 0; 0 is rides as they were.
    """

    name: str
    casual_weight: float

    def label(self, hours: pd.DataFrame) -> "pd.Series[float]":
        """Return the label of hours with their outcomes, a count an hour."""
        return (hours["bikers"] + self.casual_weight * hours["casual"]).astype("float64")


RIDES: Final = Measure(name="rides", casual_weight=0.0)
ATTEMPTS: Final = Measure(name="attempts", casual_weight=CASUAL_WEIGHT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """
    How well a model predicts a label on held-out hours.

    Attributes:
        measure: Name of the label.
        n: Hours scored, a count.
        mae: Mean absolute error, in units of the label an hour.
        relative_mae: The same over the mean label, a ratio.
        r2: Share of the label's variance that is explained.
        bias: Sum of predictions over sum of labels, minus 1.
    """

    measure: str
    n: int
    mae: float
    relative_mae: float
    r2: float
    bias: float

    @classmethod
    def of(cls, measure: Measure, pricing: Pricing, hours: pd.DataFrame) -> "Score":
        """Score a version's demand on the held-out hours of ``hours``."""
        later = held_out(hours)
        label = measure.label(later).to_numpy()
        predicted = pricing.model.predict(pricing.features(inputs(later)))
        error = predicted - label
        return cls(
            measure=measure.name,
            n=len(later),
            mae=float(np.abs(error).mean()),
            relative_mae=float(np.abs(error).sum() / label.sum()),
            r2=float(1 - (error**2).sum() / ((label - label.mean()) ** 2).sum()),
            bias=float(predicted.sum() / label.sum() - 1),
        )

    def to_json(self) -> Mapping[str, Any]:
        """Return the JSON form."""
        return asdict(self)


def train_model(measure: Measure, features: FeatureCode, hours: pd.DataFrame, *, seed: int) -> DemandModel:
    """
    Train a model on January to September.

    The same recipe for both versions, so that only label and features differ. About 1.5 seconds.

    Args:
        measure: What it learns to predict.
        features: Code that passed ``check_features``.
        hours: The year, as ``load_hours`` gives it.
        seed: Of the subsampling; the same seed gives the same model.
    """
    earlier = train_hours(hours)
    columns = features(inputs(earlier))
    estimator = GradientBoostingRegressor(
        n_estimators=150,
        max_depth=4,
        learning_rate=0.08,
        subsample=0.8,
        min_samples_leaf=10,
        random_state=seed,
    )
    estimator.fit(columns.to_numpy(dtype="float64"), measure.label(earlier).to_numpy())
    return DemandModel.of(
        estimator,
        columns=tuple(str(name) for name in columns.columns),
        label=measure.name,
        requires_features=features.fingerprint,
    )


def first_version(hours: pd.DataFrame, *, seed: int) -> Pricing:
    """Return version 1: features v1, trained on rides, the first curve."""
    features = FeatureCode(source_of(FIRST), name=f"features {FIRST}")
    return Pricing(train_model(RIDES, features, hours, seed=seed), features, FIRST_CURVE)


def second_version(hours: pd.DataFrame, features: FeatureCode, *, seed: int) -> Pricing:
    """Return version 2: changed features, a new model trained on attempts, the second curve."""
    return Pricing(train_model(ATTEMPTS, features, hours, seed=seed), features, SECOND_CURVE)
