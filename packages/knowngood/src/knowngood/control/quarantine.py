"""Quarantine: bar a version that serves nobody, by name and on record, so that no deployment brings it into service."""

from knowngood.control.lookup import version_named
from knowngood.control.plane import Plane
from knowngood.control.rollback import leave, opened, trip_of
from knowngood.domain.saga import Saga
from knowngood_sdk.errors import ConflictError
from knowngood_sdk.model.canonical import short

__all__ = ["quarantine"]


def quarantine(plane: Plane, system: str, name: str, *, reason: str, actor: str) -> Saga:
    """
    Put a recorded version into quarantine.

    A standby behind what is served is barred too: a rollback goes past it from then on.

    Returns:
        The rollback that this starts, as each act of leaving does: it sees to it that nothing serves the version.

    Raises:
        NotFoundError: No version answers to the name.
        ConflictError: The version serves or is being deployed, or is in quarantine already, or came there meanwhile.
    """
    version = version_named(plane, system, name).content_digest
    state = plane.store.read(system)
    if version in {state.served, state.candidate}:
        what = "serves" if version == state.served else "is being deployed"
        raise ConflictError(
            f"version {short(version)} {what}",
            hint=f"Leave it: kg rollback {system}; that puts it into quarantine"
            if version == state.watched
            else f"Give it up: kg deploy {system} --abandon",
        )
    if version in state.facts.quarantined:
        raise ConflictError(
            f"version {short(version)} is in quarantine already", hint=f"Every act: kg quarantine list {system}"
        )
    trip = trip_of(plane, system, version, source="person", why=reason)
    known = {saga.id for saga in plane.store.sagas(system)}
    _, sagas = leave(plane, system, trip, actor)
    # A reconciler that heard of the trip from a replica may have put it on record first: the rollback is the same.
    ours = [saga for saga in sagas if saga.version == version] or opened(plane, system, version, before=known)
    if not ours:
        raise ConflictError(
            f"version {short(version)} came into quarantine by another act meanwhile",
            hint=f"Every act: kg quarantine list {system}",
        )
    return ours[0]
