"""
Confidence: intervals for a relative change that hold at every look, however often one looks.

A plain confidence interval promises its error rate for one look at a fixed sample. A watch looks every second and stops
at the first alarm, which multiplies the error many times over. The intervals here are *confidence sequences*: with
probability ``1 - alpha`` they contain the truth at all looks together, so peeking is free. Each is the set of values
that a mixture likelihood ratio (a test martingale) has not yet driven above ``1 / alpha``; by Ville's inequality a true
value is driven there with probability at most ``alpha``.

What the promise rests on, and where it ends:

- Subjects are independent. Several trials of one subject (a rider who retries) are one burst of evidence counted
  several times: with five trials to a subject a nominal 5 % was measured at about 70 %.
- Each arm's mean stands still, or both arms ride the same trend at a constant split.
- Means: exact for normal values of unknown variance, by the central limit theorem for others, so a caller asks for
  some 30 values first. Heavy tails need more.
- Proportions: exact for 0/1 trials while successes or failures are few, as means from there on.
- A baseline from an earlier time adds its own assumption, that nothing but the deployment changed since.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.counts import Sums

__all__ = [
    "UNBOUNDED",
    "Interval",
    "change_of_means",
    "change_of_proportions",
    "excess_evidence",
    "is_proportion",
    "mean_interval",
    "ratio_evidence",
    "share_evidence",
    "student_radius",
]

_PRIOR_VARIANCE = 0.25
"""Variance, in standard deviations, of the effects that the mixture is tuned for: half a deviation takes 50 values."""
_MANY = 25
"""Successes and failures in each arm from which on a proportion is treated as a mean: it then takes half the trials."""
_BISECTIONS = 50
_LOG_PI = math.log(math.pi)


@dataclass(frozen=True, slots=True)
class Interval:
    """
    Where a relative change lies, as ratios: 0.35 is 35 percent up, -0.25 is 25 percent down.

    Attributes:
        lower: Lowest value not excluded; may be minus infinity.
        upper: Highest value not excluded; may be infinity.
    """

    lower: float
    upper: float

    def __post_init__(self) -> None:
        if not self.lower <= self.upper:
            raise InvalidError(f"an interval cannot run from {self.lower} to {self.upper}", hint="Lower end first")

    def mirrored(self) -> "Interval":
        """Return the interval of the same quantity with its sign turned: a change becomes a drop."""
        return Interval(-self.upper, -self.lower)

    def magnitude(self) -> "Interval":
        """Return where the absolute value of the quantity lies."""
        furthest = max(abs(self.lower), abs(self.upper))
        return Interval(max(0.0, self.lower, -self.upper), furthest)


UNBOUNDED = Interval(-math.inf, math.inf)


def student_radius(n: float, degrees: int, alpha: float) -> float:
    """
    Return how many standard errors the truth may lie from an estimated mean, at all looks together.

    The t statistic is held against a normal mixture over the effect in standard deviations; scale invariance removes
    the unknown variance (Lai, "On confidence sequences", 1976; Wang and Ramdas, "Anytime-valid t-tests and confidence
    sequences for Gaussian means with unknown variance", 2025).

    Args:
        n: Effective sample size: n for one mean, ``n1 * n2 / (n1 + n2)`` for the difference of two.
        degrees: Degrees of freedom of the variance, a count >= 1.
        alpha: Error rate over all looks, both sides together, in (0, 1).

    Returns:
        The radius in standard errors; infinity while the sample is too small to exclude anything.
    """
    spread = 1 + n * _PRIOR_VARIANCE
    excess = (spread / (alpha * alpha)) ** (1 / (degrees + 1))
    if excess >= spread:
        return math.inf
    return math.sqrt(degrees * (excess - 1) / (1 - excess / spread))


def mean_interval(sums: Sums, *, alpha: float) -> Interval:
    """
    Return the confidence sequence of a mean, in the unit of the values.

    Args:
        sums: Moments of independent values, all since the start of the watch.
        alpha: Error rate over all looks, in (0, 1).
    """
    if not _has_variance(sums):
        return UNBOUNDED
    radius = student_radius(sums.n, sums.n - 1, alpha)
    if math.isinf(radius):
        return UNBOUNDED
    margin = radius * math.sqrt(sums.variance / sums.n)
    return Interval(sums.mean - margin, sums.mean + margin)


def change_of_means(candidate: Sums, control: Sums, *, alpha: float) -> Interval:
    """
    Return the confidence sequence of ``(candidate - control) / |control|`` for the means of two independent arms.

    Every ratio q is kept for which the mean of ``candidate - q * control`` may be zero (Fieller's construction), with
    Welch's standard error and the smaller arm's degrees of freedom, which errs towards wide. The control's own
    uncertainty is in the interval, so a short baseline makes it wide instead of wrong.

    Args:
        candidate: Moments of the version under judgement.
        control: Moments of what it is compared with.
        alpha: Error rate over all looks, in (0, 1).
    """
    if not (_has_variance(candidate) and _has_variance(control)):
        return UNBOUNDED
    pooled = candidate.n * control.n / (candidate.n + control.n)
    radius = student_radius(pooled, min(candidate.n, control.n) - 1, alpha)
    if math.isinf(radius):
        return UNBOUNDED
    square = radius * radius
    leading = control.mean**2 - square * control.variance / control.n
    if leading <= 0:
        return UNBOUNDED  # the control itself may be zero, and no ratio to it is excluded
    middle = candidate.mean * control.mean
    last = candidate.mean**2 - square * candidate.variance / candidate.n
    root = math.sqrt(max(0.0, middle * middle - leading * last))
    change = Interval((middle - root) / leading - 1, (middle + root) / leading - 1)
    return change if control.mean > 0 else change.mirrored()


def is_proportion(sums: Sums) -> bool:
    """Tell whether these are moments of trials that each were 0 or 1: only there the sum equals the sum of squares."""
    return sums.total == sums.squares and 0 <= sums.total <= sums.n


def change_of_proportions(candidate: Sums, control: Sums, *, alpha: float) -> Interval:
    """
    Return the confidence sequence of ``p_candidate / p_control - 1`` for two independent arms of 0/1 trials.

    While successes or failures are few, the ratios that ``ratio_evidence`` does not exclude: exact, also without a
    single success. With at least 25 of each in both arms, ``change_of_means``, which then needs half the trials.

    Args:
        candidate: Moments of the version under judgement; the total is the number of successes.
        control: Moments of what it is compared with.
        alpha: Error rate over all looks, in (0, 1).
    """
    if 0 in (candidate.n, control.n):
        return Interval(-1.0, math.inf)
    # Either sequence may be the one that is looked at, so each gets half of the error rate.
    if min(candidate.total, candidate.n - candidate.total, control.total, control.n - control.total) >= _MANY:
        return change_of_means(candidate, control, alpha=alpha / 2)
    limit = -math.log(alpha / 2)

    def excluded(ratio: float) -> bool:
        return ratio_evidence(candidate, control, ratio=ratio) >= limit

    if control.total == 0:
        inside, upper = 1.0, math.inf
        while excluded(inside):
            inside *= 2
    else:
        inside = candidate.mean / control.mean
        beyond = 1 + inside
        while not excluded(beyond):
            beyond *= 2
        upper = _edge(inside, beyond, excluded)
    return Interval(_edge(inside, 0.0, excluded) - 1, upper - 1)


def ratio_evidence(candidate: Sums, control: Sums, *, ratio: float) -> float:
    """
    Return the logarithm of the evidence against ``p_candidate = ratio * p_control``.

    The numerator is the likelihood of both arms under a Beta(1/2, 1/2) mixture each, the denominator their largest
    likelihood under the constraint. So its expectation is at most 1 when the constraint is true, for every common
    rate, at any stopping time (Robbins, "Statistical methods related to the law of the iterated logarithm", 1970;
    Wasserman, Ramdas and Balakrishnan, "Universal inference", 2020).

    Args:
        candidate: Moments of 0/1 trials.
        control: Moments of 0/1 trials.
        ratio: The ratio of the two success rates to hold the trials against, >= 0.

    Returns:
        Natural logarithm; the ratio is excluded at error rate alpha when this reaches ``-log(alpha)``.
    """
    missed_candidate = candidate.n - candidate.total
    missed_control = control.n - control.total
    total = candidate.n + control.n
    successes = candidate.total + control.total
    # The constrained maximum solves ratio * total * p**2 - linear * p + successes = 0: the smaller root, written so
    # that nothing cancels and a ratio of 0 is no special case.
    linear = control.n + candidate.total + ratio * (candidate.n + control.total)
    root = math.sqrt(max(0.0, linear * linear - 4 * ratio * total * successes))
    rate = 2 * successes / (linear + root)
    constrained = (
        _times_log(candidate.total, ratio * rate)
        + _times_log(missed_candidate, 1 - ratio * rate)
        + _times_log(control.total, rate)
        + _times_log(missed_control, 1 - rate)
    )
    return _mixture(candidate.total, missed_candidate) + _mixture(control.total, missed_control) - constrained


def share_evidence(candidate: int, control: int, *, share: float, tolerance: float) -> float:
    """
    Return the logarithm of the evidence that the candidate's share is not what it should be.

    A sample-ratio test that holds at every look (Lindon and Malek, "Anytime-valid inference for multinomial count
    data", 2022), here with a tolerance, for a share that is off by little harms little.

    Args:
        candidate: Subjects of the candidate.
        control: Subjects of the control.
        share: Declared share of the candidate, in (0, 1).
        tolerance: How far off the share may be, as a ratio of the share, in [0, 1).

    Returns:
        Natural logarithm; the declared share is excluded at error rate alpha when this reaches ``-log(alpha)``.
    """
    total = candidate + control
    if total == 0:
        return 0.0
    nearest = min(max(candidate / total, share * (1 - tolerance)), share * (1 + tolerance))
    return _mixture(candidate, control) - _times_log(candidate, nearest) - _times_log(control, 1 - nearest)


def excess_evidence(hits: int, n: int, *, limit: float) -> float:
    """
    Return the logarithm of the evidence that a share is above a limit.

    The likelihood of the trials under a Beta(1/2, 1/2) mixture of shares, over their largest likelihood under any share
    up to the limit. So its expectation is at most 1 while the share is within the limit, at any stopping time
    (Wasserman, Ramdas and Balakrishnan, "Universal inference", 2020).

    Args:
        hits: Trials with the fault.
        n: All trials.
        limit: Highest acceptable share, in [0, 1).

    Returns:
        Natural logarithm, 0 where the trials are within the limit; a share within it is excluded at error rate alpha
        when this reaches ``-log(alpha)``.
    """
    if n == 0 or hits <= limit * n:
        return 0.0
    within = _times_log(hits, limit) + _times_log(n - hits, 1 - limit)
    return max(0.0, _mixture(hits, n - hits) - within)


def _edge(inside: float, beyond: float, excluded: Callable[[float], bool]) -> float:
    """Return the value nearest to ``inside`` that is excluded, as far as bisection tells; ``beyond`` when none is."""
    for _ in range(_BISECTIONS):
        middle = (inside + beyond) / 2
        if excluded(middle):
            beyond = middle
        else:
            inside = middle
    return beyond


def _has_variance(sums: Sums) -> bool:
    return sums.n >= 2 and math.isfinite(sums.squares)  # noqa: PLR2004 - a variance takes two


def _mixture(successes: float, failures: float) -> float:
    """Return the log likelihood of a sequence of trials, averaged over a Beta(1/2, 1/2) prior of its rate."""
    return math.lgamma(successes + 0.5) + math.lgamma(failures + 0.5) - math.lgamma(successes + failures + 1) - _LOG_PI


def _times_log(count: float, rate: float) -> float:
    """Return ``count * log(rate)``, where no trial weighs nothing, and trials of rate 0 are impossible."""
    if count == 0:
        return 0.0
    return count * math.log(rate) if rate > 0 else -math.inf
