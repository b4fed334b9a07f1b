"""Error rate, latency, nonsense and health fire on sustained failure, and only on evidence."""

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood.domain.system import TriggerKind
from knowngood.domain.trigger import ErrorRate, Health, Latency, Nonsense
from knowngood.domain.window import HealthCheck, Judgement, Verdict, Window
from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.counts import Sums, VersionCounts, log_bin

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
RATIO = "Give a ratio from 0 to below 1"
COUNT = "Give a whole number, 1 or more"


def window(counts: VersionCounts | None = None, *, error: str = "") -> Window:
    return Window(version="v2", started_at=NOON, length_seconds=1, counts=counts or VersionCounts(), error=error)


def answered(requests: int, errors: int = 0, client_errors: int = 0) -> Window:
    return window(VersionCounts(requests=requests, errors=errors, client_errors=client_errors))


GOOD = answered(100, 1)
AT_LIMIT = answered(20, 1)
BAD = answered(100, 25)
BY_CHANCE = answered(100, 7)
QUIET = answered(19, 19)
TRICKLE = answered(6, 5)
EMPTY = answered(0)
UNMEASURED = window(BAD.counts, error="the socket is gone")


@pytest.mark.requirement("C1")
@pytest.mark.parametrize(
    ("history", "verdict"),
    [
        pytest.param([], Verdict.NO_DATA, id="no windows yet"),
        pytest.param([EMPTY, EMPTY], Verdict.NO_DATA, id="nobody came"),
        pytest.param([BAD, EMPTY, EMPTY], Verdict.NO_DATA, id="nobody came any more"),
        pytest.param([UNMEASURED, EMPTY], Verdict.NO_DATA, id="what was not measured is no request"),
        pytest.param([AT_LIMIT, AT_LIMIT], Verdict.CLEAR, id="at the limit, on the least evidence"),
        pytest.param([GOOD], Verdict.CLEAR, id="one good window rules two bad ones out"),
        pytest.param([BAD, BAD, GOOD], Verdict.CLEAR, id="it recovered"),
        pytest.param([BAD], Verdict.INCONCLUSIVE, id="one window cannot be two in a row"),
        pytest.param([GOOD, BAD], Verdict.INCONCLUSIVE, id="a first bad window"),
        pytest.param([UNMEASURED, BAD], Verdict.INCONCLUSIVE, id="an unmeasured window is not a bad one"),
        pytest.param([QUIET, BAD], Verdict.INCONCLUSIVE, id="a quiet window is not a bad one"),
        pytest.param([BAD, QUIET], Verdict.INCONCLUSIVE, id="nineteen requests prove nothing"),
        pytest.param([BAD, EMPTY], Verdict.NO_DATA, id="silence does not clear"),
        pytest.param([BY_CHANCE, BY_CHANCE], Verdict.INCONCLUSIVE, id="two in a row that chance alone may show"),
        pytest.param([BY_CHANCE] * 60, Verdict.BREACHED, id="sixty in a row that chance does not show"),
        pytest.param([TRICKLE] * 8, Verdict.BREACHED, id="a trickle of which twenty requests make a stretch"),
        pytest.param([TRICKLE] * 7, Verdict.INCONCLUSIVE, id="a trickle of one stretch and a bit"),
        pytest.param([TRICKLE] * 4 + [UNMEASURED] + [TRICKLE] * 4, Verdict.INCONCLUSIVE, id="a trickle with a gap"),
        pytest.param([GOOD, BAD, BAD], Verdict.BREACHED, id="two in a row"),
        pytest.param([BAD, BAD, BAD], Verdict.BREACHED, id="three in a row"),
        pytest.param([BAD, BAD, UNMEASURED], Verdict.MONITOR_ERROR, id="the newest was not measured"),
    ],
)
def test_an_error_rate_is_judged(history: list[Window], verdict: Verdict) -> None:
    assert ErrorRate(limit=0.05, windows=2, min_requests=20).judge(history).verdict == verdict


