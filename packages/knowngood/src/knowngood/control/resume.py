"""Resume: let rollbacks that wait for a person go on, each from the step that could not be done."""

from knowngood.control.lookup import version_named
from knowngood.control.plane import Plane
from knowngood.control.rollback import check_reaches, resume
from knowngood.domain.level import Level
from knowngood.domain.saga import Saga, SagaState
from knowngood_sdk.errors import NotFoundError
from knowngood_sdk.model.canonical import short

__all__ = ["resume_stuck", "stuck"]


def stuck(plane: Plane, system: str, version: str | None = None) -> tuple[Saga, ...]:
    """
    Return the rollbacks of a system that wait for a person.

    Args:
        plane: The ports.
        system: Name of the system.
        version: Only that of this version, as people name it; None for all.
    """
    left = version_named(plane, system, version).content_digest if version is not None else None
    waiting = (saga for saga in plane.store.sagas(system) if saga.state is SagaState.STUCK)
    return tuple(saga for saga in waiting if left in {None, saga.version})


def resume_stuck(
    plane: Plane, system: str, actor: str, *, version: str | None = None, highest: Level = Level.DATA
) -> tuple[Saga, ...]:
    """
    Let them go on; that they do, and on whose word, goes on record.

    Returns:
        The rollbacks as they run then.

    Raises:
        NotFoundError: None waits.
        NotAuthorizedError: One of them goes deeper than this person may take one; none goes on then.
    """
    waiting = stuck(plane, system, version)
    if not waiting:
        which = f" that left {short(version)}" if version is not None else ""
        raise NotFoundError(
            f"no rollback of {system}{which} waits for a person",
            hint=f"What is under way shows: kg status {system}; kg history {system}",
        )
    for saga in waiting:
        check_reaches(saga, actor, highest)
    return tuple(resume(plane, saga, actor) for saga in waiting)
