"""
Measure: from cumulative counts to the windows that triggers judge.

Short windows show what happens now; one long window, anchored at the deployment, gathers evidence that may be looked at
again and again. The anchor is on record, so a watcher that was killed goes on with the same evidence.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

from knowngood.domain.deployment import Deployment
from knowngood.domain.fleet import FleetState
from knowngood.domain.window import Against, Control, HealthCheck, Window
from knowngood_sdk.model.counts import VersionCounts
from knowngood_sdk.model.route import FULL

__all__ = ["Measured", "Recent", "Snapshot", "measure"]

_KEPT = 120
"""Snapshots that a watcher remembers: more than any trigger asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """
    Everything counted until an instant.

    Attributes:
        at: The instant, aware.
        counts: Version -> cumulative counts.
        error: Why it could not be measured; empty when it was.
    """

    at: datetime
    counts: Mapping[str, VersionCounts]
    error: str = ""


@dataclass(slots=True)
class Recent:
    """What a watcher remembers of the last ticks. Losing it in a crash costs a few ticks, never evidence."""

    snapshots: deque[Snapshot] = field(default_factory=lambda: deque(maxlen=_KEPT))
    health: deque[HealthCheck] = field(default_factory=lambda: deque(maxlen=_KEPT))

    def windows(self, version: str) -> list[Window]:
        """Return the windows between neighbouring snapshots, oldest first."""
        kept = list(self.snapshots)
        return [_window(version, earlier, later) for earlier, later in pairwise(kept)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """
    What is known of a version under judgement.

    Attributes:
        recent: Short windows, oldest first.
        since: Everything since the anchor.
        shadow: The known version on the same requests, or None when nothing was scored in shadow.
        control: The known version at the same time, or earlier; None when there is none.
        health: Checks of the serving endpoint since the anchor, oldest first.
        health_before: Those before it: of the version that served then.
    """

    recent: Sequence[Window]
    since: Window
    shadow: Control | None
    control: Control | None
    health: Sequence[HealthCheck]
    health_before: Sequence[HealthCheck] = ()

    @property
    def for_predictions(self) -> Control | None:
        """The strongest control for outputs: the same requests before the same time before an earlier time."""
        return self.shadow or self.control


def measure(recent: Recent, deployment: Deployment, state: FleetState, *, version: str, known: str | None) -> Measured:
    """
    Gather what triggers judge about one version.

    Args:
        recent: The watcher's memory; its newest snapshot is the present.
        deployment: Whose baseline anchors the evidence.
        state: The route, for the split.
        version: The version under judgement.
        known: The version that it is compared with; None when there is none.
    """
    now = recent.snapshots[-1]
    started_at = datetime.fromisoformat(deployment.anchored_at)
    length = max((now.at - started_at).total_seconds(), timedelta(milliseconds=1).total_seconds())

    def since_anchor(of: str) -> VersionCounts:
        return now.counts.get(of, VersionCounts()).minus(deployment.baseline.get(of, VersionCounts()))

    def window(of: str, counts: VersionCounts) -> Window:
        return Window(version=of, started_at=started_at, length_seconds=length, counts=counts, error=now.error)

    shadow = control = None
    if known is not None:
        counts = since_anchor(known)
        if version in counts.shadow and counts.shadow[version].n:
            shadow = Control(window=window(known, counts), against=Against.SAME_REQUESTS)
        split = state.row.split if state.candidate == version else FULL
        if 0 < split < FULL:
            control = Control(window=window(known, counts), against=Against.SAME_TIME, share=split / FULL)
        else:
            before = deployment.baseline.get(known, VersionCounts())
            control = Control(window=window(known, before), against=Against.EARLIER)
    return Measured(
        recent=recent.windows(version),
        since=window(version, since_anchor(version)),
        shadow=shadow,
        control=control,
        health=[check for check in recent.health if check.at >= started_at],
        health_before=[check for check in recent.health if check.at < started_at],
    )


def _window(version: str, earlier: Snapshot, later: Snapshot) -> Window:
    counts = later.counts.get(version, VersionCounts()).minus(earlier.counts.get(version, VersionCounts()))
    length = max((later.at - earlier.at).total_seconds(), timedelta(milliseconds=1).total_seconds())
    return Window(
        version=version,
        started_at=earlier.at,
        length_seconds=length,
        counts=counts,
        error=earlier.error or later.error,
    )
