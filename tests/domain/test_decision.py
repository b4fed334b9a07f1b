"""A decision rolls back what is wrong, investigates what is in doubt, stays with what was meant; grants let it act."""

import itertools
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood.domain.confidence import Interval
from knowngood.domain.decision import FAST, Circumstances, Decision, Outcome, decide
from knowngood.domain.evidence import Grade
from knowngood.domain.level import Level, diff
from knowngood.domain.plan import Alternative, Choice, Plan
from knowngood.domain.system import Grant, TriggerKind
from knowngood.domain.window import Against, Judgement, Verdict
from knowngood_sdk.model.canonical import digest_of
from knowngood_sdk.model.manifest import Component, Intent, Manifest, Ref, Role


def manifest(version: str, *, shared_by: tuple[str, ...] = ()) -> Manifest:
    components = {
        role.value: Component(
            role=role, kind="files", ref=Ref(digest=digest_of([role.value, version])), shared_by=shared_by
        )
        for role in (Role.MODEL, Role.FEATURES)
    }
    return Manifest(system="pricing", components=components)


LIVE, BEFORE = manifest("2"), manifest("1")
SHARED_LIVE, SHARED_BEFORE = manifest("2", shared_by=("eta",)), manifest("1", shared_by=("eta",))


def way(live: Manifest, target: Manifest, issues: tuple[str, ...] = ()) -> Alternative:
    return Alternative(
        scope="system",
        target=target,
        changes=diff(live, target),
        choice=Choice.PREFERRED,
        reason="it was recorded as a whole",
        proven=True,
        grade=Grade.KNOWN_GOOD,
        ready=True,
        known_issues=issues,
    )


def plan_of(chosen: Alternative | None, stop_first: Alternative | None = None, options: tuple[str, ...] = ()) -> Plan:
    return Plan(live=LIVE.content_digest, chosen=chosen, alternatives=(), stop_first=stop_first, options=options)


LEVEL_TWO = plan_of(way(LIVE, BEFORE))
LEVEL_THREE = plan_of(way(SHARED_LIVE, SHARED_BEFORE))
UNSAFE = plan_of(None, options=("deploy a fix",))


def errors(verdict: Verdict, needed: str = "", name: str = "errors") -> Judgement:
    return Judgement(
        verdict=verdict,
        trigger=name,
        kind=TriggerKind.ERRORS,
        reason="12 of 100 requests failed",
        needed=needed,
        figures={"hits": 12, "n": 100, "limit": 0.05},
    )


def moved(
    verdict: Verdict,
    change: tuple[float, float],
    *,
    against: Against = Against.SAME_REQUESTS,
    limit: float = 0.15,
    name: str = "prediction_mean",
) -> Judgement:
    interval = Interval(*change)
    return Judgement(
        verdict=verdict,
        trigger=name,
        kind=TriggerKind.PREDICTION_MEAN,
        reason="it moved",
        figures={"limit": limit, "mean": math.nan},
        change=interval,
        harm=interval.magnitude(),
        against=against,
    )


def dropped(harm: tuple[float, float], against: Against, verdict: Verdict = Verdict.BREACHED) -> Judgement:
    interval = Interval(*harm)
    return Judgement(
        verdict=verdict,
        trigger="bookings",
        kind=TriggerKind.BUSINESS,
        reason="fewer",
        figures={"limit": 0.1},
        change=interval.mirrored(),
        harm=interval,
        against=against,
    )


def given_all(plan: Plan = LEVEL_TWO, grant: Grant = Grant.ROLLBACK, **others: object) -> Circumstances:
    grants = dict.fromkeys(("errors", "prediction_mean", "bookings", "nonsense"), grant)
    return Circumstances(plan=plan, grants=grants, **others)  # type: ignore[arg-type]


BREACH = errors(Verdict.BREACHED)


# --------------------------------------------------------------------------------------------------------- roll back


