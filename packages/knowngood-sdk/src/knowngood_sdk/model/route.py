"""
Route: which system version serves, as a replica keeps it.

Two kinds of state are kept apart. *Facts* ("leave version v") only grow and merge from anyone in any order. The *route*
is a position: a maximum inside a generation, guarded between generations. The step that a replica serves is derived
from both, and then latched. Everything here is a value or a pure function; the rule numbers in the docstrings are those
of ``docs/explanation/route.md``.
"""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, replace

from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.wording import has_bytes, readable

__all__ = [
    "FULL",
    "KEPT_GENERATIONS",
    "Facts",
    "FleetRoute",
    "Generation",
    "LocalTrip",
    "Refusal",
    "ReplicaState",
    "Stand",
    "Trip",
    "live_positions",
    "served_position",
    "step_of",
]

FULL = 10_000
"""The split at which the candidate takes all traffic, in basis points."""
KEPT_GENERATIONS = 8
"""Generations below the accepted one that a replica remembers: enough to notice that an older store was put back."""

_NOBODY: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """
    The fact "leave version v" (rule 1).

    Attributes:
        uid: Unique for each act; a release names acts, so a trip that was not shown stays in force.
        version: Content digest of the version to leave.
        generation: Generation in which whoever tripped saw it.
        source: Who or what tripped: ``person``, ``trigger``, ``break-glass``, ``widening``, ``verification``.
        at: When, as ISO 8601 in UTC.
        why: The reason, for people; what is no character of it is replaced, for no version is kept over its reason.
    """

    uid: str
    version: str
    generation: int
    source: str
    at: str
    why: str

    def __post_init__(self) -> None:
        if not has_bytes(self.why):
            object.__setattr__(self, "why", readable(self.why))


