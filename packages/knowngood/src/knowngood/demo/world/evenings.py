"""
Evenings in fast mode: what would have been judged, and what was true, without servers.

The combination that a level 1 rollback would serve is the old model on the new features under the new curve, for level
1 changes the model alone. It is compared with the known version on the demand that both predict for the same requests:
demand is what a model answers for and what truth is known of. Prices are compared as well, and what the same rule would
have said of them is reported beside it, but that decides nothing: the level parts of the curve and the fare in front of
it hide much of what is wrong with a demand.

``n`` counts requests, as a shadow would; they repeat a few distinct hours, and that count stands beside it.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from enum import StrEnum
from typing import Any, Final, Protocol

import numpy as np
import pandas as pd

from knowngood.demo.world.feature_code import FeatureCode
from knowngood.demo.world.hours import thursday_evenings
from knowngood.demo.world.pricing import Pricing
from knowngood.demo.world.riders import Rider, arrivals
from knowngood.demo.world.training import first_version, second_version
from knowngood_sdk.errors import RefusedError

__all__ = [
    "TRUE_ERROR_FACTOR",
    "Comparison",
    "EveningResult",
    "Judge",
    "Ruling",
    "Verdict",
    "combination_of",
    "evaluate_evening",
    "evaluate_evenings",
    "tally",
]


class Ruling(Protocol):
    """What a rule says of a combination: whether it is allowed, and why."""

    @property
    def allowed(self) -> bool:
        """Whether the combination may serve."""

    @property
    def reason(self) -> str:
        """The figures that decided it, in words."""


Judge = Callable[[float, int], Ruling]
"""The rule, of a mean absolute relative divergence (NaN where nothing was measured) and the count of requests."""

TRUE_ERROR_FACTOR: Final = 1.25
"""A combination was acceptable where its error on the real rides is at most this multiple of the known version's."""

_LEAST_DEMAND: Final = 1.0
"""Rides an hour below which a relative divergence is taken of this instead."""


class Verdict(StrEnum):
    """A judgement beside the truth."""

    RIGHT_ALLOW = "right allow"
    RIGHT_REFUSAL = "right refusal"
    FALSE_ALLOW = "false allow"
    FALSE_REFUSAL = "false refusal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """
    One version on an evening's requests, beside the known version.

    Attributes:
        divergence: Mean absolute relative divergence of its demand from the known version's, a ratio.
        price_divergence: The same of prices.
        demand_shift: Mean demand over the known version's, minus 1: a ratio, above 0 where it is too high.
        price_shift: The same of prices.
        true_error: Mean absolute error of its demand on the real rides, rides an hour.
    """

    divergence: float
    price_divergence: float
    demand_shift: float
    price_shift: float
    true_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EveningResult:
    """
    One change on one evening.

    Attributes:
        change: Name of the change of features.
        evening: Its date.
        n: Requests scored, a count; 0 where the old model cannot run on the new features.
        distinct_hours: Different questions among them, a count.
        known_error: Mean absolute error of the known version's demand on the real rides, rides an hour.
        combination: Old model on new features; None where it cannot run.
        bad: The version that was deployed.
        allowed: What the rule said.
        reason: Why it said so; where the old model cannot run, what it lacks.
        allowed_on_prices: What the rule would have said of the divergence of prices.
        acceptable: What was true; see ``TRUE_ERROR_FACTOR``.
    """

    change: str
    evening: date
    n: int
    distinct_hours: int
    known_error: float
    combination: Comparison | None
    bad: Comparison
    allowed: bool
    reason: str
    allowed_on_prices: bool
    acceptable: bool

    @property
    def verdict(self) -> Verdict:
        """The judgement beside the truth."""
        if self.allowed:
            return Verdict.RIGHT_ALLOW if self.acceptable else Verdict.FALSE_ALLOW
        return Verdict.FALSE_REFUSAL if self.acceptable else Verdict.RIGHT_REFUSAL

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form, with the verdict."""
        return {**asdict(self), "evening": self.evening.isoformat(), "verdict": self.verdict.value}


def combination_of(known: Pricing, bad: Pricing) -> Pricing:
    """Return what a level 1 rollback from ``bad`` would serve: the known model, all else as it is."""
    return Pricing(known.model, bad.features, bad.curve)