@pytest.mark.requirement("D1")
@pytest.mark.parametrize(
    "judgement",
    [
        pytest.param(BREACH, id="requests fail"),
        pytest.param(moved(Verdict.BREACHED, (0.3, 0.4)), id="outputs moved on the same requests"),
        pytest.param(moved(Verdict.BREACHED, (0.16, 0.2), against=Against.SAME_TIME), id="outputs of one arm moved"),
        pytest.param(dropped((0.11, 0.3), Against.SAME_TIME), id="business fell in one arm"),
        pytest.param(dropped((0.21, 0.3), Against.EARLIER), id="business falls faster than any season"),
    ],
)
def test_what_is_obviously_wrong_is_rolled_back_at_once(judgement: Judgement) -> None:
    decision = decide([judgement], given_all())
    assert decision.outcome == Outcome.ROLL_BACK
    assert decision.acts
    assert not decision.waits
    assert decision.trigger == judgement.trigger
    assert (decision.level, decision.target) == (Level.SYSTEM, BEFORE.content_digest)
    assert decision.reasons == (
        f"{judgement.trigger}: {judgement.reason}",
        f"{judgement.trigger} may take level 2",
    )
    assert decision.would_change == (f"{judgement.trigger} back within its limit, or declared as intended",)


@pytest.mark.requirement("J5")
@pytest.mark.parametrize(
    ("grant", "acts", "waits"),
    [(Grant.OBSERVE, False, False), (Grant.HOLD, False, True), (Grant.ROLLBACK, True, False)],
)
def test_what_is_done_about_a_decision_is_the_owners_grant(grant: Grant, *, acts: bool, waits: bool) -> None:
    decision = decide([BREACH], given_all(grant=grant))
    assert decision.outcome == Outcome.ROLL_BACK
    assert (decision.acts, decision.waits, decision.grant) == (acts, waits, grant)
    if not acts:
        assert decision.reasons[-1] == (
            f"errors may not take level 2: a person, for this trigger was granted no more than to {grant.value}"
        )


def test_a_trigger_without_a_grant_observes() -> None:
    decision = decide([BREACH], Circumstances(plan=LEVEL_TWO))
    assert (decision.grant, decision.acts, decision.waits) == (Grant.OBSERVE, False, False)


@pytest.mark.requirement("J5")
def test_automation_never_takes_level_three() -> None:
    decision = decide([BREACH], given_all(LEVEL_THREE))
    assert decision.outcome == Outcome.ROLL_BACK
    assert (decision.level, decision.acts, decision.waits) == (Level.FEATURES, False, True)


@pytest.mark.requirement("G4", "J5")
def test_automation_takes_the_shallow_step_that_stops_the_harm_of_a_deep_plan() -> None:
    plan = plan_of(way(SHARED_LIVE, SHARED_BEFORE), stop_first=way(LIVE, BEFORE))
    decision = decide([BREACH], given_all(plan))
    assert (decision.level, decision.target, decision.acts) == (Level.SYSTEM, BEFORE.content_digest, True)


@pytest.mark.parametrize("names", list(itertools.permutations(["errors", "nonsense", "latency"])))
def test_of_several_breaches_the_one_that_may_do_most_decides(names: tuple[str, ...]) -> None:
    grants = {"errors": Grant.OBSERVE, "nonsense": Grant.ROLLBACK, "latency": Grant.HOLD}
    judgements = [errors(Verdict.BREACHED, name=name) for name in names]
    decision = decide(judgements, Circumstances(plan=LEVEL_TWO, grants=grants))
    assert (decision.trigger, decision.acts) == ("nonsense", True)
    others = [f"{name}: 12 of 100 requests failed" for name in names if name != "nonsense"]
    assert decision.reasons == ("nonsense: 12 of 100 requests failed", *others, "nonsense may take level 2")
    held = decide(
        [item for item in judgements if item.trigger != "nonsense"], Circumstances(plan=LEVEL_TWO, grants=grants)
    )
    assert held.trigger == "latency"


