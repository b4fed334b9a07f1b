"""Release a version from quarantine, by name and on record (rule 18): the acts that a person was shown alone."""

from collections.abc import Iterable
from dataclasses import dataclass

from knowngood.control.lookup import version_named
from knowngood.control.plane import Plane
from knowngood.control.publish import publish, spread
from knowngood.domain import fleet
from knowngood.domain.spelling import counted
from knowngood_sdk.errors import ConflictError
from knowngood_sdk.model.canonical import digest_of, short
from knowngood_sdk.model.route import Facts, Trip

__all__ = ["Released", "acts_in_force", "release_quarantine", "shown_as"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """A version that may be deployed again, and the acts that no longer hold it, oldest first."""

    version: str
    acts: tuple[Trip, ...]


def acts_in_force(facts: Facts, version: str | None = None) -> tuple[Trip, ...]:
    """Return the acts that hold a version, or any, oldest first."""
    held = [trip for uid, trip in facts.trips.items() if uid not in facts.released]
    return tuple(sorted((t for t in held if version in {None, t.version}), key=lambda trip: (trip.at, trip.uid)))


def shown_as(acts: Iterable[Trip]) -> str:
    """Return a short name for a set of acts: who gives it back has been shown these and no others."""
    return short(digest_of(sorted(trip.uid for trip in acts)))


def release_quarantine(plane: Plane, system: str, name: str, *, shown: str | None, reason: str, actor: str) -> Released:
    """
    Release every act that holds a version, if they are those that the person was shown; a later one holds it again.

    Args:
        plane: The ports.
        system: Name of the system.
        name: What people call the version.
        shown: The acts that the person was shown, as ``shown_as`` names them; may be left out where one act holds it.
        reason: Why it may be used again.
        actor: Who says so.

    Raises:
        ConflictError: The version is not in quarantine, or is held by acts that the person was not shown.
    """
    version = version_named(plane, system, name).content_digest
    with plane.store.change(system) as change:
        acts = acts_in_force(change.state.facts, version)
        _check_shown(system, version, acts, shown, reason)
        after = fleet.release(change.state, frozenset(trip.uid for trip in acts))
        change.save(after)
        body = {"version": version, "trips": sorted(trip.uid for trip in acts), "why": reason}
        change.append("quarantine-released", actor, plane.now(), body)
    spread(plane, publish(plane, system, after))
    return Released(version=version, acts=acts)


def _check_shown(system: str, version: str, acts: tuple[Trip, ...], shown: str | None, reason: str) -> None:
    if not acts:
        raise ConflictError(
            f"version {short(version)} is not in quarantine", hint=f"List them: kg quarantine list {system}"
        )
    if shown == shown_as(acts) or (shown is None and len(acts) == 1):
        return
    told = "; ".join(f"{act.at} {act.source}: {act.why}" for act in acts)
    held = f"version {short(version)} is held by {counted(len(acts), 'act')}"
    again = f"kg quarantine release {system} {short(version)} --shown {shown_as(acts)} --reason {reason!r}"
    raise ConflictError(
        f"{held}: {told}" if shown is None else f"{held}, which are not those that you were shown: {told}",
        hint=f"If none of them holds any more: {again}",
        shown=shown_as(acts),
    )
