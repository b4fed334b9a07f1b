"""A version is verified on a stated sample: by more than the absence of an alarm, and by no less than chance allows."""

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood.domain.system import Verify
from knowngood.domain.trigger import BusinessDrop, ErrorRate, Health, Latency, Nonsense, PredictionShift, Trigger
from knowngood.domain.verification import Outcome, verify
from knowngood.domain.window import Against, Control, Verdict, Window
from knowngood_sdk.model.counts import Paired, Sums, VersionCounts, log_bin

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SAMPLE = Verify(requests=100, within=timedelta(minutes=5))
ERRORS: Sequence[Trigger] = (ErrorRate(),)


def since(requests: int, errors: int = 0, *, error: str = "", **counts: Any) -> Window:
    found = VersionCounts(requests=requests, errors=errors, **counts)
    return Window(version="v1", started_at=NOON, length_seconds=60, counts=found, error=error)


@pytest.mark.requirement("E5", "L2m")
@pytest.mark.parametrize(
    ("window", "outcome", "reason"),
    [
        pytest.param(since(0), Outcome.WAITING, "no request came (0 of 100)", id="nobody came"),
        pytest.param(since(1), Outcome.WAITING, "only 1 request came (1 of 100)", id="one came"),
        pytest.param(since(99), Outcome.WAITING, "only 99 requests came (99 of 100)", id="one short of the sample"),
        pytest.param(since(100), Outcome.VERIFIED, "100 requests, every metric at its baseline", id="the sample"),
        pytest.param(since(100, 5), Outcome.VERIFIED, "100 requests, every metric at its baseline", id="at the limit"),
        pytest.param(since(100, 6), Outcome.WAITING, "errors not yet back at the baseline", id="over it, by chance"),
        pytest.param(since(20, 2), Outcome.WAITING, "only 20 requests came (20 of 100)", id="two in twenty, by chance"),
        pytest.param(since(100, 25), Outcome.FAILED, "errors breached", id="over it beyond chance"),
        pytest.param(since(20, 20), Outcome.FAILED, "errors breached", id="beyond chance before the sample is there"),
        pytest.param(since(19, 19), Outcome.WAITING, "only 19 requests came (19 of 100)", id="too few for the trigger"),
        pytest.param(since(500, error="no route"), Outcome.WAITING, "not measured: no route", id="not measured"),
    ],
)
def test_a_sample_is_judged(window: Window, outcome: Outcome, reason: str) -> None:
    found = verify(window, None, ERRORS, SAMPLE)
    assert (found.outcome, found.reason) == (outcome, reason)


def test_what_was_not_measured_has_no_sample_and_no_judgement() -> None:
    found = verify(since(500, 500, error="no route"), None, ERRORS, SAMPLE)
    assert (found.requests, found.judgements) == (0, ())


def test_latency_and_outputs_are_held_to_their_limits_too() -> None:
    slow = since(100, latency={log_bin(2.0): 100})
    nonsense = since(100, nonsense=100)
    assert verify(slow, None, [Latency(promised=timedelta(milliseconds=80))], SAMPLE).outcome is Outcome.FAILED
    assert verify(nonsense, None, [Nonsense()], SAMPLE).outcome is Outcome.FAILED


def test_health_is_the_watchs_affair_and_a_metric_without_control_is_not_asked() -> None:
    found = verify(since(100), None, [Health(), PredictionShift(), BusinessDrop(name="bookings")], SAMPLE)
    assert (found.outcome, found.judgements) == (Outcome.VERIFIED, ())


def rides(n: int, booked: int) -> VersionCounts:
    return VersionCounts(requests=n, outcomes={"bookings": Sums(n, booked, booked)})


