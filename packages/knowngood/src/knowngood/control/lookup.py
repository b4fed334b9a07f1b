"""Lookup: from the name of a version, as people type it, to its manifest; and what they mean who name none."""

from knowngood.control.plane import Plane
from knowngood_sdk.errors import NotFoundError
from knowngood_sdk.model.manifest import Manifest

__all__ = ["compared", "version_named"]


def version_named(plane: Plane, system: str, name: str) -> Manifest:
    """
    Return the manifest of ``live``, ``candidate``, ``way-back``, or of the first digits of a digest.

    Raises:
        NotFoundError: No version answers to the name.
        InvalidError: Several do.
    """
    state = plane.store.read(system)
    by_position = {"live": state.served, "candidate": state.candidate, "way-back": state.way_back}
    if name not in by_position:
        return plane.store.manifest(system, name)
    version = by_position[name]
    if version is None:
        raise NotFoundError(
            f"system {system} has no {name} version now", hint=f"Look: kg status {system}, kg history {system}"
        )
    return plane.store.manifest(system, version)


def compared(plane: Plane, system: str) -> tuple[str, str]:
    """Return the names of the two versions that are to be told apart: a candidate's from what it is to replace."""
    trying = plane.store.read(system).candidate is not None
    return ("live", "candidate") if trying else ("way-back", "live")
