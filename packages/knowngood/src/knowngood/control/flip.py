"""
Flip: leave a version, everywhere, at once.

The order is what makes it fast and safe: the fact goes to the replicas first, without database and without lock, then
into the published document that replicas poll, and then on record. Wherever this process dies in between, the replicas
that know the fact report it, and the store merges it (rule 12).
"""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from knowngood.control.fault_point import FaultPoint, reach
from knowngood.control.plane import Plane
from knowngood.control.publish import PUSH_DEADLINE, publish_record, publish_trip, published
from knowngood.domain import fleet
from knowngood.domain.fleet import Episode, FleetState
from knowngood.domain.saga import Saga
from knowngood.ports.store import Change
from knowngood.ports.traffic import Unreachable
from knowngood_sdk.errors import KnownGoodError
from knowngood_sdk.model.canonical import short
from knowngood_sdk.model.route import Facts, LocalTrip, Trip
from knowngood_sdk.model.wire import ReplicaReport, trip_to_json

__all__ = ["Acknowledged", "Flip", "flip", "reach_without_agent", "record", "record_trip", "unheard"]

_log = logging.getLogger(__name__)
Acknowledged = Callable[[str, float], None]
"""Takes the name of a replica that left, as soon as it has, and the seconds since the decision."""


def unheard(_replica: str, _seconds: float) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """
    What a flip was seen to do.

    Attributes:
        trip: The fact that was spread.
        acknowledged: Replica -> what it durably acknowledged.
        unreachable: Replica whose workers live, or may -> why it did not answer in time.
        seconds: From the decision until the last acknowledgement, or until the deadline.
        gone: Replicas that do not run; they find the trip when they do.
        unpublished: Why the trip could not be published for those that did not hear of it; empty when it was.
    """

    trip: Trip
    acknowledged: Mapping[str, ReplicaReport]
    unreachable: Mapping[str, str]
    seconds: float
    gone: tuple[str, ...] = ()
    unpublished: str = ""

    @property
    def summary(self) -> str:
        """What a person wants to read: how many left, how long the slowest took, who could not be reached."""
        total = len(self.acknowledged) + len(self.unreachable)
        missing = ", ".join(sorted(self.unreachable)) or "none"
        parts = [
            f"{len(self.acknowledged)}/{total} left {short(self.trip.version)}, slowest {self.seconds * 1000:.1f} ms",
            f"unreachable: {missing}",
            f"not running: {', '.join(self.gone)}" if self.gone else "",
            f"not published yet: {self.unpublished}" if self.unpublished else "",
        ]
        return "; ".join(part for part in parts if part)


def flip(
    plane: Plane, system: str, trip: Trip, deadline: timedelta = PUSH_DEADLINE, *, tell: Acknowledged = unheard
) -> Flip:
    """Send a trip to every replica, and publish it. Needs no database; safe to repeat."""
    reach(FaultPoint.FLIP_DECIDED)
    started = plane.clock.monotonic()
    before = published(plane, system)
    document = replace(before, facts=before.facts.with_trip(trip))
    last = [started]

    def acknowledged(replica: str) -> None:
        last[0] = plane.clock.monotonic()
        tell(replica, last[0] - started)
        reach(FaultPoint.FLIP_FIRST_ACKNOWLEDGED)

    answers = dict(plane.traffic.push(document, deadline, on_acknowledged=acknowledged))
    silent = [name for name, answer in answers.items() if isinstance(answer, Unreachable)]
    gone = _not_running(plane, system, trip.version, silent)
    for name in gone:
        del answers[name]
    for name, answer in reach_without_agent(plane, system, trip, silent).items():
        answers[name] = answer
        if isinstance(answer, ReplicaReport):
            acknowledged(name)
    unpublished = publish_trip(plane.traffic, system, trip)
    reach(FaultPoint.FLIP_PUSHED)
    return Flip(
        trip=trip,
        acknowledged={name: answer for name, answer in answers.items() if isinstance(answer, ReplicaReport)},
        unreachable={name: answer.reason for name, answer in answers.items() if isinstance(answer, Unreachable)},
        seconds=last[0] - started,
        gone=gone,
        unpublished=unpublished,
    )


def reach_without_agent(
    plane: Plane, system: str, trip: Trip, names: Collection[str]
) -> Mapping[str, ReplicaReport | Unreachable]:
    """
    Take a trip to the workers of replicas whose agent does not run, as one who breaks the glass does.

    Args:
        plane: The ports.
        system: Name of the system.
        trip: The fact.
        names: Replicas; those that have an agent, or no worker, are passed over.

    Returns:
        Replica -> what it made durable, or why it could not.
    """
    if not names:
        return {}
    seen = plane.traffic.replicas(system)
    lost = [name for name in names if name in seen and seen[name].workers_alive and not seen[name].agent_alive]
    return plane.traffic.leave(system, trip, PUSH_DEADLINE, replicas=lost) if lost else {}


def _not_running(plane: Plane, system: str, version: str, names: Collection[str]) -> tuple[str, ...]:
    """Return which of some replicas do not run at all, as far as anybody can tell who asks for a version."""
    seen = plane.traffic.replicas(system) if names else {}
    known = [seen[name] for name in names if name in seen]
    return tuple(each.name for each in known if not each.workers_alive and not each.may_serve(version))


