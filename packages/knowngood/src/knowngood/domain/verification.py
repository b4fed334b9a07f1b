"""
Verification: whether the version in service does what it should, on a stated sample.

Asked after a deployment took all traffic, and after a rollback. It needs more than the absence of an alarm: a version
that nobody used is not verified, and one whose metrics could not be measured is not either.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from knowngood.domain.spelling import counted
from knowngood.domain.system import Verify
from knowngood.domain.trigger import BusinessDrop, ErrorRate, Health, Latency, Nonsense, PredictionShift, Trigger
from knowngood.domain.window import Control, Judgement, Verdict, Window

__all__ = ["Outcome", "Verification", "verify"]


class Outcome(StrEnum):
    """What a verification says."""

    VERIFIED = "verified"
    WAITING = "waiting"  # the sample is not complete, or a figure is not decided
    FAILED = "failed"  # a trigger is breached


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """
    The outcome and what it rests on.

    Attributes:
        outcome: Verified, waiting or failed.
        requests: Requests in the sample.
        judgements: What each trigger says of the sample.
        reason: The outcome in one sentence.
    """

    outcome: Outcome
    requests: int
    reason: str
    judgements: tuple[Judgement, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "outcome": self.outcome.value,
            "requests": self.requests,
            "reason": self.reason,
            "judgements": [judgement.to_json() for judgement in self.judgements],
        }


def verify(
    since: Window,
    control: Control | None,
    triggers: Sequence[Trigger],
    sample: Verify,
    *,
    shadow: Control | None = None,
) -> Verification:
    """
    Judge a version on everything since it took the traffic.

    Args:
        since: Counts of the version since then.
        control: What its business metrics are compared with; None when nothing was there before it.
        triggers: The system's triggers. Immediate ones must be clear on the whole sample, and fail it as soon as they
            are over their limit beyond chance. Rapid ones must not be breached, and where there is something to compare
            with, the metric itself must be within the limit.
        sample: How many requests it takes.
        shadow: The known version on the same requests, for outputs; None when the version is itself the known one.
    """
    requests = since.counts.requests
    if since.error:
        return Verification(outcome=Outcome.WAITING, requests=0, reason=f"not measured: {since.error}")
    judgements = tuple(
        judgement for trigger in triggers if (judgement := _judge(trigger, since, control, shadow)) is not None
    )
    breached = [judgement.trigger for judgement in judgements if judgement.verdict is Verdict.BREACHED]
    if breached:
        reason = f"{', '.join(breached)} breached"
        return Verification(outcome=Outcome.FAILED, requests=requests, reason=reason, judgements=judgements)
    if requests < sample.requests:
        came = f"only {counted(requests, 'request')} came" if requests else "no request came"
        reason = f"{came} ({requests} of {sample.requests})"
        return Verification(outcome=Outcome.WAITING, requests=requests, reason=reason, judgements=judgements)
    open_questions = [judgement.trigger for judgement in judgements if not _at_baseline(judgement)]
    if open_questions:
        reason = f"{', '.join(open_questions)} not yet back at the baseline"
        return Verification(outcome=Outcome.WAITING, requests=requests, reason=reason, judgements=judgements)
    reason = f"{counted(requests, 'request')}, every metric at its baseline"
    return Verification(outcome=Outcome.VERIFIED, requests=requests, reason=reason, judgements=judgements)


def _judge(trigger: Trigger, since: Window, control: Control | None, shadow: Control | None) -> Judgement | None:
    match trigger:
        case ErrorRate() | Latency() | Nonsense():
            return replace(trigger, windows=1).judge([since])
        case BusinessDrop():
            return trigger.judge(since, control) if control is not None else None
        case PredictionShift():
            return trigger.judge(since, shadow) if shadow is not None else None
        case Health():
            return None


def _at_baseline(judgement: Judgement) -> bool:
    """Whether a metric is where it should be: decided, or, while its interval is still wide, by what was measured."""
    if judgement.verdict is Verdict.CLEAR:
        return True
    if judgement.verdict is not Verdict.INCONCLUSIVE or judgement.harm is None:
        return False
    mean, expected, limit = (judgement.figures.get(name) for name in ("mean", "mean_control", "limit"))
    if not (isinstance(mean, float) and isinstance(expected, float) and isinstance(limit, float)):
        return False
    return abs(mean - expected) <= limit * abs(expected)
