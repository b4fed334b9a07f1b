"""
Each rule that a replica keeps is needed: leave it out, and the simulation sees a promise break.

A mutant is the rules with one of them left out. Seeds are tried in order until the promise that the rule is for breaks;
other promises may break in other runs.
"""

from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import fields, replace
from typing import Any

import pytest

from knowngood.testing.simulation.actions import act
from knowngood.testing.simulation.promise import BrokenPromiseError, Promise
from knowngood.testing.simulation.rules import Rules
from knowngood.testing.simulation.run import Worlds, run
from knowngood.testing.simulation.scenario import Scenario
from knowngood_sdk.model.route import (
    FULL,
    Facts,
    FleetRoute,
    Generation,
    LocalTrip,
    Refusal,
    ReplicaState,
    Trip,
    live_positions,
    step_of,
)
from knowngood_sdk.model.wire import RouteDocument

SEEDS = 500
RELEASES = Scenario(budget={"flip": 4, "release": 3}, weights={"go": 5.0}, length=100)
RACING = Scenario(history=3, budget={"flip": 3, "glass": 3, "local": 3}, weights={"local": 3.0, "step": 3.0})
STALE = Scenario(
    history=3, budget={"flip": 4, "release": 3, "cut": 3, "mend": 3}, processes=2, weights={"go": 5.0}, length=150
)
UNREAD = Scenario(
    budget={"local": 3, "deploy": 3},
    weights={"local": 3.0, "look": 0.05, "go": 5.0, "report": 3.0, "load": 3.0},
    length=150,
)
Taken = tuple[ReplicaState, Refusal | None]


class OneTripForAVersion(Rules):
    def trip_uid(self, number: int, version: str) -> str:
        del number
        return f"trip-{version}"


class FactsAreReplaced(Rules):
    def receive(self, state: ReplicaState, document: RouteDocument, ready: Set[str]) -> Taken:
        forgetful = replace(state, facts=Facts())
        return super().receive(forgetful, document, ready)


class LocalTripsAreNotWritten(Rules):
    def order_of_local_trip(self) -> tuple[str, ...]:
        return ("word",)


class WithState(Rules):
    """Rules on states of another class, in which one function is another."""

    state: type[ReplicaState] = ReplicaState

    def adopt(self, state: ReplicaState) -> ReplicaState:
        return self.state(**{item.name: getattr(state, item.name) for item in fields(ReplicaState)})


class CandidateServesAtOnce(WithState):
    class state(ReplicaState):  # noqa: N801
        __slots__ = ()

        @property
        def positions(self) -> tuple[int, ...]:
            return (0,) if self.latched == 0 else (self.latched,)


class StepsOneFurther(WithState):
    class state(ReplicaState):  # noqa: N801
        __slots__ = ()

        def relatch(self, ready: Set[str]) -> ReplicaState:
            del ready
            step = max(self.fleet.step, self.latched)
            live = {self.chain[i] for i in live_positions(step, self.fleet.split) if i < len(self.chain)}
            return replace(self, latched=step + 1 if live & self.bad else step)


class OneArmTakesOver(WithState):
    class state(ReplicaState):  # noqa: N801
        __slots__ = ()

        @property
        def _candidate_alone(self) -> bool:
            tried = self.latched == 0 and 0 < self.fleet.split < FULL and len(self.chain) > 1
            return tried and self.chain[1] in self.bad and self.chain[0] not in self.bad

        @property
        def positions(self) -> tuple[int, ...]:
            return (0,) if self._candidate_alone else live_positions(self.latched, self.fleet.split)

        def relatch(self, ready: Set[str]) -> ReplicaState:
            return self if self._candidate_alone and not self.fleet.step else ReplicaState.relatch(self, ready)


class LeavesOnlyForWhatIsReady(WithState):
    class state(ReplicaState):  # noqa: N801
        __slots__ = ()

        def relatch(self, ready: Set[str]) -> ReplicaState:
            after = ReplicaState.relatch(self, ready)
            arrives = after.latched < len(self.chain) and self.chain[after.latched] in ready
            return after if arrives else self


class FallbackIsLatched(WithState):
    class state(ReplicaState):  # noqa: N801
        __slots__ = ()

        def relatch(self, ready: Set[str]) -> ReplicaState:
            after = ReplicaState.relatch(self, ready)
            arrives = after.latched == self.latched or self.chain[after.latched : after.latched + 1] <= tuple(ready)
            return after if arrives or set(self.chain) & ready else replace(after, latched=len(self.chain))


class ClimbsBack(WithState):
    class state(ReplicaState):  # noqa: N801
        __slots__ = ()

        def relatch(self, ready: Set[str]) -> ReplicaState:
            del ready
            return replace(self, latched=step_of(self.chain, self.fleet, self.bad))


class SkipsWhateverIsNotReady(WithState):
    class state(ReplicaState):  # noqa: N801
        __slots__ = ()

        def relatch(self, ready: Set[str]) -> ReplicaState:
            after = ReplicaState.relatch(self, ready)
            deeper = (i for i in range(after.latched, len(self.chain)) if self.chain[i] in ready - self.bad)
            return replace(after, latched=max(after.latched, next(deeper, after.latched))) if after.latched else after


class WorkersLatchByWhatTheyKnow(Rules):
    def follow(self, worker: ReplicaState, word: tuple[int, int, int] | None) -> ReplicaState:
        return worker.rejoin(word=word, trips=Facts(), local=frozenset(), ready=frozenset(worker.chain))


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
        return ("rename", "word", "trust", "acknowledge", "sync")


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
        return ("word", "rename", "sync", "acknowledge")


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


