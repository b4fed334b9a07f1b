"""
Publish: put what the store holds of a route where every replica reads it.

Several processes publish: a command, the watch, another command. Each changes what is published at that moment, under
the one writer's turn that the port gives, so none takes back what another has just put there.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from knowngood.control.plane import Plane
from knowngood.domain.fleet import FleetState
from knowngood.domain.ledger import Entry
from knowngood.ports.traffic import Replica, Traffic
from knowngood_sdk.errors import InvalidError, KnownGoodError
from knowngood_sdk.model.route import Generation, Trip
from knowngood_sdk.model.wire import RouteDocument, ShadowOrder

__all__ = [
    "PUSH_DEADLINE",
    "Arming",
    "behind",
    "known_generation",
    "publish",
    "publish_anchor",
    "publish_record",
    "publish_trip",
    "published",
    "spread",
]

_log = logging.getLogger(__name__)
_SETTLED_PER_SECOND = 1.0
"""Requests that each worker scores in shadow every second once a version is verified: it keeps the standby warm."""
PUSH_DEADLINE = timedelta(seconds=2)
"""How long a push waits for a replica that does not answer; what it missed it finds in the published document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arming:
    """
    What a deployment asks of replicas before it mints.

    Attributes:
        version: The candidate, to be loaded beside what serves.
        shadow: What to score in shadow; None where nothing is compared.
    """

    version: str
    shadow: ShadowOrder | None


def published(plane: Plane, system: str) -> RouteDocument:
    """Return what replicas can read now; an empty document before the first publication, or when nobody can read it."""
    try:
        return plane.traffic.published(system) or RouteDocument(system=system)
    except InvalidError as error:
        _log.warning("what is published for %s cannot be read: %s", system, error)
        return RouteDocument(system=system)


def publish(
    plane: Plane,
    system: str,
    state: FleetState,
    *,
    arming: Arming | None = None,
    withdraw: str | None = None,
    settled: str | None = None,
) -> RouteDocument:
    """
    Write the route document of a state; what cannot be read is written anew, for the store knows it all.

    Args:
        plane: The ports.
        system: Name of the system.
        state: What the store holds; where replicas can read a later route already, that one stays.
        arming: What a deployment asks for, in place of what the one before asked for.
        withdraw: A version that need not be armed or scored in shadow any longer; what others ask for stays.
        settled: A version that is verified: beside the known one it is scored now and then, and nothing else is kept
            loaded for comparison.

    Returns:
        What is published now.
    """
    needed = _needed(plane, system, state)
    written: list[RouteDocument] = []

    def change(before: RouteDocument) -> RouteDocument:
        kept = {
            n: g for n, g in before.generations.items() if n == before.route.generation and before.route > state.row
        }
        document = replace(
            before,
            route=max(before.route, state.row),
            generations={**kept, **needed},
            facts=state.facts.merge(before.facts),
            anchor=plane.store.head(system),
            recorded=_recorded(plane, system, state, before.route.generation),
        )
        if arming is not None:
            document = replace(document, prepare=(arming.version,), shadow=arming.shadow)
        if withdraw is not None:
            document = _without(document, withdraw)
        if settled is not None:
            document = _settled(document, settled)
        written.append(document)
        return document

    plane.traffic.publish(system, change, anew=True)
    return written[-1]


def _recorded(plane: Plane, system: str, state: FleetState, published: int) -> int | None:
    """Return where the record ends, if that is behind what is published; a state that was read earlier says nothing."""
    if state.row.generation >= published:
        return None
    # What is published was on record before: only an older copy that was put back has less of it.
    ends = plane.store.read(system).row.generation
    return ends if ends < published else None


def known_generation(plane: Plane, system: str) -> int:
    """Return the newest generation that replicas know or can read; a store that was put back may know less."""
    seen = (replica.report.state.fleet.generation for replica in plane.traffic.replicas(system).values())
    return max((published(plane, system).route.generation, *seen))


def publish_trip(traffic: Traffic, system: str, trip: Trip) -> str:
    """
    Add a trip to what is published, so that replicas that do not run now find it when they do. Needs no store.

    Returns:
        Why it could not be published; empty when it was. That stops nothing: the record that follows publishes it too.
    """
    try:
        traffic.publish(system, lambda known: replace(known, facts=known.facts.with_trip(trip)))
    except KnownGoodError as error:
        return str(error)
    return ""


def publish_record(plane: Plane, system: str) -> None:
    """
    Publish what has just been put on record.

    That it is on record does not depend on this: the reconciler publishes what is missing.
    """
    try:
        publish(plane, system, plane.store.read(system))
    except KnownGoodError as error:
        _log.warning("what is on record of %s could not be published: %s", system, error)


def publish_anchor(plane: Plane, system: str, appended: Entry | None = None) -> None:
    """
    Let replicas keep how far the ledger goes, so that nobody can cut its end off unseen; the route stays.

    What is on record already does not fail for want of it: the next publication brings the anchor too. Where what is
    published cannot be read, in one place of several for one, it is published anew.

    Args:
        plane: The ports.
        system: Name of the system.
        appended: The entry that the caller has just put on record. Where the one before it is the last that is
            published, this one follows; where another process was here in between, the store knows which comes last.
    """

    def change(known: RouteDocument) -> RouteDocument:
        follows = appended is not None and known.anchor == (appended.sequence - 1, appended.previous)
        return replace(known, anchor=appended.anchor if appended and follows else plane.store.head(system))

    try:
        plane.traffic.publish(system, change)
    except InvalidError:
        publish_record(plane, system)
    except KnownGoodError as error:
        _log.warning("the head of the ledger of %s could not be published: %s", system, error)


def spread(plane: Plane, document: RouteDocument, deadline: timedelta = PUSH_DEADLINE) -> None:
    """Push a published document to the replicas that have not applied it; a hint, for they read it anyway."""
    plane.traffic.push(document, deadline)


def behind(replica: Replica, document: RouteDocument) -> bool:
    """Whether a replica has yet to learn something that the document says."""
    state = replica.report.state
    unknown_facts = document.facts.trips.keys() - state.facts.trips.keys()
    return bool(unknown_facts or document.facts.released - state.facts.released) or state.fleet < document.route


def _without(document: RouteDocument, version: str) -> RouteDocument:
    prepare = tuple(other for other in document.prepare if other != version)
    shadow = document.shadow
    if shadow is not None and version in {shadow.reference, *shadow.others}:
        shadow = None
    return replace(document, prepare=prepare, shadow=shadow)


def _settled(document: RouteDocument, version: str) -> RouteDocument:
    shadow = document.shadow
    if shadow is None or version not in shadow.others:
        return document
    rate = min(shadow.per_second, _SETTLED_PER_SECOND)
    return replace(document, shadow=replace(shadow, others=(version,), per_second=rate))


def _needed(plane: Plane, system: str, state: FleetState) -> Mapping[int, Generation]:
    """Return the current generation and those that a replica still stands on."""
    numbers = {replica.report.state.fleet.generation for replica in plane.traffic.replicas(system).values()}
    numbers.add(state.row.generation)
    return {number: state.generations[number] for number in sorted(numbers) if number in state.generations}
