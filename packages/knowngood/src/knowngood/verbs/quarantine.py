"""Bar a version that serves nobody, or release one from quarantine, by name."""

from knowngood.control.plane import Plane
from knowngood.control.quarantine import quarantine
from knowngood.control.release_quarantine import release_quarantine
from knowngood.ports.verbs import Document
from knowngood_sdk.model.wire import trip_to_json

__all__ = ["bar", "release"]


def bar(plane: Plane, system: str, version: str, *, reason: str, actor: str) -> Document:
    """Put a version that serves nobody into quarantine; it moves nothing."""
    started = quarantine(plane, system, version, reason=reason, actor=actor)
    return {"system": system, "version": started.version, "rollback": started.id}


def release(plane: Plane, system: str, version: str, *, shown: str | None, reason: str, actor: str) -> Document:
    """Release the acts that hold a version, if they are those that the person was shown; it moves nothing."""
    released = release_quarantine(plane, system, version, shown=shown, reason=reason, actor=actor)
    return {
        "system": system,
        "version": released.version,
        "trips": sorted(act.uid for act in released.acts),
        "acts": [trip_to_json(act) for act in released.acts],
    }
