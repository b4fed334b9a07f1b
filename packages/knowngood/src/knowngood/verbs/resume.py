"""Resume: let rollbacks go on that wait for a person, and follow them."""

from datetime import timedelta

from knowngood.control.plane import Plane
from knowngood.control.resume import resume_stuck, stuck
from knowngood.control.rollback import follow
from knowngood.domain.level import Level
from knowngood.ports.verbs import Document, Tell, silent

__all__ = ["resume"]


def resume(  # noqa: PLR0913 - which, how long, and who says so
    plane: Plane,
    system: str,
    version: str | None,
    wait_seconds: float | None,
    *,
    actor: str,
    highest: Level = Level.DATA,
    tell: Tell = silent,
) -> Document:
    """
    Let them go on, each from the step that could not be done.

    Args:
        plane: The ports.
        system: Name of the system.
        version: Only that which left this version, as people name it; None for all.
        wait_seconds: How long to wait until what serves is verified; None for not at all.
        actor: Who says so.
        highest: Highest level that they may take.
        tell: Called with each line of progress.
    """
    for saga in stuck(plane, system, version):
        tell("waiting", f"it waited for: {saga.needs}")
    sagas = resume_stuck(plane, system, actor, version=version, highest=highest)
    if wait_seconds is not None:
        sagas = tuple(follow(plane, saga, timedelta(seconds=wait_seconds)) for saga in sagas)
    return {"system": system, "rollbacks": [saga.to_json() for saga in sagas]}
