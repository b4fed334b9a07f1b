"""
Sagas: how a rollback is taken forward, a step at a time, each done before it is on record.

The same as ``knowngood.control.rollback`` does: whoever comes next goes on where the record ends, two that run the same
one are kept apart by it, and a verification that fails leaves the version before its verdict is on record.
"""

from dataclasses import replace

from knowngood.domain.saga import SagaState, StepName, StepOutcome
from knowngood.testing.simulation.world import Task, World, live

__all__ = ["read_saga", "saga_step", "save_saga"]

_TRIP = ("flip", "push", "write", "record")


def read_saga(world: World, task: Task, _: str = "") -> Task | None:
    """Read a rollback, to go on with it."""
    saga = world.sagas[task.saga]
    return replace(task, carried=saga) if saga.state is SagaState.RUNNING else None


def saga_step(world: World, task: Task, _: str = "") -> Task | None:
    """Do the next step; it is not on record by that."""
    assert task.carried is not None
    name = task.carried.next_step()
    if name is None:
        return None
    outcome = StepOutcome.DONE
    if name is StepName.FAN_OUT and _staying(world, task.carried.version):
        outcome = StepOutcome.FAILED
    if name is StepName.VERIFY:
        if task.kind == "carry" and not world.calm:
            # The metrics are not back yet; that they are, or will not be, is a decision of its own.
            return None
        if task.kind == "failed":
            return _failed(world, task)
    world.oracle.effects.add((task.saga, name))
    return replace(task, outcome=outcome)


def save_saga(world: World, task: Task, _: str = "") -> Task | None:
    """Put the step on record, and go on with the next one."""
    after = world.save_step(task, task.outcome)
    if after.state is not SagaState.RUNNING or (after.next_step() is StepName.VERIFY and not world.calm):
        return None
    return replace(task, carried=after, kind="carry", steps=(*world.rules.order_of_saga_step(), *task.steps))


def _failed(world: World, task: Task) -> Task:
    """Leave what failed, if it is still what is served; the verdict comes on record only after that."""
    assert task.carried is not None
    target = task.carried.target
    world.oracle.effects.add((task.saga, StepName.VERIFY))
    if target is None or world.store.served != target:
        return replace(task, outcome=StepOutcome.SKIPPED)
    if not world.rules.leaves_what_failed():
        return replace(task, outcome=StepOutcome.FAILED)
    trip = world.new_trip(target, "verification")
    return replace(task, outcome=StepOutcome.FAILED, trip=trip, version=target, steps=(*_TRIP, *task.steps))


def _staying(world: World, version: str) -> bool:
    reports = (world.reports[name] for name in live(world) if name in world.reports)
    states = [report.state for report in reports]
    return any(s.chain[i] == version for s in states for i in s.positions if i < len(s.chain))