def test_a_breach_that_rolls_back_goes_before_one_that_asks_for_a_look() -> None:
    season = dropped((0.11, 0.2), Against.EARLIER)
    decision = decide([season, BREACH], given_all())
    assert (decision.outcome, decision.trigger) == (Outcome.ROLL_BACK, "errors")


def test_what_failed_beside_a_breach_does_not_stop_it() -> None:
    blind = errors(Verdict.MONITOR_ERROR, name="latency")
    assert decide([blind, BREACH], given_all()).outcome == Outcome.ROLL_BACK


# ------------------------------------------------------------------------------------------------------- investigate


@pytest.mark.requirement("D2")
def test_a_drop_since_earlier_may_be_the_season() -> None:
    decision = decide([dropped((0.11, 0.3), Against.EARLIER)], given_all())
    assert decision.outcome == Outcome.INVESTIGATE
    assert decision.reasons == ("bookings: fewer; season or market may explain it",)
    assert decision.would_change == ("a comparison at the same time, or a harm of 2 times the limit",)
    assert (decision.acts, decision.waits) == (False, True)
    assert (decision.level, decision.target) == (Level.SYSTEM, BEFORE.content_digest)


@pytest.mark.parametrize(
    ("lower", "outcome"),
    [
        pytest.param(0.2, Outcome.INVESTIGATE, id="at twice the limit"),
        pytest.param(0.2001, Outcome.ROLL_BACK, id="beyond"),
    ],
)
def test_falling_fast_is_twice_the_limit(lower: float, outcome: Outcome) -> None:
    assert FAST == 2
    assert decide([dropped((lower, 0.5), Against.EARLIER)], given_all()).outcome == outcome


@pytest.mark.requirement("D2")
@pytest.mark.parametrize(
    ("drop", "outputs", "outcome"),
    [
        pytest.param(
            dropped((0.4, 0.5), Against.EARLIER), moved(Verdict.CLEAR, (0.0, 0.01)), Outcome.INVESTIGATE, id="the same"
        ),
        pytest.param(
            dropped((0.4, 0.5), Against.EARLIER),
            moved(Verdict.INCONCLUSIVE, (0.0, 0.3)),
            Outcome.ROLL_BACK,
            id="not known to be the same",
        ),
        pytest.param(
            dropped((0.4, 0.5), Against.EARLIER),
            moved(Verdict.CLEAR, (0.0, 0.01), against=Against.SAME_TIME),
            Outcome.ROLL_BACK,
            id="the same on other requests",
        ),
        pytest.param(
            dropped((0.4, 0.5), Against.SAME_TIME),
            moved(Verdict.CLEAR, (0.0, 0.01)),
            Outcome.ROLL_BACK,
            id="the same, and business fell in one arm alone",
        ),
    ],
)
def test_business_that_fell_since_earlier_while_outputs_stayed_the_same_may_have_another_cause(
    drop: Judgement, outputs: Judgement, outcome: Outcome
) -> None:
    decision = decide([drop, outputs], given_all())
    assert decision.outcome == outcome
    if outcome is Outcome.INVESTIGATE:
        assert len(decision.reasons) == 1
        assert decision.reasons[0] == (
            "bookings: fewer; on the same requests its outputs are the known version's, "
            "so something else may have moved"
        )
        assert decision.would_change == (
            "a comparison at the same time (a canary), or outputs that differ on the same requests",
        )


@pytest.mark.requirement("D2")
def test_what_the_known_version_shares_is_not_the_deployments_fault() -> None:
    decision = decide([BREACH], given_all(control=[errors(Verdict.BREACHED)]))
    assert decision.outcome == Outcome.INVESTIGATE
    assert decision.reasons == ("errors: 12 of 100 requests failed; the known version does the same",)
    assert decision.would_change == ("the known version recovering",)


