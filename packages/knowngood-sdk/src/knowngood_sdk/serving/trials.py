"""
Trials: good and bad outcomes in a row, held at every one of them against the highest share of bad that is acceptable.

Whoever looks at the last second again and again finds, sooner or later, one that chance alone made bad: two failures in
twenty are over a limit of 5 percent, and a version that always fails 2 percent shows them within seconds. So what is
kept here is evidence that adds up: Page's cumulative sums of log likelihood ratios ("Continuous inspection schemes",
1954), one for each of a few shares of bad above the limit, begun anew whenever nothing speaks for that share. None is
greater than the logarithm of the e-detector for its share (Shin, Ramdas and Rinaldo, "E-detectors: a nonparametric
framework for sequential change detection", 2022). Therefore, as long as each trial is bad with a probability of at most
the limit, whatever came before it, one of the sums reaches the bound within n trials with a probability of at most
``n * FALSE_ALARMS``, however often one looks.

What the promise rests on: failures that come in one piece, such as the requests that a lost connection takes along, are
one event counted several times. An outage of something else is told apart by the target, which then fails its probe.
"""

import math
from dataclasses import dataclass

__all__ = ["FALSE_ALARMS", "Stretch", "Trials"]

FALSE_ALARMS = 1e-9
"""Alarms for each trial of what keeps within its limit, at most: at 100 requests a second, one in four months."""

_TOWARDS = (0.15, 0.5, 1.0)
"""The shares of bad that are looked for, as ratios of the way from the limit to one: some, many, all."""
_BOUND = math.log(len(_TOWARDS) / FALSE_ALARMS)


@dataclass(frozen=True, slots=True)
class Stretch:
    """
    Trials in a row.

    Attributes:
        trials: How many.
        bad: How many of them were bad.
    """

    trials: int
    bad: int


class _Sum:
    """The cumulative sum for one share of bad."""

    __slots__ = ("bad", "evidence", "if_bad", "if_good", "trials")

    def __init__(self, share: float, limit: float) -> None:
        self.if_bad = math.log(share / limit)
        self.if_good = math.log((1 - share) / (1 - limit)) if share < 1 else -math.inf
        self.evidence = 0.0
        self.trials = self.bad = 0

    def add(self, good: int, bad: int) -> None:
        """Take in good trials, then bad ones."""
        if good:
            self.evidence += good * self.if_good
            self.trials += good
        if self.evidence <= 0:
            self.evidence = 0.0
            self.trials = self.bad = 0
        if bad:
            # More than enough is kept as enough, so that what has recovered is soon beyond suspicion.
            self.evidence = min(_BOUND, self.evidence + bad * self.if_bad)
            self.trials += bad
            self.bad += bad


class Trials:
    """
    Trials of one kind, since the start or the last ``clear``. One thread owns it.

    Args:
        limit: Highest acceptable share of bad ones, a ratio above 0; at 1 and above nothing is ever too much.

    Attributes:
        limit: As given.
        good: Good trials since the last bad one; whoever counts one adds to it.
    """

    __slots__ = ("_sums", "good", "limit")

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.good = 0
        shares = [self.limit + towards * (1 - self.limit) for towards in _TOWARDS] if self.limit < 1 else []
        self._sums = [_Sum(share, self.limit) for share in shares]

    def failed(self) -> None:
        """Take in a bad trial."""
        self._add(1)

    def beyond_chance(self, least: int, row: int) -> Stretch | None:
        """
        Return a stretch up to now that chance does not explain at the limit, or None.

        Args:
            least: Trials that it must have, a count.
            row: Bad trials that are enough when there is no good one among them, a count.
        """
        self._add(0)
        for one in self._sums:
            enough = one.trials >= least or (one.bad >= row and one.bad == one.trials)
            if enough and one.evidence >= _BOUND:
                return Stretch(one.trials, one.bad)
        return None

    def _add(self, bad: int) -> None:
        good, self.good = self.good, 0
        for one in self._sums:
            one.add(good, bad)
