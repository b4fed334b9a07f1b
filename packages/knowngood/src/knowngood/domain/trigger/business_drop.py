"""Business drop: fewer subjects do what the product is for."""

from dataclasses import dataclass

from knowngood.domain.confidence import change_of_means, change_of_proportions, is_proportion
from knowngood.domain.system import TriggerKind
from knowngood.domain.trigger.comparison import Comparison, Measured
from knowngood.domain.window import Control, Judgement, Window
from knowngood_sdk.model.counts import Sums

__all__ = ["BusinessDrop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BusinessDrop:
    """
    Breached when the mean of a business outcome fell by more than a limit.

    Outcomes that each are 0 or 1 (converted or not) are judged as proportions, others (revenue) as means; both relative
    to the second arm of a canary, or to a stored baseline, whose own uncertainty counts.

    The promise (at most ``alpha`` false alarms in a deployment, at any number of looks) holds for independent subjects
    with one trial each: a subject who retries five times makes false alarms some ten times as frequent. Against a
    stored baseline it holds only while nothing but the deployment moves the metric. All counts run since the deployment
    at a constant split: a new split starts a new comparison, and m of them err at most ``m * alpha``. A fault that
    begins days later is diluted by the good days before it.

    Attributes:
        name: Name of the trigger: that of the outcome.
        drop: Largest acceptable relative drop, a ratio in (0, 1).
        alpha: Chance of a false alarm in a whole deployment, in (0, 0.5).
        min_requests: Trials that each side needs before anything is said, a count >= 2.

    Raises:
        InvalidError: A field is outside its range.
    """

    name: str
    drop: float = 0.1
    alpha: float = 0.001
    min_requests: int = 30

    def __post_init__(self) -> None:
        self._comparison()

    def judge(self, candidate: Window, control: Control | None) -> Judgement:
        """
        Judge everything since the deployment.

        Args:
            candidate: Counts of the version under judgement since the deployment.
            control: Counts of the known version, from the same time or from before; None when there are none.
        """
        return self._comparison().judge(candidate, control, self._measured)

    def _measured(self, candidate: Window, control: Control) -> Measured:
        ours = candidate.counts.outcomes.get(self.name, Sums())
        theirs = control.window.counts.outcomes.get(self.name, Sums())
        both_proportions = is_proportion(ours) and is_proportion(theirs)
        estimate = change_of_proportions if both_proportions else change_of_means
        change = estimate(ours, theirs, alpha=self.alpha)
        return Measured(candidate=ours, control=theirs, change=change, harm=change.mirrored())

    def _comparison(self) -> Comparison:
        return Comparison(
            name=self.name, kind=TriggerKind.BUSINESS, limit=self.drop, alpha=self.alpha, enough=self.min_requests
        )