def test_an_error_rate_is_judged_by_default_at_five_percent_in_two_windows_of_twenty() -> None:
    assert ErrorRate() == ErrorRate(name="errors", limit=0.05, windows=2, min_requests=20)


@pytest.mark.requirement("C1")
def test_a_breach_says_its_figures() -> None:
    judgement = ErrorRate(name="failures", windows=2).judge([GOOD, BAD, BAD])
    assert judgement == Judgement(
        verdict=Verdict.BREACHED,
        trigger="failures",
        kind=TriggerKind.ERRORS,
        reason="25 of 100 requests failed (25.0%; limit 5.0%) in 2 window(s) in a row",
        needed="",
        figures={
            "hits": 25,
            "n": 100,
            "limit": 0.05,
            "windows": 2,
            "in_a_row": 2,
            "hits_in_a_row": 50,
            "n_in_a_row": 200,
        },
    )


@pytest.mark.parametrize(
    ("history", "reason", "needed"),
    [
        pytest.param([], "there is no window yet", "a first window", id="nothing yet"),
        pytest.param([EMPTY], "no request came", "requests", id="nobody"),
        pytest.param([UNMEASURED], "not measured: the socket is gone", "a source that answers", id="unmeasured"),
        pytest.param([QUIET], "19 requests in the newest windows: too few", "20 requests in a stretch", id="quiet"),
        pytest.param([GOOD], "1 of 100 requests failed (1.0%; limit 5.0%)", "", id="good"),
        pytest.param(
            [GOOD, BAD],
            "25 of 100 requests failed (25.0%; limit 5.0%)",
            "2 more window(s) over the limit",
            id="bad once",
        ),
        pytest.param(
            [BY_CHANCE] * 3,
            "7 of 100 requests failed (7.0%; limit 5.0%), by chance perhaps",
            "more than 21 of 300, which chance may show of a version within the limit",
            id="slightly over the limit",
        ),
    ],
)
def test_what_is_open_says_what_would_decide_it(history: list[Window], reason: str, needed: str) -> None:
    judgement = ErrorRate(windows=3).judge(history)
    assert (judgement.reason, judgement.needed) == (reason, needed)


def test_figures_of_an_open_question_are_those_of_the_newest_window() -> None:
    assert ErrorRate().judge([QUIET]).figures == {"hits": 19, "n": 19, "limit": 0.05, "windows": 2}
    assert ErrorRate().judge([BAD, GOOD]).figures["in_a_row"] == 0
    assert ErrorRate().judge([GOOD, BAD]).figures["in_a_row"] == 1


@pytest.mark.requirement("C1")
def test_the_callers_own_faults_are_no_evidence() -> None:
    mostly_theirs = answered(120, 15, client_errors=100)
    assert ErrorRate(windows=1, min_requests=20).judge([mostly_theirs]).figures["n"] == 20
    assert ErrorRate(windows=1, min_requests=20).judge([mostly_theirs]).verdict == Verdict.BREACHED
    assert ErrorRate(windows=1).judge([answered(100, 0, client_errors=100)]).verdict == Verdict.NO_DATA


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=6), st.integers(1, 4))
def test_more_errors_never_clear_a_breach(tallies: list[tuple[int, int]], windows: int) -> None:
    history = [answered(max(pair), min(pair)) for pair in tallies]
    worse = [*history[:-1], answered(max(tallies[-1]), max(tallies[-1]))]
    trigger = ErrorRate(windows=windows)
    if trigger.judge(history).verdict == Verdict.BREACHED:
        assert trigger.judge(worse).verdict == Verdict.BREACHED


WINDOWS = st.lists(st.sampled_from([GOOD, BAD, BY_CHANCE, QUIET, TRICKLE, EMPTY, UNMEASURED]), min_size=1, max_size=8)


@given(WINDOWS, WINDOWS, st.integers(1, 4))
def test_what_stands_before_a_window_that_was_not_measured_does_not_count(
    older: list[Window], newer: list[Window], windows: int
) -> None:
    trigger = ErrorRate(windows=windows)
    assert trigger.judge([*older, UNMEASURED, *newer]) == trigger.judge([UNMEASURED, *newer])


