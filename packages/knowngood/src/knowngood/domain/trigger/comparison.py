"""
Comparison: a candidate's metric held against a control's, on everything since the deployment.

The verdict follows from where the *harm* lies, the part of the relative change that hurts: breached when even its lower
bound exceeds the limit, clear when even its upper bound does not, inconclusive between. The bounds hold at all looks
together, so it may be asked at every tick.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from knowngood.domain.confidence import Interval, share_evidence
from knowngood.domain.system import TriggerKind
from knowngood.domain.window import Against, Control, Figure, Judgement, Verdict, Window
from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.counts import Sums

__all__ = ["Comparison", "Measured", "verdict_of"]

_SHARE_TOLERANCE = 0.05
"""How far the candidate's share may be off, as a ratio of it, before its subjects are called a different crowd."""
_FAR = 10.0
"""An interval that has to shrink to less than this part of its width takes too many values to foretell how many."""
_SAID = {
    Against.SAME_REQUESTS: "on the same requests",
    Against.SAME_TIME: "at the same time",
    Against.EARLIER: "before; a change of season or market since then is not ruled out",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """
    A metric of both sides, as counted.

    Attributes:
        candidate: Moments of the version under judgement.
        control: Moments of what it is compared with.
        change: Confidence sequence of the relative change.
        harm: Where the harmful part of the change lies.
    """

    candidate: Sums
    control: Sums
    change: Interval
    harm: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """
    What prediction shift and business drop have in common.

    Attributes:
        name: Name of the trigger.
        kind: What it measures.
        limit: Harm that is too much, a ratio above 0.
        alpha: Chance of a false alarm in a whole deployment, in (0, 0.5).
        enough: Values that each side needs before anything is said, a count >= 2.

    Raises:
        InvalidError: A field is outside its range.
    """

    name: str
    kind: TriggerKind
    limit: float
    alpha: float
    enough: int

    def __post_init__(self) -> None:
        if not 0 < self.limit < math.inf:
            raise InvalidError(f"trigger {self.name} has limit {self.limit}", hint="Give a ratio above 0: 15%")
        if not 0 < self.alpha < 0.5:  # noqa: PLR2004 - an alarm no better than a coin
            raise InvalidError(f"trigger {self.name} has alpha {self.alpha}", hint="Give a probability below 0.5")
        if self.enough < 2:  # noqa: PLR2004 - a variance takes two
            raise InvalidError(f"trigger {self.name} has min_requests {self.enough}", hint="Give 2 or more")

    def judge(
        self, candidate: Window, control: Control | None, measure: Callable[[Window, Control], Measured]
    ) -> Judgement:
        """
        Judge a candidate against a control.

        Args:
            candidate: Counts of the version under judgement, since the deployment.
            control: What it is compared with; None when there is nothing.
            measure: Reads the metric from two windows that were measured.
        """
        against = control.against if control else None
        for side, window in (("candidate", candidate), ("control", control.window if control else candidate)):
            if window.error:
                reason = f"the {side} was not measured: {window.error}"
                return self._judgement(Verdict.MONITOR_ERROR, reason, "a source that answers", against)
        if control is None:
            needed = "shadow answers of the known version, a second arm, or a stored baseline"
            return self._judgement(Verdict.NO_DATA, "there is nothing to compare with", needed, None)
        return self._weigh(measure(candidate, control), control)

    def _weigh(self, measured: Measured, control: Control) -> Judgement:
        ours, theirs = measured.candidate, measured.control
        figures: dict[str, Figure] = {"n": ours.n, "n_control": theirs.n, "limit": self.limit, "alpha": self.alpha}
        undecided = self._undecided(ours, theirs, control)
        if undecided is not None:
            return replace(undecided, figures=figures)
        verdict = verdict_of(measured.harm, self.limit)
        needed = _more(measured, self.limit) if verdict is Verdict.INCONCLUSIVE else ""
        judgement = self._judgement(verdict, _said(measured, control.against, self.limit), needed, control.against)
        figures |= {"mean": ours.mean, "mean_control": theirs.mean}
        return replace(judgement, figures=figures, change=measured.change, harm=measured.harm)

    def _undecided(self, ours: Sums, theirs: Sums, control: Control) -> Judgement | None:
        """Return the judgement where the counts themselves forbid a comparison; else None."""
        fewest, against = min(ours.n, theirs.n), control.against
        if fewest == 0:
            side = "control" if ours.n else "candidate"
            return self._judgement(Verdict.NO_DATA, f"the {side} has no value yet", "values on both sides", against)
        if not all(math.isfinite(side.squares) for side in (ours, theirs)):
            reason = "the sums are no finite numbers"
            return self._judgement(Verdict.MONITOR_ERROR, reason, "values that can be added", against)
        if control.share is not None and self._mismatched(ours.n, theirs.n, control.share):
            share = ours.n / (ours.n + theirs.n)
            reason = f"{share:.1%} of the values are the candidate's, where {control.share:.1%} were meant to be"
            return self._judgement(Verdict.MONITOR_ERROR, reason, "a split that holds", against)
        if fewest < self.enough:
            needed = f"{self.enough} values on each side"
            return self._judgement(Verdict.INCONCLUSIVE, f"{fewest} values are too few", needed, against)
        return None

    def _mismatched(self, n: int, n_control: int, share: float) -> bool:
        return share_evidence(n, n_control, share=share, tolerance=_SHARE_TOLERANCE) >= -math.log(self.alpha)

    def _judgement(self, verdict: Verdict, reason: str, needed: str, against: Against | None) -> Judgement:
        return Judgement(
            verdict=verdict, trigger=self.name, kind=self.kind, reason=reason, needed=needed, against=against
        )


def verdict_of(harm: Interval, limit: float) -> Verdict:
    """Return what an interval of harm says about a limit: all of it beyond, all of it within, or neither."""
    if harm.lower > limit:
        return Verdict.BREACHED
    return Verdict.CLEAR if harm.upper <= limit else Verdict.INCONCLUSIVE


def _said(measured: Measured, against: Against, limit: float) -> str:
    lower, upper = (f"{bound:+.1%}" for bound in (measured.change.lower, measured.change.upper))
    found = f"is {lower}" if lower == upper else f"is between {lower} and {upper}"
    return (
        f"mean {measured.candidate.mean:.4g}, control {measured.control.mean:.4g} {_SAID[against]}: "
        f"the change {found} (limit {limit:.1%})"
    )


def _more(measured: Measured, limit: float) -> str:
    """Say how many values would decide it: an interval narrows with the square root of their number."""
    half = (measured.harm.upper - measured.harm.lower) / 2
    gap = abs(measured.harm.lower + half - limit)
    if not math.isfinite(half):
        return "more values"
    if half > _FAR * gap:
        return "many more values, for the change is near the limit"
    more = measured.candidate.n * ((half / gap) ** 2 - 1)
    return f"about {math.ceil(max(1.0, more))} more values, if the change stays what it is"
