"""
Exhaustive search: every run within small bounds, breadth first, so that what breaks first is also what is shortest.

Two worlds are the same when nothing that can happen later would tell them apart. Numbers of messages do not count, nor
the order in which they were sent.
"""

from collections import deque
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

from knowngood.domain.fleet import FleetState
from knowngood.testing.simulation.actions import act
from knowngood.testing.simulation.choices import Action, possible
from knowngood.testing.simulation.disk import Disk
from knowngood.testing.simulation.messages import Payload
from knowngood.testing.simulation.oracle import Oracle
from knowngood.testing.simulation.promise import BrokenPromiseError
from knowngood.testing.simulation.replica import Replica, Step
from knowngood.testing.simulation.run import Failure, Worlds, finish
from knowngood.testing.simulation.scenario import Scenario
from knowngood.testing.simulation.world import Task, World
from knowngood_sdk.model.route import Facts, ReplicaState
from knowngood_sdk.model.wire import RouteDocument

__all__ = ["Search", "explore"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """
    What a search found.

    Attributes:
        worlds: Different worlds that were looked at.
        rests: Worlds that were let come to rest and judged there.
        exhausted: Whether there was nothing left to look at; otherwise the limit was reached.
        failure: The first promise that broke, or None.
    """

    worlds: int
    rests: int
    exhausted: bool
    failure: Failure | None = None


def explore(
    worlds: Worlds, scenario: Scenario, *, most: int, without: Iterable[str] = (), start: Iterable[Action] = ()
) -> Search:
    """
    Try everything that can happen within a scenario's budget.

    Args:
        worlds: Where it starts.
        scenario: The bounds.
        most: How many worlds to look at before it stops.
        without: Kinds of action that are left out.
        start: Actions that are done before the search begins.

    Returns:
        What was found. A world in which nothing is under way is let come to rest, as a copy, and judged there too.
    """
    skipped = set(without)
    first = worlds.start(scenario)
    for action in start:
        act(first, action)
    found = {_key(first)}
    open_ = deque([(first, tuple(start))])
    rests = 0
    while open_:
        world, done = open_.popleft()
        done_now = done
        try:
            if _quiet(world):
                rests += 1
                finish(world.copy())
            for action in possible(world):
                if action[0] in skipped:
                    continue
                after = world.copy()
                done_now = (*done, action)
                act(after, action)
                key = _key(after)
                if key not in found:
                    if len(found) >= most:
                        return Search(worlds=len(found), rests=rests, exhausted=False)
                    found.add(key)
                    open_.append((after, done_now))
        except BrokenPromiseError as error:
            failure = Failure(promise=error.promise, found=error.found, scenario=scenario, actions=done_now)
            return Search(worlds=len(found), rests=rests, exhausted=False, failure=failure)
    return Search(worlds=len(found), rests=rests, exhausted=True)


def _quiet(world: World) -> bool:
    return not world.messages and all(task is None for task in world.processes.values())


def _key(world: World) -> int:
    return hash(
        (
            tuple(_replica(replica) for replica in world.replicas.values()),
            _fleet(world.store),
            frozenset((name, saga.target, len(saga.steps)) for name, saga in world.sagas.items()),
            frozenset((trip, incident.crew, incident.verified) for trip, incident in world.incidents.items()),
            (world.held_out, world.outage, world.lease, world.fence),
            _document(world.published),
            tuple(sorted((name, _payload(report)) for name, report in world.reports.items())),
            tuple(_task(task) for task in world.processes.values()),
            frozenset(world.budget.items()),
            _counted((message.to, _payload(message.payload)) for message in world.messages),
            _oracle(world.oracle),
        )
    )


def _counted(items: Iterable[Hashable]) -> frozenset[tuple[Hashable, int]]:
    counts: dict[Hashable, int] = {}
    for item in items:
        counts[item] = counts.get(item, 0) + 1
    return frozenset(counts.items())


def _facts(facts: Facts) -> int:
    return hash((frozenset(facts.trips), facts.released))


def _state(state: ReplicaState | None) -> int:
    if state is None:
        return 0
    return hash((state.fleet, state.latched, _facts(state.facts), state.local, frozenset(state.generations)))


def _document(document: RouteDocument | None) -> int:
    if document is None:
        return 0
    return hash((document.route, frozenset(document.generations), _facts(document.facts), document.prepare))


def _payload(payload: Payload) -> int:
    if isinstance(payload, RouteDocument):
        return _document(payload)
    return hash((payload.replica, _state(payload.state), payload.ready, payload.crew, payload.refusal))


def _disk(disk: Disk | None) -> int:
    if disk is None:
        return 0
    journal = tuple(str(entry) for entry in disk.journal)
    return hash((_state(disk.file), _state(disk.safe_file), journal, disk.synced, disk.word, disk.safe_word))


def _steps(steps: tuple[Step, ...]) -> int:
    return hash(tuple((step.name, _state(step.state)) for step in steps))


def _replica(replica: Replica) -> int:
    return hash(
        (
            _state(replica.agent),
            _state(replica.durable),
            _state(replica.workers),
            replica.ready,
            _steps(replica.to_write),
            _steps(replica.worker_writes),
            _document(replica.offered),
            _document(replica.heard),
            replica.refusal,
            replica.retry,
            _disk(replica.disk),
            _disk(replica.snapshot),
            replica.connected,
            replica.crew,
        )
    )


def _fleet(state: FleetState | None) -> int:
    if state is None:
        return 0
    chains = frozenset((number, one.chain, one.saw_quarantine) for number, one in state.generations.items())
    return hash((state.row, chains, _facts(state.facts), state.local, frozenset(state.episodes.items())))


def _task(task: Task | None) -> int:
    if task is None:
        return 0
    about = (task.version, task.trip and task.trip.uid, task.generation, task.shown, task.saga, task.fence)
    return hash((task.kind, task.steps, about, _fleet(task.read), _document(task.document)))


def _oracle(oracle: Oracle) -> int:
    by_replica: Mapping[str, Hashable] = {name: _state(state) for name, state in oracle.acknowledged.items()}
    return hash(
        (
            frozenset(oracle.acts.items()),
            frozenset(oracle.shown),
            frozenset(oracle.seen.items()),
            frozenset(oracle.advanced.items()),
            frozenset(by_replica.items()),
            frozenset(oracle.observed.items()),
            frozenset(oracle.local),
            frozenset(oracle.armed),
            frozenset(oracle.effects),
        )
    )
