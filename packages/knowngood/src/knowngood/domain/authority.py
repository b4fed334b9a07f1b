"""
Authority: who may take which level, and what they owe for it.

The level is the one computed from the plan. An error of the policy is a denial, in words that a person can see.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from knowngood.domain.level import Level
from knowngood.domain.system import Grant
from knowngood_sdk.errors import InvalidError

__all__ = ["AUTHORITY", "Approval", "Permission", "Policy", "Request", "Rule", "authorize", "by_table", "duty_of"]

ON_CALL = "on-call"
TEAM_LEAD = "team-lead"
DATA_LEAD = "data-engineering-lead"
ML_LEAD = "ml-engineering-lead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """
    What one level takes.

    Attributes:
        approvals: Roles that must approve, each by another person than the one who acts.
        notify: Role that must hear of it; empty when nobody must.
        within: How soon they must.
        names_consumers: Whether every system that reads the same state is named.
        automatic: Whether a trigger may do it where the system's owner granted that.
    """

    approvals: tuple[str, ...] = ()
    notify: str = ""
    within: timedelta | None = None
    names_consumers: bool = False
    automatic: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "approvals": list(self.approvals),
            "notify": self.notify,
            "within_seconds": self.within.total_seconds() if self.within else None,
            "names_consumers": self.names_consumers,
            "automatic": self.automatic,
        }


AUTHORITY: Mapping[Level, Rule] = MappingProxyType(
    {
        Level.MODEL: Rule(automatic=True),
        Level.SYSTEM: Rule(notify=TEAM_LEAD, within=timedelta(minutes=15), automatic=True),
        Level.FEATURES: Rule(approvals=(DATA_LEAD,), names_consumers=True),
        Level.DATA: Rule(approvals=(DATA_LEAD, ML_LEAD)),
    }
)
"""The table of requirements J1 to J5. Every level is open to any on-call engineer, with what stands here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """
    A person's yes to one plan.

    Attributes:
        by: Who, by name.
        role: In which role.
        target: Content digest of the plan's target; a yes to one target is none to another.
    """

    by: str
    role: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """
    Somebody wants to take a plan's level.

    Attributes:
        level: As computed from the plan.
        target: Content digest of the plan's target.
        actor: Who, by name; for automation the trigger's.
        roles: Roles of a person.
        approvals: What was approved, by whom.
        consumers: Other systems that the plan reaches.
        named: Those of them that the plan names.
        grant: What the owner granted this trigger; None when a person acts.
    """

    level: Level
    target: str
    actor: str
    roles: frozenset[str] = frozenset()
    approvals: tuple[Approval, ...] = ()
    consumers: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    grant: Grant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """
    The answer to a request.

    Attributes:
        allowed: Whether the actor may, now.
        reason: Why, in one sentence.
        missing: What would allow it, one item each; empty when it is allowed or nothing could.
        duty: What the actor owes for it.
    """

    allowed: bool
    reason: str
    missing: tuple[str, ...] = ()
    duty: Rule = Rule()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "allowed": self.allowed,
            "reason": self.reason,
            "missing": list(self.missing),
            "duty": self.duty.to_json(),
        }


Policy = Callable[[Request], Permission]


def by_table(request: Request) -> Permission:
    """Answer by the table of authority."""
    rule = AUTHORITY[request.level]
    missing = _missing_of_automation(request, rule) if request.grant is not None else _missing_of_person(request, rule)
    if missing:
        reason = f"{request.actor} may not take level {request.level}: {'; '.join(missing)}"
        return Permission(allowed=False, reason=reason, missing=missing, duty=rule)
    reason = f"{request.actor} may take level {request.level}"
    return Permission(allowed=True, reason=reason, duty=rule)


def authorize(request: Request, policy: Policy = by_table) -> Permission:
    """
    Ask a policy whether a request is allowed.

    Args:
        request: Who wants what.
        policy: Any function of a request; an exception that it raises is a denial that names the exception.
    """
    try:
        return policy(request)
    except Exception as error:  # noqa: BLE001 - whatever went wrong in a policy must not open a door
        return Permission(
            allowed=False,
            reason=f"the policy failed, and so level {request.level} is denied: {type(error).__name__}: {error}",
            missing=("a policy that works",),
        )


def duty_of(level: int) -> dict[str, Any]:
    """
    Return who must approve and who must hear of a level, as JSON.

    Raises:
        InvalidError: There is no such level.
    """
    if level not in set(Level):
        raise InvalidError(f"there is no level {level}", hint="Levels run from 1 to 4")
    return AUTHORITY[Level(level)].to_json()


def _missing_of_automation(request: Request, rule: Rule) -> tuple[str, ...]:
    if not rule.automatic:
        return ("a person, for no trigger may go this deep",)
    if request.grant is Grant.ROLLBACK:
        return ()
    return (f"a person, for this trigger was granted no more than to {request.grant}",)


def _missing_of_person(request: Request, rule: Rule) -> tuple[str, ...]:
    missing = [] if ON_CALL in request.roles else ["the actor is not on call"]
    free = {(item.by, item.role) for item in request.approvals if item.target == request.target}
    free = {(by, role) for by, role in free if by != request.actor}
    missing += [f"the approval of the {role}" for role in _unfilled(rule.approvals, free)]
    unnamed = sorted(set(request.consumers) - set(request.named))
    if rule.names_consumers and unnamed:
        missing.append(f"the plan does not name {', '.join(unnamed)}, which read the same state")
    return tuple(missing)


def _unfilled(roles: tuple[str, ...], given: set[tuple[str, str]]) -> tuple[str, ...]:
    """Return the roles that remain open when each person fills one role at most, filling as many as can be."""
    if not roles:
        return ()
    first, rest = roles[0], roles[1:]
    holders = sorted(by for by, role in given if role == first)
    filled = [_unfilled(rest, {item for item in given if item[0] != holder}) for holder in holders]
    return min([*filled, (first, *_unfilled(rest, given))], key=len)
