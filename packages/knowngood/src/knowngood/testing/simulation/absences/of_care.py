"""How a control plane does not look after replicas that fell ill, or that stayed outside (rules 13 and 19)."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from knowngood.domain.fleet import FleetState
from knowngood.domain.incident import Incident, opened
from knowngood.testing.simulation.rules import Rules
from knowngood_sdk.model.route import FleetRoute, LocalTrip
from knowngood_sdk.model.wire import ReplicaReport

__all__ = [
    "AllSickLeaveTheBalancer",
    "MintsAgainAndHasSeenNothing",
    "MintsAgainForNobody",
    "MintsAgainWhileSomethingIsTried",
    "MintsAgainWhoeverIsSick",
    "NeverMintsAgain",
    "NobodyCountsVoters",
    "NobodyIsSick",
    "OneVoterIsEnough",
    "SickAgainAtEveryLook",
    "SickStayInTheBalancer",
    "WellWithoutProof",
]


class OneVoterIsEnough(Rules):
    def widened(self, state: FleetState, live: frozenset[str]) -> frozenset[str]:
        return frozenset(super().widened(state, frozenset(list(live)[:1])))


class NobodyCountsVoters(Rules):
    def widened(self, state: FleetState, live: frozenset[str]) -> frozenset[str]:
        del state, live
        return frozenset()


class NobodyIsSick(Rules):
    def lone(self, state: FleetState, live: frozenset[str]) -> frozenset[LocalTrip]:
        del state, live
        return frozenset()


class SickAgainAtEveryLook(Rules):
    def opened(self, trip: LocalTrip, crew: frozenset[str], known: Mapping[LocalTrip, Incident]) -> Incident | None:
        return opened(trip, crew, known)


class SickStayInTheBalancer(Rules):
    def may_leave(self, replica: str, live: frozenset[str], held_out: frozenset[str]) -> bool:
        del replica, live, held_out
        return False


class AllSickLeaveTheBalancer(Rules):
    def may_leave(self, replica: str, live: frozenset[str], held_out: frozenset[str]) -> bool:
        del held_out
        return replica in live

    def must_return(self, live: frozenset[str], held_out: frozenset[str]) -> frozenset[str]:
        del live, held_out
        return frozenset()


class WellWithoutProof(Rules):
    def well(self, incident: Incident, report: ReplicaReport) -> bool:
        del incident, report
        return True


class NeverMintsAgain(Rules):
    def reissues(self) -> bool:
        return False


class MintsAgainWhoeverIsSick(Rules):
    def check_settled(self, state: FleetState, live: frozenset[str], verified: Collection[LocalTrip]) -> None:
        del state, live, verified


class MintsAgainForNobody(Rules):
    def outside(self, state: FleetState, reports: Mapping[str, ReplicaReport]) -> Mapping[str, str]:
        del state
        return dict.fromkeys(reports, "it may be glad of it")


class MintsAgainWhileSomethingIsTried(Rules):
    def reissue(self, state: FleetState, who: Mapping[str, str]) -> FleetState:
        settled = FleetRoute(state.row.generation, max(1, state.row.step), state.row.split)
        return super().reissue(replace(state, row=settled) if state.candidate else state, who)


class MintsAgainAndHasSeenNothing(Rules):
    def reissue(self, state: FleetState, who: Mapping[str, str]) -> FleetState:
        after = super().reissue(state, who)
        number = after.row.generation
        blind = replace(after.generations[number], saw_quarantine=frozenset(), saw_local=frozenset())
        return replace(after, generations={**after.generations, number: blind})
