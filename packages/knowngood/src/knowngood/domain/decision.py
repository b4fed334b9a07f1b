"""
Decision: roll back, investigate, or stay; with its reasons, its figures, and what would change it.

It is taken from judgements and from the plan that would be followed, and from nothing else, so it can be taken again
from the record. What is decided and what is done are two things: the owner's grant for the trigger says whether the
decision is only recorded, waits for a person, or acts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Any

from knowngood.domain.authority import Request, authorize
from knowngood.domain.level import Level
from knowngood.domain.plan import Alternative, Plan
from knowngood.domain.system import Grant
from knowngood.domain.window import Against, Judgement, Verdict
from knowngood_sdk.model.manifest import Intent

__all__ = ["FAST", "Circumstances", "Decision", "Outcome", "decide"]

FAST = 2.0
"""From so many times its limit on a harm counts as falling fast, which no season explains."""
_WORSE = 0.5
"""From this share of its limit on a proven harm is worth a person's look."""


class Outcome(StrEnum):
    """What should be done."""

    ROLL_BACK = "roll-back"
    INVESTIGATE = "investigate"
    STAY = "stay"


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """
    What a decision looks at beside the judgements.

    Attributes:
        plan: The way back as it stands now.
        intent: What the deployment was meant to do.
        grants: Trigger name -> what automation may do; a trigger that is not named is observed.
        control: What the same triggers say of the known version; where it fails too, the deployment is not the cause.
    """

    plan: Plan
    intent: Intent = field(default_factory=Intent)
    grants: Mapping[str, Grant] = field(default_factory=dict)
    control: Sequence[Judgement] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """
    What should be done, and why.

    Attributes:
        outcome: Roll back, investigate or stay.
        reasons: Why, in sentences, the decisive one first.
        would_change: What would lead to another outcome, in sentences.
        trigger: Name of the trigger that it rests on; empty where it rests on none.
        grant: What the owner granted that trigger.
        level: How deep the rollback goes that would be done; None when none would be.
        target: Content digest that it would lead to; None when there is none.
        acts: Whether automation may do it now.
        figures: Trigger name -> the numbers behind its verdict.
    """

    outcome: Outcome
    reasons: tuple[str, ...]
    would_change: tuple[str, ...]
    trigger: str = ""
    grant: Grant = Grant.OBSERVE
    level: Level | None = None
    target: str | None = None
    acts: bool = False
    figures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "figures", MappingProxyType(dict(self.figures)))

    @property
    def waits(self) -> bool:
        """Whether a person has to look: something is wrong, and automation does not act on it."""
        return self.outcome is not Outcome.STAY and not self.acts and self.grant is not Grant.OBSERVE

    @property
    def holds(self) -> bool:
        """Whether the deployment goes no further until they have: takes no more traffic and is not verified."""
        return self.outcome is not Outcome.STAY and self.grant is Grant.HOLD

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "outcome": self.outcome.value,
            "reasons": list(self.reasons),
            "would_change": list(self.would_change),
            "trigger": self.trigger,
            "grant": self.grant.value,
            "level": None if self.level is None else int(self.level),
            "target": self.target,
            "acts": self.acts,
            "waits": self.waits,
            "holds": self.holds,
            "figures": {trigger: dict(figures) for trigger, figures in self.figures.items()},
        }


class _Declared(Enum):
    """How a change relates to what was declared."""

    INSIDE = 1
    PARTLY = 2
    NOT = 3


@dataclass(frozen=True, slots=True)
class _Finding:
    """What one breach amounts to."""

    judgement: Judgement
    outcome: Outcome
    reason: str
    would_change: str


def decide(judgements: Sequence[Judgement], circumstances: Circumstances) -> Decision:
    """
    Decide what should be done (D1 to D3).

    Outputs that are obviously wrong, and business that falls fast, are a reason to roll back. What the known version
    shares, what a season may explain, what could not be measured, and a way back that is itself in doubt, are reasons
    to investigate. What the deployment was declared to do, and what is within its limits, is a reason to stay.

    Args:
        judgements: What each trigger says of the version under judgement.
        circumstances: The way back, the intent and the grants.
    """
    same_outputs = any(_shows_same_outputs(item) for item in judgements)
    breached = [item for item in judgements if item.verdict is Verdict.BREACHED]
    findings = [_finding(item, circumstances, same_outputs=same_outputs) for item in breached]
    for outcome in (Outcome.ROLL_BACK, Outcome.INVESTIGATE):
        weighed = [finding for finding in findings if finding.outcome is outcome]
        if weighed:
            decisive = min(weighed, key=lambda finding: _ORDER.index(_grant(circumstances, finding.judgement)))
            others = [finding.reason for finding in weighed if finding is not decisive]
            return _on(decisive, others, judgements, circumstances)
    return _without_breach(judgements, findings, circumstances)


_ORDER = (Grant.ROLLBACK, Grant.HOLD, Grant.OBSERVE)


