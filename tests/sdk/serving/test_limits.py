"""A version is sick beyond doubt on evidence, and a worker acts only where it was granted."""

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood_sdk.errors import InvalidError
from knowngood_sdk.serving.event import Kind
from knowngood_sdk.serving.limits import LocalLimits
from knowngood_sdk.serving.recent import Bounds, Recent
from knowngood_sdk.serving.trials import FALSE_ALARMS, Trials

GRANTED = frozenset({"errors", "latency", "nonsense"})
OK, ERROR = Kind.OK, Kind.ERROR


def after(*endings: tuple[int, int], limits: LocalLimits | None = None, elapsed_ms: float = 1.0) -> Recent:
    """What was seen after (how many, of which kind) requests in a row."""
    recent = Recent((limits or LocalLimits(slow_seconds=0.4)).bounds)
    for count, kind in endings:
        for _ in range(count):
            recent.request(kind, elapsed_ms * 1e6)
    return recent


@pytest.mark.requirement("C1")
@pytest.mark.parametrize(
    ("endings", "said"),
    [
        pytest.param([], None, id="nothing yet"),
        pytest.param([(9, ERROR)], None, id="nine in a row"),
        pytest.param([(10, ERROR)], "10 of 10", id="ten in a row"),
        pytest.param([(500, OK), (10, ERROR)], "10 of 10", id="ten in a row after many that went well"),
        pytest.param([(9, ERROR), (1, OK), (9, ERROR)], None, id="nineteen requests are no evidence for a share"),
        pytest.param([(9, ERROR), (2, OK), (9, ERROR)], "18 of 20", id="twenty, most of them failed"),
        pytest.param([(18, OK), (2, ERROR)], None, id="two in twenty, which a healthy version shows every few seconds"),
        pytest.param([(90, OK), (6, ERROR)], None, id="six, which a healthy version shows every few hours"),
        pytest.param([(4, OK), (1, ERROR)] * 20, None, id="a fifth of a hundred"),
        pytest.param([(4, OK), (1, ERROR)] * 40, "40 of", id="a fifth of two hundred"),
        pytest.param([(19, OK), (1, ERROR)] * 500, None, id="at the limit, for ever so long"),
        pytest.param([(100, OK), (9, Kind.SHARED), (9, Kind.SHARED)], None, id="the standby fails on the same"),
        pytest.param([(100, OK), (50, Kind.CLIENT_ERROR)], None, id="the callers' fault"),
        pytest.param([(5, ERROR), (5, Kind.CLIENT_ERROR), (5, ERROR)], "10 of 10", id="callers break no row"),
        pytest.param([(10, Kind.RESCUED)], "10 of 10", id="made good by the standby, and still a failure"),
    ],
)
def test_errors(endings: list[tuple[int, int]], said: str | None) -> None:
    breaches = LocalLimits().judge(after(*endings))
    if said is None:
        assert breaches == ()
    else:
        assert [breach.trigger for breach in breaches] == ["errors"]
        assert breaches[0].why.startswith(said)
        assert breaches[0].why.endswith("requests failed, 0.05 are allowed")


@pytest.mark.parametrize(("limit", "row"), [(0.05, 10), (0.11, 10), (0.2, 14), (0.5, 32)])
def test_failures_in_a_row_are_enough_only_where_chance_does_not_explain_them(limit: float, row: int) -> None:
    limits = LocalLimits(errors=limit, evidence=1_000)
    assert limits.judge(after((row - 1, ERROR), limits=limits)) == ()
    assert limits.judge(after((row, ERROR), limits=limits)) != ()


def test_a_limit_of_everything_is_never_passed() -> None:
    limits = LocalLimits(errors=1.0)
    assert limits.judge(after((1_000, ERROR), limits=limits)) == ()


@pytest.mark.parametrize("good", [10, 200])
def test_an_outage_that_is_over_is_soon_beyond_suspicion(good: int) -> None:
    recent = after((1_000, ERROR), (good, OK))
    assert LocalLimits().judge(recent) == ()
    for _ in range(3):
        recent.request(ERROR, 1e6)
    assert bool(LocalLimits().judge(recent)) == (good < 100)


def test_what_was_forgotten_is_no_evidence() -> None:
    recent = after((9, ERROR), elapsed_ms=500)
    recent.clear()
    recent.request(ERROR, 5e8)
    assert LocalLimits(slow_seconds=0.4).judge(recent) == ()


