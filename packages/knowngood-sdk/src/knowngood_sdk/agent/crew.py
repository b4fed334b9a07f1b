"""Crew: the worker processes of a replica as the agent sees them, through their reports and their kernel locks."""

import contextlib
import time

from knowngood_sdk.agent.departed import fold_counts
from knowngood_sdk.model.wire import WorkerReport
from knowngood_sdk.serving.folder import ReplicaFolder, is_held

__all__ = ["Crew"]

_DEAD_SECONDS = 600.0
"""
What a dead worker left about its slots is taken away when its lock is this old. A worker takes its lock as soon as it
has made the file, and never again, so that a file this old without a holder is nobody's.
"""


class Crew:
    """
    The live workers of one replica folder.

    Attributes:
        reports: Worker -> its report; one that runs and has not reported yet has nothing ready.
        ready: Versions ready in every live worker; none when no worker lives.
    """

    def __init__(self, folder: ReplicaFolder) -> None:
        self._folder = folder
        self.reports: dict[str, WorkerReport] = {}
        self.ready: frozenset[str] = frozenset()

    def look(self) -> bool:
        """
        Look at the workers again.

        Returns:
            Whether anything changed.
        """
        reports = self._folder.live_workers()
        if reports == self.reports:
            return False
        self.reports = reports
        ready = [report.ready for report in reports.values()]
        self.ready = frozenset.intersection(*ready) if ready else frozenset()
        return True

    @property
    def failed(self) -> dict[str, str]:
        """Version -> why a live worker could not make it ready."""
        return {
            version: f"worker {worker}: {reason}"
            for worker, report in self.reports.items()
            for version, reason in report.failed.items()
            if version
        }

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the live workers could not do, and what cannot be read of their reports, for people."""
        unreadable = [report.failed[""] for report in self.reports.values() if "" in report.failed]
        told = [f"worker {name}: {warning}" for name, report in self.reports.items() for warning in report.warnings]
        return (*unreadable, *told)

    @property
    def load_seconds(self) -> dict[str, float]:
        """Version -> the longest time that a live worker took to make it ready."""
        longest: dict[str, float] = {}
        for report in self.reports.values():
            for version, seconds in report.load_seconds.items():
                longest[version] = max(seconds, longest.get(version, 0.0))
        return longest

    @property
    def memory_bytes(self) -> int:
        """Resident memory of the live workers together; pages that they share count for each."""
        return sum(report.memory_bytes for report in self.reports.values())

    @property
    def fallback(self) -> bool:
        """Whether every live worker has a static fallback; not so when no worker lives."""
        return bool(self.reports) and all(report.fallback for report in self.reports.values())

    def clear_away_dead(self) -> None:
        """
        Remove locks and slot reports that dead workers left, and fold their counts, which are evidence, into one file.

        Raises:
            KnownGoodError: The counts stay as they are; see ``fold_counts``.
        """
        oldest = time.time() - _DEAD_SECONDS
        for lock in self._folder.workers.glob("*.lock"):
            # Another process may clear away too, and a full or read-only disk is no reason to stop: it is only tidying.
            with contextlib.suppress(OSError):
                if lock.stem not in self.reports and lock.stat().st_mtime < oldest and not is_held(lock):
                    lock.with_suffix(".json").unlink(missing_ok=True)
                    lock.unlink(missing_ok=True)
        fold_counts(self._folder, self.reports.keys(), _DEAD_SECONDS)