@given(WINDOWS, st.integers(1, 4))
def test_a_breach_takes_as_many_windows_over_the_limit_as_were_asked_for(history: list[Window], windows: int) -> None:
    over = [item for item in history if any(item is one for one in (BAD, BY_CHANCE, QUIET, TRICKLE))]
    if ErrorRate(windows=windows).judge(history).verdict == Verdict.BREACHED:
        assert len(over) >= windows


@given(WINDOWS, st.integers(1, 4))
def test_so_many_bad_windows_in_a_row_are_a_breach_whatever_stood_before(older: list[Window], windows: int) -> None:
    assert ErrorRate(windows=windows).judge([*older, *[BAD] * windows]).verdict == Verdict.BREACHED


def looks(rate: float, per_second: int, seconds: int, seed: int) -> Iterator[list[Window]]:
    """What a watch has seen at each look, one a second, of a version that fails at a rate."""
    draw = random.Random(seed)
    seen: list[Window] = []
    for _ in range(seconds):
        errors = sum(draw.random() < rate for _ in range(per_second))
        seen = [*seen[-119:], answered(per_second, errors)]
        yield seen


@pytest.mark.requirement("C1", "D3")
@pytest.mark.parametrize("per_second", [5, 20, 50])
@pytest.mark.parametrize("rate", [0.01, 0.02, 0.03])
def test_a_healthy_version_that_fails_now_and_then_is_never_accused(rate: float, per_second: int) -> None:
    verdicts = {ErrorRate().judge(seen).verdict for seed in range(5) for seen in looks(rate, per_second, 600, seed)}
    assert Verdict.BREACHED not in verdicts


@pytest.mark.requirement("C1", "D1")
@pytest.mark.parametrize(
    ("rate", "per_second", "seconds"),
    [
        pytest.param(1.0, 20, 2, id="everything fails: two windows"),
        pytest.param(1.0, 2, 20, id="everything fails at two requests a second: two stretches of twenty"),
        pytest.param(0.4, 50, 3, id="four in ten: seconds"),
        pytest.param(0.2, 50, 10, id="one in five"),
        pytest.param(0.1, 100, 60, id="twice the limit: a minute"),
    ],
)
def test_a_version_that_fails_is_accused_in_time(rate: float, per_second: int, seconds: int) -> None:
    for seed in range(20):
        found = (ErrorRate().judge(seen).verdict is Verdict.BREACHED for seen in looks(rate, per_second, seconds, seed))
        assert any(found), f"seed {seed}"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param({"limit": -0.01}, f"limit -0.01. {RATIO}", id="a negative limit"),
        pytest.param({"limit": 1.0}, f"limit 1.0. {RATIO}", id="a limit that nothing exceeds"),
        pytest.param({"limit": float("nan")}, f"limit nan. {RATIO}", id="no number"),
        pytest.param({"windows": 0}, f"windows 0. {COUNT}", id="no window"),
        pytest.param({"min_requests": 0}, f"min_requests 0. {COUNT}", id="no evidence"),
    ],
)
def test_an_impossible_rule_is_refused(fields: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidError) as caught:
        ErrorRate(**fields)  # type: ignore[arg-type]
    assert str(caught.value) == f"trigger errors has {message}"


def test_the_smallest_possible_rule_is_allowed() -> None:
    trigger = ErrorRate(limit=0.0, windows=1, min_requests=1)
    assert trigger.judge([answered(1, 0)]).verdict == Verdict.CLEAR
    assert trigger.judge([answered(1, 1)]).verdict == Verdict.BREACHED


# ---------------------------------------------------------------------------------------------------------- latency

SLA = timedelta(milliseconds=80)


def took(*groups: tuple[float, int]) -> Window:
    """Requests by how long they took, in seconds."""
    latency = {log_bin(seconds): count for seconds, count in groups}
    return window(VersionCounts(requests=sum(latency.values()), latency=latency))


