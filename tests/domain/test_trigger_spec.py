"""The triggers of a system file become the triggers that judge."""

from datetime import timedelta

import pytest

from knowngood.domain.system import Sla, TriggerKind, TriggerSpec
from knowngood.domain.trigger import (
    BusinessDrop,
    ErrorRate,
    Health,
    Latency,
    Nonsense,
    PredictionShift,
    Trigger,
    from_spec,
)
from knowngood_sdk.errors import InvalidError

PROMISED = Sla(latency_p99=timedelta(milliseconds=80))
SLA = timedelta(milliseconds=80)


@pytest.mark.requirement("C1", "C2", "C3", "C4", "C5", "C10")
@pytest.mark.parametrize(
    ("kind", "options", "trigger"),
    [
        pytest.param(TriggerKind.ERRORS, {}, ErrorRate(name="it"), id="errors by default"),
        pytest.param(
            TriggerKind.ERRORS,
            {"over": 0.1, "windows": 3, "min_requests": 50},
            ErrorRate(name="it", limit=0.1, windows=3, min_requests=50),
            id="errors",
        ),
        pytest.param(TriggerKind.LATENCY, {}, Latency(name="it", promised=SLA), id="latency by default"),
        pytest.param(
            TriggerKind.LATENCY,
            {"over": 3.0, "windows": 1, "min_requests": 10},
            Latency(name="it", promised=SLA, factor=3.0, windows=1, min_requests=10),
            id="latency",
        ),
        pytest.param(TriggerKind.HEALTH, {}, Health(name="it"), id="health by default"),
        pytest.param(TriggerKind.HEALTH, {"failures": 5}, Health(name="it", failures=5), id="health"),
        pytest.param(TriggerKind.NONSENSE, {}, Nonsense(name="it"), id="nonsense by default"),
        pytest.param(
            TriggerKind.NONSENSE,
            {"over": 0.02, "low": 0.0, "high": 9.0, "windows": 3, "min_requests": 5},
            Nonsense(name="it", limit=0.02, low=0.0, high=9.0, windows=3, min_requests=5),
            id="nonsense",
        ),
        pytest.param(
            TriggerKind.NONSENSE, {"constant": 0.0}, Nonsense(name="it", constant=False), id="one answer for all"
        ),
        pytest.param(
            TriggerKind.NONSENSE, {"constant": 1.0}, Nonsense(name="it", constant=True), id="no constant answer"
        ),
        pytest.param(TriggerKind.PREDICTION_MEAN, {}, PredictionShift(name="it"), id="shift by default"),
        pytest.param(
            TriggerKind.PREDICTION_MEAN,
            {"shift": 0.2, "min_requests": 40},
            PredictionShift(name="it", shift=0.2, min_requests=40),
            id="shift",
        ),
        pytest.param(TriggerKind.BUSINESS, {}, BusinessDrop(name="it"), id="drop by default"),
        pytest.param(
            TriggerKind.BUSINESS,
            {"drop": 0.2, "min_requests": 40},
            BusinessDrop(name="it", drop=0.2, min_requests=40),
            id="drop",
        ),
    ],
)
def test_a_declaration_becomes_its_trigger(kind: TriggerKind, options: dict[str, float], trigger: Trigger) -> None:
    built = from_spec(TriggerSpec(kind=kind, metric="it", options=options), PROMISED)
    assert built == trigger
    assert repr(built) == repr(trigger), "not even 1.0 for True"


def test_a_latency_needs_a_promise() -> None:
    with pytest.raises(InvalidError) as caught:
        from_spec(TriggerSpec(kind=TriggerKind.LATENCY, metric="slow"), Sla())
    assert str(caught.value) == (
        "trigger slow compares with a latency that was never promised. Declare sla: {latency_p99: 80ms}"
    )


def test_other_triggers_need_none() -> None:
    assert from_spec(TriggerSpec(kind=TriggerKind.ERRORS, metric="errors"), Sla()) == ErrorRate()


@pytest.mark.parametrize("kind", list(TriggerKind))
def test_an_unknown_option_is_refused_with_the_known_ones(kind: TriggerKind) -> None:
    with pytest.raises(InvalidError, match=r"trigger it has unknown options: mood, zeal\. It takes"):
        from_spec(TriggerSpec(kind=kind, metric="it", options={"zeal": 1, "mood": 2}), PROMISED)


def test_the_known_options_are_named_in_full() -> None:
    with pytest.raises(InvalidError) as caught:
        from_spec(TriggerSpec(kind=TriggerKind.ERRORS, metric="it", options={"zeal": 1}), PROMISED)
    assert str(caught.value) == "trigger it has unknown options: zeal. It takes over, windows, min_requests"


def test_an_option_out_of_range_is_refused() -> None:
    with pytest.raises(InvalidError, match="trigger errors has windows 0"):
        from_spec(TriggerSpec(kind=TriggerKind.ERRORS, metric="errors", options={"windows": 0}), PROMISED)
