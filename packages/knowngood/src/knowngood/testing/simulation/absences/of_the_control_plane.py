"""How processes of a control plane do not work together, and a newcomer does not join (rules 15 and 20 to 22)."""

from collections.abc import Collection, Iterable
from dataclasses import replace

from knowngood.domain.saga import Saga
from knowngood.testing.simulation.rules import Rules
from knowngood_sdk.model.route import FleetRoute, Generation, ReplicaState, Trip
from knowngood_sdk.model.wire import ReplicaReport, RouteDocument

__all__ = [
    "GoesOnWithoutTheLease",
    "MintsBeforeItIsArmed",
    "NeverReconciles",
    "NobodyCarriesOn",
    "OneAnswerIsEnough",
    "PushesNoFacts",
    "PushesNoRoute",
    "RecordsBeforeItDoes",
    "StartsFromItsImage",
    "StaysOnWhatFailed",
    "TakesBackStepsOfOthers",
    "TakesTheFactsOfOne",
    "TakesThePeersStep",
    "TakesWhatPeersLeft",
]


class NeverReconciles(Rules):
    def reconciles(self) -> bool:
        return False


class PushesNoFacts(Rules):
    def behind(self, state: ReplicaState, document: RouteDocument) -> bool:
        return state.fleet < document.route


class PushesNoRoute(Rules):
    def behind(self, state: ReplicaState, document: RouteDocument) -> bool:
        return bool(document.facts.trips.keys() - state.facts.trips.keys())


class StaysOnWhatFailed(Rules):
    def leaves_what_failed(self) -> bool:
        return False


class MintsBeforeItIsArmed(Rules):
    def is_armed(self, version: str, reports: Collection[ReplicaReport | None]) -> bool:
        del version, reports
        return True


class NobodyCarriesOn(Rules):
    def carries_on(self) -> bool:
        return False


class RecordsBeforeItDoes(Rules):
    def order_of_saga_step(self) -> tuple[str, ...]:
        return ("saga-save", "saga-do")


class TakesBackStepsOfOthers(Rules):
    def check_follows(self, after: Saga, on_record: Saga) -> None:
        del after, on_record


class GoesOnWithoutTheLease(Rules):
    def is_fenced_off(self, mine: int, now: int) -> bool:
        del mine, now
        return False


class OneAnswerIsEnough(Rules):
    def joined(self, system: str, peers: Iterable[ReplicaState]) -> RouteDocument | None:
        return super().joined(system, list(peers)[:1])


class TakesTheFactsOfOne(Rules):
    def joined(self, system: str, peers: Iterable[ReplicaState]) -> RouteDocument | None:
        known = list(peers)
        document = super().joined(system, known)
        return document and replace(document, facts=known[0].facts)


class TakesThePeersStep(Rules):
    def joined(self, system: str, peers: Iterable[ReplicaState]) -> RouteDocument | None:
        known = list(peers)
        document = super().joined(system, known)
        if document is None:
            return None
        step = max(peer.latched for peer in known)
        return replace(document, route=replace(document.route, step=max(document.route.step, step)))


class TakesWhatPeersLeft(Rules):
    def joined(self, system: str, peers: Iterable[ReplicaState]) -> RouteDocument | None:
        known = list(peers)
        document = super().joined(system, known)
        for local in frozenset().union(*(peer.local for peer in known)):
            if document is not None:
                uid = f"{local.replica}-{local.version}"
                trip = Trip(uid=uid, version=local.version, generation=0, source=local.replica, at="", why="")
                document = replace(document, facts=document.facts.with_trip(trip))
        return document


class StartsFromItsImage(Rules):
    def joined(self, system: str, peers: Iterable[ReplicaState]) -> RouteDocument | None:
        document = super().joined(system, peers)
        image = Generation(number=1, chain=("v1",))
        return document or RouteDocument(system=system, route=FleetRoute(1, 0, 10_000), generations={1: image})