@pytest.mark.requirement("C2")
@pytest.mark.parametrize(
    ("newest", "verdict"),
    [
        pytest.param(took((0.05, 100)), Verdict.CLEAR, id="within the promise"),
        pytest.param(took((0.05, 98), (0.3, 2)), Verdict.CLEAR, id="slower than promised, not by five times"),
        pytest.param(took((0.05, 99), (1.0, 1)), Verdict.CLEAR, id="one in a hundred is what p99 lets pass"),
        pytest.param(took((0.05, 98), (1.0, 2)), Verdict.INCONCLUSIVE, id="two in a hundred, by chance perhaps"),
        pytest.param(took((0.05, 80), (1.0, 20)), Verdict.BREACHED, id="one in five"),
        pytest.param(took((0.05, 79), (1.0, 20)), Verdict.INCONCLUSIVE, id="ninety-nine requests are too few"),
        pytest.param(took(), Verdict.NO_DATA, id="nobody came"),
    ],
)
def test_latency_is_judged(newest: Window, verdict: Verdict) -> None:
    assert Latency(promised=SLA, windows=1).judge([newest]).verdict == verdict


def test_latency_is_judged_by_default_at_five_times_the_promise_in_two_windows_of_a_hundred() -> None:
    trigger = Latency(promised=SLA)
    assert trigger == Latency(promised=SLA, name="latency", factor=5.0, share=0.01, windows=2, min_requests=100)
    assert trigger.limit_seconds == pytest.approx(0.4)


@pytest.mark.requirement("C2")
def test_a_bin_counts_only_when_all_of_it_is_too_slow() -> None:
    at = Latency(promised=timedelta(seconds=1), factor=1.0, windows=1)
    assert at.judge([took((1.0, 100))]).verdict == Verdict.BREACHED
    within = Latency(promised=timedelta(seconds=1), factor=1.05, windows=1)
    assert within.judge([took((1.06, 100))]).verdict == Verdict.CLEAR


def test_a_slow_answer_is_named_with_the_limit_that_it_missed() -> None:
    judgement = Latency(promised=SLA, name="speed", windows=1).judge([took((0.05, 80), (1.0, 20))])
    assert judgement.reason == "20 of 100 requests took longer than 0.4 s (20.0%; limit 1.0%) in 1 window(s) in a row"
    assert (judgement.trigger, judgement.kind) == ("speed", TriggerKind.LATENCY)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param({"promised": timedelta(0)}, "promised 0:00:00. Give a duration above 0", id="no promise"),
        pytest.param({"promised": SLA, "factor": 0.0}, "factor 0.0. Give a factor above 0: 5x", id="no factor"),
        pytest.param(
            {"promised": SLA, "factor": float("nan")}, "factor nan. Give a factor above 0: 5x", id="no number"
        ),
        pytest.param({"promised": SLA, "share": 1.0}, f"limit 1.0. {RATIO}", id="a share that nothing exceeds"),
        pytest.param({"promised": SLA, "windows": 0}, f"windows 0. {COUNT}", id="no window"),
        pytest.param({"promised": SLA, "min_requests": 0}, f"min_requests 0. {COUNT}", id="no evidence"),
    ],
)
def test_an_impossible_latency_is_refused(fields: dict[str, timedelta], message: str) -> None:
    with pytest.raises(InvalidError) as caught:
        Latency(**fields)  # type: ignore[arg-type]
    assert str(caught.value) == f"trigger latency has {message}"


# --------------------------------------------------------------------------------------------------------- nonsense


def said(values: Sequence[float], nonsense: int = 0) -> Window:
    bins: dict[int, int] = {}
    for value in values:
        bins[log_bin(value)] = bins.get(log_bin(value), 0) + 1
    predictions = Sums(len(values), sum(values), sum(value * value for value in values))
    return window(VersionCounts(requests=len(values), predictions=predictions, prediction_bins=bins, nonsense=nonsense))


VARIED = [float(i % 7 + 1) for i in range(100)]


