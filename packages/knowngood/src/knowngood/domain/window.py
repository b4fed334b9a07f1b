"""
Windows: what was counted over an interval, and what was judged of it.

A window is a measurement, a judgement is what a trigger made of it. Both are values that can be stored, so that a
trigger that fired last night can be replayed today.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from knowngood.domain.confidence import Interval
from knowngood.domain.system import TriggerKind
from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.counts import VersionCounts

__all__ = ["Against", "Control", "Figure", "HealthCheck", "Judgement", "Verdict", "Window"]

Figure = float | int | str | None
"""A number or a name behind a judgement; None where there is no finite number."""


class Verdict(StrEnum):
    """What a trigger says. Only two of the five say anything about the system."""

    CLEAR = "clear"  # measured, and within the limit
    BREACHED = "breached"  # measured, and beyond the limit
    INCONCLUSIVE = "inconclusive"  # measured, and not enough to tell
    NO_DATA = "no-data"  # there was nothing to measure
    MONITOR_ERROR = "monitor-error"  # the measurement itself failed; neither healthy nor broken


class Against(StrEnum):
    """What a candidate is compared with, strongest first."""

    SAME_REQUESTS = "same-requests"  # another version answered the very same requests, in shadow
    SAME_TIME = "same-time"  # the other arm of a split: season and market cancel
    EARLIER = "earlier"  # a stored baseline: anything that changed since is mixed in


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """
    Counts of one system version over an interval.

    Attributes:
        version: Content digest of the system version.
        started_at: Begin of the interval, aware.
        length_seconds: Its length in seconds, above 0.
        counts: What was counted in it.
        error: Why it could not be measured; empty when it was. The counts are then not looked at.

    Raises:
        InvalidError: The begin has no time zone, or the length is not above 0.
    """

    version: str
    started_at: datetime
    length_seconds: float
    counts: VersionCounts = field(default_factory=VersionCounts)
    error: str = ""

    def __post_init__(self) -> None:
        if self.started_at.tzinfo is None:
            raise InvalidError(f"a window starts at {self.started_at}, in no time zone", hint="Give an aware datetime")
        if not self.length_seconds > 0:
            raise InvalidError(f"a window is {self.length_seconds} seconds long", hint="Give a length above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """
    What a candidate's window is compared with.

    Attributes:
        window: Counts of the known version. For ``SAME_REQUESTS`` they hold the pairs, in ``shadow``.
        against: How the two came about.
        share: Share of the subjects that the candidate should have had against both, in (0, 1); None when no split was
            declared, and then a mismatch cannot be seen.

    Raises:
        InvalidError: The share is out of range.
    """

    window: Window
    against: Against
    share: float | None = None

    def __post_init__(self) -> None:
        if self.share is not None and not 0 < self.share < 1:
            raise InvalidError(f"the candidate's share is {self.share}", hint="Give a ratio between 0 and 1, or none")


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """
    One answer, or none, of a serving endpoint.

    Attributes:
        at: When it was asked, aware.
        healthy: What it said; None when the checker itself failed.
        detail: What was seen, for people.
    """

    at: datetime
    healthy: bool | None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """
    What one trigger made of what was measured.

    Attributes:
        verdict: One of five.
        trigger: Name of the trigger in the system file; for a metric, the metric's name.
        kind: What the trigger measures.
        reason: The verdict in one sentence, with its figures.
        needed: What more would decide it; empty when it is decided.
        figures: The numbers behind it, by name.
        change: Where the relative change of the metric lies, when it was estimated.
        harm: Where the harmful part of that change lies, as a ratio; the trigger's limit is held against it.
        against: What the candidate was compared with; None for a rule that compares with a fixed limit.
    """

    verdict: Verdict
    trigger: str
    kind: TriggerKind
    reason: str
    needed: str = ""
    figures: Mapping[str, Figure] = field(default_factory=dict)
    change: Interval | None = None
    harm: Interval | None = None
    against: Against | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "figures", MappingProxyType(dict(self.figures)))

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form: plain dicts, an infinite or missing number as None."""
        return {
            "verdict": self.verdict.value,
            "trigger": self.trigger,
            "kind": self.kind.value,
            "reason": self.reason,
            "needed": self.needed,
            "figures": {name: _json_figure(value) for name, value in self.figures.items()},
            "change": _json_interval(self.change),
            "harm": _json_interval(self.harm),
            "against": self.against.value if self.against else None,
        }


def _json_figure(value: Figure) -> Figure:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _json_interval(interval: Interval | None) -> list[Figure] | None:
    return None if interval is None else [_json_figure(interval.lower), _json_figure(interval.upper)]
