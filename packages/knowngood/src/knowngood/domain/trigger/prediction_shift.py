"""Prediction shift: the outputs moved, on average, from what the known version says."""

from dataclasses import dataclass

from knowngood.domain.confidence import change_of_means, mean_interval
from knowngood.domain.system import TriggerKind
from knowngood.domain.trigger.comparison import Comparison, Measured
from knowngood.domain.window import Against, Control, Judgement, Window
from knowngood_sdk.model.counts import Paired

__all__ = ["PredictionShift"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionShift:
    """
    Breached when the mean output moved by more than a limit, up or down.

    Against shadow answers on the same requests it judges the mean of the relative differences, request by request:
    season and the mix of requests cancel, and a shift by a third shows within some 50 requests. Against a second arm or
    a stored baseline it judges the ratio of the means.

    The promise (at most ``alpha`` false alarms in a deployment, at any number of looks) holds for independent requests
    with outputs of finite variance, by the central limit theorem from ``min_requests`` on; against a stored baseline
    only while nothing but the deployment moves the mean. All counts run since the deployment at a constant split: a new
    split starts a new comparison, and m of them err at most ``m * alpha``. A fault that begins days later is diluted by
    the good days before it.

    Attributes:
        name: Name of the trigger.
        shift: Largest acceptable relative change, a ratio above 0.
        alpha: Chance of a false alarm in a whole deployment, in (0, 0.5).
        min_requests: Outputs that each side needs before anything is said, a count >= 2.

    Raises:
        InvalidError: A field is outside its range.
    """

    name: str = "prediction_mean"
    shift: float = 0.15
    alpha: float = 0.001
    min_requests: int = 30

    def __post_init__(self) -> None:
        self._comparison()

    def judge(self, candidate: Window, control: Control | None) -> Judgement:
        """
        Judge everything since the deployment.

        Args:
            candidate: Counts of the version under judgement since the deployment.
            control: Counts of the known version, with the pairs in ``shadow`` for ``SAME_REQUESTS``; None when there
                is nothing to compare with.
        """
        return self._comparison().judge(candidate, control, self._measured)

    def _measured(self, candidate: Window, control: Control) -> Measured:
        if control.against is Against.SAME_REQUESTS:
            pairs = control.window.counts.shadow.get(candidate.version, Paired())
            change = mean_interval(pairs.relative, alpha=self.alpha)
            return Measured(candidate=pairs.other, control=pairs.reference, change=change, harm=change.magnitude())
        ours, theirs = candidate.counts.predictions, control.window.counts.predictions
        change = change_of_means(ours, theirs, alpha=self.alpha)
        return Measured(candidate=ours, control=theirs, change=change, harm=change.magnitude())

    def _comparison(self) -> Comparison:
        return Comparison(
            name=self.name,
            kind=TriggerKind.PREDICTION_MEAN,
            limit=self.shift,
            alpha=self.alpha,
            enough=self.min_requests,
        )
