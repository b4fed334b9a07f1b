"""The intervals for a relative change hold at every look, and are as narrow as they claim."""

import math
import random
from collections.abc import Callable, Iterator
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood.domain.confidence import (
    UNBOUNDED,
    Interval,
    change_of_means,
    change_of_proportions,
    excess_evidence,
    is_proportion,
    mean_interval,
    ratio_evidence,
    share_evidence,
    student_radius,
)
from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.counts import Sums

ALPHA = 0.05


def sums_of(values: list[float]) -> Sums:
    return Sums(len(values), math.fsum(values), math.fsum(value * value for value in values))


def trials(successes: int, n: int) -> Sums:
    return Sums(n, float(successes), float(successes))


def running(values: list[float]) -> list[Sums]:
    """The moments after each value, so that every look sees all values up to then."""
    totals = accumulate(values)
    squares = accumulate(value * value for value in values)
    return [Sums(n, total, square) for n, (total, square) in enumerate(zip(totals, squares, strict=True), start=1)]


def chance_of_at_least(hits: int, runs: int, rate: float) -> float:
    """The chance of so many hits if the true rate were ``rate``: small only when the rate is really higher."""
    return sum(math.comb(runs, k) * rate**k * (1 - rate) ** (runs - k) for k in range(hits, runs + 1))


def false_alarms(runs: Iterator[Iterator[bool]]) -> int:
    """How many of the runs were excluded at one look at least."""
    return sum(any(looks) for looks in runs)


# ------------------------------------------------------------------------------------------------------- intervals


def test_an_interval_runs_upwards() -> None:
    assert Interval(1.0, 1.0).lower == 1.0
    with pytest.raises(InvalidError) as caught:
        Interval(2, 1)
    assert str(caught.value) == "an interval cannot run from 2 to 1. Lower end first"
    with pytest.raises(InvalidError, match="nan"):
        Interval(math.nan, 1)


def test_a_mirrored_interval_turns_a_change_into_a_drop() -> None:
    assert Interval(-0.3, 0.1).mirrored() == Interval(-0.1, 0.3)


@pytest.mark.parametrize(
    ("interval", "magnitude"),
    [
        pytest.param(Interval(0.2, 0.3), Interval(0.2, 0.3), id="above zero"),
        pytest.param(Interval(-0.3, -0.2), Interval(0.2, 0.3), id="below zero"),
        pytest.param(Interval(-0.1, 0.3), Interval(0, 0.3), id="around zero, further up"),
        pytest.param(Interval(-0.3, 0.1), Interval(0, 0.3), id="around zero, further down"),
        pytest.param(UNBOUNDED, Interval(0, math.inf), id="anything"),
    ],
)
def test_a_magnitude_forgets_the_sign(interval: Interval, magnitude: Interval) -> None:
    assert interval.magnitude() == magnitude


# ------------------------------------------------------------------------------------------------------------ means


@pytest.mark.parametrize("alpha", [0.2, 0.05, 0.001])
@pytest.mark.parametrize("n", [12, 30, 100, 10_000])
def test_at_the_radius_the_mixture_over_the_effect_has_just_reached_one_over_alpha(n: int, alpha: float) -> None:
    degrees = n - 1
    t = student_radius(n, degrees, alpha)
    # The Bayes factor of a t statistic under a normal prior of variance g on the effect (Gönen et al., 2005).
    g = 0.25
    shrunk = (1 + t * t / (degrees * (1 + n * g))) / (1 + t * t / degrees)
    assert math.log(shrunk) * -(degrees + 1) / 2 - math.log(1 + n * g) / 2 == pytest.approx(-math.log(alpha))


@pytest.mark.parametrize(
    ("n", "bounded"),
    [pytest.param(n, n >= 12, id=f"{n} values") for n in range(3, 16)],
)
def test_a_tiny_sample_excludes_nothing_at_one_in_a_thousand(n: int, *, bounded: bool) -> None:
    assert math.isfinite(student_radius(n, n - 1, 0.001)) is bounded


