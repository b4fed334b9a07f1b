"""
Tasks: what the processes of the control plane do, one step at a time, so that a crash may fall between any two.

The order is that of ``knowngood.control``: flip first, record after; what is published is read, changed and written
again, in two steps, so that two processes may overwrite each other.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from knowngood.testing.simulation.care import care, mint_again
from knowngood.testing.simulation.sagas import read_saga, saga_step, save_saga
from knowngood.testing.simulation.world import SYSTEM, Task, World, live
from knowngood_sdk.errors import KnownGoodError, TransientError
from knowngood_sdk.model.canonical import short
from knowngood_sdk.model.route import Facts, LocalTrip, ReplicaState
from knowngood_sdk.model.wire import RouteDocument

__all__ = ["begin", "behind", "do", "giving_up", "heard", "may_go_on", "stale"]

_PUBLISH = ("compute", "write", "push")
_GIVE_UP = ("give-up", *_PUBLISH)
_START = ("read", "prepare", "write", "push", "armed", "mint", *_PUBLISH, "taken")
_STORE = frozenset(
    ("record", "read", "prepare", "mint", "compute", "give-up", "abandon", "show", "release", "merge", "widen", "care")
) | {"reissue", "refresh", "saga-read", "saga-save", "advance"}
_STEPS: Mapping[str, tuple[str, ...]] = {
    "flip": ("flip", "push", "write", "record"),
    "arm": _START,
    "try": (*_START, "advance:2500", *_PUBLISH),
    "advance": ("advance:10000", *_PUBLISH),
    "deploy": (*_START, "advance:10000", *_PUBLISH),
    "release": ("show", "release", *_PUBLISH),
    "abandon": ("abandon", *_PUBLISH),
    "reissue": ("reissue", *_PUBLISH),
    "reconcile": ("merge", "widen", "care", "reissue", "refresh", "write", "push-behind"),
}
_SAGAS = frozenset(("carry", "verified", "failed"))


def begin(world: World, process: str, kind: str, subject: str) -> Task:
    """Return a new task of a process on a version, or on a rollback."""
    if kind in _SAGAS:
        steps = ("saga-read", *world.rules.order_of_saga_step())
        return Task(kind=kind, steps=steps, saga=subject, fence=_fence(world, process))
    task = Task(kind=kind, steps=_STEPS[kind], version=subject)
    if kind == "reconcile":
        return replace(task, fence=_fence(world, process))
    return replace(task, trip=world.new_trip(subject, "person")) if kind == "flip" else task


def _fence(world: World, process: str) -> int:
    """Return the fence of the lease under which a process watches; taken now where nobody has it."""
    if not world.scenario.leases:
        return 0
    if world.lease is None:
        world.lease = (process, world.starts.get(process, 0))
        world.fence += 1
    return world.fence


def giving_up(task: Task) -> Task | None:
    """Return what is left to do of a deployment that waits no longer."""
    return replace(task, steps=_GIVE_UP) if task.generation else None


def may_go_on(world: World, task: Task) -> bool:
    """Tell whether the next step has what it waits for."""
    reports = [world.reports.get(name) for name in live(world)]
    if task.steps[0] == "armed":
        return world.rules.is_armed(task.version, reports)
    if task.steps[0] == "taken":
        return all(r is not None and r.state.fleet.generation >= task.generation for r in reports)
    return True


def do(world: World, task: Task) -> Task | None:
    """Do the next step of a task; return what is left of it, or None."""
    name, _, argument = task.steps[0].partition(":")
    rest = replace(task, steps=task.steps[1:])
    try:
        if name in _STORE:
            world.reach_store()
        after = _DO[name](world, rest, argument)
    except TransientError as error:
        # Whoever began it is told; what is half done somebody else finds.
        world.note(f"{task.kind} stops: {error.message}")
        return None
    except KnownGoodError as error:
        world.note(f"{task.kind} stops: {error.message}")
        return giving_up(rest)
    return after if after is not None and after.steps else None


def stale(world: World) -> bool:
    """Tell whether what is published is not what the store holds."""
    document, state = world.published or RouteDocument(system=SYSTEM), world.store
    missing = state.facts.trips.keys() - document.facts.trips.keys() or state.facts.released - document.facts.released
    return bool(missing) or document.route != state.row


def behind(world: World) -> list[str]:
    """Return the names of the replicas that have yet to learn something, as far as their reports tell."""
    document = world.published
    if document is None:
        return []
    return [
        name
        for name, replica in world.replicas.items()
        if replica.agent is not None
        and world.rules.behind(world.reports[name].state if name in world.reports else ReplicaState(), document)
    ]


def heard(world: World) -> tuple[Facts, frozenset[LocalTrip]]:
    """Return the facts that reports and the published document hold."""
    facts = world.published.facts if world.published else Facts()
    local: frozenset[LocalTrip] = frozenset()
    for report in world.reports.values():
        facts = facts.merge(report.state.facts)
        local |= report.state.local
    return facts, local


def _compute(world: World, task: Task, _: str) -> Task:
    return replace(task, document=_document(world, prepare=()))


def _document(world: World, prepare: tuple[str, ...]) -> RouteDocument:
    before, state = world.published or RouteDocument(system=SYSTEM), world.store
    numbers = {report.state.fleet.generation for report in world.reports.values()} | {state.row.generation}
    return replace(
        before,
        route=state.row,
        generations={number: state.generations[number] for number in sorted(numbers) if number in state.generations},
        facts=state.facts.merge(before.facts),
        prepare=prepare,
    )


def _write(world: World, task: Task, _: str) -> Task:
    if task.document is not None:
        if world.outage and world.scenario.exchange:
            world.note("it cannot be published now")
        else:
            world.published = task.document
    return task


def _push(world: World, task: Task, _: str) -> Task:
    if task.document is not None:
        for name in world.replicas:
            world.send(name, task.document)
    return task


def _flip(world: World, task: Task, _: str) -> Task:
    assert task.trip is not None
    before = world.published or RouteDocument(system=SYSTEM)
    return replace(task, document=replace(before, facts=before.facts.with_trip(task.trip)))


def _record(world: World, task: Task, _: str) -> Task:
    assert task.trip is not None
    after, episodes = world.rules.trip(world.store, task.trip)
    world.commit("trip", after, episodes, task)
    return task


def _read(world: World, task: Task, _: str) -> Task:
    state = world.store
    fallback = world.scenario.static_fallback
    world.rules.mint(state, task.version, ready=frozenset(state.chain), static_fallback=fallback)
    return replace(task, read=state)


def _prepare(world: World, task: Task, _: str) -> Task:
    return replace(task, document=_document(world, prepare=(task.version,)))


def _wait(_world: World, task: Task, _: str) -> Task:
    return task


def _armed(world: World, task: Task, _: str) -> Task:
    reports = [world.reports.get(name) for name in live(world)]
    if all(report is not None and task.version in report.ready for report in reports):
        world.oracle.armed.add(task.version)
    return task


def _mint(world: World, task: Task, _: str) -> Task | None:
    assert task.read is not None
    if not world.rules.still_as_read(task.read, world.store):
        world.note("the store moved since it was read")
        return None
    reports = [world.reports[name] for name in live(world) if name in world.reports]
    ready = frozenset.intersection(*(report.ready for report in reports)) if reports else frozenset()
    after = world.rules.mint(world.store, task.version, ready=ready, static_fallback=world.scenario.static_fallback)
    world.commit("mint", after, (), task)
    return replace(task, generation=after.row.generation)


def _advance(world: World, task: Task, split: str) -> Task:
    candidate = world.store.chain[0] if world.store.chain else ""
    reports = {name: world.reports[name] for name in live(world) if name in world.reports}
    refusing = {name: report.refusal.reason for name, report in reports.items() if report.refusal}
    unready = {name: f"{short(candidate)} is not ready" for name, r in reports.items() if candidate not in r.ready}
    after = world.rules.advance(world.store, int(split), refusing=refusing, unready=unready)
    world.commit("advance", after, (), task)
    return task


def _give_up(world: World, task: Task, _: str) -> Task | None:
    if world.store.candidate != task.version or world.store.row.generation != task.generation:
        return None
    return _abandon(world, task, "")


def _abandon(world: World, task: Task, _: str) -> Task:
    world.commit("abandon", world.rules.abandon(world.store), (), task)
    return task


def _show(world: World, task: Task, _: str) -> Task | None:
    facts = world.store.facts
    shown = {uid for uid, trip in facts.trips.items() if trip.version == task.version and uid not in facts.released}
    world.oracle.showed(shown)
    return replace(task, shown=frozenset(shown)) if shown else None


def _release(world: World, task: Task, _: str) -> Task:
    world.commit("release", world.rules.release(world.store, task.shown, task.version), (), task)
    return task


def _merge(world: World, task: Task, _: str) -> Task | None:
    if not world.rules.reconciles():
        return None
    facts, local = heard(world)
    reports = {name: report.state for name, report in world.reports.items()}
    after, episodes = world.rules.merge(world.store, facts, local, reports)
    if after != world.store:
        world.commit("merge", after, episodes, task)
    return task


def _widen(world: World, task: Task, _: str) -> Task:
    for version in sorted(world.rules.widened(world.store, frozenset(live(world)))):
        world.oracle.widens(version, world.store, frozenset(live(world)))
        trip = world.new_trip(version, "widening")
        return replace(task, trip=trip, steps=(*_STEPS["flip"], "widen", *task.steps))
    return task


def _refresh(world: World, task: Task, _: str) -> Task:
    if not stale(world):
        return replace(task, document=None)
    prepare = world.published.prepare if world.published else ()
    return replace(task, document=_document(world, prepare=prepare))


def _push_behind(world: World, task: Task, _: str) -> Task:
    for name in behind(world):
        assert world.published is not None
        world.send(name, world.published)
    return task


_DO: Mapping[str, Callable[[World, Task, str], Task | None]] = {
    "compute": _compute,
    "write": _write,
    "push": _push,
    "flip": _flip,
    "record": _record,
    "read": _read,
    "prepare": _prepare,
    "armed": _armed,
    "taken": _wait,
    "mint": _mint,
    "advance": _advance,
    "give-up": _give_up,
    "abandon": _abandon,
    "show": _show,
    "release": _release,
    "merge": _merge,
    "widen": _widen,
    "refresh": _refresh,
    "push-behind": _push_behind,
    "care": care,
    "reissue": mint_again,
    "saga-read": read_saga,
    "saga-do": saga_step,
    "saga-save": save_saga,
}
