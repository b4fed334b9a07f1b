"""Error rate: too many requests fail through the version's own fault."""

from collections.abc import Sequence
from dataclasses import dataclass

from knowngood.domain.system import TriggerKind
from knowngood.domain.trigger.streak import Streak, Tally
from knowngood.domain.window import Judgement, Window

__all__ = ["ErrorRate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRate:
    """
    Breached when the error rate stays over a limit.

    Requests that failed through the caller's fault are no evidence about the version: they count on neither side.

    Attributes:
        name: Name of the trigger.
        limit: Highest acceptable ``errors / requests``, a ratio in [0, 1).
        windows: How many windows in a row must be over the limit, a count >= 1.
        min_requests: Requests a window needs to count as evidence, a count >= 1.

    Raises:
        InvalidError: A field is outside its range.
    """

    name: str = "errors"
    limit: float = 0.05
    windows: int = 2
    min_requests: int = 20

    def __post_init__(self) -> None:
        self._streak()

    def judge(self, history: Sequence[Window]) -> Judgement:
        """
        Judge the newest windows.

        Args:
            history: Windows of equal length, oldest first; shape ``(n,)``, where n may be 0.

        Returns:
            The judgement. It reads only the last ``windows`` entries, so its cost does not grow with n.
        """
        return self._streak().judge(history, _failed)

    def _streak(self) -> Streak:
        return Streak(
            name=self.name,
            kind=TriggerKind.ERRORS,
            fault="failed",
            limit=self.limit,
            windows=self.windows,
            enough=self.min_requests,
        )


def _failed(window: Window) -> Tally:
    counts = window.counts
    return Tally(counts.errors, counts.requests - counts.client_errors)