def test_the_radius_comes_near_the_normal_one_and_grows_but_slowly() -> None:
    assert student_radius(1000, 999, 0.05) == pytest.approx(3.40, abs=0.01)
    assert student_radius(100_000, 99_999, 0.05) == pytest.approx(4.02, abs=0.01)


@pytest.mark.parametrize(
    "sums",
    [
        pytest.param(Sums(), id="nothing"),
        pytest.param(sums_of([3.0]), id="one value"),
        pytest.param(sums_of([3.0, 3.1, 2.9]), id="three values at one in a thousand"),
        pytest.param(Sums(1000, math.inf, math.inf), id="an infinite value"),
        pytest.param(Sums(1000, 5.0, math.nan), id="not a number"),
    ],
)
def test_what_cannot_be_estimated_excludes_nothing(sums: Sums) -> None:
    assert mean_interval(sums, alpha=0.001) == UNBOUNDED
    many = sums_of([1.0, 2.0] * 500)
    assert change_of_means(sums, many, alpha=0.001) == UNBOUNDED
    assert change_of_means(many, sums, alpha=0.001) == UNBOUNDED


def test_two_values_say_little_and_only_to_who_accepts_nearly_any_error() -> None:
    assert math.isfinite(mean_interval(sums_of([1.0, 2.0]), alpha=0.9).upper)
    assert mean_interval(sums_of([1.0, 2.0]), alpha=0.5) == UNBOUNDED
    assert math.isfinite(change_of_means(sums_of([1.0, 1.1]), sums_of([2.0, 2.1]), alpha=0.95).upper)


def test_a_mean_lies_within_the_radius_in_standard_errors() -> None:
    sums = sums_of([1.0, 2.0, 4.0, 5.0] * 25)
    interval = mean_interval(sums, alpha=0.05)
    error = math.sqrt(sums.variance / 100)
    assert interval.lower == pytest.approx(3.0 - student_radius(100, 99, 0.05) * error)
    assert interval.upper == pytest.approx(3.0 + student_radius(100, 99, 0.05) * error)


def test_values_that_never_vary_are_known_exactly_once_there_are_enough() -> None:
    assert mean_interval(sums_of([0.25] * 11), alpha=0.001) == UNBOUNDED
    assert mean_interval(sums_of([0.25] * 12), alpha=0.001) == Interval(0.25, 0.25)


@given(
    st.lists(st.floats(1, 9), min_size=30, max_size=60),
    st.lists(st.floats(1, 9), min_size=30, max_size=60),
    st.sampled_from([-1.0, 1.0]),
)
def test_at_both_ends_of_a_change_the_arms_are_a_radius_apart(
    ours: list[float], theirs: list[float], sign: float
) -> None:
    candidate, control = sums_of(ours), sums_of([sign * value for value in theirs])
    change = change_of_means(candidate, control, alpha=ALPHA)
    pooled = candidate.n * control.n / (candidate.n + control.n)
    radius = student_radius(pooled, min(candidate.n, control.n) - 1, ALPHA)
    if change == UNBOUNDED:
        assert control.mean**2 <= radius**2 * control.variance / control.n
        return
    assert change.lower <= (candidate.mean - control.mean) / abs(control.mean) <= change.upper
    for end in (change.lower, change.upper):
        ratio = 1 + sign * end
        error = math.sqrt(candidate.variance / candidate.n + ratio**2 * control.variance / control.n)
        assert abs(candidate.mean - ratio * control.mean) == pytest.approx(radius * error, abs=1e-6)


def test_a_control_that_may_be_zero_leaves_every_ratio_open() -> None:
    around_zero = sums_of([-1.0, 1.0, 0.1] * 20)
    assert change_of_means(sums_of([5.0, 6.0] * 30), around_zero, alpha=ALPHA) == UNBOUNDED
    assert change_of_means(sums_of([5.0, 6.0] * 30), sums_of([0.0] * 60), alpha=ALPHA) == UNBOUNDED


