"""Reading: what is on record, as it is told: history, ledger, quarantine, plan, differences."""

from knowngood.control.audit import audit
from knowngood.control.lookup import compared, version_named
from knowngood.control.plane import Plane
from knowngood.control.release_quarantine import acts_in_force, shown_as
from knowngood.control.situation import situation_of
from knowngood.domain import level as levels
from knowngood.domain.planner import plan as make_plan
from knowngood.ports.verbs import Document
from knowngood.verbs.deploy import deployment_document
from knowngood_sdk.model.wire import trip_to_json

__all__ = ["diff", "history", "ledger", "plan", "quarantined", "verify"]


def history(plane: Plane, system: str, *, limit: int) -> Document:
    """List the newest entries of the ledger, with every deployment and every rollback as they stand now."""
    store = plane.store
    count = store.head(system)[0]
    entries = store.ledger(system, after=max(0, count - limit), limit=limit)
    return {
        "system": system,
        "deployments": [deployment_document(deployment) for deployment in store.deployments(system)],
        "sagas": [saga.to_json() for saga in store.sagas(system)],
        "entries": [entry.to_json() for entry in entries],
    }


def diff(plane: Plane, system: str, *, before: str | None, after: str | None) -> Document:
    """Tell what differs between two versions; without names, those that a person most likely means."""
    names = (before, after or "live") if before else compared(plane, system)
    left, right = (version_named(plane, system, name) for name in names)
    found = levels.diff(left, right)
    return {"before": left.content_digest, "after": right.content_digest, **found.to_json()}


def plan(plane: Plane, system: str, *, suspect: str | None, level: int | None) -> Document:
    """Tell how the system would be rolled back now."""
    asked = levels.Level(level) if level else None
    made = make_plan(situation_of(plane, system, suspected=suspect, asked=asked, probe=True))
    return {"system": system, **made.to_json()}


def quarantined(plane: Plane, system: str) -> Document:
    """List the versions in quarantine with every act that put them there, newest last."""
    trips = acts_in_force(plane.store.read(system).facts)
    shown = {version: shown_as(t for t in trips if t.version == version) for version in {t.version for t in trips}}
    return {
        "system": system,
        "trips": [trip_to_json(trip) for trip in trips],
        "shown": dict(sorted(shown.items())),
    }


def ledger(plane: Plane, system: str, *, after: int = 0, limit: int | None = None) -> Document:
    """Return the entries of the ledger behind a sequence number."""
    return {"system": system, "entries": [e.to_json() for e in plane.store.ledger(system, after=after, limit=limit)]}


def verify(plane: Plane, system: str) -> Document:
    """Check the ledger entry by entry, and against the anchors that replicas keep outside of the store."""
    return audit(plane, system).to_json()