@pytest.mark.parametrize(
    "control",
    [
        pytest.param(errors(Verdict.CLEAR), id="it is well"),
        pytest.param(errors(Verdict.INCONCLUSIVE), id="it is not decided"),
        pytest.param(errors(Verdict.BREACHED, name="nonsense"), id="it fails otherwise"),
    ],
)
def test_the_known_version_excuses_only_the_same_breach(control: Judgement) -> None:
    assert decide([BREACH], given_all(control=[control])).outcome == Outcome.ROLL_BACK


@pytest.mark.requirement("D2")
def test_a_target_with_known_issues_needs_a_person() -> None:
    plan = plan_of(way(LIVE, BEFORE, issues=("leaks", "slow")))
    decision = decide([BREACH], given_all(plan))
    assert decision.outcome == Outcome.INVESTIGATE
    assert not decision.acts
    assert decision.reasons == (
        "errors: 12 of 100 requests failed",
        "the target has known issues: leaks; slow",
    )
    assert decision.would_change == (
        "errors back within its limit, or declared as intended",
        "a target without known issues, or a person who prefers them",
    )


@pytest.mark.requirement("D2")
def test_without_a_safe_target_a_person_hears_what_they_could_do() -> None:
    decision = decide([BREACH], given_all(UNSAFE))
    assert decision.outcome == Outcome.INVESTIGATE
    assert (decision.level, decision.target, decision.acts, decision.waits) == (None, None, False, True)
    assert decision.reasons == ("errors: 12 of 100 requests failed", "there is no safe target")
    assert decision.would_change == ("errors back within its limit, or declared as intended", "deploy a fix")


def test_a_look_at_a_season_does_not_need_a_target() -> None:
    decision = decide([dropped((0.11, 0.3), Against.EARLIER)], given_all(UNSAFE))
    assert decision.reasons == ("bookings: fewer; season or market may explain it",)


@pytest.mark.requirement("D2")
def test_what_could_not_be_measured_is_neither_healthy_nor_broken() -> None:
    decision = decide(
        [errors(Verdict.MONITOR_ERROR, "a source that answers"), errors(Verdict.CLEAR, name="x")], given_all()
    )
    assert decision.outcome == Outcome.INVESTIGATE
    assert decision.reasons == ("errors: 12 of 100 requests failed; that is neither healthy nor broken",)
    assert decision.would_change == ("a source that answers",)
    assert (decision.trigger, decision.grant) == ("errors", Grant.ROLLBACK)
    assert (decision.level, decision.target, decision.acts, decision.waits) == (None, None, False, True)


@pytest.mark.requirement("D2")
@pytest.mark.parametrize(
    ("verdict", "lower", "outcome"),
    [
        pytest.param(Verdict.CLEAR, 0.08, Outcome.INVESTIGATE, id="within its limit, and worse for certain"),
        pytest.param(Verdict.INCONCLUSIVE, 0.08, Outcome.INVESTIGATE, id="perhaps beyond its limit"),
        pytest.param(Verdict.CLEAR, 0.075, Outcome.STAY, id="at half the limit"),
        pytest.param(Verdict.CLEAR, -0.05, Outcome.STAY, id="perhaps not worse at all"),
    ],
)
def test_slightly_worse_but_acceptable_is_looked_at(verdict: Verdict, lower: float, outcome: Outcome) -> None:
    judgement = moved(verdict, (lower, 0.15))
    decision = decide([judgement], given_all())
    assert decision.outcome == outcome
    if outcome is Outcome.INVESTIGATE:
        assert decision.reasons == ("prediction_mean: slightly worse, and within its limit: it moved",)
        assert decision.would_change == ("prediction_mean beyond its limit",)
        assert decision.trigger == "prediction_mean"


def test_what_could_not_be_measured_comes_before_what_is_slightly_worse() -> None:
    decision = decide([moved(Verdict.CLEAR, (0.1, 0.14)), errors(Verdict.MONITOR_ERROR, "a source")], given_all())
    assert decision.trigger == "errors"
    assert decision.would_change == ("a source", "prediction_mean beyond its limit")
    assert len(decision.reasons) == 2