def test_a_fall_below_a_negative_control_is_a_fall() -> None:
    change = change_of_means(sums_of([-2.0, -2.1] * 100), sums_of([-1.0, -1.1] * 100), alpha=0.001)
    assert -1.0 < change.lower < -0.95 < change.upper < -0.9


# ------------------------------------------------------------------------------------------------------ proportions


@pytest.mark.parametrize(
    ("sums", "expected"),
    [
        pytest.param(Sums(), True, id="nothing yet"),
        pytest.param(Sums(3, 2.0, 2.0), True, id="two of three"),
        pytest.param(Sums(3, 3.0, 3.0), True, id="all"),
        pytest.param(Sums(3, 2.5, 2.25), False, id="a half among them"),
        pytest.param(Sums(3, 4.0, 4.0), False, id="more than trials"),
        pytest.param(Sums(3, -1.0, -1.0), False, id="negative"),
    ],
)
def test_trials_of_zero_or_one_are_told_by_their_moments(sums: Sums, *, expected: bool) -> None:
    assert is_proportion(sums) is expected


def all_outcomes(
    n_candidate: int, n_control: int, p_candidate: float, p_control: float
) -> Iterator[tuple[Sums, Sums, float]]:
    """Every outcome of two arms with its probability."""
    for a in range(n_candidate + 1):
        for b in range(n_control + 1):
            chance = math.comb(n_candidate, a) * p_candidate**a * (1 - p_candidate) ** (n_candidate - a)
            chance *= math.comb(n_control, b) * p_control**b * (1 - p_control) ** (n_control - b)
            yield trials(a, n_candidate), trials(b, n_control), chance


@given(st.integers(1, 9), st.integers(1, 9), st.floats(0.05, 1.0), st.sampled_from([0.0, 0.5, 0.9, 1.0, 1.6]))
def test_true_ratios_have_evidence_of_at_most_one_on_average(n: int, m: int, p: float, ratio: float) -> None:
    if ratio * p > 1:
        p = 1 / ratio
    average = sum(
        chance * math.exp(ratio_evidence(ours, theirs, ratio=ratio))
        for ours, theirs, chance in all_outcomes(n, m, ratio * p, p)
        if chance > 0
    )
    assert average <= 1 + 1e-9


@pytest.mark.parametrize("ratio", [0.3, 0.9, 1.0, 1.7])
def test_the_evidence_is_the_mixture_over_the_best_constrained_likelihood(ratio: float) -> None:
    def log_likelihood(p: float) -> float:
        return 12 * math.log(ratio * p) + 18 * math.log(1 - ratio * p) + 40 * math.log(p) + 10 * math.log(1 - p)

    def log_beta(a: float, b: float) -> float:
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)

    top = min(1.0, 1 / ratio)
    best = max(log_likelihood(top * step / 20_000) for step in range(1, 20_000))
    mixture = log_beta(12.5, 18.5) + log_beta(40.5, 10.5) - 2 * log_beta(0.5, 0.5)
    assert ratio_evidence(trials(12, 30), trials(40, 50), ratio=ratio) == pytest.approx(mixture - best, abs=1e-4)


def test_trials_that_all_end_alike_fit_their_constraint_without_remainder() -> None:
    one_in_each = ratio_evidence(trials(1, 1), trials(1, 1), ratio=1.0)
    assert one_in_each == pytest.approx(2 * math.log(1 / 2))
    none_in_each = ratio_evidence(trials(0, 2), trials(0, 2), ratio=1.0)
    assert none_in_each == pytest.approx(2 * math.log(3 / 8))


def test_a_success_is_impossible_at_a_ratio_of_zero() -> None:
    assert ratio_evidence(trials(1, 5), trials(3, 5), ratio=0.0) == math.inf
    assert math.isfinite(ratio_evidence(trials(0, 5), trials(3, 5), ratio=0.0))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        pytest.param((0, 0), (5, 10), id="no candidate"),
        pytest.param((5, 10), (0, 0), id="no control"),
    ],
)
def test_without_an_arm_any_change_is_possible(ours: tuple[int, int], theirs: tuple[int, int]) -> None:
    assert change_of_proportions(trials(*ours), trials(*theirs), alpha=ALPHA) == Interval(-1, math.inf)


