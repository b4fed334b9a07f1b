"""Telemetry: the counts of all workers as one figure for each system version."""

from knowngood.control.plane import Plane
from knowngood_sdk.model.counts import VersionCounts

__all__ = ["merged_counts"]


def merged_counts(plane: Plane, system: str) -> dict[str, VersionCounts]:
    """Return version -> everything that any worker ever counted for it; the difference of two answers is a window."""
    merged: dict[str, VersionCounts] = {}
    for report in plane.telemetry.counts(system).values():
        for version, counts in report.versions.items():
            merged[version] = merged.get(version, VersionCounts()).plus(counts)
    return merged
