"""
Rollback: leave a version, and see the rollback that this starts through to its end.

Whoever runs a saga may die at any moment: the steps on record are done, the next one is an ``ensure`` and is done by
whoever comes next. Two that run the same saga at once do no harm, for the second one's record is refused.
"""

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import uuid4

from knowngood.control.flip import Acknowledged, Flip, flip, record_trip, unheard
from knowngood.control.plane import Plane
from knowngood.control.publish import publish_anchor
from knowngood.control.saga_steps import STEPS, Waiting
from knowngood.domain.deployment import Deployment
from knowngood.domain.fleet import FleetState
from knowngood.domain.saga import Saga, SagaState, StepName, StepOutcome
from knowngood.domain.system import Grant
from knowngood.domain.window import Verdict
from knowngood_sdk.errors import (
    ComponentError,
    ConflictError,
    KnownGoodError,
    NotFoundError,
    OutcomeUnknownError,
    TransientError,
)
from knowngood_sdk.model.canonical import short
from knowngood_sdk.model.route import Trip

__all__ = ["follow", "leave", "led_here", "owes_a_trip", "run_open", "step_forward", "trip_of", "under_way"]

_log = logging.getLogger(__name__)
_POLL = timedelta(milliseconds=100)


def trip_of(plane: Plane, system: str, version: str, *, source: str, why: str) -> Trip:
    """Return a new act of leaving a version."""
    generation = plane.store.read(system).row.generation
    return Trip(uid=uuid4().hex, version=version, generation=generation, source=source, at=plane.now(), why=why)


def leave(
    plane: Plane,
    system: str,
    trip: Trip,
    actor: str,
    decision: Mapping[str, Any] | None = None,
    *,
    tell: Acknowledged = unheard,
) -> tuple[Flip, tuple[Saga, ...]]:
    """
    Flip first, record after: what every rollback comes down to, whoever decided it.

    Args:
        plane: The ports.
        system: Name of the system.
        trip: What is left, and why.
        actor: Who decided.
        decision: The whole decision, where there is one. It waits in the outbox while the flip is made, so that it
            comes on record whoever records the trip.
        tell: Called with each replica as it leaves.

    Raises:
        OutcomeUnknownError: The replicas left it, and that could not be put on record.
    """
    if decision is not None:
        try:
            plane.outbox.put(system, trip.uid, {**decision, "actor": actor})
        except KnownGoodError as error:
            # A full disk must not keep the fleet on a bad version: whoever recorded it here still knows the decision.
            _log.warning("the decision of trip %s could not be kept beside it: %s", trip.uid, error)
    flipped = flip(plane, system, trip, tell=tell)
    try:
        return flipped, record_trip(plane, system, trip, actor, decision)
    except KnownGoodError as error:
        raise OutcomeUnknownError(
            f"{short(trip.version)} was left ({flipped.summary}), and that is not on record yet: {error.message}",
            hint=f"{error.hint}; then kg watch {system}, or the same command again, records it and goes on",
        ) from error


def run_open(plane: Plane, system: str) -> tuple[Saga, ...]:
    """Take every rollback that is not over as far as it goes now; return them as they stand then."""
    running = [saga for saga in plane.store.sagas(system) if saga.state is SagaState.RUNNING]
    return tuple(step_forward(plane, saga) for saga in running)


def step_forward(plane: Plane, saga: Saga) -> Saga:
    """
    Do the steps of a saga until one has to wait or the saga is over.

    Returns:
        The saga as it is on record then.
    """
    while saga.state is SagaState.RUNNING:
        name = saga.next_step()
        assert name is not None  # noqa: S101 - a running saga has a next step
        try:
            result = STEPS[name](plane, saga)
        except (TransientError, ConflictError, OutcomeUnknownError) as error:
            # A step looks before it acts: where something moved, or nobody knows whether it did, it looks again.
            _log.warning("%s of %s is tried again: %s", name, saga.id, error)
            return saga
        except KnownGoodError as error:
            return _stuck(plane, saga, name, error)
        if isinstance(result, Waiting):
            return saga
        after = saga.with_step(result)
        if name is StepName.VERIFY and result.outcome is StepOutcome.FAILED:
            # Before the verdict is on record: whoever dies in between judges again, and nothing is left to serve on.
            _leave_what_failed(plane, saga, result.details)
        body = {"saga": saga.id, "step": name.value, "outcome": result.outcome.value}
        try:
            saga = _save(plane, after, "rollback-step", {**_told(result.details), **body})
        except ConflictError:
            saga = _reread(plane, saga)
    return saga


def follow(plane: Plane, saga: Saga, deadline: timedelta) -> Saga:
    """Take a saga forward, together with whoever else does, until it is over, stuck, or the deadline has passed."""
    last = plane.clock.monotonic() + deadline.total_seconds()
    while True:
        saga = step_forward(plane, _reread(plane, saga))
        if saga.state is not SagaState.RUNNING or plane.clock.monotonic() > last:
            return saga
        plane.clock.pause(_POLL)


