"""
Route on the wire: the JSON of trips, generations, facts and a replica's state, as documents and files carry it.

The readers raise TypeError or ValueError that names the field; the documents of ``wire`` turn that into an
InvalidError. Only ``state_from_json`` and ``trip_from_json`` read something whole and raise InvalidError themselves.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.fields import entry, integer, integer_value, listed, shown, text, texts
from knowngood_sdk.model.route import Facts, FleetRoute, Generation, LocalTrip, ReplicaState, Trip

__all__ = [
    "facts_in",
    "facts_json",
    "generation_json",
    "generations_in",
    "local_json",
    "locals_in",
    "parse",
    "route_in",
    "route_json",
    "state_from_json",
    "state_in",
    "state_to_json",
    "trip_from_json",
    "trip_to_json",
]

_T = TypeVar("_T")


def state_to_json(state: ReplicaState) -> dict[str, Any]:
    """Return the JSON form of a replica's state, as its last-known-good file keeps it."""
    return {
        "fleet": route_json(state.fleet),
        "latched": state.latched,
        "facts": facts_json(state.facts),
        "local": [local_json(trip) for trip in sorted(state.local)],
        "generations": [generation_json(item) for _, item in sorted(state.generations.items())],
    }


def state_from_json(document: Any) -> ReplicaState:
    """Read what ``state_to_json`` wrote; raises InvalidError for anything else."""
    return parse("replica state", document, state_in)


def trip_to_json(trip: Trip) -> dict[str, Any]:
    """Return the JSON form of a trip."""
    return {
        "uid": trip.uid,
        "version": trip.version,
        "generation": trip.generation,
        "source": trip.source,
        "at": trip.at,
        "why": trip.why,
    }


def trip_from_json(document: Any) -> Trip:
    """Read what ``trip_to_json`` wrote; raises InvalidError for anything else."""
    return parse("trip", document, _trip)


def parse(what: str, document: Any, read: Callable[[Any], _T]) -> _T:
    """Read a whole document; raises InvalidError, naming it and the field, where the reader raises."""
    try:
        return read(document)
    except (TypeError, ValueError) as error:
        raise InvalidError(f"the {what} is malformed: {error}") from error


def route_json(route: FleetRoute) -> dict[str, int]:
    """Return the JSON form of a fleet route."""
    return {"generation": route.generation, "step": route.step, "split": route.split}


def route_in(item: Any) -> FleetRoute:
    """Read what ``route_json`` wrote."""
    return FleetRoute(integer(item, "generation"), integer(item, "step"), integer(item, "split"))


def generation_json(generation: Generation) -> dict[str, Any]:
    """Return the JSON form of a generation."""
    return {
        "number": generation.number,
        "chain": list(generation.chain),
        "saw_quarantine": sorted(generation.saw_quarantine),
        "saw_local": [local_json(trip) for trip in sorted(generation.saw_local)],
    }


def generations_in(item: Any) -> dict[int, Generation]:
    """Read the entry ``generations``, a list of what ``generation_json`` wrote, by number."""
    return {generation.number: generation for generation in map(_generation, listed(item, "generations"))}


def _generation(item: Any) -> Generation:
    return Generation(
        number=integer(item, "number"),
        chain=texts(item, "chain"),
        saw_quarantine=frozenset(texts(item, "saw_quarantine")),
        saw_local=locals_in(item, "saw_local"),
    )


def local_json(trip: LocalTrip) -> list[Any]:
    """Return the JSON form of a local trip."""
    return [trip.replica, trip.generation, trip.version]


def locals_in(item: Any, name: str) -> frozenset[LocalTrip]:
    """Read an entry that is a list of what ``local_json`` wrote."""
    found = listed(item, name)
    return frozenset(_local(trip, name) for trip in found) if found else frozenset()


def _local(item: Any, name: str) -> LocalTrip:
    if not isinstance(item, list) or len(item) != len(LocalTrip.__slots__):
        raise TypeError(f"{name} must hold [replica, generation, version], not {shown(item)}")
    replica, generation, version = item
    if not isinstance(replica, str) or not isinstance(version, str):
        raise TypeError(f"{name} must name replica and version by text")
    return LocalTrip(replica, integer_value(generation, f"the generation in {name}"), version)


def facts_json(facts: Facts) -> dict[str, Any]:
    """Return the JSON form of facts."""
    return {
        "trips": [trip_to_json(trip) for _, trip in sorted(facts.trips.items())],
        "released": sorted(facts.released),
    }


def facts_in(item: Any) -> Facts:
    """Read the entry ``facts``, which ``facts_json`` wrote."""
    facts = entry(item, "facts")
    trips = [_trip(trip) for trip in listed(facts, "trips")]
    return Facts({trip.uid: trip for trip in trips}, frozenset(texts(facts, "released")))


def _trip(item: Any) -> Trip:
    return Trip(
        uid=text(item, "uid"),
        version=text(item, "version"),
        generation=integer(item, "generation"),
        source=text(item, "source"),
        at=text(item, "at"),
        why=text(item, "why"),
    )


def state_in(item: Any) -> ReplicaState:
    """Read what ``state_to_json`` wrote."""
    return ReplicaState(
        fleet=route_in(entry(item, "fleet")),
        latched=integer(item, "latched"),
        facts=facts_in(item),
        local=locals_in(item, "local"),
        generations=generations_in(item),
    )
