"""Release a version from quarantine, by name."""

from knowngood.control.plane import Plane
from knowngood.control.release_quarantine import release_quarantine
from knowngood.ports.verbs import Document

__all__ = ["release"]


def release(plane: Plane, system: str, version: str, *, reason: str, actor: str) -> Document:
    """Release every trip of a version that is on record now; it moves nothing."""
    released = release_quarantine(plane, system, version, reason=reason, actor=actor)
    return {"system": system, "version": released.version, "trips": sorted(released.uids)}
