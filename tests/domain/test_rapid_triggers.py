"""Prediction shift and business drop compare with a control, say how sure they are, and are quick when it is bad."""

import math
import random
from collections.abc import Iterable
from datetime import UTC, datetime

import pytest

from knowngood.domain.confidence import UNBOUNDED, Interval, change_of_means, change_of_proportions, mean_interval
from knowngood.domain.system import TriggerKind
from knowngood.domain.trigger import BusinessDrop, PredictionShift
from knowngood.domain.trigger.comparison import Comparison, Measured, verdict_of
from knowngood.domain.window import Against, Control, Judgement, Verdict, Window
from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.counts import Paired, Sums, VersionCounts

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
EMPTY = VersionCounts()


def window(version: str, counts: VersionCounts = EMPTY, error: str = "") -> Window:
    return Window(version=version, started_at=NOON, length_seconds=60, counts=counts, error=error)


def sums(values: Iterable[float]) -> Sums:
    listed = list(values)
    return Sums(len(listed), math.fsum(listed), math.fsum(value * value for value in listed))


def trials(n: int, rate: float) -> Sums:
    successes = float(round(n * rate))
    return Sums(n, successes, successes)


def paired(known: list[float], other: list[float], failed: int = 0) -> Control:
    """A control that answered the very same requests, in shadow."""
    relative = [(b - a) / abs(a) for a, b in zip(known, other, strict=True)]
    pairs = Paired(
        reference=sums(known),
        other=sums(other),
        relative=sums(relative),
        absolute=sums(abs(value) for value in relative),
        failed=failed,
    )
    return Control(window=window("v1", VersionCounts(shadow={"v2": pairs})), against=Against.SAME_REQUESTS)


def said(values: Iterable[float]) -> VersionCounts:
    return VersionCounts(predictions=sums(values))


def converted(n: int, rate: float) -> VersionCounts:
    return VersionCounts(outcomes={"conversion": trials(n, rate)})


def control(counts: VersionCounts, against: Against = Against.SAME_TIME, share: float | None = None) -> Control:
    return Control(window=window("v1", counts), against=against, share=share)


def around(mean: float, n: int = 200) -> list[float]:
    return [mean * (0.9 + 0.2 * (i % 11) / 10) for i in range(n)]


KNOWN = around(100.0)
SHIFT = PredictionShift(shift=0.15)
DROP = BusinessDrop(name="conversion", drop=0.1)


@pytest.mark.parametrize(
    ("harm", "verdict"),
    [
        pytest.param(Interval(0.11, 0.2), Verdict.BREACHED, id="all of it beyond"),
        pytest.param(Interval(0.1, 0.2), Verdict.INCONCLUSIVE, id="the lower end at the limit"),
        pytest.param(Interval(0.0, 0.11), Verdict.INCONCLUSIVE, id="the upper end just beyond"),
        pytest.param(Interval(0.0, 0.1), Verdict.CLEAR, id="the upper end at the limit"),
        pytest.param(Interval(-0.2, -0.1), Verdict.CLEAR, id="better than before"),
        pytest.param(UNBOUNDED, Verdict.INCONCLUSIVE, id="nothing known"),
    ],
)
def test_a_verdict_takes_the_whole_interval(harm: Interval, verdict: Verdict) -> None:
    assert verdict_of(harm, 0.1) == verdict


# ---------------------------------------------------------------------------------------------------- predictions


@pytest.mark.requirement("C4")
@pytest.mark.parametrize(
    ("factor", "verdict"),
    [
        pytest.param(1.35, Verdict.BREACHED, id="a third too high"),
        pytest.param(0.65, Verdict.BREACHED, id="a third too low"),
        pytest.param(1.16, Verdict.BREACHED, id="just beyond, on answers that agree otherwise"),
        pytest.param(1.14, Verdict.CLEAR, id="just within"),
        pytest.param(0.86, Verdict.CLEAR, id="just within, below"),
        pytest.param(1.0, Verdict.CLEAR, id="the same"),
    ],
)
def test_outputs_on_the_same_requests_are_judged(factor: float, verdict: Verdict) -> None:
    candidate = window("v2")
    judgement = SHIFT.judge(candidate, paired(KNOWN, [value * factor for value in KNOWN]))
    assert judgement.verdict == verdict
    assert judgement.against == Against.SAME_REQUESTS


