"""
Departed: what workers counted that are gone, folded into one file of their replica.

Each start of a worker leaves a file of counts, and each look at the counts reads them all. The folded file says whose
counts it holds, durably, before any of theirs is removed, and a name stays in it for good: whoever reads it counts each
worker once, wherever a crash interrupts this.
"""

import json
import time
from collections.abc import Set

from knowngood_sdk.errors import KnownGoodError
from knowngood_sdk.model.counts import VersionCounts
from knowngood_sdk.model.wire import CountsReport
from knowngood_sdk.serving.disk import read_json, write_whole, writing
from knowngood_sdk.serving.folder import ReplicaFolder, is_held

__all__ = ["fold_counts"]


def fold_counts(folder: ReplicaFolder, alive: Set[str], older_than_seconds: float) -> None:
    """
    Fold the counts of workers that are gone, and remove the files of those that an earlier call folded.

    Not at once: whoever is reading file after file just now has read the folded one before or reads theirs still.

    Args:
        folder: The replica folder; the caller holds its agent's lock.
        alive: Workers that run.
        older_than_seconds: A worker that runs writes each second, so one that has not for so long and holds no lock is
            gone.

    Raises:
        InvalidError: The folded file cannot be read; nothing has been changed.
        TransientError: Something cannot be written; what was counted is all there still.
    """
    oldest = time.time() - older_than_seconds
    with writing(folder.departed_file):
        gone = [
            path
            for path in sorted(folder.counts.glob("*.json"))
            if path.stem not in alive and path.stat().st_mtime < oldest and not is_held(folder.worker_lock(path.stem))
        ]
        if not gone:
            return
        known = folder.departed() or CountsReport(worker=f"departed of {folder.replica}", sequence=0, at="")
        versions, holds = dict(known.versions), list(known.holds)
        for path in gone:
            if path.stem in known.holds:
                path.unlink(missing_ok=True)
                continue
            try:
                report = CountsReport.from_json(read_json(path))
            except KnownGoodError:
                # It stays, and whoever looks at the counts is told what to do about it.
                continue
            for version, counts in report.versions.items():
                versions[version] = versions.get(version, VersionCounts()).plus(counts)
            holds.append(path.stem)
        if len(holds) > len(known.holds):
            folded = CountsReport(
                worker=known.worker, sequence=known.sequence + 1, at=known.at, versions=versions, holds=tuple(holds)
            )
            write_whole(folder.departed_file, json.dumps(folded.to_json(), separators=(",", ":")).encode())