def _finding(judgement: Judgement, circumstances: Circumstances, *, same_outputs: bool) -> _Finding:
    """Say what a breach amounts to, before the way back is looked at."""
    name, reason = judgement.trigger, f"{judgement.trigger}: {judgement.reason}"
    declared = _declared(judgement, circumstances.intent)
    if declared is _Declared.INSIDE:
        return _Finding(
            judgement, Outcome.STAY, f"{reason}; this was declared as intended", f"{name} outside of what was declared"
        )
    if declared is _Declared.PARTLY:
        return _Finding(
            judgement,
            Outcome.INVESTIGATE,
            f"{reason}; this may be what was declared as intended",
            f"{name} wholly inside or outside of what was declared",
        )
    if any(item.trigger == name and item.verdict is Verdict.BREACHED for item in circumstances.control):
        return _Finding(
            judgement, Outcome.INVESTIGATE, f"{reason}; the known version does the same", "the known version recovering"
        )
    if judgement.against is Against.EARLIER and same_outputs:
        return _Finding(
            judgement,
            Outcome.INVESTIGATE,
            f"{reason}; on the same requests its outputs are the known version's, so something else may have moved",
            "a comparison at the same time (a canary), or outputs that differ on the same requests",
        )
    if judgement.against is Against.EARLIER and not _exceeds(judgement, FAST):
        return _Finding(
            judgement,
            Outcome.INVESTIGATE,
            f"{reason}; season or market may explain it",
            f"a comparison at the same time, or a harm of {FAST:g} times the limit",
        )
    return _Finding(judgement, Outcome.ROLL_BACK, reason, f"{name} back within its limit, or declared as intended")


def _declared(judgement: Judgement, intent: Intent) -> "_Declared":
    """Hold where a change lies against the range that the deployer declared for it."""
    expected, change = intent.expects.get(judgement.trigger), judgement.change
    if expected is None or change is None:
        return _Declared.NOT
    lowest, highest = expected
    if lowest <= change.lower and change.upper <= highest:
        return _Declared.INSIDE
    return _Declared.PARTLY if change.lower <= highest and change.upper >= lowest else _Declared.NOT


def _on(
    finding: _Finding, others: Sequence[str], judgements: Sequence[Judgement], circumstances: Circumstances
) -> Decision:
    """Turn the decisive finding into a decision, in the light of the way back."""
    plan = circumstances.plan
    step = _first_step(plan)
    grant = _grant(circumstances, finding.judgement)
    outcome, reasons, would_change = finding.outcome, [finding.reason, *others], [finding.would_change]
    if outcome is Outcome.ROLL_BACK and step is None:
        outcome = Outcome.INVESTIGATE
        reasons.append("there is no safe target")
        would_change += plan.options
    elif outcome is Outcome.ROLL_BACK and step is not None and step.known_issues:
        outcome = Outcome.INVESTIGATE
        reasons.append(f"the target has known issues: {'; '.join(step.known_issues)}")
        would_change.append("a target without known issues, or a person who prefers them")
    acts = False
    if outcome is Outcome.ROLL_BACK and step is not None:
        request = Request(
            level=step.level, target=step.target.content_digest, actor=finding.judgement.trigger, grant=grant
        )
        permission = authorize(request)
        acts = permission.allowed
        reasons.append(permission.reason)
    return Decision(
        outcome=outcome,
        reasons=tuple(reasons),
        would_change=tuple(would_change),
        trigger=finding.judgement.trigger,
        grant=grant,
        level=step.level if step else None,
        target=step.target.content_digest if step else None,
        acts=acts,
        figures=_figures(judgements),
    )


def _without_breach(
    judgements: Sequence[Judgement], intended: Sequence[_Finding], circumstances: Circumstances
) -> Decision:
    """Decide where nothing is breached, or only what was meant to change."""
    failed = [item for item in judgements if item.verdict is Verdict.MONITOR_ERROR]
    worse = [
        item
        for item in judgements
        if item.verdict is not Verdict.BREACHED
        and _exceeds(item, _WORSE)
        and _declared(item, circumstances.intent) is not _Declared.INSIDE
    ]
    if failed or worse:
        reasons = [f"{item.trigger}: {item.reason}; that is neither healthy nor broken" for item in failed]
        reasons += [f"{item.trigger}: slightly worse, and within its limit: {item.reason}" for item in worse]
        decisive = (failed or worse)[0]
        return Decision(
            outcome=Outcome.INVESTIGATE,
            reasons=tuple(reasons),
            would_change=tuple(item.needed or f"{item.trigger} beyond its limit" for item in (*failed, *worse)),
            trigger=decisive.trigger,
            grant=_grant(circumstances, decisive),
            figures=_figures(judgements),
        )
    reasons = [finding.reason for finding in intended] or ["every metric is within its normal variation"]
    would_change = [finding.would_change for finding in intended]
    would_change += [f"{item.trigger}: {item.needed}" for item in judgements if item.needed]
    return Decision(
        outcome=Outcome.STAY,
        reasons=tuple(reasons),
        would_change=tuple(would_change) or ("a metric beyond its limit",),
        figures=_figures(judgements),
    )


def _first_step(plan: Plan) -> Alternative | None:
    """Return what would be done first: what stops the harm, where the plan itself goes too deep for that."""
    return plan.stop_first or plan.chosen


def _shows_same_outputs(judgement: Judgement) -> bool:
    """Whether a comparison on the same requests found the outputs within their limit of the known version's."""
    return judgement.against is Against.SAME_REQUESTS and judgement.verdict is Verdict.CLEAR


def _grant(circumstances: Circumstances, judgement: Judgement) -> Grant:
    return circumstances.grants.get(judgement.trigger, Grant.OBSERVE)


def _exceeds(judgement: Judgement, times: float) -> bool:
    """Whether even the lower bound of the harm is beyond so many times its limit."""
    limit = judgement.figures.get("limit")
    return judgement.harm is not None and isinstance(limit, float | int) and judgement.harm.lower > times * limit


def _figures(judgements: Sequence[Judgement]) -> dict[str, Mapping[str, Any]]:
    return {item.trigger: {"verdict": item.verdict.value, **item.to_json()["figures"]} for item in judgements}