@dataclass(frozen=True, slots=True, order=True)
class LocalTrip:
    """A replica left a version on its own evidence; a fact about that replica, not about the fleet (rule 9)."""

    replica: str
    generation: int
    version: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Fleet trips and releases, both grow-only (rule 2: F and R)."""

    trips: Mapping[str, Trip] = field(default_factory=dict)
    released: frozenset[str] = frozenset()

    def merge(self, other: "Facts") -> "Facts":
        """Return the union; commutative, associative and idempotent."""
        if other.trips.keys() <= self.trips.keys() and other.released <= self.released:
            return self
        return Facts({**other.trips, **self.trips}, self.released | other.released)

    def with_trip(self, trip: Trip) -> "Facts":
        """Return these facts and one trip more."""
        return self.merge(Facts({trip.uid: trip}))

    @property
    def quarantined(self) -> frozenset[str]:
        """Versions with a trip that nobody released (rule 2: Q)."""
        return frozenset(trip.version for uid, trip in self.trips.items() if uid not in self.released)


@dataclass(frozen=True, slots=True, order=True)
class FleetRoute:
    """Where the fleet is meant to be: (g, k, s), ordered as written (rule 2)."""

    generation: int = 0
    step: int = 0
    split: int = 0

    def __post_init__(self) -> None:
        if self.generation < 0 or self.step < 0 or not 0 <= self.split <= FULL:
            raise InvalidError(f"route ({self.generation}, {self.step}, {self.split}) is out of range")


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """
    One deployment, immutable once minted.

    Attributes:
        number: Minted by the store, rising from 1.
        chain: Content digests ``[candidate, live, the one before …]``; past its end stands the static fallback.
        saw_quarantine: The quarantine that the deployer had seen.
        saw_local: The local trips that the deployer had seen.

    Raises:
        InvalidError: The number is below 1, or the chain is empty.
    """

    number: int
    chain: tuple[str, ...]
    saw_quarantine: frozenset[str] = frozenset()
    saw_local: frozenset[LocalTrip] = frozenset()

    def __post_init__(self) -> None:
        if self.number < 1 or not self.chain:
            raise InvalidError(f"generation {self.number} with {len(self.chain)} versions is none that a store mints")


def live_positions(step: int, split: int) -> tuple[int, ...]:
    """Return the chain positions that take traffic (rule 4)."""
    if step > 0:
        return (step,)
    if split == 0:
        return (1,)
    return (0,) if split == FULL else (0, 1)


def served_position(step: int, split: int) -> int:
    """Return the position that a fleet stands on when nothing is being tried: the candidate only once it is full."""
    return live_positions(step, split)[-1]


def step_of(chain: tuple[str, ...], route: FleetRoute, bad: Set[str]) -> int:
    """
    Return the step that a route means, given the versions to leave (rule 5).

    Returns:
        0 while no live position is bad; else the first position behind that is not bad; ``len(chain)``, the static
        fallback, when there is none.
    """
    if route.step == 0 and not any(
        position < len(chain) and chain[position] in bad for position in live_positions(0, route.split)
    ):
        return 0
    return next((i for i in range(max(1, route.step), len(chain)) if chain[i] not in bad), len(chain))


@dataclass(frozen=True, slots=True)
class Stand:
    """
    Where a replica stood: the route that it went by, and the step in force there (rule 10).

    Attributes:
        candidate: First of the generation's chain; a number that another store minted anew is another generation.
        fleet: The fleet route.
        latched: The step in force.
    """

    candidate: str
    fleet: FleetRoute
    latched: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """
    Why a replica did not take a generation (rule 7).

    Attributes:
        generation: The refused one.
        unseen_quarantine: Versions that are quarantined here and that the deployer had not seen.
        unseen_local: Local trips here that the deployer had not seen.
        unready: Live versions of that generation that are not ready here.
        untrusted: Why nobody vouches for it, as far as this replica knows; empty when somebody does.
    """

    generation: int
    unseen_quarantine: frozenset[str] = frozenset()
    unseen_local: frozenset[LocalTrip] = frozenset()
    unready: frozenset[str] = frozenset()
    untrusted: str = ""

    @property
    def reason(self) -> str:
        """The refusal in one sentence."""
        causes = [self.untrusted] if self.untrusted else []
        if self.unseen_quarantine:
            causes.append(f"it has not seen the quarantine of {len(self.unseen_quarantine)} version(s)")
        if self.unseen_local:
            causes.append(f"it has not seen {len(self.unseen_local)} local trip(s)")
        if self.unready:
            causes.append(f"{len(self.unready)} live version(s) are not ready here")
        return f"generation {self.generation} refused: {' and '.join(causes)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaState:
    """
    What one replica knows and where it stands (rule 3).

    Attributes:
        fleet: The last accepted fleet route.
        latched: The step in force here; never falls inside a generation.
        facts: Fleet trips and releases as known here.
        local: Own local trips that no accepted generation has seen.
        generations: Generations by number: the accepted one, those offered since, and a few before.
    """

    fleet: FleetRoute = FleetRoute()
    latched: int = 0
    facts: Facts = field(default_factory=Facts)
    local: frozenset[LocalTrip] = frozenset()
    generations: Mapping[int, Generation] = field(default_factory=dict)

    @property
    def chain(self) -> tuple[str, ...]:
        """The chain of the accepted generation; empty before the first one."""
        generation = self.generations.get(self.fleet.generation)
        return generation.chain if generation else ()

    @property
    def bad(self) -> frozenset[str]:
        """Versions to leave: the quarantine, and what this replica left on its own evidence."""
        return self.facts.quarantined | {trip.version for trip in self.local}

    @property
    def positions(self) -> tuple[int, ...]:
        """Chain positions that take traffic here."""
        return live_positions(self.latched, self.fleet.split)

    def relatch(self, ready: Set[str]) -> "ReplicaState":
        """
        Leave what is bad (rule 6).

        Leaving is unconditional, arriving is not: when the version to go to is not ready, a deeper one that is ready
        is taken; when there is none the static fallback answers until it is loaded, which is not latched. A replica
        that has nothing to leave stays: a slot that is loaded again (at boot, after a worker's death) is waited for.

        Args:
            ready: Content digests whose slots are ready on this replica.
        """
        chain, bad = self.chain, self.bad
        route = FleetRoute(self.fleet.generation, max(self.fleet.step, self.latched), self.fleet.split)
        target = step_of(chain, route, bad)
        if target > self.latched and target < len(chain) and chain[target] not in ready:
            deeper = (i for i in range(target + 1, len(chain)) if chain[i] in ready and chain[i] not in bad)
            target = next(deeper, target)
        return self if target <= self.latched else replace(self, latched=target)

    def receive(
        self, route: FleetRoute, generations: Mapping[int, Generation], facts: Facts, ready: Set[str]
    ) -> tuple["ReplicaState", Refusal | None]:
        """
        Take a message from the control plane or a peer (rule 7).

        Facts are merged first, whatever else the message says and also when its route is refused. What was in
        quarantine *before* the message guards against a generation that has not seen it; a trip that the message has
        just released does not. A replica without a route joins: it stands nowhere that a generation could undo, and
        leaves at once what is bad. What it had left by itself before it lost its file is told by its journal.

        Returns:
            The new state, and a refusal when the message names a newer generation that cannot be taken.

        Raises:
            InvalidError: It names a newer generation whose chain neither it nor this replica has. Its facts hold all
                the same: take them with ``receive(FleetRoute(), {}, facts, ready)``.
        """
        before = Facts(self.facts.trips, self.facts.released | facts.released).quarantined
        known = {**generations, **self.generations}
        state = replace(self, facts=self.facts.merge(facts))
        refusal = None
        if route.generation == state.fleet.generation:
            state = replace(state, fleet=max(state.fleet, route))
        elif route.generation > state.fleet.generation:
            generation = known.get(route.generation)
            if generation is None:
                raise InvalidError(f"a route names generation {route.generation} without bringing its chain")
            joins = not state.fleet.generation
            quarantined, local = (_NOBODY, frozenset[LocalTrip]()) if joins else (before, state.local)
            refusal = _refusal(generation, route, quarantined, local, ready)
            if refusal is None:
                state = replace(state, fleet=route, latched=0, local=state.local - generation.saw_local)
        return replace(state, generations=_kept(known, state.fleet.generation)).relatch(ready), refusal

    def leave(self, trip: Trip, ready: Set[str]) -> "ReplicaState":
        """Take a trip as a fact for the fleet (rule 8: break-glass, and any authenticated caller)."""
        return replace(self, facts=self.facts.with_trip(trip)).relatch(ready)

    def leave_here(self, replica: str, version: str, ready: Set[str]) -> "ReplicaState":
        """
        Leave a version on this replica alone (rule 9).

        The caller has seen to the conditions of the rule: the version is live here, the target is ready and has just
        answered a golden probe.
        """
        trip = LocalTrip(replica, self.fleet.generation, version)
        return replace(self, local=self.local | {trip}).relatch(ready)

    def target_after_leaving(self, version: str, ready: Set[str]) -> int | None:
        """Return the position that ``leave_here`` would latch, or None when that is no ready version of the chain."""
        if version not in {self.chain[i] for i in self.positions if i < len(self.chain)}:
            return None
        after = self.leave_here("", version, ready).latched
        return after if after < len(self.chain) and self.chain[after] in ready else None

    def rejoin(
        self,
        *,
        word: tuple[int, int, int] | None,
        trips: Facts,
        local: frozenset[LocalTrip],
        stands: Iterable[Stand] = (),
        ready: Set[str] = _NOBODY,
    ) -> "ReplicaState":
        """
        Join what a restart finds: this state from the file, the shared word, the journal (rule 10).

        Args:
            word: ``(generation, latched, split)`` of the shared word, or None when it is gone or empty. One of another
                generation is older than the file, for the file is written first, and is passed over.
            trips: Fleet trips in the journal.
            local: Local trips in the journal; those that the accepted generation had seen are over. All are kept while
                none is known.
            stands: Where the journal says that this replica stood; in another generation than the file, it is over.
            ready: Versions that are ready; none yet at a start.
        """
        generation = self.generations.get(self.fleet.generation)
        known = self.local | (local if generation is None else local - generation.saw_local)
        facts = self.facts.merge(trips)
        state = self if facts is self.facts and known == self.local else replace(self, facts=facts, local=known)
        for stand in stands:
            if stand.fleet.generation == self.fleet.generation and self.chain[:1] == (stand.candidate,):
                fleet, latched = max(state.fleet, stand.fleet), max(state.latched, stand.latched)
                state = replace(state, fleet=fleet, latched=latched)
        return state.raised(word).relatch(ready)

    @property
    def stand(self) -> Stand:
        """Where this replica stands."""
        return Stand(self.chain[0] if self.chain else "", self.fleet, self.latched)

    def raised(self, word: tuple[int, int, int] | None) -> "ReplicaState":
        """
        Return this state at the position of the shared word, or where it is if that is as far.

        Args:
            word: ``(generation, latched, split)``; one of another generation, or None, says nothing.
        """
        if word is None or word[0] != self.fleet.generation:
            return self
        latched, split = max(self.latched, word[1]), max(self.fleet.split, word[2])
        if (latched, split) == (self.latched, self.fleet.split):
            return self
        return replace(self, latched=latched, fleet=FleetRoute(self.fleet.generation, self.fleet.step, split))


def _kept(known: Mapping[int, Generation], accepted: int) -> Mapping[int, Generation]:
    """Return the generations without those that are long past; each carries the quarantine of its time."""
    past = set(sorted(number for number in known if number < accepted)[:-KEPT_GENERATIONS])
    return {number: generation for number, generation in known.items() if number not in past}


def _refusal(
    generation: Generation,
    route: FleetRoute,
    quarantined: frozenset[str],
    local: frozenset[LocalTrip],
    ready: Set[str],
) -> Refusal | None:
    chain = generation.chain
    live = {chain[i] for i in live_positions(route.step, route.split) if i < len(chain)}
    refusal = Refusal(
        generation=generation.number,
        unseen_quarantine=quarantined - generation.saw_quarantine,
        unseen_local=local - generation.saw_local,
        unready=frozenset(live - ready),
    )
    return refusal if refusal.unseen_quarantine or refusal.unseen_local or refusal.unready else None
