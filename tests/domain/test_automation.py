"""Automation does levels 1 and 2 where the owner granted it, one step after another, and never levels 3 and 4."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood.domain.authority import DATA_LEAD, ML_LEAD, ON_CALL, TEAM_LEAD, Approval, Request, authorize
from knowngood.domain.decision import Circumstances, Outcome, decide
from knowngood.domain.evidence import Grade
from knowngood.domain.level import Level, diff
from knowngood.domain.plan import Alternative, Choice, Plan
from knowngood.domain.system import Grant, TriggerKind
from knowngood.domain.window import Judgement, Verdict
from knowngood_sdk.model.canonical import digest_of
from knowngood_sdk.model.manifest import Component, Manifest, Ref, Role

TARGET = "sha256:" + "1" * 64
LADDER = (Grant.OBSERVE, Grant.HOLD, Grant.ROLLBACK)
NAMES = ("errors", "latency", "bookings")
CHANGED = {
    Level.MODEL: (Role.MODEL,),
    Level.SYSTEM: (Role.MODEL, Role.CONFIG),
    Level.FEATURES: (Role.FEATURES,),
    Level.DATA: (Role.DATA,),
}


def requests(level: st.SearchStrategy[Level], grant: st.SearchStrategy[Grant]) -> st.SearchStrategy[Request]:
    roles = st.sampled_from([ON_CALL, TEAM_LEAD, DATA_LEAD, ML_LEAD])
    people = st.sampled_from(["anna", "lee", "mo", "errors"])
    return st.builds(
        Request,
        level=level,
        target=st.just(TARGET),
        actor=st.sampled_from(NAMES),
        roles=st.frozensets(roles),
        approvals=st.lists(st.builds(Approval, by=people, role=roles, target=st.just(TARGET)), max_size=5).map(tuple),
        consumers=st.just(("eta",)),
        named=st.sampled_from([(), ("eta",)]),
        grant=grant,
    )


def version(of: str, changed: tuple[Role, ...]) -> Manifest:
    components = {
        role.value: Component(
            role=role,
            kind="files",
            ref=Ref(digest=digest_of([role.value, of if role in changed else "same"])),
            shared_by=("eta",) if Role.FEATURES in changed else (),
        )
        for role in (Role.MODEL, Role.FEATURES, Role.CONFIG, Role.DATA)
    }
    return Manifest(system="pricing", components=components)


def way(level: Level) -> Alternative:
    changed = CHANGED[level]
    live, target = version("2", changed), version("1", changed)
    return Alternative(
        scope="system",
        target=target,
        changes=diff(live, target),
        choice=Choice.PREFERRED,
        reason="it was recorded as a whole",
        proven=True,
        grade=Grade.KNOWN_GOOD,
        ready=True,
    )


def plan_of(level: Level, stop_first: Level | None = None) -> Plan:
    live = version("2", CHANGED[level]).content_digest
    return Plan(
        live=live,
        chosen=way(level),
        alternatives=(),
        stop_first=None if stop_first is None else way(stop_first),
        options=(),
    )


def breach(name: str, verdict: Verdict = Verdict.BREACHED) -> Judgement:
    return Judgement(
        verdict=verdict,
        trigger=name,
        kind=TriggerKind.ERRORS,
        reason="12 of 100 requests failed",
        figures={"hits": 12, "n": 100, "limit": 0.05},
    )


@pytest.mark.parametrize("level", list(Level))
def test_the_ways_of_this_test_are_of_their_level(level: Level) -> None:
    assert way(level).level == level


@pytest.mark.requirement("J5")
@given(requests(st.sampled_from([Level.FEATURES, Level.DATA]), st.sampled_from(Grant)))
def test_no_role_no_approval_and_no_grant_lets_automation_go_deeper_than_level_two(request: Request) -> None:
    permission = authorize(request)
    assert not permission.allowed
    assert permission.missing == ("a person, for no trigger may go this deep",)


@pytest.mark.requirement("J5")
@given(requests(st.sampled_from([Level.MODEL, Level.SYSTEM]), st.sampled_from(Grant)))
def test_up_to_level_two_the_grant_alone_decides(request: Request) -> None:
    assert authorize(request).allowed is (request.grant is Grant.ROLLBACK)


@pytest.mark.requirement("J5")
@given(
    st.sampled_from(Level),
    st.none() | st.sampled_from(Level),
    st.lists(st.builds(breach, st.sampled_from(NAMES), st.sampled_from(Verdict)), max_size=4),
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from(Grant)),
)
def test_what_automation_does_was_granted_and_is_no_deeper_than_level_two(
    level: Level, first: Level | None, judgements: list[Judgement], grants: dict[str, Grant]
) -> None:
    decision = decide(judgements, Circumstances(plan=plan_of(level, first), grants=grants))
    if decision.acts:
        assert decision.level in {Level.MODEL, Level.SYSTEM}
        assert grants.get(decision.trigger) is Grant.ROLLBACK
        assert breach(decision.trigger) in judgements
    if decision.outcome is Outcome.ROLL_BACK and grants.get(decision.trigger, Grant.OBSERVE) is Grant.OBSERVE:
        assert not decision.acts
        assert not decision.waits


@pytest.mark.requirement("J5")
@pytest.mark.parametrize("level", list(Level))
def test_a_grant_opens_one_step_after_the_other(level: Level) -> None:
    decisions = [
        decide([breach("errors")], Circumstances(plan=plan_of(level), grants={"errors": grant})) for grant in LADDER
    ]
    may_act = level <= Level.SYSTEM
    assert [decision.acts for decision in decisions] == [False, False, may_act]
    assert [decision.waits for decision in decisions] == [False, True, not may_act]


@pytest.mark.requirement("J5")
def test_a_trigger_that_nobody_granted_anything_observes() -> None:
    decision = decide([breach("errors")], Circumstances(plan=plan_of(Level.MODEL), grants={"latency": Grant.ROLLBACK}))
    assert (decision.outcome, decision.acts, decision.waits) == (Outcome.ROLL_BACK, False, False)


@pytest.mark.requirement("J5")
@pytest.mark.parametrize(("first", "acts"), [(Level.SYSTEM, True), (Level.FEATURES, False)])
def test_what_stops_the_harm_first_is_what_automation_may_do(
    first: Level,
    acts: bool,  # noqa: FBT001 - a row
) -> None:
    circumstances = Circumstances(plan=plan_of(Level.DATA, first), grants={"errors": Grant.ROLLBACK})
    decision = decide([breach("errors")], circumstances)
    assert (decision.level, decision.acts) == (first, acts)