# -------------------------------------------------------------------------------------------------------------- stay


@pytest.mark.requirement("D3")
def test_within_normal_variation_nothing_is_done() -> None:
    decision = decide([errors(Verdict.CLEAR)], given_all())
    assert decision.outcome == Outcome.STAY
    assert decision.reasons == ("every metric is within its normal variation",)
    assert decision.would_change == ("a metric beyond its limit",)
    assert (decision.trigger, decision.acts, decision.waits, decision.level) == ("", False, False, None)


def test_an_open_question_says_what_would_decide_it() -> None:
    judgements = [errors(Verdict.INCONCLUSIVE, "1 more window"), errors(Verdict.NO_DATA, "requests", name="latency")]
    decision = decide(judgements, given_all())
    assert decision.outcome == Outcome.STAY
    assert decision.would_change == ("errors: 1 more window", "latency: requests")


def test_without_any_trigger_nothing_is_done() -> None:
    assert decide([], given_all()).outcome == Outcome.STAY


@pytest.mark.requirement("D3")
@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        pytest.param((0.25, 0.35), Outcome.STAY, id="inside of what was declared"),
        pytest.param((0.2, 0.4), Outcome.STAY, id="exactly what was declared"),
        pytest.param((0.19, 0.35), Outcome.INVESTIGATE, id="perhaps less"),
        pytest.param((0.25, 0.41), Outcome.INVESTIGATE, id="perhaps more"),
        pytest.param((0.16, 0.2), Outcome.INVESTIGATE, id="touching it from below"),
        pytest.param((0.4, 0.5), Outcome.INVESTIGATE, id="touching it from above"),
        pytest.param((0.16, 0.19), Outcome.ROLL_BACK, id="less than was declared"),
        pytest.param((0.41, 0.5), Outcome.ROLL_BACK, id="more than was declared"),
    ],
)
def test_what_was_declared_is_no_reason_to_roll_back(change: tuple[float, float], outcome: Outcome) -> None:
    intent = Intent(expects={"prediction_mean": (0.2, 0.4)})
    decision = decide([moved(Verdict.BREACHED, change)], given_all(intent=intent))
    assert decision.outcome == outcome
    if outcome is Outcome.STAY:
        assert decision.reasons == ("prediction_mean: it moved; this was declared as intended",)
        assert decision.would_change == ("prediction_mean outside of what was declared",)
        assert not decision.acts
    if outcome is Outcome.INVESTIGATE:
        assert decision.reasons == ("prediction_mean: it moved; this may be what was declared as intended",)
        assert decision.would_change == ("prediction_mean wholly inside or outside of what was declared",)


def test_a_declaration_covers_its_own_metric_alone() -> None:
    intent = Intent(expects={"bookings": (-1.0, 1.0), "errors": (0.0, 9.0)})
    assert decide([moved(Verdict.BREACHED, (0.3, 0.4))], given_all(intent=intent)).outcome == Outcome.ROLL_BACK
    assert decide([BREACH], given_all(intent=intent)).outcome == Outcome.ROLL_BACK, (
        "an error rate has no change to declare"
    )


def test_a_declared_breach_does_not_hide_another() -> None:
    intent = Intent(expects={"prediction_mean": (0.2, 0.4)})
    judgements = [moved(Verdict.BREACHED, (0.25, 0.35)), BREACH]
    assert decide(judgements, given_all(intent=intent)).trigger == "errors"
    blind = [moved(Verdict.BREACHED, (0.25, 0.35)), errors(Verdict.MONITOR_ERROR, "a source")]
    assert decide(blind, given_all(intent=intent)).outcome == Outcome.INVESTIGATE


def test_a_declared_change_within_the_limit_is_not_slightly_worse() -> None:
    intent = Intent(expects={"prediction_mean": (0.05, 0.2)})
    assert decide([moved(Verdict.CLEAR, (0.08, 0.14))], given_all(intent=intent)).outcome == Outcome.STAY
    partly = Intent(expects={"prediction_mean": (0.1, 0.2)})
    assert decide([moved(Verdict.CLEAR, (0.08, 0.14))], given_all(intent=partly)).outcome == Outcome.INVESTIGATE


