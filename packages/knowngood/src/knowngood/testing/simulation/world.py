"""World: one state of everything that is simulated, and what is done to it from more than one place."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from knowngood.domain.fleet import Episode, FleetState
from knowngood.testing.simulation.messages import Message, Payload, Wire
from knowngood.testing.simulation.oracle import Oracle
from knowngood.testing.simulation.promise import Promise, broken
from knowngood.testing.simulation.replica import Replica, View, view_of
from knowngood.testing.simulation.rules import Rules
from knowngood.testing.simulation.scenario import Scenario
from knowngood.testing.simulation.store_oracle import Transaction, judge
from knowngood_sdk.model.route import Trip
from knowngood_sdk.model.wire import ReplicaReport, RouteDocument

__all__ = ["AT", "CONTROL", "SYSTEM", "Saga", "Task", "World", "live"]

SYSTEM = "sim"
CONTROL = "control"
AT = "2026-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """
    What a process of the control plane is at.

    Attributes:
        kind: Which of the known ones.
        steps: What is still to be done, in order.
        version: The version that it is about.
        trip: The act, of a flip.
        read: The store as the deployer read it.
        generation: The generation that it minted.
        document: What it is about to write and push.
        shown: The trips that the person was shown.
        saga: The rollback that it verifies.
    """

    kind: str
    steps: tuple[str, ...]
    version: str = ""
    trip: Trip | None = None
    read: FleetState | None = None
    generation: int = 0
    document: RouteDocument | None = None
    shown: frozenset[str] = frozenset()
    saga: str = ""


@dataclass(frozen=True, slots=True)
class Saga:
    """A rollback on record: ``running``, ``verified``, ``failed``, or ``overtaken`` by what came after it."""

    version: str
    target: str | None
    state: str = "running"


@dataclass(slots=True, kw_only=True)
class World:
    """
    Everything.

    Attributes:
        scenario: Its frame.
        rules: What it goes by.
        wire: What all messages go through.
        replicas: The replicas by name.
        messages: What is under way.
        store: The fleet as it is on record.
        sagas: Rollbacks on record.
        published: What replicas can read.
        reports: The last report that reached the control plane, by replica.
        processes: What each process of the control plane is at.
        budget: How often each act or fault may still happen.
        oracle: What is known from outside.
        acts: How many acts of leaving there were.
        sent: How many messages were sent.
        calm: Whether nothing can go wrong any more, so that no write and no task is interrupted.
        notes: What the last action led to, for the trace.
    """

    scenario: Scenario
    rules: Rules
    wire: Wire
    replicas: dict[str, Replica]
    processes: dict[str, Task | None]
    budget: dict[str, int]
    messages: list[Message] = field(default_factory=list)
    store: FleetState = field(default_factory=FleetState)
    sagas: dict[str, Saga] = field(default_factory=dict)
    published: RouteDocument | None = None
    reports: dict[str, ReplicaReport] = field(default_factory=dict)
    oracle: Oracle = field(default_factory=Oracle)
    acts: int = 0
    sent: int = 0
    calm: bool = False
    notes: list[str] = field(default_factory=list)
    _views: dict[str, View] = field(default_factory=dict)
    _judged: dict[str, tuple[Replica, frozenset[str]]] = field(default_factory=dict)

    @classmethod
    def empty(cls, scenario: Scenario, rules: Rules) -> "World":
        """Return a world in which nothing was ever deployed and no process of a replica runs."""
        return cls(
            scenario=scenario,
            rules=rules,
            wire=Wire(rules),
            replicas={f"r{number}": Replica(name=f"r{number}") for number in range(1, scenario.replicas + 1)},
            processes={f"c{number}": None for number in range(1, scenario.processes + 1)},
            budget=dict(scenario.budget),
        )

    def copy(self) -> "World":
        """Return a world that goes its own way from here."""
        return replace(
            self,
            replicas=dict(self.replicas),
            processes=dict(self.processes),
            budget=dict(self.budget),
            messages=list(self.messages),
            sagas=dict(self.sagas),
            reports=dict(self.reports),
            oracle=self.oracle.copy(),
            notes=[],
            _views=dict(self._views),
            _judged=dict(self._judged),
        )

    def view(self, name: str) -> View:
        """Return what follows from a replica as it is now."""
        replica = self.replicas[name]
        kept = self._views.get(name)
        if kept is None or kept.replica is not replica:
            kept = self._views[name] = view_of(self.rules, replica, kept)
        return kept

    def note(self, text: str) -> None:
        """Say for the trace what came of the action."""
        self.notes.append(text)

    def send(self, to: str, payload: Payload) -> None:
        """Put a message under way; the same one twice under way is one."""
        arriving = self.wire.through(payload)
        self.sent += 1
        self.messages.append(Message(self.sent, to, arriving))

    def new_trip(self, version: str, source: str) -> Trip:
        """Return a new act of leaving a version."""
        self.acts += 1
        uid = self.rules.trip_uid(self.acts, version)
        self.oracle.acted(self.acts, uid, version)
        generation = self.store.row.generation
        return Trip(uid=uid, version=version, generation=generation, source=source, at=AT, why=f"{version} is bad")

    def commit(self, kind: str, after: FleetState, episodes: tuple[Episode, ...], task: Task) -> None:
        """Put a state on record, in one transaction with the rollbacks that it starts."""
        before, self.store = self.store, after
        started = [episode.saga(SYSTEM) for episode in episodes]
        for saga, episode in zip(started, episodes, strict=True):
            if saga in self.sagas:
                raise broken(Promise.EPISODE, f"{saga} is started a second time")
            self.sagas[saga] = Saga(episode.version, after.served)
        self.note(f"on record: {after.row}, quarantine {sorted(after.facts.quarantined)}")
        living = live(self)
        judge(
            self.oracle,
            Transaction(
                kind=kind,
                before=before,
                after=after,
                started=[episode.version for episode in episodes],
                read=task.read,
                shown=task.shown,
                reports={name: self.reports[name] for name in living if name in self.reports},
                static_fallback=self.scenario.static_fallback,
            ),
        )

    def close(self, name: str, state: str) -> None:
        """Put the end of a rollback's verification on record."""
        saga = self.sagas[name]
        if saga.state == "running":
            self.sagas[name] = replace(saga, state=state)

    def check_every_replica(self) -> None:
        """Look at every replica that has changed with the eyes of a request."""
        released = self.store.facts.released
        for name, replica in self.replicas.items():
            last = self._judged.get(name)
            if last is None or last[0] is not replica or last[1] is not released:
                self._judged[name] = (replica, released)
                self.oracle.look(self.rules, replica, self.view(name), released)


def live(world: World) -> Iterator[str]:
    """Return the names of the replicas that a deployment waits for."""
    return (name for name, r in world.replicas.items() if r.workers is not None and r.connected)
