"""
Sick: take a replica that fell ill alone out of the balancer, and let it in again once it is verified (rule 13).

An incident comes on record once; that the replica leaves the balancer, and returns, is done again at each look until it
is so. A balancer that cannot be told stops nothing.
"""

import logging
from dataclasses import dataclass

from knowngood.control.plane import Plane
from knowngood.domain.fleet import lone, undecided
from knowngood.domain.incident import SICK, VERIFIED, Incident, incidents, opened
from knowngood.domain.rotation import must_return
from knowngood.domain.spelling import did_you_mean
from knowngood_sdk.errors import ConflictError, KnownGoodError, NotFoundError
from knowngood_sdk.model.route import LocalTrip

__all__ = ["Cared", "care", "open_incidents", "verify_replica"]

_log = logging.getLogger(__name__)
_ACTOR = "reconciler"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cared:
    """
    What a look at the sick found and did.

    Attributes:
        opened: Incidents that came on record.
        verified: Incidents whose replica was verified.
        held_out: Replicas that left the balancer.
        let_in: Replicas that were let into it again.
    """

    opened: tuple[Incident, ...] = ()
    verified: tuple[Incident, ...] = ()
    held_out: tuple[str, ...] = ()
    let_in: tuple[str, ...] = ()


def care(plane: Plane, system: str) -> Cared:
    """Look after the sick replicas of a system. Safe to repeat; widening was evaluated before."""
    replicas = plane.traffic.replicas(system)
    live = frozenset(name for name, replica in replicas.items() if replica.workers_alive)
    sick = _heard_of(lone(plane.store.read(system), live), live)
    new: tuple[Incident, ...] = ()
    well: tuple[Incident, ...] = ()
    unverified: frozenset[LocalTrip] = frozenset()
    if sick:
        known = incidents(plane.store.ledger(system))
        if sick - known.keys():
            crews = {name: replica.report.crew for name, replica in replicas.items()}
            new = _open(plane, system, live, crews)
            known = incidents(plane.store.ledger(system))
        reports = {name: replica.report for name, replica in replicas.items() if name in live}
        proofs = {
            trip: known[trip].well(reports[trip.replica])
            for trip in sick & known.keys()
            if not known[trip].verified and trip.replica in reports
        }
        well = tuple(
            known[trip] for trip, proof in sorted(proofs.items()) if proof and _verify(plane, system, trip, proof)
        )
        healed = {incident.trip for incident in well}
        unverified = frozenset(t for t in sick & known.keys() if not known[t].verified and t not in healed)
    held, let = _balance(plane, system, frozenset(trip.replica for trip in unverified), live)
    return Cared(opened=new, verified=well, held_out=held, let_in=let)


def open_incidents(plane: Plane, system: str) -> tuple[Incident, ...]:
    """Return the incidents whose replica is not verified, and of whose trip nobody has made anything yet."""
    state = plane.store.read(system)
    live = frozenset(name for name, replica in plane.traffic.replicas(system).items() if replica.workers_alive)
    sick = lone(state, live) if live else undecided(state)
    known = incidents(plane.store.ledger(system)) if sick else {}
    return tuple(known[trip] for trip in sorted(sick & known.keys()) if not known[trip].verified)


def verify_replica(plane: Plane, system: str, replica: str, *, actor: str, why: str) -> tuple[Incident, ...]:
    """
    Say that a sick replica is well: a person's word, for what no start and no golden output can show.

    Returns:
        The incidents that this closes; it is let into the balancer at the next look.

    Raises:
        NotFoundError: Nobody knows a replica of this name.
        ConflictError: It has no incident that is open.
    """
    mine = tuple(incident for incident in open_incidents(plane, system) if incident.trip.replica == replica)
    if not mine:
        _check_known(plane, system, replica)
        raise ConflictError(f"replica {replica} of {system} is not held to be sick", hint=f"Look: kg status {system}")
    for incident in mine:
        _verify(plane, system, incident.trip, why, actor)
    return mine


def _check_known(plane: Plane, system: str, replica: str) -> None:
    """Raise NotFoundError unless a replica has this name now, or had it when it left a version."""
    known = {*plane.traffic.replicas(system), *(trip.replica for trip in plane.store.read(system).local)}
    if replica not in known:
        raise NotFoundError(f"{system} has no replica {replica!r}", hint=did_you_mean(replica, known))


def _open(plane: Plane, system: str, live: frozenset[str], crews: dict[str, frozenset[str]]) -> tuple[Incident, ...]:
    """Put the incidents on record that are not: those of this moment, for somebody else may have been faster."""
    with plane.store.change(system) as change:
        known = dict(incidents(plane.store.ledger(system)))
        new = []
        for trip in sorted(_heard_of(lone(change.state, live), live) - known.keys()):
            incident = known[trip] = opened(trip, crews.get(trip.replica, frozenset()), known)
            change.append(SICK, _ACTOR, plane.now(), incident.to_json(system))
            new.append(incident)
    return tuple(new)


def _heard_of(trips: frozenset[LocalTrip], live: frozenset[str]) -> frozenset[LocalTrip]:
    """
    Return those whose replica runs, as far as anybody knows.

    One of which nothing is heard gets no requests either; and who works there has to be known before it can be told
    that they are others.
    """
    return frozenset(trip for trip in trips if trip.replica in live)


def _verify(plane: Plane, system: str, trip: LocalTrip, why: str, actor: str = _ACTOR) -> bool:
    """Put on record that a replica is well; tell whether it was not before."""
    with plane.store.change(system) as change:
        incident = incidents(plane.store.ledger(system)).get(trip)
        if incident is None or incident.verified:
            return False
        change.append(VERIFIED, actor, plane.now(), {**incident.to_json(system), "why": why})
    return True


def _balance(
    plane: Plane, system: str, sick: frozenset[str], live: frozenset[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Bring the balancer to where it should be; return who left it and who came back."""
    if plane.balancer is None:
        return (), ()
    try:
        out = plane.balancer.held_out(system)
        back = sorted((out - sick) | must_return(live, out & sick))
        for replica in back:
            plane.balancer.let_in(system, replica)
        left = [replica for replica in sorted(sick - out) if plane.balancer.hold_out(system, replica)]
    except KnownGoodError as error:
        _log.warning("the balancer of %s could not be told: %s", system, error)
        return (), ()
    return tuple(left), tuple(back)
