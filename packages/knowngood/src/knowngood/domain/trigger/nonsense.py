"""Nonsense: outputs that cannot be right, whatever the model was meant to say."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from knowngood.domain.system import TriggerKind
from knowngood.domain.trigger.streak import Streak, Tally
from knowngood.domain.window import Judgement, Window
from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.counts import Sums, VersionCounts, bin_bounds

__all__ = ["Nonsense"]

_RELATIVE_NOISE = 1e-5
"""Standard deviation, relative to the mean, that rounding alone can show in the difference of two long sums."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nonsense:
    """
    Breached when outputs stay NaN, infinite, out of the declared range, or one and the same value.

    Attributes:
        name: Name of the trigger.
        limit: Highest acceptable share of nonsense among the outputs, a ratio in [0, 1).
        low: Lowest sensible output; minus infinity when none was declared.
        high: Highest sensible output; infinity when none was declared.
        constant: Whether outputs that never vary are nonsense. Turn it off where one answer for all is right.
        windows: How many windows in a row must be over the limit, a count >= 1.
        min_requests: Outputs a window needs to count as evidence, a count >= 1.

    Raises:
        InvalidError: A field is outside its range.
    """

    name: str = "nonsense"
    limit: float = 0.01
    low: float = -math.inf
    high: float = math.inf
    constant: bool = True
    windows: int = 2
    min_requests: int = 20

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise InvalidError(f"trigger {self.name} has low {self.low} above high {self.high}", hint="Swap them")
        self._streak()

    def judge(self, history: Sequence[Window]) -> Judgement:
        """
        Judge the newest windows.

        Args:
            history: Windows of equal length, oldest first; shape ``(n,)``, where n may be 0.

        Returns:
            The judgement. It reads only the last ``windows`` entries, so its cost does not grow with n.
        """
        return self._streak().judge(history, self._senseless)

    def _senseless(self, window: Window) -> Tally:
        counts = window.counts
        outputs = counts.nonsense + counts.predictions.n
        if self.constant and _is_constant(counts):
            return Tally(outputs, outputs)
        outside = sum(count for index, count in counts.prediction_bins.items() if self._is_outside(index))
        return Tally(counts.nonsense + outside, outputs)

    def _is_outside(self, index: int) -> bool:
        lowest, highest = bin_bounds(index)
        return highest < self.low or lowest > self.high

    def _streak(self) -> Streak:
        return Streak(
            name=self.name,
            kind=TriggerKind.NONSENSE,
            fault="got a senseless answer",
            limit=self.limit,
            windows=self.windows,
            enough=self.min_requests,
        )


def _is_constant(counts: VersionCounts) -> bool:
    predictions: Sums = counts.predictions
    if predictions.n < 2 or len(counts.prediction_bins) != 1:  # noqa: PLR2004 - one value alone cannot vary
        return False
    return math.sqrt(predictions.variance) <= _RELATIVE_NOISE * abs(predictions.mean)
