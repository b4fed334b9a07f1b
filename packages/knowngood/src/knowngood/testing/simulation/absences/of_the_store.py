"""How a store does not keep what is on record (rules 12, 14 to 18, and 23)."""

from collections.abc import Mapping
from dataclasses import replace

from knowngood.domain.fleet import MAX_CHAIN, Episode, FleetState
from knowngood.testing.simulation.rules import Rules
from knowngood_sdk.model.route import Facts, FleetRoute, Generation, LocalTrip, ReplicaState, Trip

__all__ = [
    "ARollbackForEachTrip",
    "AbandonsByATrip",
    "AbandonsToTheVersionBehind",
    "AdvancesPastLocalTrips",
    "AdvancesPastRefusals",
    "AdvancesPastTrips",
    "AdvancesWhatSteppedBack",
    "ClaimsToHaveSeenNothing",
    "CommitsOnWhatItReadLongAgo",
    "EachTripIsAStep",
    "ForgetsWhatNoChainHas",
    "KeepsWhatIsInQuarantineBehind",
    "MintsWhatIsInQuarantine",
    "NeedsNoWayBack",
    "ReleaseMovesBack",
    "ReleasesWhatNobodyWasShown",
    "ReportedLocalTripsAreDropped",
    "ReportedTripsAreDropped",
    "RowStaysWhereItIs",
    "StartsAtOnce",
    "TakesAReplicasStep",
]

Merged = tuple[FleetState, tuple[Episode, ...]]
Locals = frozenset[LocalTrip]
Reports = Mapping[str, ReplicaState]


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


class ForgetsWhatNoChainHas(Rules):
    def merge(self, state: FleetState, facts: Facts, local: Locals, reports: Reports) -> Merged:
        after, episodes = super().merge(state, facts, local, reports)
        kept = {uid: trip for uid, trip in after.facts.trips.items() if trip.version in state.chain}
        return replace(after, facts=Facts(kept, after.facts.released)), episodes