# -------------------------------------------------------------------------------------------------- form, properties


def test_a_decision_states_the_figures_behind_it() -> None:
    decision = decide([BREACH, moved(Verdict.CLEAR, (0.0, 0.1))], given_all())
    assert decision.figures == {
        "errors": {"verdict": "breached", "hits": 12, "n": 100, "limit": 0.05},
        "prediction_mean": {"verdict": "clear", "limit": 0.15, "mean": None},
    }
    for quiet in ([errors(Verdict.CLEAR)], [errors(Verdict.MONITOR_ERROR)]):
        assert set(decide(quiet, given_all()).figures) == {"errors"}


def test_a_decision_has_a_json_form() -> None:
    decision = decide([BREACH], given_all())
    assert json.loads(json.dumps(decision.to_json(), allow_nan=False)) == {
        "outcome": "roll-back",
        "reasons": ["errors: 12 of 100 requests failed", "errors may take level 2"],
        "would_change": ["errors back within its limit, or declared as intended"],
        "trigger": "errors",
        "grant": "rollback",
        "level": 2,
        "target": BEFORE.content_digest,
        "acts": True,
        "waits": False,
        "holds": False,
        "figures": {"errors": {"verdict": "breached", "hits": 12, "n": 100, "limit": 0.05}},
    }
    assert decide([], given_all()).to_json()["level"] is None


def test_a_harm_without_a_limit_is_not_compared() -> None:
    strange = Judgement(verdict=Verdict.CLEAR, trigger="x", kind=TriggerKind.BUSINESS, reason="", harm=Interval(5, 6))
    assert decide([strange], given_all()).outcome == Outcome.STAY


def judgements() -> st.SearchStrategy[Judgement]:
    bounds = st.lists(st.floats(-1, 1), min_size=2, max_size=2).map(lambda pair: (min(pair), max(pair)))
    return st.one_of(
        st.builds(errors, st.sampled_from(list(Verdict))),
        st.builds(moved, st.sampled_from(list(Verdict)), bounds, against=st.sampled_from(list(Against))),
        st.builds(dropped, bounds, st.sampled_from(list(Against)), st.sampled_from(list(Verdict))),
    )


@pytest.mark.requirement("D1", "D2", "D3", "J5")
@given(
    st.lists(judgements(), max_size=4),
    st.sampled_from([LEVEL_TWO, LEVEL_THREE, UNSAFE, plan_of(way(LIVE, BEFORE, issues=("slow",)))]),
    st.sampled_from(list(Grant)),
)
def test_automation_acts_only_on_a_breach_it_was_granted_with_a_sound_target(
    found: list[Judgement], plan: Plan, grant: Grant
) -> None:
    decision = decide(found, given_all(plan, grant))
    assert decision.reasons
    assert decision.would_change
    if decision.outcome is Outcome.ROLL_BACK:
        assert any(item.verdict is Verdict.BREACHED and item.trigger == decision.trigger for item in found)
        assert decision.target == BEFORE.content_digest or plan is LEVEL_THREE
    if decision.acts:
        assert (decision.outcome, grant, plan) == (Outcome.ROLL_BACK, Grant.ROLLBACK, LEVEL_TWO)
    assert not (decision.acts and decision.waits)
    if not any(item.verdict in (Verdict.BREACHED, Verdict.MONITOR_ERROR) for item in found):
        assert decision.outcome is not Outcome.ROLL_BACK


def test_a_decision_cannot_be_edited() -> None:
    figures = {"errors": {"n": 1}}
    decision = Decision(outcome=Outcome.STAY, reasons=("a",), would_change=("b",), figures=figures)
    figures["errors"] = {"n": 2}
    assert decision.figures == {"errors": {"n": 1}}