def evaluate_evening(
    known: Pricing, bad: Pricing, riders: Sequence[Rider], *, change: str, judge: Judge
) -> EveningResult:
    """
    Judge a change on the requests of one evening, and then look at the truth.

    Args:
        known: The version that is known to be good.
        bad: The version that was deployed over it.
        riders: The evening's riders, at least one, all of one day.
        change: Name of the change, for the result.
        judge: The rule, fixed beforehand.
    """
    asked = _Asked(riders)
    known_quotes = known.quotes(asked.rows)
    bad_comparison = asked.compare(bad.quotes(asked.rows), known_quotes)
    known_error = asked.true_error(known_quotes)
    combination, on_prices = None, False
    try:
        combination = asked.compare(combination_of(known, bad).quotes(asked.rows), known_quotes)
        ruling = judge(combination.divergence, len(riders))
        on_prices = judge(combination.price_divergence, len(riders)).allowed
        reason = ruling.reason
    except RefusedError as error:
        ruling = judge(math.nan, 0)
        reason = f"{ruling.reason}: {error}"
    return EveningResult(
        change=change,
        evening=riders[0].hour.date(),
        n=len(riders) if combination else 0,
        distinct_hours=len(asked.rows),
        known_error=known_error,
        combination=combination,
        bad=bad_comparison,
        allowed=ruling.allowed,
        reason=reason,
        allowed_on_prices=on_prices,
        acceptable=combination is not None and combination.true_error <= TRUE_ERROR_FACTOR * known_error,
    )


def evaluate_evenings(
    hours: pd.DataFrame,
    changes: Mapping[str, FeatureCode],
    *,
    seed: int,
    judge: Judge,
    evenings: Sequence[date] | None = None,
) -> Iterator[EveningResult]:
    """
    Train both versions for each change and judge it on each evening; about two seconds a change.

    Args:
        hours: The year, as ``load_hours`` gives it.
        changes: Feature code by the name of the change; each passed ``check_features``.
        seed: Of training and riders.
        judge: The rule, fixed beforehand.
        evenings: Days on record; all held-out Thursdays unless given.

    Yields:
        One result for each change and evening, changes in their order, evenings within.
    """
    days = thursday_evenings() if evenings is None else evenings
    riders = [arrivals(hours, evening, seed=seed) for evening in days]
    known = first_version(hours, seed=seed)
    for name, features in changes.items():
        bad = second_version(hours, features, seed=seed)
        for evening_riders in riders:
            yield evaluate_evening(known, bad, evening_riders, change=name, judge=judge)


def tally(results: Sequence[EveningResult]) -> dict[str, dict[str, int]]:
    """Count verdicts for each change: change name -> verdict -> evenings, every verdict named."""
    counts: dict[str, dict[str, int]] = {}
    for result in results:
        row = counts.setdefault(result.change, {verdict.value: 0 for verdict in Verdict})
        row[result.verdict.value] += 1
    return counts


class _Asked:
    """The distinct hours that riders asked about, with the share of requests of each."""

    def __init__(self, riders: Sequence[Rider]) -> None:
        first = {rider.hour: rider for rider in riders}
        self.rows = pd.DataFrame([rider.row for rider in first.values()], index=pd.DatetimeIndex(first))
        self._rides = np.array([rider.rides for rider in first.values()])
        asked = pd.Series([rider.hour for rider in riders]).value_counts()
        self._weights = asked.reindex(self.rows.index).to_numpy(dtype="float64") / len(riders)

    def true_error(self, quotes: pd.DataFrame) -> float:
        """Return the mean absolute error of demand on real rides over all requests, rides an hour."""
        return self._mean(np.abs(quotes["demand"].to_numpy(dtype="float64") - self._rides))

    def compare(self, quotes: pd.DataFrame, known: pd.DataFrame) -> Comparison:
        """Compare quotes with the known version's over all requests."""
        demand, price = quotes["demand"].to_numpy(dtype="float64"), quotes["price"].to_numpy(dtype="float64")
        known_demand = known["demand"].to_numpy(dtype="float64")
        known_price = known["price"].to_numpy(dtype="float64")
        return Comparison(
            divergence=self._mean(np.abs(demand - known_demand) / np.maximum(known_demand, _LEAST_DEMAND)),
            price_divergence=self._mean(np.abs(price - known_price) / known_price),
            demand_shift=self._mean(demand) / max(self._mean(known_demand), _LEAST_DEMAND) - 1,
            price_shift=self._mean(price) / self._mean(known_price) - 1,
            true_error=self.true_error(quotes),
        )

    def _mean(self, values: Any) -> float:
        """Return the mean over requests of a value for each distinct hour."""
        return float(np.dot(self._weights, values))
