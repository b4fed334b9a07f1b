"""Saying: when what a replica says goes into the file with its report, where those on its host look."""

from collections.abc import Mapping
from typing import NamedTuple

from knowngood_sdk.model.wire import WorkerReport

__all__ = ["Saying", "Says"]

_REPORT_SECONDS = 1.0
_AFTER_ANSWER_SECONDS = 0.1
"""
What a control plane over the network was just answered is filed after so long: by then a whole fleet has answered, and
the writing of no file holds up an answer on the same processors.
"""


class Says(NamedTuple):
    """
    What a replica says, but for when it says it.

    Attributes:
        crew: The reports of its workers, by worker.
        rest: All else.
    """

    crew: Mapping[str, WorkerReport]
    rest: tuple[object, ...]


class Saying:
    """What was filed last, and what was answered since. Instants are seconds on the monotonic clock."""

    def __init__(self) -> None:
        self._filed: Says | None = None
        self._filed_at = 0.0
        self._answered: Says | None = None
        self._answered_until = 0.0

    def answered(self, says: Says, now: float) -> None:
        """
        Note that somebody over the network is told this now.

        Not where the workers are others than those in the file: a server on this host tells by them whether a report
        is of the replica whose folder it sees.
        """
        if self._filed is not None and self._filed.crew.keys() == says.crew.keys():
            self._answered = says
            self._answered_until = min(now + _AFTER_ANSWER_SECONDS, self._filed_at + _REPORT_SECONDS)

    def is_due(self, says: Says, now: float) -> bool:
        """Whether this is to be filed now; then it counts as filed. It is when it says anything new, or is old."""
        if says == self._filed and now - self._filed_at < _REPORT_SECONDS:
            return False
        if says == self._answered and now < self._answered_until:
            return False
        self._filed, self._filed_at = says, now
        return True
