"""
Rules: the product's own code, one method for each thing that a simulated system does by it.

The simulation calls nothing of the product but through an object of this class. A test leaves a rule out by overriding
one method and sees a promise fail: that is how it is known that the simulation would notice.
"""

from collections.abc import Collection, Iterable, Mapping, Set

from knowngood.domain import fleet, reissue, rotation
from knowngood.domain.fleet import Episode, FleetState
from knowngood.domain.incident import Incident, opened
from knowngood.domain.saga import Saga
from knowngood_sdk.model.join import joined
from knowngood_sdk.model.route import Facts, FleetRoute, LocalTrip, Refusal, ReplicaState, Trip
from knowngood_sdk.model.wire import ReplicaReport, RouteDocument
from knowngood_sdk.serving.router import join_states

__all__ = ["Rules"]


class Rules:
    """The rules as the product keeps them; the numbers are those of ``docs/explanation/route.md``."""

    # A replica.

    def adopt(self, state: ReplicaState) -> ReplicaState:
        """Return the state as this object's rules work on it; a mutant gives it another class (rules 4, 5, 6)."""
        return state

    def receive(
        self, state: ReplicaState, document: RouteDocument, ready: Set[str]
    ) -> tuple[ReplicaState, Refusal | None]:
        """Take a message (rule 7)."""
        return state.receive(document.route, document.generations, document.facts, ready)

    def left_before(self, state: ReplicaState, arriving: ReplicaState, ready: Set[str]) -> ReplicaState:
        """Return where a replica stands in the meantime that is to arrive in another generation (rules 6 and 10)."""
        return state.receive(FleetRoute(), {}, arriving.facts, ready)[0]

    def leave(self, state: ReplicaState, trip: Trip, ready: Set[str]) -> ReplicaState:
        """Break the glass (rule 8)."""
        return state.leave(trip, ready)

    def may_leave_here(self, state: ReplicaState, version: str, ready: Set[str]) -> bool:
        """Tell whether a local trip would arrive somewhere (rule 9)."""
        return state.target_after_leaving(version, ready) is not None

    def leave_here(self, state: ReplicaState, replica: str, version: str, ready: Set[str]) -> ReplicaState:
        """Leave a version on one replica (rule 9)."""
        return state.leave_here(replica, version, ready)

    def rejoin(
        self,
        state: ReplicaState,
        *,
        word: tuple[int, int, int] | None,
        trips: Facts,
        local: frozenset[LocalTrip],
        ready: Set[str],
    ) -> ReplicaState:
        """Join state, word and journal (rule 10)."""
        return state.rejoin(word=word, trips=trips, local=local, ready=ready)

    def follow(self, worker: ReplicaState, word: tuple[int, int, int] | None) -> ReplicaState:
        """
        Bring a worker to the position of the word.

        It goes exactly there: what it knows itself may be older than what the agent went by, and by an old trip whose
        release it has not read it would take the whole replica a step too far.
        """
        return worker.raised(word)

    def join(self, worker: ReplicaState, found: ReplicaState) -> ReplicaState:
        """Join what a worker knows with what it finds in the files."""
        return self.adopt(join_states(worker, found))

    def order_within_generation(self) -> tuple[str, ...]:
        """Return the order of an agent's writes while the generation stays (rule 10)."""
        return ("word", "rename", "sync", "acknowledge")

    def order_of_new_generation(self) -> tuple[str, ...]:
        """Return the order of an agent's writes when it takes a generation (rule 10); leaving is not arriving."""
        return ("leave", "rename", "sync", "word", "acknowledge")

    def order_of_local_trip(self) -> tuple[str, ...]:
        """Return the order of a worker's writes when it leaves a version on its own evidence (rule 10)."""
        return ("word", "write", "sync")

    def order_at_start(self) -> tuple[str, ...]:
        """Return the order of an agent's writes when it starts: what it found may not have been synced (rule 10)."""
        return ("word", "rename", "sync", "acknowledge")

    def looks_before_it_takes(self) -> bool:
        """Tell whether an agent looks at word and journal before it takes a message (rule 7: L as known here)."""
        return True

    def looks_before_it_acknowledges(self) -> bool:
        """Tell whether an agent looks at word and journal once more before it acknowledges (rule 10)."""
        return True

    def answering(self, state: ReplicaState, ready: Set[str]) -> tuple[str | None, ...]:
        """Return what answers at each live position (rule 11): None, the static fallback, where it is not ready."""
        live = (state.chain[position] if position < len(state.chain) else None for position in state.positions)
        return tuple(version if version in ready else None for version in live)

    def joined(self, system: str, peers: Iterable[ReplicaState]) -> RouteDocument | None:
        """Return what a newcomer starts from (rule 22)."""
        return joined(system, peers)

    # The store.

    def merge(
        self, state: FleetState, facts: Facts, local: frozenset[LocalTrip], reports: Mapping[str, ReplicaState]
    ) -> tuple[FleetState, tuple[Episode, ...]]:
        """Take in what replicas report (rule 12); their states are given for mutants alone."""
        del reports
        return fleet.merge(state, facts, local)

    def trip(self, state: FleetState, fact: Trip) -> tuple[FleetState, tuple[Episode, ...]]:
        """Put a trip by a person or a trigger on record (rule 14)."""
        return fleet.trip(state, fact)

    def widened(self, state: FleetState, live: frozenset[str]) -> Collection[str]:
        """Return the versions that enough replicas left on their own evidence (rule 13)."""
        return fleet.widened(state, live)

    def lone(self, state: FleetState, live: frozenset[str]) -> frozenset[LocalTrip]:
        """Return what lone sick replicas left (rule 13)."""
        return fleet.lone(state, live)

    def opened(self, trip: LocalTrip, crew: frozenset[str], known: Mapping[LocalTrip, Incident]) -> Incident | None:
        """Return the incident of a lone sick replica; None when it is on record (rule 13)."""
        return None if trip in known else opened(trip, crew, known)

    def well(self, incident: Incident, report: ReplicaReport) -> bool:
        """Tell whether a sick replica is verified again (rule 13)."""
        return bool(incident.well(report))

    def may_leave(self, replica: str, live: frozenset[str], held_out: frozenset[str]) -> bool:
        """Tell whether a replica may leave the balancer (rule 13)."""
        return rotation.may_leave(replica, live, held_out)

    def must_return(self, live: frozenset[str], held_out: frozenset[str]) -> frozenset[str]:
        """Return who must be let into the balancer again (rule 13)."""
        return rotation.must_return(live, held_out)

    def mint(self, state: FleetState, version: str, *, ready: frozenset[str], static_fallback: bool) -> FleetState:
        """Mint the generation of a deployment (rule 15)."""
        return fleet.mint(state, version, ready=ready, static_fallback=static_fallback)

    def still_as_read(self, read: FleetState, now: FleetState) -> bool:
        """Tell whether a deployment may be committed on what its deployer read (rule 15)."""
        return read.row == now.row and read.facts.quarantined == now.facts.quarantined

    def advance(
        self, state: FleetState, split: int, *, refusing: Mapping[str, str], unready: Mapping[str, str]
    ) -> FleetState:
        """Give the candidate more traffic (rule 16)."""
        return fleet.advance(state, split, refusing=refusing, unready=unready)

    def abandon(self, state: FleetState) -> FleetState:
        """Give up the deployment under way (rule 17)."""
        return fleet.abandon(state)

    def release(self, state: FleetState, shown: frozenset[str], version: str) -> FleetState:
        """Release trips as a person was shown them (rule 18); the version is given for mutants alone."""
        del version
        return fleet.release(state, shown)

    def outside(self, state: FleetState, reports: Mapping[str, ReplicaReport]) -> Mapping[str, str]:
        """Return the replicas that a reissue would bring in (rule 19)."""
        return reissue.outside(state, reports)

    def check_settled(self, state: FleetState, live: frozenset[str], verified: Collection[LocalTrip]) -> None:
        """Check that nothing speaks against a reissue that nobody asked for (rule 19)."""
        reissue.check_settled(state, live, verified)

    def reissue(self, state: FleetState, who: Mapping[str, str]) -> FleetState:
        """Mint again what is served (rule 19)."""
        return reissue.reissue(state, who)

    # The control plane.

    def is_armed(self, version: str, reports: Collection[ReplicaReport | None]) -> bool:
        """Tell whether a candidate is ready on every live replica (rule 15)."""
        return all(report is not None and version in report.ready for report in reports)

    def is_fenced_off(self, mine: int, now: int) -> bool:
        """Tell whether a transaction under a lease is refused, by the fence under which it was taken."""
        return mine != now

    def order_of_saga_step(self) -> tuple[str, ...]:
        """Return the order in which a step of a rollback is done and put on record."""
        return ("saga-do", "saga-save")

    def check_follows(self, after: Saga, on_record: Saga) -> None:
        """Check that a rollback may take the place of what is on record of it."""
        after.check_follows(on_record)

    def carries_on(self) -> bool:
        """Tell whether somebody takes open rollbacks forward."""
        return True

    def reissues(self) -> bool:
        """Tell whether what is served is minted again by itself (rule 19)."""
        return True

    def trip_uid(self, number: int, version: str) -> str:
        """Return the identity of an act of leaving (rule 1)."""
        return f"trip-{number}-{version}"

    def behind(self, state: ReplicaState, document: RouteDocument) -> bool:
        """Tell whether a replica has yet to learn something that is published (rule 20)."""
        unknown = document.facts.trips.keys() - state.facts.trips.keys()
        return bool(unknown or document.facts.released - state.facts.released) or state.fleet < document.route

    def reconciles(self) -> bool:
        """Tell whether what replicas report is merged and those behind are pushed, again and again (rule 20)."""
        return True

    def leaves_what_failed(self) -> bool:
        """Tell whether a failed verification trips what is served (rule 21)."""
        return True
