"""
Reconcile: bring store and replicas together (rule 20, on one host).

Facts that replicas know and the store does not are merged, which starts the rollbacks they mean; what enough replicas
left on their own evidence the fleet leaves too, and a lone sick replica leaves the balancer (rule 13); a deployment
whose deployer died before anybody met its candidate is given up (rule 17); what is served is minted again for replicas
that stayed outside, where nothing speaks against it (rule 19); replicas that are behind are pushed what they miss. Run
again and again, it repairs whatever a crash left half done.
"""

from dataclasses import dataclass, field, replace
from uuid import uuid4

from knowngood.control.deploy import abandon_orphan, withdraw_orphan
from knowngood.control.flip import flip, record, record_trip
from knowngood.control.plane import Plane
from knowngood.control.publish import behind, publish, publish_anchor, published, spread
from knowngood.control.reissue import Reissued, reissue_if_settled
from knowngood.control.rollback import leave, owes_a_trip, trip_of
from knowngood.control.sick import Cared, care
from knowngood.domain.fleet import FleetState, widened
from knowngood.domain.saga import Saga
from knowngood_sdk.errors import ConflictError
from knowngood_sdk.model.canonical import short
from knowngood_sdk.model.route import Facts, LocalTrip, Trip

__all__ = ["Reconciled", "complete", "learn", "reconcile"]

_ACTOR = "reconciler"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """
    What a pass found and did.

    Attributes:
        started: Rollbacks that it started.
        local: Local trips that it newly learned.
        pushed: Replicas that were behind.
        abandoned: Version whose deployment was given up, or None.
        cared: What was done about sick replicas.
        reissued: What was minted again for replicas that stayed outside, or None.
    """

    started: tuple[Saga, ...] = ()
    local: frozenset[LocalTrip] = frozenset()
    pushed: tuple[str, ...] = ()
    abandoned: str | None = None
    cared: Cared = field(default_factory=Cared)
    reissued: Reissued | None = None


def reconcile(plane: Plane, system: str) -> Reconciled:
    """Make one pass over a system."""
    learned = learn(plane, system)
    learned = replace(learned, started=learned.started + _widen(plane, system))
    cared = care(plane, system)
    abandoned = abandon_orphan(plane, system, _ACTOR)
    withdraw_orphan(plane, system)
    learned = replace(learned, started=learned.started + complete(plane, system))
    reissued = reissue_if_settled(plane, system, _ACTOR)
    state = plane.store.read(system)
    document = published(plane, system)
    if _stale(document.facts, state) or document.route != state.row or document.recorded is not None:
        document = publish(plane, system, state)
    publish_anchor(plane, system)
    replicas = plane.traffic.replicas(system)
    late = tuple(sorted(name for name, r in replicas.items() if r.agent_alive and behind(r, document)))
    if late:
        spread(plane, document)
    return replace(learned, pushed=late, abandoned=abandoned, cared=cared, reissued=reissued)


def learn(plane: Plane, system: str) -> Reconciled:
    """Put on record what replicas and the published route know and the store does not; waits for no replica."""
    facts = published(plane, system).facts
    local: frozenset[LocalTrip] = frozenset()
    for replica in plane.traffic.replicas(system).values():
        facts = facts.merge(replica.report.state.facts)
        local |= replica.report.state.local
    state = plane.store.read(system)
    new_local = local - state.local
    if not _news(state, facts) and not new_local:
        return Reconciled()
    return Reconciled(started=record(plane, system, facts, actor=_ACTOR, local=local), local=new_local)


def _widen(plane: Plane, system: str) -> tuple[Saga, ...]:
    """Let the fleet leave what its replicas left on their own evidence: so it is neither served nor a way back."""
    live = frozenset(name for name, replica in plane.traffic.replicas(system).items() if replica.workers_alive)
    started: tuple[Saga, ...] = ()
    state = plane.store.read(system)
    for version, replicas in widened(state, live).items():
        why = f"{', '.join(sorted(replicas))} of {len(live)} live replica(s) left it on their own evidence"
        generation = state.row.generation
        trip = Trip(uid=uuid4().hex, version=version, generation=generation, source="widening", at=plane.now(), why=why)
        flip(plane, system, trip)
        started += record_trip(plane, system, trip, _ACTOR)
    return started


def complete(plane: Plane, system: str) -> tuple[Saga, ...]:
    """
    Complete a rollback whose target had to be deployed first, where whoever asked for it died in between.

    Returns:
        The rollbacks that this started: the version that was to be left is left now.
    """
    state = plane.store.read(system)
    deployment = next((d for d in plane.store.deployments(system) if d.generation == state.row.generation), None)
    if deployment is None or deployment.leaves is None or not owes_a_trip(deployment, state):
        return ()
    try:
        with plane.deploying(system):
            if not owes_a_trip(deployment, plane.store.read(system)):
                return ()
            why = f"{deployment.actor} asked for {short(deployment.version)} in its place, and was interrupted"
            return leave(plane, system, trip_of(plane, system, deployment.leaves, source="person", why=why), _ACTOR)[1]
    except ConflictError:
        # Whoever asked for it lives.
        return ()


def _news(state: FleetState, facts: Facts) -> bool:
    """Whether there are facts that the store lacks: trips, for releases come only from the store."""
    return bool(facts.trips.keys() - state.facts.trips.keys())


def _stale(seen: Facts, state: FleetState) -> bool:
    return bool(state.facts.trips.keys() - seen.trips.keys() or state.facts.released - seen.released)
