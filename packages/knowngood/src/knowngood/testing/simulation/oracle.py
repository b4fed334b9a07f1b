"""
Oracle: what is known from outside, and the promises about replicas that are judged by it.

It keeps its own account of acts, of what a deployer had seen, of what was acknowledged and what requests got, and does
not ask the rules under test. A quarantine is in force here for every act that reached a replica and that the store has
not released.
"""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, replace

from knowngood.domain.fleet import FleetState
from knowngood.domain.saga import StepName
from knowngood.testing.simulation.promise import Promise, broken
from knowngood.testing.simulation.replica import Replica, View, recovered
from knowngood.testing.simulation.rules import Rules
from knowngood_sdk.model.route import FULL, Facts, LocalTrip, ReplicaState, Trip

__all__ = ["Move", "Oracle", "in_force"]

_NOTHING: frozenset[str] = frozenset()


def in_force(trips: Iterable[Trip], released: Set[str]) -> frozenset[str]:
    """Return the versions that these acts keep in quarantine."""
    return frozenset(trip.version for trip in trips if trip.uid not in released)


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """
    What a replica made of something that reached it.

    Attributes:
        replica: Which.
        before: Its state until then.
        after: The state that it is going to write.
        ready: What was ready there.
        told: The facts that reached it.
        starting: Whether it was only just starting.
        released: Acts that the store has released.
    """

    replica: str
    before: ReplicaState
    after: ReplicaState
    ready: frozenset[str]
    told: Facts = field(default_factory=Facts)
    starting: bool = False
    released: frozenset[str] = _NOTHING

    @property
    def bad(self) -> frozenset[str]:
        """What the replica has to leave, as far as it knows."""
        facts = self.after.facts
        return in_force(facts.trips.values(), facts.released) | {trip.version for trip in self.after.local}

    @property
    def accepted(self) -> bool:
        """Whether it took another generation."""
        return self.after.fleet.generation != self.before.fleet.generation

    @property
    def from_step(self) -> int:
        """The step that it moves from."""
        return 0 if self.accepted else self.before.latched