@pytest.mark.requirement("C4")
@pytest.mark.parametrize("against", [Against.SAME_TIME, Against.EARLIER])
@pytest.mark.parametrize(
    ("mean", "verdict"),
    [
        pytest.param(135.0, Verdict.BREACHED, id="a third too high"),
        pytest.param(65.0, Verdict.BREACHED, id="a third too low"),
        pytest.param(114.5, Verdict.INCONCLUSIVE, id="near the limit"),
        pytest.param(101.0, Verdict.CLEAR, id="about the same"),
    ],
)
def test_outputs_of_two_arms_are_judged(against: Against, mean: float, verdict: Verdict) -> None:
    judgement = SHIFT.judge(window("v2", said(around(mean))), control(said(KNOWN), against))
    assert judgement.verdict == verdict
    assert judgement.against == against
    assert judgement.change == change_of_means(sums(around(mean)), sums(KNOWN), alpha=0.001)


def test_a_shift_says_where_it_lies_and_what_it_was_compared_with() -> None:
    doubled = [value * 2 for value in KNOWN]
    noisy = [value * (1 + 0.02 * (-1) ** i) for i, value in enumerate(doubled)]
    judgement = PredictionShift(name="price", shift=0.15).judge(window("v2"), paired(KNOWN, noisy))
    relative = sums((b - a) / a for a, b in zip(KNOWN, noisy, strict=True))
    change = mean_interval(relative, alpha=0.001)
    assert judgement.change == change
    assert judgement.harm == change
    assert (judgement.trigger, judgement.kind, judgement.needed) == ("price", TriggerKind.PREDICTION_MEAN, "")
    assert judgement.figures == {
        "n": 200,
        "n_control": 200,
        "limit": 0.15,
        "alpha": 0.001,
        "mean": sums(noisy).mean,
        "mean_control": sums(KNOWN).mean,
    }
    assert judgement.reason == (
        f"mean {sums(noisy).mean:.4g}, control {sums(KNOWN).mean:.4g} on the same requests: "
        f"the change is between {change.lower:+.1%} and {change.upper:+.1%} (limit 15.0%)"
    )


def test_a_change_that_is_the_same_on_every_request_is_told_as_one_number() -> None:
    judgement = SHIFT.judge(window("v2"), paired(KNOWN, [value * 1.239 for value in KNOWN]))
    assert "the change is +23.9% (limit" in judgement.reason


def test_a_fall_of_the_outputs_harms_by_its_size() -> None:
    judgement = SHIFT.judge(
        window("v2"), paired(KNOWN, [value * (0.7 + 0.001 * (i % 3)) for i, value in enumerate(KNOWN)])
    )
    assert judgement.change is not None
    assert judgement.harm == Interval(-judgement.change.upper, -judgement.change.lower)


def test_pairs_of_another_version_do_not_count() -> None:
    judgement = SHIFT.judge(window("v3"), paired(KNOWN, KNOWN))
    assert judgement.verdict == Verdict.NO_DATA


def test_a_shift_is_judged_by_default_at_fifteen_percent_with_one_false_alarm_in_a_thousand() -> None:
    assert PredictionShift() == PredictionShift(name="prediction_mean", shift=0.15, alpha=0.001, min_requests=30)
    assert BusinessDrop(name="x") == BusinessDrop(name="x", drop=0.1, alpha=0.001, min_requests=30)


@pytest.mark.requirement("C4", "L1m")
@pytest.mark.parametrize("seed", range(5))
def test_a_third_too_high_is_seen_within_a_second_of_sixty_requests_each(seed: int) -> None:
    rng = random.Random(seed)
    known = [rng.uniform(2, 60) for _ in range(60)]
    wrong = [value * 1.35 * rng.uniform(0.8, 1.2) for value in known]
    assert SHIFT.judge(window("v2"), paired(known, wrong)).verdict == Verdict.BREACHED


# ------------------------------------------------------------------------------------------------------- business


