"""World: one state of everything that is simulated, and what is done to it from more than one place."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from knowngood.domain.fleet import Episode, FleetState
from knowngood.domain.incident import Incident
from knowngood.domain.saga import Saga, SagaState, Step, StepOutcome
from knowngood.testing.simulation.messages import Message, Payload, Wire
from knowngood.testing.simulation.oracle import Oracle
from knowngood.testing.simulation.promise import Promise, broken
from knowngood.testing.simulation.replica import Replica, View, view_of
from knowngood.testing.simulation.rules import Rules
from knowngood.testing.simulation.scenario import Scenario
from knowngood.testing.simulation.store_oracle import Transaction, judge
from knowngood_sdk.errors import ConflictError, TransientError
from knowngood_sdk.model.route import LocalTrip, Trip
from knowngood_sdk.model.wire import ReplicaReport, RouteDocument

__all__ = ["AT", "CONTROL", "SYSTEM", "Task", "World", "live", "open_sagas", "watcher"]

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
        saga: The rollback that it takes forward.
        carried: That rollback as it read it.
        outcome: How the step ended that it has just done.
        fence: Under which lease it acts; 0 for none.
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
    carried: Saga | None = None
    outcome: StepOutcome = StepOutcome.DONE
    fence: int = 0


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
        incidents: Lone sick replicas on record.
        held_out: Who is held out of the balancer.
        outage: Whether the database is away.
        lease: Which start of which process watches; None while nobody does.
        fence: How often that changed hands.
        starts: How often each process of the control plane was started, and how often workers were.
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
    incidents: dict[LocalTrip, Incident] = field(default_factory=dict)
    held_out: frozenset[str] = frozenset()
    outage: bool = False
    lease: tuple[str, int] | None = None
    fence: int = 0
    starts: dict[str, int] = field(default_factory=dict)
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
            incidents=dict(self.incidents),
            starts=dict(self.starts),
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

    def reach_store(self) -> None:
        """Raise TransientError while the database is away."""
        if self.outage:
            raise TransientError("the database does not answer")

    def enter(self, task: Task) -> None:
        """
        Open a transaction.

        Raises:
            TransientError: The database is away.
            ConflictError: The lease under which the task acts has changed hands.
        """
        self.reach_store()
        if task.fence and self.rules.is_fenced_off(task.fence, self.fence):
            raise ConflictError("the lease has changed hands")
        if task.fence and task.fence != self.fence:
            raise broken(
                Promise.LEASE, f"a {task.kind} under lease {task.fence} goes on while lease {self.fence} holds"
            )

    def commit(self, kind: str, after: FleetState, episodes: tuple[Episode, ...], task: Task) -> None:
        """Put a state on record, in one transaction with the rollbacks that it starts."""
        self.enter(task)
        before, self.store = self.store, after
        for episode in episodes:
            name = episode.saga(SYSTEM)
            if name in self.sagas:
                raise broken(Promise.EPISODE, f"{name} is started a second time")
            self.sagas[name] = Saga(
                id=name,
                system=SYSTEM,
                version=episode.version,
                episode=episode.number,
                target=after.served,
                generation=after.row.generation,
                started_at=AT,
            )
        self.note(f"on record: {after.row}, quarantine {sorted(after.facts.quarantined)}")
        living = frozenset(live(self))
        judge(
            self.oracle,
            Transaction(
                kind=kind,
                asked=task.kind != "reconcile",
                before=before,
                after=after,
                started=[episode.version for episode in episodes],
                read=task.read,
                shown=task.shown,
                live=living,
                reports={name: self.reports[name] for name in living if name in self.reports},
                static_fallback=self.scenario.static_fallback,
            ),
        )

    def save_step(self, task: Task, outcome: StepOutcome) -> Saga:
        """
        Put the next step of a rollback on record.

        Raises:
            ConflictError: Somebody else took it further.
        """
        self.enter(task)
        assert task.carried is not None
        name = task.carried.next_step()
        assert name is not None
        before = self.sagas[task.saga]
        # No two steps end at the same moment.
        after = task.carried.with_step(Step(name=name, at=f"{AT}+{self.started('step')}", outcome=outcome))
        self.rules.check_follows(after, before)
        if after.steps[:-1] != before.steps or (task.saga, name) not in self.oracle.effects:
            had, has = ([step.name.value for step in saga.steps] for saga in (before, after))
            done = sorted(step.value for saga, step in self.oracle.effects if saga == task.saga)
            raise broken(Promise.SAGA, f"{task.saga} goes from {had} to {has}; done is {done}")
        self.sagas[task.saga] = after
        self.note(f"{task.saga}: {name.value} {outcome.value}")
        return after

    def started(self, name: str) -> int:
        """Count a start, and return which one it is."""
        self.starts[name] = self.starts.get(name, 0) + 1
        return self.starts[name]

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


def open_sagas(world: World) -> Iterator[Saga]:
    """Return the rollbacks that are not over."""
    return (saga for saga in world.sagas.values() if saga.state is SagaState.RUNNING)


def watcher(world: World) -> str | None:
    """Return the process that may begin to watch now: a free one, and where there are leases the one that has it."""
    free = [name for name, task in world.processes.items() if task is None]
    if world.outage or not free:
        return None
    if not world.scenario.leases or world.lease is None:
        return free[0]
    holder, start = world.lease
    return holder if holder in free and start == world.starts.get(holder, 0) else None