def under_way(plane: Plane, system: str) -> Saga | None:
    """
    Return the rollback that led to what is served now and is not over; None when there is none.

    One that waits for a person is tried again, for a person asks.
    """
    saga = led_here(plane, system)
    if saga is not None and saga.state is SagaState.STUCK:
        return _resumed(plane, saga)
    return saga if saga is not None and saga.state is SagaState.RUNNING else None


def led_here(plane: Plane, system: str) -> Saga | None:
    """Return the rollback that led to what is served now, over or not; None where a deployment did."""
    state = plane.store.read(system)
    if state.candidate is not None:
        return None
    numbers = (made.generation for made in plane.store.deployments(system))
    # What was minted since is the same version, minted again.
    since = max((number for number in numbers if number <= state.row.generation), default=state.row.generation)
    deployed = _left_by_deploying(plane, system, since)

    def led(saga: Saga) -> bool:
        if not since <= saga.generation <= state.row.generation or saga.target != state.served:
            return False
        # A trip of what nobody served starts a rollback too, and leads nowhere.
        return saga.version in {*deployed, *_in_front(state, saga.generation)}

    return next((saga for saga in reversed(plane.store.sagas(system)) if led(saga)), None)


def _in_front(state: FleetState, generation: int) -> tuple[str, ...]:
    """Return what the fleet left to get to what it serves, in a generation that has it."""
    chain = state.generations[generation].chain if generation in state.generations else ()
    if generation == state.row.generation:
        return chain[: state.row.step]
    return chain[: chain.index(state.served)] if state.served in chain else ()


def owes_a_trip(deployment: Deployment, state: FleetState) -> bool:
    """Whether a rollback deployed its target, which took all traffic, and was cut off before it left what it had to."""
    if deployment.leaves is None or deployment.full_at is None or deployment.generation != state.row.generation:
        return False
    trips = state.facts.trips.values()
    return not any((t.version, t.generation) == (deployment.leaves, deployment.generation) for t in trips)


def _left_by_deploying(plane: Plane, system: str, generation: int) -> tuple[str, ...]:
    """Return what a rollback leaves whose target was deployed as this generation."""
    made = (d.leaves for d in plane.store.deployments(system) if d.generation == generation)
    return tuple(version for version in made if version is not None)


def _resumed(plane: Plane, saga: Saga) -> Saga:
    """Put on record that a rollback goes on; it goes on also where that cannot be recorded, or somebody else did it."""
    try:
        return _save(plane, saga.resumed(), "rollback-resumed", {"saga": saga.id})
    except (ConflictError, ComponentError) as error:
        _log.warning("that rollback %s goes on is not on record: %s", saga.id, error)
        return _reread(plane, saga)


def _leave_what_failed(plane: Plane, saga: Saga, details: Mapping[str, Any]) -> None:
    """
    Trip the version now served, by name, when it breaks a fixed limit whose owner granted that (rule 21).

    A metric that is only worse than at an earlier time is no ground to leave a version that was known good: season and
    market move too. That is for a person, who sees a rollback whose verification failed.
    """
    triggers = plane.system_file(saga.system).triggers
    granted = {name for name, declared in triggers.items() if declared.grant is Grant.ROLLBACK}
    broken = [
        judgement["trigger"]
        for judgement in details.get("judgements", ())
        if judgement["verdict"] == Verdict.BREACHED and judgement["against"] is None and judgement["trigger"] in granted
    ]
    state = plane.store.read(saga.system)
    if broken and saga.target is not None and state.served == saga.target:
        reason = f"verification after leaving {short(saga.version)} failed: {', '.join(broken)} breached"
        leave(plane, saga.system, trip_of(plane, saga.system, saga.target, source="verification", why=reason), saga.id)


def _save(plane: Plane, saga: Saga, kind: str, body: dict[str, Any]) -> Saga:
    with plane.store.change(saga.system) as change:
        change.save_saga(saga)
        change.append(kind, "saga", plane.now(), body)
    publish_anchor(plane, saga.system)
    return saga


def _stuck(plane: Plane, saga: Saga, name: StepName, error: KnownGoodError) -> Saga:
    try:
        return _save(plane, saga.stuck(f"{name}: {error}"), "rollback-stuck", {"step": name, "why": str(error)})
    except ConflictError:
        return _reread(plane, saga)


def _reread(plane: Plane, saga: Saga) -> Saga:
    found = next((other for other in plane.store.sagas(saga.system) if other.id == saga.id), None)
    if found is None:
        raise NotFoundError(f"there is no rollback {saga.id}", hint=f"List them: kg history {saga.system}")
    return found


def _told(details: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a step's details belongs on record: not the raw counts."""
    return {key: value for key, value in details.items() if key not in {"counts_at_flip", "judgements"}}