def record_trip(
    plane: Plane, system: str, trip: Trip, actor: str, decision: Mapping[str, Any] | None = None
) -> tuple[Saga, ...]:
    """
    Put a trip on record (rule 14) and start the rollback of every version that it newly quarantines (rule 12).

    Args:
        plane: The ports.
        system: Name of the system.
        trip: The fact.
        actor: Who brings it.
        decision: What led to it, where whoever decided is the one who records; else it waits in the outbox.
    """
    known = {trip.uid: decision} if decision else {}
    return record(plane, system, Facts({trip.uid: trip}), actor=actor, decisions=known)


def record(
    plane: Plane,
    system: str,
    facts: Facts,
    *,
    actor: str,
    local: frozenset[LocalTrip] = frozenset(),
    decisions: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[Saga, ...]:
    """
    Merge facts into the store in one transaction, with the decisions that led to them and the rollbacks they start.

    Args:
        plane: The ports.
        system: Name of the system.
        facts: Fleet trips, known here or learned from replicas.
        actor: Who brings them; who decided is named by a decision that was kept, whoever puts it on record.
        local: Local trips that replicas reported.
        decisions: What led to a trip, by its uid; those of other processes are looked up in the outbox.
    """
    decisions = {**_kept_decisions(plane, system, facts), **(decisions or {})}
    now = plane.now()
    with plane.store.change(system) as change:
        before = change.state
        after, episodes = fleet.merge(before, facts, local)
        change.save(after)
        for uid in sorted(facts.trips.keys() - before.facts.trips.keys()):
            trip = facts.trips[uid]
            who = str(decisions.get(uid, {}).get("actor", actor))
            if uid in decisions:
                change.append("decided", who, now, {k: v for k, v in decisions[uid].items() if k != "actor"})
            change.append("tripped", who, now, trip_to_json(trip))
        for reported in sorted(local - before.local):
            body = {"replica": reported.replica, "generation": reported.generation, "version": reported.version}
            change.append("local-trip", reported.replica, now, body)
        levels = {facts.trips[uid].version: decision.get("level") for uid, decision in decisions.items()}
        lost = any(trip.generation > after.row.generation for trip in facts.trips.values())
        target = _led_to(plane, system, after) if lost else after.served
        sagas = _open_sagas(change, system, episodes, levels, target=target, actor=actor, now=now)
        reach(FaultPoint.FLIP_RECORDING)
    reach(FaultPoint.FLIP_RECORDED)
    _forget_decisions(plane, system, decisions)
    publish_record(plane, system)
    return sagas


def _kept_decisions(plane: Plane, system: str, facts: Facts) -> dict[str, Mapping[str, Any]]:
    """Return what waits in the outbox for trips to be put on record."""
    kept: dict[str, Mapping[str, Any]] = {}
    for uid in facts.trips:
        try:
            decision = plane.outbox.get(system, uid)
        except KnownGoodError as error:
            # Why it was left matters less than that it was.
            _log.warning("the decision of trip %s cannot be read: %s", uid, error)
            continue
        if decision is not None:
            kept[uid] = decision
    return kept


def _forget_decisions(plane: Plane, system: str, uids: Collection[str]) -> None:
    """Clear the outbox of what is on record; what cannot be removed is on record all the same."""
    for uid in uids:
        try:
            plane.outbox.drop(system, uid)
        except KnownGoodError as error:
            _log.warning("the decision of trip %s is on record and could not be removed: %s", uid, error)


def _led_to(plane: Plane, system: str, state: FleetState) -> str | None:
    """
    Return what serves once these facts are known, of which one is of a later generation than the record has.

    An older copy was put back: replicas serve by what is published, and what the record has for live none may serve.
    """
    try:
        document = published(plane, system)
    except KnownGoodError as error:
        _log.warning("what serves %s is told by the record alone: %s", system, error)
        return state.served
    number = document.route.generation
    if number <= state.row.generation or number not in document.generations:
        return state.served
    ahead = FleetState(row=document.route, generations=document.generations, facts=Facts(released=state.facts.released))
    return fleet.merge(ahead, state.facts)[0].served


def _open_sagas(  # noqa: PLR0913 - what goes on record of each
    change: Change,
    system: str,
    episodes: tuple[Episode, ...],
    levels: Mapping[str, int | None],
    *,
    target: str | None,
    actor: str,
    now: str,
) -> tuple[Saga, ...]:
    """Start one rollback for each episode, inside the transaction that recorded the trips."""
    sagas = []
    for episode in episodes:
        state = change.state
        trips = [
            t
            for uid, t in state.facts.trips.items()
            if t.version == episode.version and uid not in state.facts.released
        ]
        first = min(trips, key=lambda t: t.at)
        saga = Saga(
            id=episode.saga(system),
            system=system,
            version=episode.version,
            episode=episode.number,
            target=target,
            generation=state.row.generation,
            started_at=first.at,
            timeline={"level": levels[episode.version]} if levels.get(episode.version) else {},
        )
        change.save_saga(saga)
        body = {
            "saga": saga.id,
            "left": episode.version,
            "target": target,
            "why": first.why,
            "source": first.source,
        }
        change.append("rollback-started", actor, now, body)
        sagas.append(saga)
    return tuple(sagas)