@dataclass(slots=True)
class Oracle:
    """
    The account.

    Attributes:
        acts: Number of an act of leaving -> its uid and its version.
        shown: Numbers of the acts that a person was shown before releasing.
        seen: Generation -> quarantine and local trips that its deployer had seen.
        advanced: Generation -> the largest share that its candidate was given.
        acknowledged: Replica -> the state that it last acknowledged.
        observed: Replica -> generation, step and split that a request last met.
        local: Local trips that a worker has finished writing.
        armed: Versions that were ready on every live replica when a deployer looked.
        sick: Lone sick replicas on record -> the workers that they had then.
        well: Those that were verified since, by their workers or by a person.
        effects: Steps of rollbacks that were done.
    """

    acts: dict[int, tuple[str, str]] = field(default_factory=dict)
    shown: set[int] = field(default_factory=set)
    seen: dict[int, tuple[frozenset[str], frozenset[LocalTrip]]] = field(default_factory=dict)
    advanced: dict[int, int] = field(default_factory=dict)
    acknowledged: dict[str, ReplicaState] = field(default_factory=dict)
    observed: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    local: set[LocalTrip] = field(default_factory=set)
    armed: set[str] = field(default_factory=set)
    sick: dict[LocalTrip, str] = field(default_factory=dict)
    well: set[LocalTrip] = field(default_factory=set)
    effects: set[tuple[str, StepName]] = field(default_factory=set)

    def copy(self) -> "Oracle":
        """Return an account that goes its own way from here."""
        return replace(
            self,
            acts=dict(self.acts),
            shown=set(self.shown),
            seen=dict(self.seen),
            advanced=dict(self.advanced),
            acknowledged=dict(self.acknowledged),
            observed=dict(self.observed),
            local=set(self.local),
            armed=set(self.armed),
            sick=dict(self.sick),
            well=set(self.well),
            effects=set(self.effects),
        )

    # What happens.

    def acted(self, number: int, uid: str, version: str) -> None:
        """Hear of an act of leaving."""
        self.acts[number] = (uid, version)

    def showed(self, uids: Iterable[str]) -> None:
        """Hear that a person was shown these acts."""
        named = set(uids)
        self.shown |= {number for number, (uid, _) in self.acts.items() if uid in named}

    def widens(self, version: str, store: FleetState, live: frozenset[str]) -> None:
        """Hear that the fleet is about to leave what replicas left on their own evidence."""
        if version not in self.agreed(store, live):
            raise broken(Promise.WIDEN, f"the fleet of {len(live)} leaves {version} for {set(store.local)}")

    def agreed(self, store: FleetState, live: frozenset[str]) -> frozenset[str]:
        """Return the versions that enough replicas left since the present generation was minted."""
        seen = self.seen.get(store.row.generation, (_NOTHING, frozenset()))[1]
        needed = 1 if len(live) <= 1 else max(2, -(-len(live) // 5))
        voters: dict[str, set[str]] = {}
        for trip in store.local - seen:
            voters.setdefault(trip.version, set()).add(trip.replica)
        return frozenset(version for version, names in voters.items() if len(names) >= needed)

    def alone(self, store: FleetState, live: frozenset[str]) -> frozenset[LocalTrip]:
        """Return what lone sick replicas left: too few for the fleet, and nobody has made anything of it since."""
        seen = self.seen.get(store.row.generation, (_NOTHING, frozenset()))[1]
        trips = store.facts.trips.values()
        made = {trip.version for trip in trips if trip.generation == store.row.generation}
        made |= in_force(trips, store.facts.released) | self.agreed(store, live)
        # Nobody is sick with what is neither served nor fallen back to.
        served = set(store.chain[store.row.step :]) if live else {trip.version for trip in store.local}
        return frozenset(trip for trip in store.local - seen if trip.version in served - made)

    def power_cut(self, replica: str) -> None:
        """Hear that a host lost power: only what was acknowledged is still owed."""
        state = self.acknowledged.get(replica, ReplicaState())
        self.observed[replica] = _position(state)

    def older_disk(self, replica: str) -> None:
        """Hear that a replica came back on an older disk: it owes nothing of what it had acknowledged since."""
        self.acknowledged.pop(replica, None)
        self.observed.pop(replica, None)
        self.local = {trip for trip in self.local if trip.replica != replica}

    def acknowledges(self, rules: Rules, replica: Replica) -> None:
        """Hear an acknowledgement, and see whether a power cut at this moment would take it back."""
        named = replica.durable
        left = recovered(rules, replica.disk.after_power_cut(lucky=False))
        lost = named.facts.trips.keys() - left.facts.trips.keys() or named.facts.released - left.facts.released
        if lost:
            raise broken(Promise.DURABLE, f"{replica.name} acknowledged {sorted(lost)}, which is not on its disk")
        if (left.fleet.generation, left.latched) < (named.fleet.generation, named.latched):
            raise broken(
                Promise.DURABLE,
                f"{replica.name} acknowledged step {named.latched} of {named.fleet}, its disk says {left.latched} of"
                f" {left.fleet}",
            )
        if left.fleet.generation == named.fleet.generation and named.local - left.local:
            raise broken(Promise.DURABLE, f"{replica.name} acknowledged {named.local}, its disk has {left.local}")
        if replica.name in self.acknowledged:
            self._compare(replica.name, _position(self.acknowledged[replica.name]), _position(named))
        self.acknowledged[replica.name] = named

    # What a replica makes of a message, an act, a start.

    def judge(self, move: Move) -> None:
        """Judge what a replica is about to write."""
        self._judge_facts(move)
        if move.after.fleet.generation < move.before.fleet.generation:
            raise broken(Promise.STEP, f"{move.replica} goes from {move.before.fleet} to {move.after.fleet}")
        if move.accepted:
            self._judge_acceptance(move)
        self._judge_cause(move)
        self._judge_passing_over(move)

    def _judge_facts(self, move: Move) -> None:
        for facts in (move.before.facts, move.told):
            lost = facts.trips.keys() - move.after.facts.trips.keys() or facts.released - move.after.facts.released
            if lost:
                raise broken(Promise.FACTS, f"{move.replica} was told of {sorted(lost)} and does not know it")
        foreign = {trip for trip in move.after.local if trip.replica != move.replica}
        if foreign:
            raise broken(Promise.LONE, f"{move.replica} holds the local trips of others: {foreign}")

    def _judge_acceptance(self, move: Move) -> None:
        number, chain = move.after.fleet.generation, move.after.chain
        if move.before.fleet.generation:
            quarantine, local = self.seen[number]
            unseen = in_force(move.before.facts.trips.values(), move.released) - quarantine
            if unseen or move.before.local - local:
                raise broken(
                    Promise.UNSEEN,
                    f"{move.replica} takes generation {number}, whose deployer had not seen that {sorted(unseen)}"
                    f" and {sorted(move.before.local - local)} were left",
                )
        live = {chain[i] for i in _live(move.after.fleet.step, move.after.fleet.split) if i < len(chain)}
        if live - move.ready:
            raise broken(
                Promise.ARRIVE, f"{move.replica} takes generation {number} with {sorted(live - move.ready)} not ready"
            )

    def _judge_cause(self, move: Move) -> None:
        if move.after.latched <= move.from_step or move.after.fleet.step > move.from_step:
            return
        chain = move.after.chain
        standing = {chain[i] for i in _live(move.from_step, move.after.fleet.split) if i < len(chain)}
        if not standing & move.bad:
            raise broken(
                Promise.LONE,
                f"{move.replica} moves from step {move.from_step} to {move.after.latched} of {list(chain)}, though it"
                f" knows nothing against {sorted(standing)} and the fleet is at {move.after.fleet}",
            )

    def _judge_passing_over(self, move: Move) -> None:
        chain, step = move.after.chain, move.after.latched
        first = max(1, move.from_step, move.after.fleet.step)
        if step <= move.from_step:
            return
        passed = {chain[i] for i in range(first, min(step, len(chain)))} - move.bad
        arrives = step < len(chain) and chain[step] in move.ready
        if passed and (move.starting or passed & move.ready or not arrives):
            raise broken(
                Promise.SKIP,
                f"{move.replica} goes to step {step} of {list(chain)} and passes over {sorted(passed)}; ready there are"
                f" {sorted(move.ready)}{', and it is only starting' if move.starting else ''}",
            )

    # What a request meets.

    def look(self, rules: Rules, replica: Replica, view: View, released: frozenset[str]) -> None:
        """Judge what a request that came now would get."""
        word, file = replica.disk.position, replica.disk.file
        if word is not None and (file is None or word[0] > file.fleet.generation):
            raise broken(Promise.KNOWN, f"the word of {replica.name} is at {word}, its file at {file and file.fleet}")
        now = view.now
        if now is None:
            return
        if replica.workers is not None:
            position = _position(replica.workers)
            self._compare(replica.name, self.observed.get(replica.name, position), position)
            self.observed[replica.name] = position
        answers = {version for version in rules.answering(now, replica.ready) if version is not None}
        if answers - replica.ready:
            raise broken(Promise.ARRIVE, f"{replica.name} answers with {sorted(answers - replica.ready)}, not ready")
        left = self.acknowledged.get(replica.name)
        if left is not None:
            gone = in_force(left.facts.trips.values(), released)
            if left.fleet.generation == now.fleet.generation:
                gone |= {trip.version for trip in left.local}
            if answers & gone:
                raise broken(
                    Promise.LEFT, f"{replica.name} acknowledged leaving {sorted(answers & gone)}, and serves it"
                )
        known = in_force(_known(replica, view).values(), released)
        if answers & known:
            raise broken(
                Promise.QUARANTINE, f"{replica.name} knows the trip of {sorted(answers & known)}, and serves it"
            )
        if replica.agent is not None and view.caught_up and replica.agent.fleet.generation == now.fleet.generation:
            # A local trip that is still being written is not the agent's yet, and a generation may have seen it.
            known |= {trip.version for trip in replica.agent.local}
        self._look_at_arms(replica.name, now, known, answers)

    def _compare(self, name: str, before: tuple[int, int, int], now: tuple[int, int, int]) -> None:
        if now[:2] < before[:2]:
            raise broken(Promise.STEP, f"{name} was at (generation, step, split) {before} and is now at {now}")
        if now[:2] == before[:2] and now[2] < before[2] and not now[1]:
            raise broken(Promise.SPLIT, f"{name} was at (generation, step, split) {before} and is now at {now}")

    def _look_at_arms(self, name: str, now: ReplicaState, bad: frozenset[str], answers: Set[str]) -> None:
        chain = now.chain
        if now.latched or not chain:
            return
        if bad & {chain[i] for i in _live(0, now.fleet.split) if i < len(chain)}:
            raise broken(Promise.FORWARD, f"{name} stays at {now.fleet} of {list(chain)} with {sorted(bad)} to be left")
        given = self.advanced.get(now.fleet.generation, 0)
        if now.fleet.split > given or (chain[0] in answers and not given):
            raise broken(Promise.SHARE, f"{name} serves at split {now.fleet.split}, given were {given} basis points")


def _position(state: ReplicaState) -> tuple[int, int, int]:
    return (state.fleet.generation, state.latched, state.fleet.split)


def _known(replica: Replica, view: View) -> Mapping[str, Trip]:
    """Return the trips that reached the workers, or an agent that has seen what the workers did since."""
    facts = view.now.facts if view.now else Facts()
    return (facts.merge(replica.agent.facts) if replica.agent is not None and _has_seen(replica, view) else facts).trips


def _has_seen(replica: Replica, view: View) -> bool:
    """
    Tell whether the agent has seen what the workers did.

    It has not where it starts on the file of a generation that its word does not show yet, while a worker that leaves
    something on its own evidence has moved the word below and is about to write that down. What the worker goes to may
    be what the file says to leave: it is left with the word of the new generation, or when the worker looks at the
    file, and before the agent answers anybody.
    """
    word = replica.disk.position
    unwritten = replica.worker_writes and replica.agent and word and word[0] < replica.agent.fleet.generation
    return view.caught_up and not unwritten


def _live(step: int, split: int) -> tuple[int, ...]:
    """Return the positions that take traffic; written anew, so that the oracle does not lean on what it judges."""
    if step:
        return (step,)
    return ((0,) if split else ()) + ((1,) if split < FULL else ())
