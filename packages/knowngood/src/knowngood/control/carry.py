"""
Carry: how a run takes a rollback to its end, in a control plane of several processes (ADR 0012).

What is true of a rollback is its row. A run may be lost, repeated or behind: it looks at the row first.
"""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from knowngood.control.plane import Plane
from knowngood.control.rollback import find_saga, take_step
from knowngood.domain.saga import Saga, SagaState, StepName, StepOutcome
from knowngood.ports.lease import is_lease_lost
from knowngood.ports.runner import RunContext
from knowngood_sdk.errors import ConflictError, OutcomeUnknownError, PermanentError, TransientError

__all__ = ["carry"]

T = TypeVar("T")

_log = logging.getLogger(__name__)
_AS_ONE = "steps"
"""The one step of a run, which takes all those of the rollback."""
_POLL = timedelta(milliseconds=100)
_STORE_BACK = timedelta(minutes=1)
"""How long a run that begins waits for its store; one that gives up is begun again by whoever looks next."""


def carry(plane: Plane, run: RunContext) -> None:
    """
    Carry a rollback forward, as a run of kind ``rollback``.

    Its steps are on record in the row of the rollback, each with its entry of the ledger, and whoever takes the run
    over goes on from there. So all of them are one step of the run: a checkpoint of each would be a second durable
    write that says the same.

    Raises:
        PermanentError: The rollback waits for a person; its row says what for, and so does this.
        ConflictError: Nothing moved, and yet its record was refused.
    """
    system, saga = str(run.payload["system"]), str(run.payload["saga"])
    # No steps of the run, for those would stand in front of the steps that a run of an older program has on record.
    if set(StepName).isdisjoint(_once_there(plane, lambda: run.over)):
        run.until(_AS_ONE, lambda: _done(plane, system, saga, run), _POLL)
        return
    # One that an older program carried has a checkpoint for each step.
    for name in _once_there(plane, lambda: find_saga(plane, system, saga).planned):
        run.until(name, lambda name=name: _ended_with(plane, system, saga, name), _POLL)  # type: ignore[misc]


def _done(plane: Plane, system: str, saga_id: str, run: RunContext) -> str | None:
    """Do what is not on record yet, step after step; return how it ended, or None while a step waits."""
    try:
        saga = find_saga(plane, system, saga_id)
        while saga.state is SagaState.RUNNING:
            run.check()
            after = take_step(plane, saga)
            if after == saga:
                return None
            saga = after
    except (TransientError, OutcomeUnknownError) as error:
        _log.warning("%s is tried again: %s", saga_id, error)
        return None
    except ConflictError as error:
        if not is_lease_lost(error):
            raise
        # This process may not write any longer, and whoever may goes on: no effect of a step may come from here.
        _log.warning("%s is left to others: %s", saga_id, error)
        run.leave()
    _raise_if_stuck(saga)
    return saga.state.value


def _raise_if_stuck(saga: Saga) -> None:
    if saga.state is SagaState.STUCK:
        raise PermanentError(saga.needs, hint=f"When that is done: kg resume {saga.system}")


def _once_there(plane: Plane, ask: Callable[[], T]) -> T:
    """Return what a store says that may be away for a moment."""
    last = plane.clock.monotonic() + _STORE_BACK.total_seconds()
    while True:
        try:
            return ask()
        except TransientError:
            if plane.clock.monotonic() > last:
                raise
            plane.clock.pause(_POLL)


def _ended_with(plane: Plane, system: str, saga_id: str, name: StepName) -> str | None:
    """Do a step, if it is not on record yet; return how it ended, or None while it waits."""
    try:
        saga = find_saga(plane, system, saga_id)
        if name not in saga.planned:
            # An older program took its first step meanwhile, so it consists of what that program knows.
            return StepOutcome.SKIPPED
        if name not in _over(saga) and saga.state is SagaState.RUNNING:
            saga = take_step(plane, saga)
    except (TransientError, OutcomeUnknownError) as error:
        _log.warning("%s of %s is tried again: %s", name, saga_id, error)
        return None
    if name not in _over(saga):
        _raise_if_stuck(saga)
    return _over(saga).get(name)


def _over(saga: Saga) -> dict[StepName, str]:
    return {step.name: step.outcome.value for step in saga.steps}