@pytest.mark.requirement("C5")
@pytest.mark.parametrize(
    ("rate", "verdict"),
    [
        pytest.param(0.45, Verdict.BREACHED, id="a quarter lost"),
        pytest.param(0.55, Verdict.INCONCLUSIVE, id="near the limit"),
        pytest.param(0.6, Verdict.CLEAR, id="the same"),
        pytest.param(0.8, Verdict.CLEAR, id="better than before"),
        pytest.param(0.0, Verdict.BREACHED, id="nobody"),
    ],
)
def test_conversion_is_judged(rate: float, verdict: Verdict) -> None:
    judgement = DROP.judge(window("v2", converted(3000, rate)), control(converted(6000, 0.6)))
    assert judgement.verdict == verdict
    change = change_of_proportions(trials(3000, rate), trials(6000, 0.6), alpha=0.001)
    assert judgement.change == change
    assert judgement.harm == Interval(-change.upper, -change.lower)
    assert (judgement.trigger, judgement.kind) == ("conversion", TriggerKind.BUSINESS)


@pytest.mark.requirement("C5")
def test_revenue_is_judged_as_a_mean() -> None:
    ours = VersionCounts(outcomes={"conversion": sums(around(70.0))})
    theirs = VersionCounts(outcomes={"conversion": sums(around(100.0))})
    judgement = DROP.judge(window("v2", ours), control(theirs))
    assert judgement.verdict == Verdict.BREACHED
    assert judgement.change == change_of_means(sums(around(70.0)), sums(around(100.0)), alpha=0.001)


@pytest.mark.parametrize("swapped", [False, True])
def test_trials_are_proportions_only_where_both_sides_are(*, swapped: bool) -> None:
    ours, theirs = trials(40, 0.1), sums([0.5, 0.7] * 20)
    if swapped:
        ours, theirs = theirs, ours
    judgement = DROP.judge(
        window("v2", VersionCounts(outcomes={"conversion": ours})),
        control(VersionCounts(outcomes={"conversion": theirs})),
    )
    assert judgement.change == change_of_means(ours, theirs, alpha=0.001)


def test_other_outcomes_do_not_count() -> None:
    other = VersionCounts(outcomes={"tips": trials(500, 0.1)})
    assert DROP.judge(window("v2", other), control(converted(500, 0.6))).verdict == Verdict.NO_DATA
    assert DROP.judge(window("v2", converted(500, 0.6)), control(other)).verdict == Verdict.NO_DATA


@pytest.mark.requirement("C5", "L1m")
@pytest.mark.parametrize("seed", range(5))
def test_a_quarter_lost_is_seen_within_a_quarter_minute_of_a_hundred_riders_each(seed: int) -> None:
    rng = random.Random(seed)
    n = next(
        n
        for n in range(100, 3000, 100)
        if DROP.judge(
            window("v2", VersionCounts(outcomes={"conversion": _riders(rng, n, 0.45)})), control(converted(5000, 0.6))
        ).verdict
        is Verdict.BREACHED
    )
    assert n <= 1500


def _riders(rng: random.Random, n: int, rate: float) -> Sums:
    taken = float(sum(rng.random() < rate for _ in range(n)))
    return Sums(n, taken, taken)


# ----------------------------------------------------------------------------------- where nothing can be compared


