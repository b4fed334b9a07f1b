"""How a replica does not keep facts, positions, and its latch (rules 1 to 6)."""

from collections.abc import Set
from dataclasses import fields, replace

from knowngood.testing.simulation.rules import Rules
from knowngood_sdk.model.route import (
    FULL,
    Facts,
    Refusal,
    ReplicaState,
    live_positions,
    step_of,
)
from knowngood_sdk.model.wire import RouteDocument

__all__ = [
    "CandidateServesAtOnce",
    "ClimbsBack",
    "FactsAreReplaced",
    "FallbackIsLatched",
    "LeavesOnlyForWhatIsReady",
    "LocalTripsAreNotWritten",
    "OneArmTakesOver",
    "OneTripForAVersion",
    "SkipsWhateverIsNotReady",
    "StepsOneFurther",
    "WithState",
    "WorkersLatchByWhatTheyKnow",
]


class OneTripForAVersion(Rules):
    def trip_uid(self, number: int, version: str) -> str:
        del number
        return f"trip-{version}"


class FactsAreReplaced(Rules):
    def receive(
        self, state: ReplicaState, document: RouteDocument, ready: Set[str]
    ) -> tuple[ReplicaState, Refusal | None]:
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
