"""Each rule that the store and its processes keep is needed: leave it out, and the simulation sees a promise break."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import pytest

from knowngood.domain.fleet import MAX_CHAIN, Episode, FleetState
from knowngood.testing.simulation.promise import Promise
from knowngood.testing.simulation.rules import Rules
from knowngood.testing.simulation.run import Worlds, run
from knowngood.testing.simulation.scenario import Scenario
from knowngood_sdk.model.route import Facts, FleetRoute, Generation, LocalTrip, ReplicaState, Trip
from knowngood_sdk.model.wire import RouteDocument

SEEDS = 500
Merged = tuple[FleetState, tuple[Episode, ...]]
Locals = frozenset[LocalTrip]
Reports = Mapping[str, ReplicaState]

TRYING = Scenario(stage="try", budget={"glass": 2, "local": 2, "flip": 2, "advance": 3}, weights={"go": 3.0})
SICK = Scenario(
    stage="try",
    budget={"local": 3, "advance": 3},
    weights={"local": 3.0, "report": 3.0, "reconcile": 3.0, "go": 3.0, "advance": 0.2},
    length=100,
)
CHANGED_MIND = Scenario(budget={"deploy": 2, "abandon": 2}, processes=2, weights={"go": 5.0, "load": 3.0}, length=150)
ARMED = Scenario(stage="arm", budget={"glass": 2, "local": 2, "unload": 3, "advance": 3}, weights={"go": 3.0})
BARE = Scenario(static_fallback=False, budget={"flip": 3, "deploy": 3, "unload": 6}, weights={"go": 5.0}, length=120)
RELEASES = Scenario(
    history=3, budget={"flip": 3, "release": 3, "deploy": 2}, processes=2, weights={"go": 5.0}, length=150
)
DEPLOYMENTS = Scenario(
    history=3, budget={"flip": 2, "glass": 2, "deploy": 3, "give-up": 2}, processes=2, weights={"go": 5.0}, length=150
)
PUSHED = Scenario(
    replicas=3, polls=False, budget={"flip": 2, "deploy": 1, "lose": 20}, weights={"lose": 3.0, "go": 3.0}
)


class TakesAReplicasStep(Rules):
    def merge(self, state: FleetState, facts: Facts, local: Locals, reports: Reports) -> Merged:
        after, episodes = super().merge(state, facts, local, reports)
        here = [r.latched for r in reports.values() if r.fleet.generation == after.row.generation]
        return replace(after, row=replace(after.row, step=max([after.row.step, *here]))), episodes


class ARollbackForEachTrip(Rules):
    def trip(self, state: FleetState, fact: Trip) -> Merged:
        after, episodes = super().trip(state, fact)
        number = after.episodes[fact.version] + 1
        return (after, episodes) if episodes else (after, (Episode(fact.version, number),))


class RowStaysWhereItIs(Rules):
    def trip(self, state: FleetState, fact: Trip) -> Merged:
        after, episodes = super().trip(state, fact)
        return replace(after, row=state.row), episodes


class EachTripIsAStep(Rules):
    def trip(self, state: FleetState, fact: Trip) -> Merged:
        after, episodes = super().trip(state, fact)
        return replace(after, row=replace(state.row, step=state.row.step + 1)), episodes


class ReportedTripsAreDropped(Rules):
    def merge(self, state: FleetState, facts: Facts, local: Locals, reports: Reports) -> Merged:  # noqa: ARG002
        return super().merge(state, Facts(), local, reports)


class ReportedLocalTripsAreDropped(Rules):
    def merge(self, state: FleetState, facts: Facts, local: Locals, reports: Reports) -> Merged:  # noqa: ARG002
        return super().merge(state, facts, frozenset(), reports)


def with_generation(state: FleetState, **changes: object) -> FleetState:
    number = state.row.generation
    generation: Generation = replace(state.generations[number], **changes)  # type: ignore[arg-type]
    return replace(state, generations={**state.generations, number: generation})


class OneVoterIsEnough(Rules):
    def widened(self, state: FleetState, live: frozenset[str]) -> frozenset[str]:
        return frozenset(super().widened(state, frozenset(list(live)[:1])))


class NobodyCountsVoters(Rules):
    def widened(self, state: FleetState, live: frozenset[str]) -> frozenset[str]:
        del state, live
        return frozenset()


class MintsWhatIsInQuarantine(Rules):
    def mint(self, state: FleetState, version: str, *, ready: frozenset[str], static_fallback: bool) -> FleetState:
        blind = replace(state, facts=Facts())
        after = super().mint(blind, version, ready=ready, static_fallback=static_fallback)
        seen = with_generation(after, saw_quarantine=state.facts.quarantined)
        return replace(seen, facts=state.facts)


class KeepsWhatIsInQuarantineBehind(Rules):
    def mint(self, state: FleetState, version: str, *, ready: frozenset[str], static_fallback: bool) -> FleetState:
        after = super().mint(state, version, ready=ready, static_fallback=static_fallback)
        behind = [one for one in state.chain if one != version][: MAX_CHAIN - 1]
        return with_generation(after, chain=(version, *behind)) if after.chain[1:2] == tuple(behind[:1]) else after


class CommitsOnWhatItReadLongAgo(Rules):
    def still_as_read(self, read: FleetState, now: FleetState) -> bool:
        del read, now
        return True


class NeedsNoWayBack(Rules):
    def mint(self, state: FleetState, version: str, *, ready: frozenset[str], static_fallback: bool) -> FleetState:
        del static_fallback
        return super().mint(state, version, ready=ready, static_fallback=True)


class StartsAtOnce(Rules):
    def mint(self, state: FleetState, version: str, *, ready: frozenset[str], static_fallback: bool) -> FleetState:
        after = super().mint(state, version, ready=ready, static_fallback=static_fallback)
        return replace(after, row=FleetRoute(after.row.generation, 0, 10_000))


class ClaimsToHaveSeenNothing(Rules):
    def mint(self, state: FleetState, version: str, *, ready: frozenset[str], static_fallback: bool) -> FleetState:
        after = super().mint(state, version, ready=ready, static_fallback=static_fallback)
        return with_generation(after, saw_quarantine=frozenset())


class AdvancesPastTrips(Rules):
    def advance(
        self, state: FleetState, split: int, *, refusing: Mapping[str, str], unready: Mapping[str, str]
    ) -> FleetState:
        blind = replace(state, facts=Facts())
        return replace(super().advance(blind, split, refusing=refusing, unready=unready), facts=state.facts)


class AdvancesPastLocalTrips(Rules):
    def advance(
        self, state: FleetState, split: int, *, refusing: Mapping[str, str], unready: Mapping[str, str]
    ) -> FleetState:
        blind = replace(state, local=frozenset())
        return replace(super().advance(blind, split, refusing=refusing, unready=unready), local=state.local)


class AdvancesPastRefusals(Rules):
    def advance(
        self, state: FleetState, split: int, *, refusing: Mapping[str, str], unready: Mapping[str, str]
    ) -> FleetState:
        del refusing, unready
        return super().advance(state, split, refusing={}, unready={})


class AdvancesWhatSteppedBack(Rules):
    def advance(
        self, state: FleetState, split: int, *, refusing: Mapping[str, str], unready: Mapping[str, str]
    ) -> FleetState:
        generation = state.row.generation
        blind = replace(state, row=FleetRoute(generation, 0, state.row.split))
        return super().advance(blind, split, refusing=refusing, unready=unready)


class AbandonsByATrip(Rules):
    def abandon(self, state: FleetState) -> FleetState:
        after = super().abandon(state)
        trip = Trip(uid="abandoned", version=after.chain[0], generation=0, source="abandon", at="", why="")
        return replace(after, facts=after.facts.with_trip(trip))


class AbandonsToTheVersionBehind(Rules):
    def abandon(self, state: FleetState) -> FleetState:
        super().abandon(state)
        return replace(state, row=FleetRoute(state.row.generation, 2, state.row.split))


class ReleasesWhatNobodyWasShown(Rules):
    def release(self, state: FleetState, shown: frozenset[str], version: str) -> FleetState:
        every = {uid for uid, trip in state.facts.trips.items() if trip.version == version}
        return super().release(state, shown | every, version)


class ReleaseMovesBack(Rules):
    def release(self, state: FleetState, shown: frozenset[str], version: str) -> FleetState:
        after = super().release(state, shown, version)
        return replace(after, row=replace(after.row, step=0)) if version == after.chain[0] else after


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


Row = tuple[type[Rules], Promise] | tuple[type[Rules], Promise, Scenario]
MUTANTS: Mapping[str, Row] = {
    "12: the row takes a replica's step": (TakesAReplicasStep, Promise.ROW),
    "12: each trip starts a rollback": (ARollbackForEachTrip, Promise.EPISODE),
    "12: the row stays": (RowStaysWhereItIs, Promise.STANDS),
    "12: each trip is one step": (EachTripIsAStep, Promise.ROW),
    "12 and 14: trips in reports are dropped": (ReportedTripsAreDropped, Promise.FORGOTTEN),
    "12: local trips in reports are dropped": (ReportedLocalTripsAreDropped, Promise.FORGOTTEN),
    "13: one sick replica moves the fleet": (OneVoterIsEnough, Promise.WIDEN),
    "13: however many are sick, the fleet stays": (NobodyCountsVoters, Promise.WIDEN),
    "15: a version in quarantine is minted": (MintsWhatIsInQuarantine, Promise.CHAIN, RELEASES),
    "15: a version in quarantine stays behind": (KeepsWhatIsInQuarantineBehind, Promise.CHAIN, RELEASES),
    "15: it commits on what it read long ago": (CommitsOnWhatItReadLongAgo, Promise.UNSEEN, DEPLOYMENTS),
    "15: it needs no way back": (NeedsNoWayBack, Promise.CHAIN, BARE),
    "15: it starts with all traffic": (StartsAtOnce, Promise.CHAIN),
    "15: it does not say what it has seen": (ClaimsToHaveSeenNothing, Promise.UNSEEN, RELEASES),
    "16: it is advanced past a trip": (AdvancesPastTrips, Promise.ADVANCE, TRYING),
    "16: it is advanced past a local trip": (AdvancesPastLocalTrips, Promise.ADVANCE, SICK),
    "16: it is advanced past a replica that is not ready": (AdvancesPastRefusals, Promise.ADVANCE, ARMED),
    "16: it is advanced after it stepped back": (AdvancesWhatSteppedBack, Promise.ROW, CHANGED_MIND),
    "17: it is abandoned by a trip": (AbandonsByATrip, Promise.ACCUSED),
    "17: it is abandoned to another version": (AbandonsToTheVersionBehind, Promise.ROW),
    "18: a release lifts what nobody was shown": (ReleasesWhatNobodyWasShown, Promise.SHOWN, RELEASES),
    "18: a release moves the fleet": (ReleaseMovesBack, Promise.ROW),
    "20: nothing is reconciled": (NeverReconciles, Promise.FORGOTTEN),
    "20: those who lack facts are not pushed": (PushesNoFacts, Promise.CONVERGE, PUSHED),
    "20: those who lack the route are not pushed": (PushesNoRoute, Promise.CONVERGE, PUSHED),
    "21: what failed verification is left to serve": (StaysOnWhatFailed, Promise.FAILED),
}


@pytest.mark.requirement("G3", "N1", "N3")
@pytest.mark.parametrize("mutant", [pytest.param(row, id=name) for name, row in MUTANTS.items()])
def test_rule_is_needed(mutant: Row) -> None:
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
