"""How a replica does not take messages and acts, write, and answer (rules 7 to 11)."""

from collections.abc import Set
from dataclasses import replace
from typing import Any

from knowngood.testing.simulation.rules import Rules
from knowngood_sdk.model.route import (
    FleetRoute,
    Generation,
    LocalTrip,
    Refusal,
    ReplicaState,
    Trip,
)
from knowngood_sdk.model.wire import RouteDocument

Taken = tuple[ReplicaState, Refusal | None]


__all__ = [
    "AcknowledgesBeforeTheDisk",
    "AcknowledgesBeforeTheWord",
    "AcknowledgesGenerationsBeforeTheDisk",
    "BreakGlassTellsNobody",
    "DoesNotLookAgain",
    "DoesNotLookFirst",
    "EveryDeployerHasSeenAll",
    "EveryDeployerHasSeenLocalTrips",
    "ForgetsTheJournal",
    "ForgetsTheWord",
    "JoinersAreGuardedToo",
    "LastMessageWins",
    "LeavesAsItArrives",
    "LocalTripNeedsNoTarget",
    "LocalTripTellsEverybody",
    "LocalTripsOutliveTheirGeneration",
    "RefusesFactsToo",
    "ServesWhatIsNotReady",
    "StepOutlivesItsGeneration",
    "TakesOlderGenerations",
    "TakesWhatIsNotReady",
    "TrustsWhatItFinds",
    "WordBeforeFile",
]


class EveryDeployerHasSeenAll(Rules):
    """Generations that claim to have seen whatever a replica knows."""

    def claimed(self, generation: Generation, state: ReplicaState) -> Generation:
        return replace(generation, saw_quarantine=generation.saw_quarantine | state.facts.quarantined)

    def receive(self, state: ReplicaState, document: RouteDocument, ready: Set[str]) -> Taken:
        claimed = {number: self.claimed(one, state) for number, one in document.generations.items()}
        generations = {**document.generations, **state.generations}
        after, refusal = state.receive(document.route, claimed, document.facts, ready)
        if after.fleet.generation == state.fleet.generation:
            return replace(after, generations=generations), refusal
        return replace(after, generations=generations), refusal


class EveryDeployerHasSeenLocalTrips(EveryDeployerHasSeenAll):
    def claimed(self, generation: Generation, state: ReplicaState) -> Generation:
        return replace(generation, saw_local=generation.saw_local | state.local)


class RefusesFactsToo(Rules):
    def receive(self, state: ReplicaState, document: RouteDocument, ready: Set[str]) -> Taken:
        after, refusal = super().receive(state, document, ready)
        return (after, None) if refusal is None else (state, refusal)


class TakesWhatIsNotReady(Rules):
    def receive(self, state: ReplicaState, document: RouteDocument, ready: Set[str]) -> Taken:
        return super().receive(state, document, set(document.wanted) | ready)


class TakesOlderGenerations(Rules):
    def receive(self, state: ReplicaState, document: RouteDocument, ready: Set[str]) -> Taken:
        if 0 < document.route.generation < state.fleet.generation:
            known = {**state.generations, **document.generations}
            return replace(state, fleet=document.route, latched=0, generations=known), None
        return super().receive(state, document, ready)


class LastMessageWins(Rules):
    def receive(self, state: ReplicaState, document: RouteDocument, ready: Set[str]) -> Taken:
        if document.route.generation == state.fleet.generation:
            state = replace(state, fleet=FleetRoute(state.fleet.generation, state.fleet.step, 0))
        return super().receive(state, document, ready)


class StepOutlivesItsGeneration(Rules):
    def receive(self, state: ReplicaState, document: RouteDocument, ready: Set[str]) -> Taken:
        after, refusal = super().receive(state, document, ready)
        return replace(after, latched=max(after.latched, state.latched)), refusal


class LocalTripsOutliveTheirGeneration(Rules):
    def receive(self, state: ReplicaState, document: RouteDocument, ready: Set[str]) -> Taken:
        after, refusal = super().receive(state, document, ready)
        return replace(after, local=after.local | state.local).relatch(ready), refusal


class JoinersAreGuardedToo(Rules):
    def receive(self, state: ReplicaState, document: RouteDocument, ready: Set[str]) -> Taken:
        generation = document.generations.get(document.route.generation)
        if state.fleet.generation == 0 and generation and state.facts.quarantined - generation.saw_quarantine:
            unseen = state.facts.quarantined - generation.saw_quarantine
            return (
                replace(state, facts=state.facts.merge(document.facts)),
                Refusal(generation=generation.number, unseen_quarantine=unseen),
            )
        return super().receive(state, document, ready)


class BreakGlassTellsNobody(Rules):
    def leave(self, state: ReplicaState, trip: Trip, ready: Set[str]) -> ReplicaState:
        return super().leave(state, trip, ready) if trip.version not in state.chain else replace(state, latched=1)


class LocalTripTellsEverybody(Rules):
    def rejoin(self, state: ReplicaState, **found: Any) -> ReplicaState:
        after = super().rejoin(state, **found)
        for local in after.local:
            uid = f"{local.replica}-{local.version}"
            trip = Trip(uid=uid, version=local.version, generation=0, source=local.replica, at="", why="")
            after = after.leave(trip, found["ready"])
        return after


class LocalTripNeedsNoTarget(Rules):
    def may_leave_here(self, state: ReplicaState, version: str, ready: Set[str]) -> bool:
        del ready
        return version in state.chain


class AcknowledgesBeforeTheDisk(Rules):
    def order_within_generation(self) -> tuple[str, ...]:
        return ("word", "trust", "acknowledge", "rename", "sync")


class AcknowledgesGenerationsBeforeTheDisk(Rules):
    def order_of_new_generation(self) -> tuple[str, ...]:
        return ("leave", "rename", "word", "trust", "acknowledge", "sync")


class AcknowledgesBeforeTheWord(Rules):
    def order_within_generation(self) -> tuple[str, ...]:
        return ("rename", "sync", "acknowledge", "word")

    def looks_before_it_acknowledges(self) -> bool:
        return False


class DoesNotLookFirst(Rules):
    def looks_before_it_takes(self) -> bool:
        return False


class DoesNotLookAgain(Rules):
    def looks_before_it_acknowledges(self) -> bool:
        return False


class WordBeforeFile(Rules):
    def order_of_new_generation(self) -> tuple[str, ...]:
        return ("leave", "word", "rename", "sync", "acknowledge")


class LeavesAsItArrives(Rules):
    def order_of_new_generation(self) -> tuple[str, ...]:
        return ("rename", "sync", "word", "acknowledge")


class TrustsWhatItFinds(Rules):
    def order_at_start(self) -> tuple[str, ...]:
        return ("word", "trust", "acknowledge")


class ForgetsTheWord(Rules):
    def rejoin(self, state: ReplicaState, **found: Any) -> ReplicaState:
        return super().rejoin(state, **{**found, "word": None})


class ForgetsTheJournal(Rules):
    def rejoin(self, state: ReplicaState, **found: Any) -> ReplicaState:
        nothing: frozenset[LocalTrip] = frozenset()
        return super().rejoin(state, **{**found, "local": nothing})


class ServesWhatIsNotReady(Rules):
    def answering(self, state: ReplicaState, ready: Set[str]) -> tuple[str | None, ...]:
        return super().answering(state, set(state.chain) | ready)