@pytest.mark.parametrize(
    ("booked", "outcome"),
    [
        pytest.param(500, Outcome.VERIFIED, id="as before"),
        pytest.param(460, Outcome.VERIFIED, id="a little less, within the limit as measured"),
        pytest.param(440, Outcome.WAITING, id="beyond the limit as measured, and not proven"),
        pytest.param(100, Outcome.FAILED, id="fallen"),
    ],
)
def test_a_business_metric_is_back_when_it_is_within_its_limit_as_measured(booked: int, outcome: Outcome) -> None:
    control = Control(
        window=Window(version="v1", started_at=NOON, length_seconds=60, counts=rides(1_000, 500)),
        against=Against.EARLIER,
    )
    window = Window(version="v1", started_at=NOON, length_seconds=60, counts=rides(1_000, booked))
    found = verify(window, control, [BusinessDrop(name="bookings", drop=0.1)], SAMPLE)
    assert found.outcome is outcome


@pytest.mark.parametrize(("change", "outcome"), [(0.0, Outcome.VERIFIED), (0.4, Outcome.FAILED)])
def test_outputs_are_compared_on_the_same_requests_alone(change: float, outcome: Outcome) -> None:
    n = 200
    known, other = [100.0 + i % 7 for i in range(n)], [(100.0 + i % 7) * (1 + change) for i in range(n)]
    pairs = Paired(
        reference=_sums(known),
        other=_sums(other),
        relative=_sums([change + (i % 3 - 1) * 0.01 for i in range(n)]),
        absolute=_sums([abs(change)] * n),
    )
    shadow = Control(
        window=Window(version="v0", started_at=NOON, length_seconds=60, counts=VersionCounts(shadow={"v1": pairs})),
        against=Against.SAME_REQUESTS,
    )
    assert verify(since(n), None, [PredictionShift()], SAMPLE, shadow=shadow).outcome is outcome
    assert verify(since(n), shadow, [PredictionShift()], SAMPLE).outcome is Outcome.VERIFIED


def _sums(values: Sequence[float]) -> Sums:
    return Sums(len(values), sum(values), sum(value * value for value in values))


def polls(rate: float, step: int, seed: int) -> Iterator[Window]:
    """What a saga sees at each look after a rollback onto a version that fails at a rate."""
    draw, requests, errors = random.Random(seed), 0, 0
    while requests < 500:
        requests += step
        errors += sum(draw.random() < rate for _ in range(step))
        yield since(requests, errors)


@pytest.mark.requirement("E5")
@pytest.mark.parametrize("step", [5, 20])
@pytest.mark.parametrize("rate", [0.01, 0.02, 0.03])
def test_a_healthy_version_is_never_failed_however_often_one_looks(rate: float, step: int) -> None:
    for seed in range(100):
        outcomes = [verify(window, None, ERRORS, SAMPLE).outcome for window in polls(rate, step, seed)]
        assert Outcome.FAILED not in outcomes, f"seed {seed}"


@pytest.mark.requirement("E5")
def test_a_version_that_fails_everything_is_failed_at_the_first_twenty_requests() -> None:
    first = next(window for window in polls(1.0, 20, seed=1))
    assert verify(first, None, ERRORS, SAMPLE).outcome is Outcome.FAILED


@given(st.integers(0, 400), st.integers(0, 400))
def test_more_errors_never_make_a_sample_better(requests: int, errors: int) -> None:
    order = [Outcome.VERIFIED, Outcome.WAITING, Outcome.FAILED]
    errors = min(errors, requests)
    better = verify(since(requests, errors), None, ERRORS, SAMPLE).outcome
    worse = verify(since(requests, min(errors + 1, requests)), None, ERRORS, SAMPLE).outcome
    assert order.index(better) <= order.index(worse)


def test_a_verification_says_what_it_rests_on() -> None:
    found = verify(since(100, 25), None, ERRORS, SAMPLE)
    assert found.to_json() == {
        "outcome": "failed",
        "requests": 100,
        "reason": "errors breached",
        "judgements": [found.judgements[0].to_json()],
    }
    assert found.judgements[0].verdict is Verdict.BREACHED
