"""Release a version from quarantine, by name and on record (rule 18)."""

from dataclasses import dataclass

from knowngood.control.lookup import version_named
from knowngood.control.plane import Plane
from knowngood.control.publish import publish, spread
from knowngood.domain import fleet
from knowngood_sdk.errors import ConflictError
from knowngood_sdk.model.canonical import short

__all__ = ["Released", "release_quarantine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """A version that may be deployed again, and the acts that no longer hold it."""

    version: str
    uids: frozenset[str]


def release_quarantine(plane: Plane, system: str, name: str, *, reason: str, actor: str) -> Released:
    """
    Release every trip of a version that is on record now; one that comes later holds it again.

    Raises:
        ConflictError: The version is not in quarantine.
    """
    version = version_named(plane, system, name).content_digest
    with plane.store.change(system) as change:
        facts = change.state.facts
        shown = frozenset(u for u, trip in facts.trips.items() if trip.version == version and u not in facts.released)
        if not shown:
            raise ConflictError(
                f"version {short(version)} is not in quarantine", hint=f"List them: kg quarantine list {system}"
            )
        after = fleet.release(change.state, shown)
        change.save(after)
        body = {"version": version, "trips": sorted(shown), "why": reason}
        change.append("quarantine-released", actor, plane.now(), body)
    spread(plane, publish(plane, system, after))
    return Released(version=version, uids=shown)