MUTANTS: Mapping[str, tuple[type[Rules], Promise] | tuple[type[Rules], Promise, Scenario]] = {
    "1: the uid of a trip is its version's": (OneTripForAVersion, Promise.QUARANTINE, RELEASES),
    "2: facts are replaced, not merged": (FactsAreReplaced, Promise.FACTS),
    "3: local trips are not written down": (LocalTripsAreNotWritten, Promise.FORGOTTEN),
    "4: the candidate serves at split 0": (CandidateServesAtOnce, Promise.SHARE),
    "5: a trip is a step, wherever it leads": (StepsOneFurther, Promise.LEFT),
    "5: the other arm of a split takes over": (OneArmTakesOver, Promise.FORWARD),
    "6: leaving waits for a version that is ready": (LeavesOnlyForWhatIsReady, Promise.QUARANTINE),
    "6: the static fallback is latched": (FallbackIsLatched, Promise.SKIP),
    "6: the step falls again after a release": (ClimbsBack, Promise.STEP),
    "6: a slot that is not ready is passed over, though nothing is to be left": (SkipsWhateverIsNotReady, Promise.LONE),
    "6: a worker latches by what it has read itself": (WorkersLatchByWhatTheyKnow, Promise.LONE, STALE),
    "7: a trip that the deployer has not seen is no reason": (EveryDeployerHasSeenAll, Promise.UNSEEN),
    "7: a local trip that it has not seen is no reason": (EveryDeployerHasSeenLocalTrips, Promise.UNSEEN),
    "7: a refused message leaves no facts": (RefusesFactsToo, Promise.FACTS),
    "7: a generation is taken before it is ready": (TakesWhatIsNotReady, Promise.ARRIVE),
    "7: an older generation is taken": (TakesOlderGenerations, Promise.STEP),
    "7: a message is taken without a look at the journal": (DoesNotLookFirst, Promise.UNSEEN, UNREAD),
    "7: the step outlives its generation": (StepOutlivesItsGeneration, Promise.LONE),
    "7: a local trip outlives the generation that has seen it": (LocalTripsOutliveTheirGeneration, Promise.CONVERGE),
    "7: one that has no route yet is guarded too": (JoinersAreGuardedToo, Promise.CONVERGE),
    "8: break-glass is a step, and no fact": (BreakGlassTellsNobody, Promise.FACTS),
    "9: a local trip is a fact for the fleet": (LocalTripTellsEverybody, Promise.ACCUSED),
    "9: a local trip needs no target": (LocalTripNeedsNoTarget, Promise.PANIC),
    "10: acknowledged before it is durable": (AcknowledgesBeforeTheDisk, Promise.DURABLE),
    "10: a generation acknowledged before it is durable": (AcknowledgesGenerationsBeforeTheDisk, Promise.DURABLE),
    "10: acknowledged before the word": (AcknowledgesBeforeTheWord, Promise.LEFT),
    "10: acknowledged while a worker goes elsewhere": (DoesNotLookAgain, Promise.LEFT, RACING),
    "10: the word before the file": (WordBeforeFile, Promise.KNOWN),
    "10: a restart takes what it reads for durable": (TrustsWhatItFinds, Promise.DURABLE),
    "10: a restart does not look at the word": (ForgetsTheWord, Promise.STEP),
    "10: a restart does not look at the journal": (ForgetsTheJournal, Promise.FORGOTTEN),
    "11: a version answers that is not ready": (ServesWhatIsNotReady, Promise.ARRIVE),
}


@pytest.mark.requirement("G3", "N2")
@pytest.mark.parametrize("mutant", [pytest.param(row, id=name) for name, row in MUTANTS.items()])
def test_rule_is_needed(mutant: tuple[type[Rules], Promise] | tuple[type[Rules], Promise, Scenario]) -> None:
    rules, promise, *frame = mutant
    worlds = Worlds(rules())
    broken = Counter[Promise]()
    for seed in range(1, SEEDS + 1):
        failure = run(worlds, seed, *frame)
        if failure is not None:
            broken[failure.promise] += 1
            if failure.promise is promise:
                return
    pytest.fail(f"{SEEDS} runs without the rule did not break {promise.name}; they broke {dict(broken)}")


@pytest.mark.parametrize(
    "rules", [pytest.param(LastMessageWins(), id="7: within a generation the last message wins"), Rules()]
)
def test_split_that_an_overtaken_message_lowers_is_lost_with_the_word(rules: Rules) -> None:
    # The word and the next look make good what such a message does; only a power cut in between shows it.
    world = Worlds(rules).start(
        Scenario(replicas=1, stage="arm", polls=False, budget={"flip": 1, "crash": 1, "advance": 1, "power-cut": 1})
    )
    for action in (("flip", "c1", "v1"), ("go", "c1"), ("go", "c1"), ("crash", "c1"), ("advance", "c1", "v3")):
        act(world, action)
    for _ in range(4):
        act(world, ("go", "c1"))
    overtaken, newest = (str(message.number) for message in world.messages)
    for number in (newest, overtaken):
        act(world, ("deliver", number))
        for _ in range(3):
            act(world, ("step", "r1"))
        if number == newest:
            act(world, ("step", "r1"))
    act(world, ("power-cut", "r1", "unlucky"))
    if type(rules) is Rules:
        act(world, ("start", "r1"))
        return
    with pytest.raises(BrokenPromiseError, match="SPLIT"):
        act(world, ("start", "r1"))