@pytest.mark.requirement("C10")
@pytest.mark.parametrize(
    ("newest", "verdict"),
    [
        pytest.param(said(VARIED), Verdict.CLEAR, id="varied outputs"),
        pytest.param(said(VARIED[:99], nonsense=1), Verdict.CLEAR, id="one in a hundred is not a number"),
        pytest.param(said(VARIED[:98], nonsense=2), Verdict.INCONCLUSIVE, id="two in a hundred, by chance perhaps"),
        pytest.param(said(VARIED[:80], nonsense=20), Verdict.BREACHED, id="one in five is not a number"),
        pytest.param(said([], nonsense=20), Verdict.BREACHED, id="nothing but nonsense"),
        pytest.param(said([5.0] * 20), Verdict.BREACHED, id="a constant"),
        pytest.param(said([0.0] * 20), Verdict.BREACHED, id="nothing but zero"),
        pytest.param(said([0.1] * 1000), Verdict.BREACHED, id="a constant whose sums are rounded"),
        pytest.param(said([5.0] * 19), Verdict.INCONCLUSIVE, id="nineteen equal outputs"),
        pytest.param(said([5.0] * 19 + [5.001]), Verdict.CLEAR, id="nearly a constant"),
        pytest.param(said([5.0] * 19 + [50.0]), Verdict.CLEAR, id="two values"),
        pytest.param(said([1 - 1e-9] * 10 + [1.0] * 10), Verdict.CLEAR, id="two values on either side of a bin's edge"),
        pytest.param(said([]), Verdict.NO_DATA, id="no output"),
    ],
)
def test_outputs_are_judged(newest: Window, verdict: Verdict) -> None:
    assert Nonsense(windows=1).judge([newest]).verdict == verdict


@pytest.mark.requirement("C10")
def test_one_answer_for_all_is_right_where_the_team_says_so() -> None:
    assert Nonsense(windows=1, constant=False).judge([said([5.0] * 20)]).verdict == Verdict.CLEAR


def test_a_single_output_is_no_constant() -> None:
    assert Nonsense(windows=1, min_requests=1).judge([said([5.0])]).verdict == Verdict.CLEAR
    assert Nonsense(windows=1, min_requests=1).judge([said([5.0] * 5)]).verdict == Verdict.BREACHED


def test_one_and_the_same_output_is_seen_at_a_trickle_too() -> None:
    assert Nonsense(windows=1).judge([said([5.0])] * 20).verdict == Verdict.BREACHED
    assert Nonsense(windows=1).judge([*[said([5.0])] * 19, said([50.0])]).verdict == Verdict.CLEAR


@pytest.mark.requirement("C10")
@pytest.mark.parametrize(
    ("low", "high", "hits"),
    [
        pytest.param(0.0, 100.0, 0, id="all inside"),
        pytest.param(2.5, 100.0, 2, id="two below"),
        pytest.param(0.0, 6.9, 3, id="three above"),
        pytest.param(2.5, 6.9, 5, id="below and above"),
        pytest.param(2.05, 100.0, 1, id="a bin that reaches into the range is inside"),
        pytest.param(1.125, 100.0, 0, id="a bin that reaches up to the range is inside"),
        pytest.param(0.0, 8.0, 0, id="the highest is still inside"),
        pytest.param(2.0, 100.0, 1, id="the lowest is still inside"),
    ],
)
def test_outputs_out_of_range_are_counted(low: float, high: float, hits: int) -> None:
    judgement = Nonsense(windows=1, low=low, high=high).judge([said([1.0, 2.0, 8.0, 8.0, 8.0, *[4.0] * 20])])
    assert judgement.figures["hits"] == hits


def test_nonsense_and_outputs_out_of_range_are_added() -> None:
    judgement = Nonsense(windows=1, high=3.0, name="sense").judge([said([1.0] * 15 + [9.0] * 5, nonsense=2)])
    assert judgement.reason == "7 of 22 requests got a senseless answer (31.8%; limit 1.0%) in 1 window(s) in a row"
    assert (judgement.trigger, judgement.kind) == ("sense", TriggerKind.NONSENSE)


