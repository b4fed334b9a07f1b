"""A version is sick beyond doubt on evidence, and a worker acts only where it was granted."""

from typing import Any

import pytest

from knowngood_sdk.errors import InvalidError
from knowngood_sdk.serving.event import Kind
from knowngood_sdk.serving.limits import LocalLimits
from knowngood_sdk.serving.recent import Recent

MS = 1_000_000
START = 10**12
GRANTED = frozenset({"errors", "latency", "nonsense"})


def after(*endings: tuple[int, int], every_ms: float = 1.0, elapsed_ms: float = 1.0) -> tuple[Recent, int]:
    """What was seen after (how many, of which kind) requests in a row, and the instant of the last."""
    recent = Recent()
    recent.slow_ns = LocalLimits(slow_seconds=0.4).slow_ns
    now = START
    for count, kind in endings:
        for _ in range(count):
            now += int(every_ms * MS)
            recent.request(now, kind, elapsed_ms * MS)
    return recent, now


OK, ERROR = Kind.OK, Kind.ERROR


@pytest.mark.requirement("C1")
@pytest.mark.parametrize(
    ("endings", "trigger"),
    [
        pytest.param([], None, id="nothing yet"),
        pytest.param([(9, ERROR)], None, id="nine in a row"),
        pytest.param([(10, ERROR)], "errors", id="ten in a row"),
        pytest.param([(9, ERROR), (1, OK), (9, ERROR)], None, id="nineteen requests are no evidence for a share"),
        pytest.param([(9, ERROR), (2, OK), (9, ERROR)], "errors", id="twenty, most of them failed, within 200 ms"),
        pytest.param([(95, OK), (5, ERROR)], None, id="at the limit of a second"),
        pytest.param([(94, OK), (6, ERROR)], "errors", id="over the limit of a second"),
        pytest.param([(100, OK), (9, Kind.SHARED), (9, Kind.SHARED)], None, id="the standby fails on the same"),
        pytest.param([(100, OK), (50, Kind.CLIENT_ERROR)], None, id="the callers' fault"),
        pytest.param([(5, ERROR), (5, Kind.CLIENT_ERROR), (5, ERROR)], "errors", id="callers break no row"),
        pytest.param([(10, Kind.RESCUED)], "errors", id="made good by the standby, and still a failure"),
    ],
)
def test_errors(endings: list[tuple[int, int]], trigger: str | None) -> None:
    breach = LocalLimits().judge(*after(*endings))
    assert (breach.trigger if breach else None) == trigger


def test_failures_more_than_a_second_ago_are_forgotten() -> None:
    recent, now = after((6, ERROR), (94, OK))
    assert LocalLimits().judge(recent, now) is not None
    for step in range(1, 30):
        recent.request(now + step * 50 * MS, OK, 1.0)
    assert LocalLimits().judge(recent, now + 1_500 * MS) is None


@pytest.mark.requirement("C2")
def test_latency_over_what_was_promised() -> None:
    limits = LocalLimits(slow_seconds=0.4)
    assert limits.judge(*after((30, OK), elapsed_ms=399)) is None
    breach = limits.judge(*after((30, OK), elapsed_ms=401))
    assert breach is not None
    assert (breach.trigger, breach.why) == ("latency", "30 of 30 requests took over 0.4 s")


@pytest.mark.requirement("C10")
def test_nonsense_outputs() -> None:
    recent = Recent()
    for number in range(100):
        recent.output(START + number * MS, nonsense=number >= 94)
    breach = LocalLimits().judge(recent, START + 100 * MS)
    assert breach is not None
    assert (breach.trigger, breach.why) == ("nonsense", "6 of 100 outputs made no sense")


@pytest.mark.requirement("J5")
@pytest.mark.parametrize(
    ("settings", "limits"),
    [
        pytest.param({}, LocalLimits(), id="nothing declared: nothing granted"),
        pytest.param({"triggers": {"errors": {"do": "observe"}}}, LocalLimits(), id="observe"),
        pytest.param(
            {"triggers": {"errors": {"over": 0.1, "min_requests": 50, "do": "rollback"}}},
            LocalLimits(errors=0.1, evidence=50, granted=frozenset({"errors"})),
            id="errors",
        ),
        pytest.param(
            {"sla": {"latency_p99": "80ms"}, "triggers": {"latency": {"over": 3, "do": "rollback"}}},
            LocalLimits(slow_seconds=0.24, granted=frozenset({"latency"})),
            id="latency",
        ),
        pytest.param({"sla": {"latency_p99": "2 s"}}, LocalLimits(slow_seconds=10.0), id="five times, unless declared"),
        pytest.param(
            {"triggers": {"nonsense": {"over": 0.5, "do": "hold"}}}, LocalLimits(nonsense=0.5), id="hold is no rollback"
        ),
        pytest.param({"triggers": {"bookings": {"drop": 0.1, "do": "rollback"}}}, LocalLimits(), id="not immediate"),
    ],
)
def test_the_applied_system_file(settings: dict[str, Any], limits: LocalLimits) -> None:
    assert LocalLimits().declared(settings) == limits


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"triggers": []}, "triggers"),
        ({"triggers": {"errors": 1}}, "triggers.errors"),
        ({"triggers": {"errors": {"over": "5%"}}}, "triggers.errors.over"),
        ({"triggers": {"errors": {"over": True}}}, "triggers.errors.over"),
        ({"sla": {"latency_p99": 80}}, "sla.latency_p99"),
        ({"sla": {"latency_p99": "soon"}}, "sla.latency_p99"),
    ],
)
def test_an_edited_file_is_refused_by_the_name_of_the_key(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidError, match=named):
        LocalLimits().declared(settings)