@pytest.mark.parametrize(
    ("candidate", "against", "verdict", "reason", "needed"),
    [
        pytest.param(
            window("v2", error="no socket"),
            None,
            Verdict.MONITOR_ERROR,
            "the candidate was not measured: no socket",
            "a source that answers",
            id="the candidate was not measured",
        ),
        pytest.param(
            window("v2", converted(500, 0.6)),
            Control(window=window("v1", error="no file"), against=Against.EARLIER),
            Verdict.MONITOR_ERROR,
            "the control was not measured: no file",
            "a source that answers",
            id="the control was not measured",
        ),
        pytest.param(
            window("v2", converted(500, 0.6)),
            None,
            Verdict.NO_DATA,
            "there is nothing to compare with",
            "shadow answers of the known version, a second arm, or a stored baseline",
            id="no control",
        ),
        pytest.param(
            window("v2"),
            control(converted(500, 0.6)),
            Verdict.NO_DATA,
            "the candidate has no value yet",
            "values on both sides",
            id="the candidate has nothing",
        ),
        pytest.param(
            window("v2", converted(500, 0.6)),
            control(EMPTY),
            Verdict.NO_DATA,
            "the control has no value yet",
            "values on both sides",
            id="the control has nothing",
        ),
        pytest.param(
            window("v2", converted(29, 0.0)),
            control(converted(500, 0.6)),
            Verdict.INCONCLUSIVE,
            "29 values are too few",
            "30 values on each side",
            id="the candidate has little",
        ),
        pytest.param(
            window("v2", converted(500, 0.0)),
            control(converted(29, 0.6)),
            Verdict.INCONCLUSIVE,
            "29 values are too few",
            "30 values on each side",
            id="the control has little",
        ),
        pytest.param(
            window("v2", VersionCounts(outcomes={"conversion": Sums(500, 1.0, math.inf)})),
            control(converted(500, 0.6)),
            Verdict.MONITOR_ERROR,
            "the sums are no finite numbers",
            "values that can be added",
            id="an infinite value",
        ),
        pytest.param(
            window("v2", converted(500, 0.6)),
            control(VersionCounts(outcomes={"conversion": Sums(500, 1.0, math.nan)})),
            Verdict.MONITOR_ERROR,
            "the sums are no finite numbers",
            "values that can be added",
            id="a value that is no number",
        ),
        pytest.param(
            window("v2", converted(3000, 0.0)),
            control(converted(7000, 0.6), share=0.1),
            Verdict.MONITOR_ERROR,
            "30.0% of the values are the candidate's, where 10.0% were meant to be",
            "a split that holds",
            id="the split did not hold",
        ),
    ],
)
def test_what_cannot_be_compared_is_neither_good_nor_bad(
    candidate: Window, against: Control | None, verdict: Verdict, reason: str, needed: str
) -> None:
    judgement = DROP.judge(candidate, against)
    assert (judgement.verdict, judgement.reason, judgement.needed) == (verdict, reason, needed)
    assert judgement.against == (against.against if against else None)
    assert judgement.change is None
    assert judgement.harm is None


def test_thirty_values_are_enough_to_say_something() -> None:
    judgement = DROP.judge(window("v2", converted(30, 0.0)), control(converted(30, 1.0)))
    assert judgement.verdict == Verdict.BREACHED


def test_figures_are_there_also_where_nothing_is_decided() -> None:
    judgement = DROP.judge(window("v2", converted(29, 0.5)), control(converted(500, 0.6)))
    assert judgement.figures == {"n": 29, "n_control": 500, "limit": 0.1, "alpha": 0.001}


def test_a_split_that_holds_is_compared() -> None:
    judgement = DROP.judge(window("v2", converted(1000, 0.3)), control(converted(9000, 0.6), share=0.1))
    assert judgement.verdict == Verdict.BREACHED
    skewed = DROP.judge(window("v2", converted(3000, 0.3)), control(converted(7000, 0.6)))
    assert skewed.verdict == Verdict.BREACHED, "without a declared share nothing can be held against the split"


@pytest.mark.parametrize("alpha", [0.001, 0.05])
def test_the_split_is_watched_at_the_triggers_own_error_rate(alpha: float) -> None:
    trigger = BusinessDrop(name="conversion", alpha=alpha)
    judged = trigger.judge(window("v2", converted(80, 0.5)), control(converted(420, 0.5), share=0.1))
    assert (judged.verdict is Verdict.MONITOR_ERROR) is (alpha > 0.01)


def inconclusive(n: int, rate: float) -> Judgement:
    judgement = DROP.judge(window("v2", converted(n, rate)), control(converted(100_000, 0.6)))
    assert judgement.verdict == Verdict.INCONCLUSIVE
    return judgement


def test_an_open_question_says_how_many_values_would_decide_it() -> None:
    judgement = inconclusive(400, 0.5)
    assert judgement.harm is not None
    half = (judgement.harm.upper - judgement.harm.lower) / 2
    gap = abs((judgement.harm.upper + judgement.harm.lower) / 2 - 0.1)
    more = math.ceil(400 * ((half / gap) ** 2 - 1))
    assert more > 100
    assert judgement.needed == f"about {more} more values, if the change stays what it is"
    bigger = DROP.judge(window("v2", converted(400 + 2 * more, 0.5)), control(converted(100_000, 0.6)))
    assert bigger.verdict == Verdict.BREACHED


