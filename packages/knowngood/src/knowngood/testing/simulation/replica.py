"""
Replica: an agent, its workers and their disk, as one value; each function returns the value after one thing happened.

The agent does its writes one micro-step after the other (rule 10), and a crash may fall between any two. The workers
read the word at each request, and files where the word tells them to, as the router of the SDK does.
"""

from dataclasses import dataclass, field, replace

from knowngood.testing.simulation.disk import Disk
from knowngood.testing.simulation.rules import Rules
from knowngood_sdk.model.route import LocalTrip, Refusal, ReplicaState, Trip
from knowngood_sdk.model.wire import ReplicaReport, RouteDocument

__all__ = ["Replica", "Step", "View", "recovered", "view_of", "wanted", "workers_now"]


@dataclass(frozen=True, slots=True)
class Step:
    """
    A write that is still to be done.

    An agent's: ``leave`` (in the word alone), ``word`` (and its own memory), ``rename``, ``sync``, ``acknowledge``;
    only a mutant's: ``trust``, to take for durable what was not synced. A worker's: ``word``, ``write`` to the journal,
    ``sync``.
    """

    name: str
    state: ReplicaState
    entry: Trip | LocalTrip | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """
    One replica.

    Attributes:
        name: Its name.
        agent: The agent's state in memory; None while no agent runs.
        durable: What the agent knows to be durable; only this is reported.
        workers: The workers' state in memory; None while none runs.
        ready: Versions that are ready in the workers.
        to_write: The agent's writes still to be done, in order.
        worker_writes: The workers' writes still to be done, in order.
        offered: The newest document that the agent was offered.
        heard: The last document that it took.
        refusal: Why it did not take the offer.
        retry: Whether slots have changed since the offer was last looked at.
        disk: What survives.
        snapshot: A copy of the disk, for whoever puts an older one back.
        connected: Whether messages and published documents reach it.
        crew: Name of its workers, another one for each start.
        backlog: Reports that it could not send.
    """

    name: str
    agent: ReplicaState | None = None
    durable: ReplicaState = field(default_factory=ReplicaState)
    workers: ReplicaState | None = None
    ready: frozenset[str] = frozenset()
    to_write: tuple[Step, ...] = ()
    worker_writes: tuple[Step, ...] = ()
    offered: RouteDocument | None = None
    heard: RouteDocument | None = None
    refusal: Refusal | None = None
    retry: bool = False
    disk: Disk = field(default_factory=Disk)
    snapshot: Disk | None = None
    connected: bool = True
    crew: str = ""
    backlog: tuple[ReplicaReport, ...] = ()

    @property
    def idle(self) -> bool:
        """Whether the agent runs and has nothing left to write."""
        return self.agent is not None and not self.to_write

    @property
    def report(self) -> ReplicaReport:
        """What the agent would report now."""
        return ReplicaReport(
            replica=self.name,
            state=self.durable,
            ready=self.ready,
            workers=0 if self.workers is None else 1,
            refusal=self.refusal,
            crew=frozenset() if self.workers is None else frozenset({self.crew}),
        )

    # The agent.

    def looked(self, rules: Rules) -> ReplicaState:
        """Return the agent's state joined with word and journal, into which workers write."""
        assert self.agent is not None
        disk = self.disk
        return rules.rejoin(self.agent, word=disk.position, trips=disk.trips, local=disk.local, ready=self.ready)

    def took(self, rules: Rules, document: RouteDocument) -> "Replica":
        """Take a message: look first, then join it, then keep what is to be written."""
        assert self.agent is not None
        state = self.looked(rules) if rules.looks_before_it_takes() else self.agent
        state, refusal = rules.receive(state, document, self.ready)
        taken = replace(self, heard=document)
        if self.offered is None or document.route >= self.offered.route:
            taken = replace(taken, offered=document, refusal=refusal)
        return taken.will_write(rules, state)

    def tried_again(self, rules: Rules) -> "Replica":
        """Look at the offer again, now that other slots are ready."""
        if self.offered is None:
            return replace(self, retry=False).will_write(rules, self.looked(rules).relatch(self.ready))
        state, refusal = rules.receive(self.looked(rules), self.offered, self.ready)
        return replace(self, retry=False, refusal=refusal).will_write(rules, state)

    def will_write(self, rules: Rules, state: ReplicaState) -> "Replica":
        """Put the writes that make a state true in their order."""
        assert self.agent is not None
        if state == self.agent and state == self.durable:
            order: tuple[str, ...] = ("acknowledge",)
        elif state.fleet.generation == self.agent.fleet.generation:
            order = rules.order_within_generation()
        else:
            order = rules.order_of_new_generation()
        left = rules.left_before(self.looked(rules), state, self.ready) if "leave" in order else state
        return replace(self, to_write=tuple(Step(name, left if name == "leave" else state) for name in order))

    def wrote(self) -> "Replica":
        """Do the agent's next write; the acknowledgement itself is sent by the world."""
        step, *rest = self.to_write
        done = replace(self, to_write=tuple(rest))
        if step.name == "word":
            return replace(done, agent=step.state, disk=self.disk.show(step.state))
        if step.name == "leave":
            return replace(done, disk=self.disk.show(step.state))
        if step.name == "rename":
            return replace(done, disk=self.disk.renamed(step.state))
        if step.name == "sync":
            return replace(done, disk=self.disk.file_synced(), durable=step.state)
        if step.name == "trust":
            return replace(done, durable=step.state)
        return done

    # The workers.

    def learned(self, rules: Rules) -> "Replica":
        """Let the workers read the files."""
        assert self.workers is not None
        return replace(self, workers=rules.join(self.workers, recovered(rules, self.disk)))

    def served(self, rules: Rules) -> "Replica":
        """Let a request come: the workers bring what they know and the word together, both ways."""
        now = workers_now(rules, self)
        assert now is not None
        return replace(self, workers=now, disk=self.disk.show(now))

    def left_here(self, rules: Rules, version: str) -> "Replica":
        """
        Let a worker leave a version on its own evidence, up to what it still has to write.

        It reads the files first: what it would go to may be what the agent has just been told to leave.
        """
        now = workers_now(rules, self.learned(rules))
        assert now is not None
        state = rules.leave_here(now, self.name, version, self.ready)
        trip = LocalTrip(self.name, now.fleet.generation, version)
        order = rules.order_of_local_trip()
        return replace(self, worker_writes=tuple(Step(name, state, trip) for name in order)).worker_wrote()

    def worker_wrote(self) -> "Replica":
        """Do the workers' next write."""
        step, *rest = self.worker_writes
        done = replace(self, worker_writes=tuple(rest))
        if step.name == "word":
            return replace(done, workers=step.state, disk=self.disk.show(step.state))
        if step.name == "write":
            assert step.entry is not None
            return replace(done, disk=self.disk.appended(step.entry))
        return replace(done, disk=self.disk.journal_synced())

    # Life and death.

    def agent_started(self, rules: Rules) -> "Replica":
        """Start the agent on what it finds; it does not know what of it is durable until it has synced it."""
        state = recovered(rules, self.disk)
        steps = tuple(Step(name, state) for name in rules.order_at_start())
        nothing = rules.adopt(ReplicaState())
        return replace(self, agent=self.disk.file or nothing, durable=nothing, to_write=steps)

    def workers_started(self, rules: Rules, crew: str) -> "Replica":
        """Start the workers under a new name; nothing is loaded yet."""
        return replace(self, workers=recovered(rules, self.disk), ready=frozenset(), retry=True, crew=crew)

    def agent_killed(self) -> "Replica":
        """End the agent; the workers serve on."""
        return replace(self, agent=None, to_write=(), offered=None, heard=None, refusal=None, retry=False)

    def killed(self) -> "Replica":
        """End every process."""
        return replace(self.agent_killed(), workers=None, worker_writes=(), ready=frozenset())

    def power_cut(self, *, lucky: bool) -> "Replica":
        """Take the host away."""
        return replace(self.killed(), disk=self.disk.after_power_cut(lucky=lucky))


