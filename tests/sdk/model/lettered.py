"""Versions that are called by a letter, trips by it and a number, and replicas on chains of them."""

from knowngood_sdk.model.route import FULL, Facts, FleetRoute, Generation, LocalTrip, Refusal, ReplicaState, Trip

A, B, C, D = "ABCD"
ALL = frozenset("ABCD")
NONE: frozenset[str] = frozenset()
HERE = "r1"


def trip(uid: str) -> Trip:
    """An act of leaving the version that its uid begins with."""
    return Trip(uid=uid, version=uid[0], generation=1, source="person", at="2026-01-01T00:00:00Z", why="wrong prices")


def facts(*uids: str, released: str = "") -> Facts:
    return Facts({uid: trip(uid) for uid in uids}, frozenset(released.split()))


def here(version: str, generation: int = 1) -> LocalTrip:
    return LocalTrip(HERE, generation, version)


def generation(number: int, chain: str, *, saw: str = "", saw_local: frozenset[LocalTrip] = frozenset()) -> Generation:
    return Generation(number=number, chain=tuple(chain), saw_quarantine=frozenset(saw), saw_local=saw_local)


def replica(
    chain: str = "ABC",
    *,
    at: tuple[int, int] = (0, FULL),
    latched: int = 0,
    known: Facts | None = None,
    local: str = "",
) -> ReplicaState:
    """A replica on generation 1, at a step and a split."""
    return ReplicaState(
        fleet=FleetRoute(1, *at),
        latched=latched,
        facts=known or Facts(),
        local=frozenset(here(version) for version in local),
        generations={1: generation(1, chain)},
    )


def offer(
    state: ReplicaState,
    made: Generation,
    *,
    at: tuple[int, int] = (0, 0),
    known: Facts | None = None,
    ready: frozenset[str] = ALL,
) -> tuple[ReplicaState, Refusal | None]:
    """Give a replica a generation at a step and a split."""
    return state.receive(FleetRoute(made.number, *at), {made.number: made}, known or Facts(), ready)


def news(
    state: ReplicaState, *, at: tuple[int, int] = (0, 0), known: Facts | None = None, ready: frozenset[str] = ALL
) -> ReplicaState:
    """Give a replica a message of its own generation."""
    return state.receive(FleetRoute(state.fleet.generation, *at), {}, known or Facts(), ready)[0]
