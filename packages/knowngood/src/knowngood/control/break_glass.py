"""
Break glass: make replicas leave what they serve, without store and without control plane.

What is left is what replicas themselves say that they serve, not what a document says they should: so a second time
leaves what the first one led to, and a document that nobody can read stops nothing.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

from knowngood.control.publish import publish_trip
from knowngood.ports.traffic import Answers, Traffic
from knowngood_sdk.errors import ConflictError, NotFoundError, NotReadyError
from knowngood_sdk.model.route import ReplicaState, Trip

__all__ = ["Broken", "break_glass", "foremost"]

_DEADLINE = timedelta(seconds=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """
    What breaking the glass did.

    Attributes:
        trip: What was left.
        answers: Replica -> what it made durable, or why it could not.
        unpublished: Why replicas that do not run now will not find the trip by themselves; empty when they will.
    """

    trip: Trip
    answers: Answers
    unpublished: str = ""


def foremost(states: Iterable[ReplicaState]) -> tuple[int, str] | None:
    """
    Return the version furthest in front that any replica serves, with its generation; None when none serves a version.

    In front is the newest generation, and in it the lowest position: a canary before what it is to replace.
    """
    serving = [
        (-state.fleet.generation, position, state.chain[position])
        for state in states
        for position in state.positions
        if position < len(state.chain)
    ]
    if not serving:
        return None
    generation, _, version = min(serving)
    return -generation, version


def break_glass(
    traffic: Traffic, system: str, make: Callable[[int, str], Trip], *, replica: str | None = None
) -> Broken:
    """
    Leave what serves, on every replica or on one.

    Args:
        traffic: The replicas.
        system: Name of the system.
        make: Makes the trip of a generation and a version.
        replica: The one replica that is to leave by itself; None for the whole fleet.

    Raises:
        NotFoundError: There is no replica, or none of that name.
        NotReadyError: No replica can say what it serves.
        ConflictError: Everyone answers with the static fallback already.
    """
    seen = traffic.replicas(system)
    if not seen or replica not in {None, *seen}:
        wanted = "replica here" if replica is None else f"replica {replica!r}"
        there = f"It has: {', '.join(sorted(seen))}" if seen else "Name the folder with --dir or KNOWNGOOD_DIR"
        raise NotFoundError(f"system {system} has no {wanted}", hint=there)
    asked = {name: one for name, one in seen.items() if replica in {None, name}}
    running = {name: one for name, one in asked.items() if one.alive} or asked
    found = foremost(one.report.state for one in running.values())
    if found is None:
        if not any(one.report.state.fleet.generation for one in running.values()):
            told = "; ".join(f"{name}: {one.trouble}" for name, one in sorted(running.items()) if one.trouble)
            raise NotReadyError(
                f"no replica of {system} says what it serves" + (f": {told}" if told else ", for none has joined yet"),
                hint=f"Look: kg status {system}; a replica that cannot say it can be stopped",
            )
        raise ConflictError(
            f"{replica or 'every replica'} of {system} answers with the static fallback already",
            hint=f"There is nothing left to leave; look: kg status {system}",
        )
    trip = make(*found)
    only = None if replica is None else [replica]
    answers = traffic.leave(system, trip, _DEADLINE, replicas=only, local=replica is not None)
    return Broken(trip=trip, answers=answers, unpublished="" if replica else publish_trip(traffic, system, trip))
