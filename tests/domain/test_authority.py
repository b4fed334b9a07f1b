"""Who may take which level, what they owe for it, and that a broken policy opens no door."""

import itertools
from datetime import timedelta

import pytest

from knowngood.domain.authority import (
    AUTHORITY,
    DATA_LEAD,
    ML_LEAD,
    ON_CALL,
    TEAM_LEAD,
    Approval,
    Permission,
    Request,
    Rule,
    authorize,
    duty_of,
)
from knowngood.domain.level import Level
from knowngood.domain.system import Grant
from knowngood_sdk.errors import InvalidError

TARGET = "sha256:" + "1" * 64
OTHER = "sha256:" + "2" * 64


def yes(by: str, role: str, target: str = TARGET) -> Approval:
    return Approval(by=by, role=role, target=target)


def person(level: Level, *approvals: Approval, roles: frozenset[str] = frozenset({ON_CALL})) -> Permission:
    return authorize(Request(level=level, target=TARGET, actor="anna", roles=roles, approvals=approvals))


@pytest.mark.requirement("J1", "J2")
@pytest.mark.parametrize("level", [Level.MODEL, Level.SYSTEM])
def test_anyone_on_call_may_take_levels_one_and_two(level: Level) -> None:
    permission = person(level)
    assert permission.allowed
    assert permission.reason == f"anna may take level {int(level)}"
    assert permission.missing == ()


@pytest.mark.parametrize("level", list(Level))
def test_nobody_takes_any_level_off_call(level: Level) -> None:
    permission = person(level, yes("lee", DATA_LEAD), yes("mo", ML_LEAD), roles=frozenset({TEAM_LEAD}))
    assert not permission.allowed
    assert permission.missing == ("the actor is not on call",)
    assert permission.reason == f"anna may not take level {int(level)}: the actor is not on call"


@pytest.mark.requirement("J3", "J4")
@pytest.mark.parametrize(
    ("level", "approvals", "missing"),
    [
        pytest.param(Level.FEATURES, [], [DATA_LEAD], id="features without a yes"),
        pytest.param(Level.FEATURES, [yes("lee", DATA_LEAD)], [], id="features with the data lead's yes"),
        pytest.param(Level.FEATURES, [yes("mo", ML_LEAD)], [DATA_LEAD], id="features with the wrong lead's yes"),
        pytest.param(Level.FEATURES, [yes("lee", DATA_LEAD, OTHER)], [DATA_LEAD], id="a yes to another plan"),
        pytest.param(Level.FEATURES, [yes("anna", DATA_LEAD)], [DATA_LEAD], id="nobody approves their own plan"),
        pytest.param(Level.DATA, [], [DATA_LEAD, ML_LEAD], id="data without a yes"),
        pytest.param(Level.DATA, [yes("lee", DATA_LEAD)], [ML_LEAD], id="data with one yes"),
        pytest.param(Level.DATA, [yes("mo", ML_LEAD)], [DATA_LEAD], id="data with the other yes"),
        pytest.param(Level.DATA, [yes("lee", DATA_LEAD), yes("mo", ML_LEAD)], [], id="data with both"),
        pytest.param(
            Level.DATA, [yes("lee", DATA_LEAD), yes("lee", ML_LEAD)], [ML_LEAD], id="one person in both roles"
        ),
        pytest.param(
            Level.DATA,
            [yes("lee", DATA_LEAD), yes("lee", ML_LEAD), yes("mo", DATA_LEAD)],
            [],
            id="a second person frees the first for the other role",
        ),
        pytest.param(
            Level.DATA,
            [yes("lee", DATA_LEAD), yes("lee", ML_LEAD), yes("ada", DATA_LEAD)],
            [],
            id="whatever their names sort like",
        ),
        pytest.param(Level.DATA, [yes("lee", ML_LEAD), yes("mo", ML_LEAD)], [DATA_LEAD], id="the same role twice"),
    ],
)
def test_deeper_levels_take_approvals_by_others(level: Level, approvals: list[Approval], missing: list[str]) -> None:
    permission = person(level, *approvals)
    assert permission.allowed is not bool(missing)
    assert permission.missing == tuple(f"the approval of the {role}" for role in missing)
    assert permission.duty == AUTHORITY[level]