@pytest.mark.requirement("C2")
def test_latency_over_what_was_promised() -> None:
    limits = LocalLimits(slow_seconds=0.4)
    assert limits.judge(after((30, OK), elapsed_ms=399)) == ()
    assert limits.judge(after((19, OK), elapsed_ms=401)) == ()
    (breach,) = limits.judge(after((30, OK), elapsed_ms=401))
    assert (breach.trigger, breach.why) == ("latency", "30 of 30 requests took over 0.4 s, 0.05 are allowed")


@pytest.mark.requirement("C10")
def test_nonsense_outputs() -> None:
    recent = Recent(Bounds())
    for number in range(100):
        recent.output(nonsense=number >= 80)
        assert bool(LocalLimits().judge(recent)) == (number == 99)
    (breach,) = LocalLimits().judge(recent)
    assert (breach.trigger, breach.why) == ("nonsense", "20 of 20 outputs made no sense, 0.05 are allowed")


@pytest.mark.requirement("C1", "C2", "C10")
def test_every_limit_that_is_passed_is_told_so_that_none_hides_another() -> None:
    limits = LocalLimits(slow_seconds=0.4)
    recent = after((30, ERROR), elapsed_ms=401)
    for _ in range(30):
        recent.output(nonsense=True)
    assert [breach.trigger for breach in limits.judge(recent)] == ["errors", "latency", "nonsense"]


class TestChance:
    """A worker of so many requests a second, judged after each failure."""

    @pytest.mark.requirement("J5")
    @pytest.mark.parametrize("per_second", [20, 50, 100])
    @pytest.mark.parametrize("share", [0.01, 0.02, 0.03])
    def test_a_healthy_version_is_not_left_within_an_hour(self, share: float, per_second: int) -> None:
        """The bound is a chance of n * FALSE_ALARMS, 1 in 2,700 for an hour of 100 a second at the very limit."""
        requests = 3_600 * per_second
        assert requests * FALSE_ALARMS < 0.0004
        draw = random.Random(f"{share} {per_second}")
        assert left_after(share, draw, most=requests) is None

    @pytest.mark.parametrize("limit", [0.01, 0.05, 0.2, 0.5])
    def test_no_share_within_the_limit_gains_evidence_on_average(self, limit: float) -> None:
        """One step of a likelihood ratio, of which the sums are made: a supermartingale, whatever came before."""
        for one in Trials(limit)._sums:
            for share in (0.0, limit / 2, limit):
                assert share * math.exp(one.if_bad) + (1 - share) * math.exp(one.if_good) <= 1 + 1e-12

    @pytest.mark.parametrize(("share", "requests"), [(1.0, 10), (0.5, 100), (0.2, 400)])
    def test_a_sick_one_is_left_soon(self, share: float, requests: int) -> None:
        """At 1,000 requests a second: 10 ms, 0.1 s and 0.4 s; at 20 a second, 0.5 s, 5 s and 20 s."""
        took = [left_after(share, random.Random(seed), most=10_000) for seed in range(300)]
        assert max(one or 10_000 for one in took) <= requests

    @given(st.lists(st.booleans(), max_size=200), st.integers(0, 200))
    def test_it_does_not_matter_when_one_looks(self, bad: list[bool], at: int) -> None:
        patient, curious = Recent(Bounds()), Recent(Bounds())
        for place, failed in enumerate(bad):
            for recent in (patient, curious):
                recent.request(ERROR if failed else OK, None)
            if place % (at + 1) == 0:
                LocalLimits().judge(curious)
        assert LocalLimits().judge(patient) == LocalLimits().judge(curious)


def left_after(share: float, draw: random.Random, *, most: int) -> int | None:
    """Requests until a version that fails this share is left, or None when it was not within so many."""
    limits, recent = LocalLimits(), Recent(Bounds())
    for number in range(1, most + 1):
        failed = draw.random() < share
        recent.request(ERROR if failed else OK, None)
        if failed and limits.judge(recent):
            return number
    return None


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
        ({"triggers": {"errors": {"over": 0}}}, "triggers.errors.over"),
        ({"triggers": {"errors": {"over": float("nan")}}}, "triggers.errors.over"),
        ({"triggers": {"errors": {"min_requests": float("inf")}}}, "triggers.errors.min_requests"),
        ({"triggers": {"nonsense": {"over": 10**400}}}, "triggers.nonsense.over"),
        ({"sla": {"latency_p99": 80}}, "sla.latency_p99"),
        ({"sla": {"latency_p99": "soon"}}, "sla.latency_p99"),
    ],
)
def test_an_edited_file_is_refused_by_the_name_of_the_key(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidError, match=named):
        LocalLimits().declared(settings)