@dataclass(frozen=True, slots=True)
class View:
    """
    What follows from a replica as it is, worked out once.

    Attributes:
        replica: The replica.
        found: What a restart would find.
        looked: The agent's state once it has looked at what the workers wrote; None while no agent runs.
        caught_up: Whether the agent has seen what the workers wrote.
        current: Whether the workers know what the files say.
        now: The state by which a request that came now would be served; None while no worker runs.
        report: What the agent would report.
        missing: Versions that the workers should have loaded and have not.
    """

    replica: Replica
    found: ReplicaState
    looked: ReplicaState | None
    caught_up: bool
    current: bool
    now: ReplicaState | None
    report: ReplicaReport
    missing: tuple[str, ...]


def view_of(rules: Rules, replica: Replica, last: View | None = None) -> View:
    """Return what follows from a replica as it is; of the last view, what has not changed since is taken over."""
    old = last.replica if last is not None else None
    same_disk = last is not None and last.replica.disk is replica.disk
    found = last.found if last is not None and same_disk else recovered(rules, replica.disk)
    if last is not None and old is not None and same_disk and old.workers is replica.workers:
        current, now = last.current, last.now
    else:
        current = replica.workers is None or rules.join(replica.workers, found) == replica.workers
        now = workers_now(rules, replica)
    if last is not None and old is not None and same_disk and (old.agent, old.ready) == (replica.agent, replica.ready):
        looked = last.looked
    else:
        looked = None if replica.agent is None else replica.looked(rules)
    return View(
        replica=replica,
        found=found,
        looked=looked,
        caught_up=looked == replica.agent,
        current=current,
        now=now,
        report=replica.report,
        missing=tuple(sorted(wanted(replica) - replica.ready)),
    )


def recovered(rules: Rules, disk: Disk) -> ReplicaState:
    """Join what a restart finds; nothing is ready then."""
    found = disk.file or rules.adopt(ReplicaState())
    return rules.rejoin(found, word=disk.position, trips=disk.trips, local=disk.local, ready=frozenset())


def workers_now(rules: Rules, replica: Replica) -> ReplicaState | None:
    """Return the state by which a request that came now would be served; None while no worker runs."""
    worker = replica.workers
    if worker is None:
        return None
    word = replica.disk.position
    if word is not None and word[0] > worker.fleet.generation:
        worker = rules.join(worker, recovered(rules, replica.disk))
    return rules.follow(worker, word)


def wanted(replica: Replica) -> frozenset[str]:
    """Return the versions that the workers should have loaded."""
    offered = replica.offered.wanted if replica.offered else ()
    standing = replica.workers.chain if replica.workers else ()
    return frozenset((*offered, *standing))
