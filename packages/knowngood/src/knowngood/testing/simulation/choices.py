"""Choices: what can happen next in a world, by itself or by the acts and faults of its scenario."""

from collections.abc import Iterator

from knowngood.domain.saga import StepName
from knowngood.testing.simulation.care import unverified, wants_care, wants_reissue
from knowngood.testing.simulation.messages import Payload
from knowngood.testing.simulation.replica import Replica, workers_now
from knowngood.testing.simulation.tasks import behind, heard, may_go_on, stale
from knowngood.testing.simulation.world import CONTROL, Task, World, live, open_sagas, watcher
from knowngood_sdk.model.route import ReplicaState

__all__ = ["Action", "possible", "progress"]

Action = tuple[str, ...]
"""What happens: its kind, then whom and what it is about."""


def possible(world: World) -> Iterator[Action]:
    """Yield everything that can happen now, within the budget."""
    yield from progress(world)
    for name, replica in world.replicas.items():
        yield from _of_replica(world, name, replica)
    yield from _of_people(world)
    for message in world.messages:
        for kind in ("lose", "double"):
            if world.budget.get(kind):
                yield (kind, str(message.number))


def progress(world: World) -> Iterator[Action]:
    """Yield what happens by itself, and would change something."""
    for name, replica in world.replicas.items():
        yield from _progress_of(world, name, replica)
    for message in world.messages:
        receiver = world.replicas.get(message.to)
        if receiver is None or receiver.agent is None or not receiver.connected or receiver.idle:
            yield ("deliver", str(message.number))
    for name, task in world.processes.items():
        if task is not None and may_go_on(world, task):
            yield ("go-on" if world.calm else "go", name)
    yield from _watching(world)


def _watching(world: World) -> Iterator[Action]:
    """Yield what whoever watches would do."""
    if world.lease is not None and world.starts.get(world.lease[0], 0) != world.lease[1]:
        yield ("expire",)
    watching = watcher(world)
    if watching is None:
        return
    if _wants_reconciling(world):
        yield ("reconcile", watching)
    if world.rules.carries_on():
        for saga in open_sagas(world):
            if world.calm or saga.next_step() is not StepName.VERIFY:
                yield ("carry", watching, saga.id)
    if world.calm:
        # Somebody sees to it: new workers the first time, and another look when that did not help.
        for incident in unverified(world):
            yield ("vouch" if incident.again else "restart", incident.trip.replica)


def _progress_of(world: World, name: str, replica: Replica) -> Iterator[Action]:  # noqa: C901 - a list of what may happen, one line each
    if replica.workers is None:
        yield ("start", name)
        return
    view = world.view(name)
    if replica.agent is None:
        yield ("start-agent", name)
    elif replica.to_write:
        yield ("write-all" if world.calm else "step", name)
    else:
        if replica.retry:
            yield ("retry", name)
        if not view.caught_up:
            yield ("look", name)
        if world.scenario.polls and replica.connected and world.published not in (None, replica.heard):
            yield ("poll", name)
        if replica.connected and world.reports.get(name) != view.report and not _under_way(world, CONTROL, view.report):
            yield ("report", name)
    if replica.worker_writes:
        yield ("worker-step", name)
    for version in view.missing:
        yield ("load", name, version)
    if not view.current:
        yield ("learn", name)


def _under_way(world: World, to: str, payload: Payload | None) -> bool:
    return any(message.to == to and message.payload == payload for message in world.messages)


def _wants_reconciling(world: World) -> bool:
    if not world.rules.reconciles():
        return False
    facts, local = heard(world)
    known = world.store
    if facts.trips.keys() - known.facts.trips.keys() or local - known.local or stale(world):
        return True
    if world.rules.widened(known, frozenset(live(world))) or wants_care(world) or wants_reissue(world):
        return True
    late = [name for name in behind(world) if world.replicas[name].heard != world.published]
    return any(world.replicas[name].connected and not _under_way(world, name, world.published) for name in late)


def _of_replica(world: World, name: str, replica: Replica) -> Iterator[Action]:  # noqa: C901 - a list of what may happen, one line each
    left = world.budget.get
    if replica.connected and left("cut"):
        yield ("cut", name)
    if not replica.connected and left("mend"):
        yield ("mend", name)
    if left("snapshot"):
        yield ("snapshot", name)
    if left("write-back") and replica.disk.word != replica.disk.safe_word:
        yield ("write-back", name)
    if replica.workers is None:
        if left("older-disk") and replica.snapshot is not None:
            yield ("older-disk", name)
        if left("new-host"):
            yield ("new-host", name)
        return
    for kind in ("kill", "kill-agent"):
        if left(kind) and (kind == "kill" or replica.agent is not None):
            yield (kind, name)
    if left("power-cut"):
        yield from (("power-cut", name, luck) for luck in ("lucky", "unlucky"))
    if left("unload"):
        yield from (("unload", name, version) for version in sorted(replica.ready))
    if world.view(name).now != replica.workers:
        yield ("serve", name)
    yield from _asking(world, name, replica)
    yield from _leaving(world, name, replica)


def _asking(world: World, name: str, replica: Replica) -> Iterator[Action]:
    if world.budget.get("ask") and replica.idle and replica.agent == ReplicaState():
        peers = [other for other, there in world.replicas.items() if other != name and there.agent is not None]
        yield from (("ask", name, ",".join(asked)) for asked in ([], peers[:1], peers[-1:], peers))


def _leaving(world: World, name: str, replica: Replica) -> Iterator[Action]:
    if world.budget.get("glass") and replica.idle:
        yield from (("glass", name, version) for version in sorted(replica.workers.chain if replica.workers else ()))
    if not world.budget.get("local") or replica.worker_writes:
        return
    now = workers_now(world.rules, replica.learned(world.rules))
    if now is not None:
        for version in sorted({now.chain[i] for i in now.positions if i < len(now.chain)}):
            if world.rules.may_leave_here(now, version, replica.ready):
                yield ("local", name, version)


def _of_people(world: World) -> Iterator[Action]:
    left = world.budget.get
    if world.outage:
        yield ("recover",)
    elif left("outage"):
        yield ("outage",)
    if left("vouch"):
        yield from (("vouch", incident.trip.replica) for incident in unverified(world))
    for name, task in world.processes.items():
        if task is not None:
            yield from _of_process(world, name, task)
    free = next((name for name, task in world.processes.items() if task is None), None)
    if free is not None:
        yield from _commands(world, free)
    watching = watcher(world)
    for kind in ("verified", "failed"):
        if left(kind) and watching is not None:
            judged = (saga.id for saga in open_sagas(world) if saga.next_step() is StepName.VERIFY)
            yield from ((kind, watching, name) for name in judged)


def _of_process(world: World, name: str, task: Task) -> Iterator[Action]:
    left = world.budget.get
    if left("crash"):
        yield ("crash", name)
    if left("expire") and task.fence and task.fence == world.fence and world.lease is not None:
        yield ("expire",)
    if left("give-up") and task.steps[0] in {"armed", "taken"}:
        yield ("give-up", name)


def _commands(world: World, process: str) -> Iterator[Action]:
    left, state = world.budget.get, world.store
    if left("flip"):
        yield from (("flip", process, version) for version in state.chain)
    for kind in ("deploy", "try"):
        if left(kind):
            yield from ((kind, process, version) for version in world.scenario.versions if version != state.served)
    if left("release"):
        yield from (("release", process, version) for version in sorted(state.facts.quarantined))
    for kind in ("advance", "abandon"):
        if left(kind) and state.candidate is not None:
            yield (kind, process, state.candidate)
    if left("reissue"):
        yield ("reissue", process, "")