def test_nonsense_is_judged_by_default_at_one_percent_in_two_windows_of_twenty() -> None:
    inf = float("inf")
    assert Nonsense() == Nonsense(
        name="nonsense", limit=0.01, low=-inf, high=inf, constant=True, windows=2, min_requests=20
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param({"low": 2.0, "high": 1.0}, "low 2.0 above high 1.0. Swap them", id="turned around"),
        pytest.param({"limit": 1.0}, f"limit 1.0. {RATIO}", id="a limit that nothing exceeds"),
        pytest.param({"windows": 0}, f"windows 0. {COUNT}", id="no window"),
        pytest.param({"min_requests": 0}, f"min_requests 0. {COUNT}", id="no evidence"),
    ],
)
def test_impossible_sense_is_refused(fields: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidError) as caught:
        Nonsense(**fields)  # type: ignore[arg-type]
    assert str(caught.value) == f"trigger nonsense has {message}"


def test_a_range_of_one_value_is_allowed() -> None:
    assert Nonsense(low=1.0, high=1.0).low == 1.0


# ----------------------------------------------------------------------------------------------------------- health

WELL = HealthCheck(at=NOON, healthy=True)
ILL = HealthCheck(at=NOON, healthy=False, detail="503")
UNASKED = HealthCheck(at=NOON, healthy=None, detail="no route to host")


@pytest.mark.requirement("C3")
@pytest.mark.parametrize(
    ("checks", "verdict"),
    [
        pytest.param([], Verdict.NO_DATA, id="never asked"),
        pytest.param([WELL], Verdict.CLEAR, id="well"),
        pytest.param([ILL, ILL, ILL, WELL], Verdict.CLEAR, id="well again"),
        pytest.param([WELL, ILL, ILL], Verdict.INCONCLUSIVE, id="two failures"),
        pytest.param([ILL, ILL], Verdict.INCONCLUSIVE, id="nothing but two failures"),
        pytest.param([ILL, UNASKED, ILL, ILL], Verdict.INCONCLUSIVE, id="a check that could not be made ends the row"),
        pytest.param([WELL, ILL, ILL, ILL], Verdict.BREACHED, id="three failures in a row"),
        pytest.param([ILL, ILL, ILL, ILL], Verdict.BREACHED, id="four failures in a row"),
        pytest.param([ILL, ILL, ILL, UNASKED], Verdict.MONITOR_ERROR, id="the newest could not be made"),
    ],
)
def test_health_is_judged(checks: list[HealthCheck], verdict: Verdict) -> None:
    assert Health(failures=3).judge(checks).verdict == verdict


@pytest.mark.parametrize(
    ("checks", "reason", "needed", "in_a_row"),
    [
        pytest.param([], "there is no check yet", "a first check", 0, id="never asked"),
        pytest.param([WELL], "the newest check passed", "", 0, id="well"),
        pytest.param([UNASKED], "not checked: no route to host", "a checker that works", 0, id="unasked"),
        pytest.param([WELL, ILL], "1 check(s) in a row failed: 503", "2 more failed check(s)", 1, id="ill"),
        pytest.param([ILL] * 4, "3 check(s) in a row failed: 503", "", 3, id="ill for good"),
    ],
)
def test_health_says_what_was_seen(checks: list[HealthCheck], reason: str, needed: str, in_a_row: int) -> None:
    judgement = Health().judge(checks)
    assert (judgement.reason, judgement.needed) == (reason, needed)
    assert judgement.figures == {"in_a_row": in_a_row, "limit": 3}
    assert (judgement.trigger, judgement.kind) == ("health", TriggerKind.HEALTH)


def test_health_needs_at_least_one_failure() -> None:
    with pytest.raises(InvalidError) as caught:
        Health(failures=0)
    assert str(caught.value) == f"trigger health has failures 0. {COUNT}"
    assert Health(failures=1).judge([ILL]).verdict == Verdict.BREACHED