def arms() -> st.SearchStrategy[Sums]:
    return st.integers(1, 60).flatmap(lambda n: st.integers(0, n).map(lambda s: trials(s, n)))


@given(arms(), arms(), st.sampled_from([0.3, 0.05, 0.001]))
def test_a_change_of_few_trials_ends_where_the_evidence_reaches_its_bound(
    ours: Sums, theirs: Sums, alpha: float
) -> None:
    change = change_of_proportions(ours, theirs, alpha=alpha)
    if min(ours.total, ours.n - ours.total, theirs.total, theirs.n - theirs.total) >= 25:
        assert change == change_of_means(ours, theirs, alpha=alpha / 2)
        return
    limit = -math.log(alpha / 2)
    if theirs.total:
        assert change.lower <= ours.mean / theirs.mean - 1 <= change.upper
        assert ratio_evidence(ours, theirs, ratio=1 + change.upper) == pytest.approx(limit, abs=1e-3)
    else:
        assert change.upper == math.inf
    if change.lower > -1:
        assert ratio_evidence(ours, theirs, ratio=1 + change.lower) == pytest.approx(limit, abs=1e-3)
    else:
        assert ratio_evidence(ours, theirs, ratio=0.0) < limit


@pytest.mark.parametrize(
    ("ours", "theirs", "exact"),
    [
        pytest.param(trials(24, 60), trials(30, 60), True, id="24 successes are few"),
        pytest.param(trials(36, 60), trials(30, 60), True, id="24 failures are few"),
        pytest.param(trials(30, 60), trials(24, 60), True, id="24 successes of the control are few"),
        pytest.param(trials(30, 60), trials(36, 60), True, id="24 failures of the control are few"),
        pytest.param(trials(25, 50), trials(25, 50), False, id="25 of each in both are many"),
    ],
)
def test_proportions_are_exact_while_either_outcome_is_rare(ours: Sums, theirs: Sums, *, exact: bool) -> None:
    as_means = change_of_means(ours, theirs, alpha=ALPHA / 2)
    assert (change_of_proportions(ours, theirs, alpha=ALPHA) != as_means) is exact


@pytest.mark.parametrize(
    ("hits", "n", "limit", "evidence"),
    [
        pytest.param(0, 0, 0.05, 0.0, id="no trial"),
        pytest.param(0, 20, 0.05, 0.0, id="no fault"),
        pytest.param(1, 20, 0.05, 0.0, id="at the limit"),
        pytest.param(0, 20, 0.0, 0.0, id="none, where none is allowed"),
        pytest.param(1, 20, 0.0, math.inf, id="one, where none is allowed"),
        pytest.param(20, 20, 0.05, 57.838, id="nothing but faults"),
        pytest.param(2, 20, 0.05, 0.0, id="twice the limit in twenty is no evidence"),
    ],
)
def test_evidence_of_an_excess(hits: int, n: int, limit: float, evidence: float) -> None:
    assert excess_evidence(hits, n, limit=limit) == pytest.approx(evidence, abs=1e-3)


@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from([0.01, 0.05, 0.3]))
def test_more_faults_in_as_many_trials_are_never_less_evidence(hits: int, n: int, limit: float) -> None:
    hits = min(hits, n)
    assert excess_evidence(hits - 1, n, limit=limit) <= excess_evidence(hits, n, limit=limit)


@pytest.mark.parametrize("limit", [0.05, 0.2])
def test_a_share_at_its_limit_is_falsely_excluded_no_more_often_than_promised_at_all_looks(limit: float) -> None:
    draw, false = random.Random(7), 0
    for _ in range(400):
        hits = 0
        for n in range(1, 301):
            hits += draw.random() < limit
            if excess_evidence(hits, n, limit=limit) >= -math.log(0.05):
                false += 1
                break
    assert false / 400 <= 0.05


