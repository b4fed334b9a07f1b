"""Publish: put what the store holds of a route where every replica reads it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from knowngood.control.plane import Plane
from knowngood.domain.fleet import FleetState
from knowngood.ports.traffic import Replica
from knowngood_sdk.model.route import Generation
from knowngood_sdk.model.wire import RouteDocument, ShadowOrder

__all__ = ["PUSH_DEADLINE", "behind", "publish", "publish_anchor", "published", "spread"]

PUSH_DEADLINE = timedelta(seconds=2)
"""How long a push waits for a replica that does not answer; what it missed it finds in the published document."""


def published(plane: Plane, system: str) -> RouteDocument:
    """Return what replicas can read now; an empty document before the first publication."""
    return plane.traffic.published(system) or RouteDocument(system=system)


def publish(
    plane: Plane,
    system: str,
    state: FleetState,
    *,
    prepare: tuple[str, ...] | None = None,
    shadow: tuple[ShadowOrder | None] | None = None,
) -> RouteDocument:
    """
    Write the route document of a state.

    Args:
        plane: The ports.
        system: Name of the system.
        state: What the store holds.
        prepare: Versions to load beside the chain; None leaves what is published.
        shadow: A one-tuple with the order to score in shadow, or with None to stop; None leaves what is published.
    """
    before = published(plane, system)
    document = replace(
        before,
        route=state.row,
        generations=_needed(plane, system, state),
        facts=state.facts.merge(before.facts),
        prepare=before.prepare if prepare is None else prepare,
        shadow=before.shadow if shadow is None else shadow[0],
        anchor=plane.store.head(system),
    )
    plane.traffic.publish(document)
    return document


def publish_anchor(plane: Plane, system: str) -> None:
    """Let replicas keep how far the ledger goes, so that nobody can cut its end off unseen; the route stays."""
    head = plane.store.head(system)
    document = published(plane, system)
    if document.anchor != tuple(head):
        plane.traffic.publish(replace(document, anchor=head))


def spread(plane: Plane, document: RouteDocument, deadline: timedelta = PUSH_DEADLINE) -> None:
    """Push a published document to the replicas that have not applied it; a hint, for they read it anyway."""
    plane.traffic.push(document, deadline)


def behind(replica: Replica, document: RouteDocument) -> bool:
    """Whether a replica has yet to learn something that the document says."""
    state = replica.report.state
    unknown_facts = document.facts.trips.keys() - state.facts.trips.keys()
    return bool(unknown_facts or document.facts.released - state.facts.released) or state.fleet < document.route


def _needed(plane: Plane, system: str, state: FleetState) -> Mapping[int, Generation]:
    """Return the current generation and those that a replica still stands on."""
    numbers = {replica.report.state.fleet.generation for replica in plane.traffic.replicas(system).values()}
    numbers.add(state.row.generation)
    return {number: state.generations[number] for number in sorted(numbers) if number in state.generations}