@pytest.mark.parametrize(
    ("harm", "needed"),
    [
        pytest.param(Interval(-math.inf, 0.5), "more values", id="the interval has no end"),
        pytest.param(
            Interval(0.0, 0.5), "many more values, for the change is near the limit", id="the change is at the limit"
        ),
        pytest.param(
            Interval(-1.125, 1.875),
            "many more values, for the change is near the limit",
            id="it is off the limit by less than a tenth of the half width",
        ),
        pytest.param(
            Interval(-0.875, 1.625),
            "about 9900 more values, if the change stays what it is",
            id="it is off the limit by a tenth of the half width",
        ),
        pytest.param(
            Interval(-2.75, 5.25), "about 1500 more values, if the change stays what it is", id="it is off by one"
        ),
        pytest.param(
            Interval(0.25, 0.375), "about 1 more values, if the change stays what it is", id="it is nearly decided"
        ),
    ],
)
def test_how_many_values_would_decide_it_follows_from_the_interval(harm: Interval, needed: str) -> None:
    comparison = Comparison(name="it", kind=TriggerKind.BUSINESS, limit=0.25, alpha=0.001, enough=2)
    measured = Measured(candidate=trials(100, 0.5), control=trials(100, 0.6), change=harm.mirrored(), harm=harm)
    judgement = comparison.judge(window("v2"), control(EMPTY), lambda *_: measured)
    assert (judgement.verdict, judgement.needed) == (Verdict.INCONCLUSIVE, needed)


def test_a_stored_baseline_says_what_it_cannot_rule_out() -> None:
    judgement = DROP.judge(window("v2", converted(3000, 0.45)), control(converted(6000, 0.6), Against.EARLIER))
    assert (
        "control 0.6 before; a change of season or market since then is not ruled out: the change" in judgement.reason
    )
    at_the_same_time = DROP.judge(window("v2", converted(3000, 0.45)), control(converted(6000, 0.6)))
    assert "control 0.6 at the same time: the change is between" in at_the_same_time.reason


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param({"limit": 0.0}, "limit 0.0. Give a ratio above 0: 15%", id="no limit"),
        pytest.param({"limit": math.inf}, "limit inf. Give a ratio above 0: 15%", id="a limit that nothing exceeds"),
        pytest.param({"limit": math.nan}, "limit nan. Give a ratio above 0: 15%", id="no number"),
        pytest.param({"alpha": 0.0}, "alpha 0.0. Give a probability below 0.5", id="certainty"),
        pytest.param({"alpha": 0.5}, "alpha 0.5. Give a probability below 0.5", id="a coin"),
        pytest.param({"min_requests": 1}, "min_requests 1. Give 2 or more", id="one value"),
    ],
)
def test_an_impossible_comparison_is_refused(fields: dict[str, float], message: str) -> None:
    others = {name: value for name, value in fields.items() if name != "limit"}
    shift = {"shift": fields["limit"]} if "limit" in fields else {}
    drop = {"drop": fields["limit"]} if "limit" in fields else {}
    with pytest.raises(InvalidError) as caught:
        PredictionShift(**shift, **others)  # type: ignore[arg-type]
    assert str(caught.value) == f"trigger prediction_mean has {message}"
    with pytest.raises(InvalidError) as caught:
        BusinessDrop(name="conversion", **drop, **others)  # type: ignore[arg-type]
    assert str(caught.value) == f"trigger conversion has {message}"


def test_two_values_and_nearly_a_coin_are_allowed() -> None:
    assert PredictionShift(alpha=0.49, min_requests=2).min_requests == 2


# --------------------------------------------------------------------------------------- false alarms, as triggered


@pytest.mark.requirement("C4", "C5")
def test_no_trigger_alarms_when_nothing_changed_however_often_it_is_asked() -> None:
    rng = random.Random(11)
    alarms = 0
    for _ in range(40):
        ours, theirs = Sums(), Sums()
        known: list[float] = []
        other: list[float] = []
        for _ in range(60):
            ours, theirs = ours.plus(_riders(rng, 25, 0.6)), theirs.plus(_riders(rng, 25, 0.6))
            known += [rng.uniform(10, 90) for _ in range(5)]
            other += [value * rng.uniform(0.7, 1.3) for value in known[-5:]]
            dropped = DROP.judge(
                window("v2", VersionCounts(outcomes={"conversion": ours})),
                control(VersionCounts(outcomes={"conversion": theirs}), share=0.5),
            )
            shifted = SHIFT.judge(window("v2"), paired(known, other))
            alarms += any(item.verdict in (Verdict.BREACHED, Verdict.MONITOR_ERROR) for item in (dropped, shifted))
    assert alarms == 0