def test_no_success_in_a_hundred_tells_a_collapse_from_three_in_five() -> None:
    change = change_of_proportions(trials(0, 100), trials(1800, 3000), alpha=0.001)
    assert change.lower == -1
    assert -0.9 < change.upper < -0.7


# --------------------------------------------------------------------------------------------------- sample ratio


@given(st.integers(1, 40), st.sampled_from([0.1, 0.5, 0.8]), st.sampled_from([0.0, 0.05, 0.3]), st.floats(-1, 1))
def test_a_split_within_its_tolerance_has_evidence_of_at_most_one_on_average(
    n: int, share: float, tolerance: float, off: float
) -> None:
    true_share = min(1.0, share * (1 + off * tolerance))
    average = sum(
        math.comb(n, k)
        * true_share**k
        * (1 - true_share) ** (n - k)
        * math.exp(share_evidence(k, n - k, share=share, tolerance=tolerance))
        for k in range(n + 1)
    )
    assert average <= 1 + 1e-9


@pytest.mark.parametrize(
    ("candidate", "control", "suspicious"),
    [
        pytest.param(0, 0, False, id="nobody"),
        pytest.param(1000, 9000, False, id="as declared"),
        pytest.param(1040, 8960, False, id="4 % too many are tolerated"),
        pytest.param(960, 9040, False, id="4 % too few are tolerated"),
        pytest.param(1500, 8500, True, id="half as many again"),
        pytest.param(600, 9400, True, id="four in ten lost"),
        pytest.param(0, 9000, True, id="all lost"),
    ],
)
def test_a_share_of_ten_percent_is_watched(candidate: int, control: int, *, suspicious: bool) -> None:
    evidence = share_evidence(candidate, control, share=0.1, tolerance=0.05)
    assert (evidence >= math.log(1000)) is suspicious


def test_without_subjects_there_is_no_evidence_about_a_share() -> None:
    assert share_evidence(0, 0, share=0.1, tolerance=0.05) == 0


def test_the_evidence_about_a_share_is_the_mixture_over_the_nearest_tolerated_share() -> None:
    mixture = math.lgamma(30.5) + math.lgamma(70.5) - math.lgamma(101) - math.log(math.pi)
    expected = mixture - 30 * math.log(0.22) - 70 * math.log(0.78)
    assert share_evidence(30, 70, share=0.2, tolerance=0.1) == pytest.approx(expected)
    below = mixture - 30 * math.log(0.36) - 70 * math.log(0.64)
    assert share_evidence(30, 70, share=0.4, tolerance=0.1) == pytest.approx(below)
    assert share_evidence(9, 1, share=0.99, tolerance=0.5) == pytest.approx(
        math.lgamma(9.5) + math.lgamma(1.5) - math.lgamma(11) - math.log(math.pi) - 9 * math.log(0.9) - math.log(0.1)
    )


# ------------------------------------------------------------------------------------------ false alarms, measured

LOOKS = [*range(10, 200, 10), *range(200, 1501, 50)]
RUNS = 250


def looks(
    candidate: list[Sums], control: list[Sums], estimate: Callable[[Sums, Sums], Interval], truth: float
) -> Iterator[bool]:
    """At each look, whether the truth was excluded."""
    for n in LOOKS:
        change = estimate(candidate[n - 1], control[n - 1])
        yield not change.lower <= truth <= change.upper


def means(ours: Sums, theirs: Sums) -> Interval:
    return change_of_means(ours, theirs, alpha=ALPHA)


def proportions(ours: Sums, theirs: Sums) -> Interval:
    if min(ours.total, ours.n - ours.total, theirs.total, theirs.n - theirs.total) >= 25:
        return change_of_means(ours, theirs, alpha=ALPHA)
    excluded = ratio_evidence(ours, theirs, ratio=0.9) >= -math.log(ALPHA)
    return Interval(1, 1) if excluded else UNBOUNDED  # the interval's ends cost a hundred times the one question asked