@pytest.mark.requirement("J3")
@pytest.mark.parametrize(
    ("level", "named", "missing"),
    [
        pytest.param(Level.FEATURES, ("eta", "fraud"), (), id="all are named"),
        pytest.param(
            Level.FEATURES, ("eta",), ("the plan does not name fraud, which read the same state",), id="one is missing"
        ),
        pytest.param(
            Level.FEATURES, (), ("the plan does not name eta, fraud, which read the same state",), id="none is named"
        ),
        pytest.param(Level.SYSTEM, (), (), id="level 2 reaches nobody else"),
    ],
)
def test_level_three_names_every_system_that_reads_the_features(
    level: Level, named: tuple[str, ...], missing: tuple[str, ...]
) -> None:
    request = Request(
        level=level,
        target=TARGET,
        actor="anna",
        roles=frozenset({ON_CALL}),
        approvals=(yes("lee", DATA_LEAD),),
        consumers=("fraud", "eta"),
        named=named,
    )
    assert authorize(request).missing == missing


@pytest.mark.requirement("J5")
@pytest.mark.parametrize(("level", "grant"), list(itertools.product(Level, Grant)))
def test_automation_takes_levels_one_and_two_where_it_was_granted(level: Level, grant: Grant) -> None:
    approvals = (yes("lee", DATA_LEAD), yes("mo", ML_LEAD))
    permission = authorize(
        Request(
            level=level, target=TARGET, actor="errors", roles=frozenset({ON_CALL}), approvals=approvals, grant=grant
        )
    )
    assert permission.allowed is (grant is Grant.ROLLBACK and level <= Level.SYSTEM)
    if level > Level.SYSTEM:
        assert permission.missing == ("a person, for no trigger may go this deep",)
    elif grant is not Grant.ROLLBACK:
        assert permission.missing == (f"a person, for this trigger was granted no more than to {grant.value}",)


def test_a_denial_names_all_that_is_missing() -> None:
    assert person(Level.DATA, roles=frozenset()).reason == (
        "anna may not take level 4: the actor is not on call; "
        "the approval of the data-engineering-lead; the approval of the ml-engineering-lead"
    )


def test_a_policy_that_fails_is_a_denial_that_says_so() -> None:
    def broken(request: Request) -> Permission:
        message = f"no rule for {request.actor}"
        raise KeyError(message)

    permission = authorize(Request(level=Level.MODEL, target=TARGET, actor="anna"), broken)
    assert permission == Permission(
        allowed=False,
        reason="the policy failed, and so level 1 is denied: KeyError: 'no rule for anna'",
        missing=("a policy that works",),
        duty=Rule(),
    )


def test_another_policy_can_take_the_place_of_the_table() -> None:
    def generous(request: Request) -> Permission:
        return Permission(allowed=True, reason=f"{request.actor} may do anything")

    assert authorize(Request(level=Level.DATA, target=TARGET, actor="anna"), generous).allowed


@pytest.mark.requirement("J1", "J2", "J3", "J4", "J5")
def test_the_table_is_the_one_of_the_requirements() -> None:
    assert dict(AUTHORITY) == {
        Level.MODEL: Rule(automatic=True),
        Level.SYSTEM: Rule(notify="team-lead", within=timedelta(minutes=15), automatic=True),
        Level.FEATURES: Rule(approvals=("data-engineering-lead",), names_consumers=True),
        Level.DATA: Rule(approvals=("data-engineering-lead", "ml-engineering-lead")),
    }


@pytest.mark.requirement("J2")
def test_a_duty_has_a_json_form() -> None:
    assert duty_of(2) == {
        "approvals": [],
        "notify": "team-lead",
        "within_seconds": 900.0,
        "names_consumers": False,
        "automatic": True,
    }
    assert duty_of(4)["approvals"] == ["data-engineering-lead", "ml-engineering-lead"]
    assert duty_of(4)["within_seconds"] is None


@pytest.mark.parametrize("level", [0, 5])
def test_there_are_four_levels(level: int) -> None:
    with pytest.raises(InvalidError) as caught:
        duty_of(level)
    assert str(caught.value) == f"there is no level {level}. Levels run from 1 to 4"


def test_a_permission_has_a_json_form() -> None:
    assert person(Level.FEATURES).to_json() == {
        "allowed": False,
        "reason": "anna may not take level 3: the approval of the data-engineering-lead",
        "missing": ["the approval of the data-engineering-lead"],
        "duty": {
            "approvals": ["data-engineering-lead"],
            "notify": "",
            "within_seconds": None,
            "names_consumers": True,
            "automatic": False,
        },
    }