def one_look_only(ours: Sums, theirs: Sums) -> Interval:
    """The textbook interval of a difference, made relative: right for one look, not for every one."""
    margin = 1.96 * math.sqrt(ours.variance / ours.n + theirs.variance / theirs.n)
    difference = ours.mean - theirs.mean
    return Interval((difference - margin) / theirs.mean, (difference + margin) / theirs.mean)


def normal(rng: random.Random, mean: float) -> list[float]:
    return [rng.gauss(mean, 0.4 * mean) for _ in range(LOOKS[-1])]


def skewed(rng: random.Random, mean: float) -> list[float]:
    return [rng.expovariate(1 / mean) for _ in range(LOOKS[-1])]


def rare(rng: random.Random, mean: float) -> list[float]:
    return [float(rng.random() < mean / 10) for _ in range(LOOKS[-1])]


def frequent(rng: random.Random, mean: float) -> list[float]:
    return [float(rng.random() < mean * 0.6) for _ in range(LOOKS[-1])]


def with_a_tide(rng: random.Random, mean: float) -> list[float]:
    """Conversion that rises and falls by a third for both arms alike."""
    return [float(rng.random() < mean * (0.6 + 0.2 * math.sin(i / 100))) for i in range(LOOKS[-1])]


def in_bursts(rng: random.Random, mean: float) -> list[float]:
    """Five trials of each subject that all end the same way."""
    return [value for value in frequent(rng, mean)[::5] for _ in range(5)]


@pytest.mark.requirement("C4", "C5")
@pytest.mark.parametrize(
    ("draw", "estimate"),
    [
        pytest.param(normal, means, id="normal values"),
        pytest.param(skewed, means, id="skewed values"),
        pytest.param(frequent, proportions, id="frequent conversions"),
        pytest.param(rare, proportions, id="rare conversions"),
        pytest.param(with_a_tide, proportions, id="a tide that moves both arms"),
    ],
)
def test_peeking_at_every_tick_raises_no_more_false_alarms_than_declared(
    draw: Callable[[random.Random, float], list[float]], estimate: Callable[[Sums, Sums], Interval]
) -> None:
    rng = random.Random(20261123)
    alarms = false_alarms(looks(running(draw(rng, 0.9)), running(draw(rng, 1.0)), estimate, -0.1) for _ in range(RUNS))
    assert chance_of_at_least(alarms, RUNS, ALPHA) > 0.01, f"{alarms} of {RUNS} runs alarmed; {ALPHA:.0%} were declared"


@pytest.mark.requirement("C4")
def test_peeking_at_pairs_raises_no_more_false_alarms_than_declared() -> None:
    rng = random.Random(7)

    def pairs() -> Iterator[bool]:
        differences = running([rng.gauss(0.15, 0.3) for _ in range(LOOKS[-1])])
        for n in LOOKS:
            interval = mean_interval(differences[n - 1], alpha=ALPHA)
            yield not interval.lower <= 0.15 <= interval.upper

    alarms = false_alarms(pairs() for _ in range(RUNS))
    assert chance_of_at_least(alarms, RUNS, ALPHA) > 0.01, f"{alarms} of {RUNS} runs alarmed"


def test_the_measurement_would_notice_an_interval_made_for_one_look() -> None:
    rng = random.Random(3)
    alarms = false_alarms(
        looks(running(normal(rng, 0.9)), running(normal(rng, 1.0)), one_look_only, -0.1) for _ in range(RUNS)
    )
    assert alarms / RUNS > 4 * ALPHA


def test_several_trials_of_one_subject_break_the_promise_as_the_docstring_says() -> None:
    rng = random.Random(5)
    alarms = false_alarms(
        looks(running(in_bursts(rng, 0.9)), running(in_bursts(rng, 1.0)), proportions, -0.1) for _ in range(RUNS)
    )
    assert alarms / RUNS > 4 * ALPHA
