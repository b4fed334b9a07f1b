"""
Rollback: leave a version, and see the rollback that this starts through to its end.

Whoever runs a saga may die at any moment: the steps on record are done, the next one is an ``ensure`` and is done by
whoever comes next. Two that run the same saga at once do no harm, for the second one's record is refused.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import Any
from uuid import uuid4

from knowngood.control.fault_point import FaultPoint, reach
from knowngood.control.flip import Acknowledged, Flip, flip, record_trip, unheard
from knowngood.control.plane import Plane
from knowngood.control.publish import publish_anchor
from knowngood.control.saga_steps import STEPS, Waiting
from knowngood.domain.deployment import Deployment
from knowngood.domain.fleet import FleetState
from knowngood.domain.level import Level
from knowngood.domain.saga import Saga, SagaState, StepName, StepOutcome
from knowngood.domain.system import Grant
from knowngood.domain.window import Verdict
from knowngood.ports.lease import is_lease_lost
from knowngood.ports.runner import Runner, RunState
from knowngood_sdk.errors import (
    ComponentError,
    ConflictError,
    KnownGoodError,
    NotAuthorizedError,
    NotFoundError,
    OutcomeUnknownError,
    PermanentError,
    TransientError,
)
from knowngood_sdk.model.canonical import short
from knowngood_sdk.model.route import Trip
from knowngood_sdk.model.wording import readable, readable_in

__all__ = [
    "ROLLBACK",
    "check_reaches",
    "find_saga",
    "follow",
    "leave",
    "led_here",
    "open_run",
    "opened",
    "owes_a_trip",
    "resume",
    "run_open",
    "run_to_open",
    "step_forward",
    "take_step",
    "trip_of",
    "under_way",
]

_log = logging.getLogger(__name__)
ROLLBACK = "rollback"
"""Kind of the runs that carry rollbacks forward; the id of the first run of a rollback is the saga's."""
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
    # What nothing can keep of a reason, or of a name, must not keep the fleet on a bad version either.
    actor, decision = readable(actor), readable_in(decision)
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
            left=bool(flipped.acknowledged),
        ) from error


def run_open(plane: Plane, system: str) -> tuple[Saga, ...]:
    """
    Take every rollback that is not over as far as it goes now; return them as they stand then.

    Where runs carry rollbacks, it is their work: they are only opened here, and looked at.
    """
    running = [saga for saga in plane.store.sagas(system) if saga.state is SagaState.RUNNING]
    if plane.runner is None:
        return tuple(step_forward(plane, saga) for saga in running)
    for saga in running:
        open_run(plane, plane.runner, saga)
    return tuple(running)


def open_run(plane: Plane, runner: Runner, saga: Saga) -> None:
    """
    See to it that a run carries a rollback forward: exactly one, whoever opens it how often.

    What is true of a rollback is its row. A run that failed while the row says that it goes on is tried again: a person
    resumed it, or what made the run fail was the run's own trouble.
    """

    def goes_on() -> bool:
        # Read after the run was seen to be over: it may have ended since the caller read the row.
        return find_saga(plane, saga.system, saga.id).state is SagaState.RUNNING

    run = run_to_open(runner, saga.id, goes_on)
    runner.start(run, ROLLBACK, {"system": saga.system, "saga": saga.id})
    reach(FaultPoint.SERVER_OPENED)
    if runner.run(run).state is RunState.FAILED:
        try:
            runner.resume(run)
        except ConflictError as error:
            # Another process resumed it since we looked, which is all that was wanted.
            _log.info("run %s goes on already: %s", run, error)


def run_to_open(runner: Runner, run: str, undone: Callable[[], bool]) -> str:
    """
    Return the id under which a work is opened: its own, or one with the next number behind it.

    A run that is over is never carried out again. Where what it did is not on record, an older copy of the store was
    put back beside the runs, and another run has to do it again.

    Args:
        runner: Where it is opened.
        run: Id of the first run of this work.
        undone: Asked once a run is over: whether its work is still to be done.
    """
    name, number = run, 1
    while _is_over(runner, name) and undone():
        number += 1
        name = f"{run}#{number}"
    return name


def _is_over(runner: Runner, run: str) -> bool:
    try:
        return runner.run(run).state is RunState.DONE
    except NotFoundError:
        return False


def step_forward(plane: Plane, saga: Saga) -> Saga:
    """
    Do the steps of a saga until one has to wait or the saga is over.

    Returns:
        The saga as it is on record then.
    """
    while saga.state is SagaState.RUNNING:
        after = take_step(plane, saga)
        if after == saga:
            return saga
        saga = after
    return saga


def take_step(plane: Plane, saga: Saga) -> Saga:
    """
    Do the next step of a running saga.

    Returns:
        The saga as it is on record then: the same when the step has to wait.

    Raises:
        ConflictError: Nothing moved, and yet the record was refused: this process may not write any longer.
    """
    name = saga.next_step()
    assert name is not None  # noqa: S101 - a running saga has a next step
    point = FaultPoint(f"saga.{name}")
    reach(point.before())
    try:
        result = STEPS[name](plane, saga)
    except (TransientError, ConflictError, OutcomeUnknownError) as error:
        if is_lease_lost(error):
            raise
        # A step looks before it acts: where something moved, or nobody knows whether it did, it looks again.
        _log.warning("%s of %s is tried again: %s", name, saga.id, error)
        return saga
    except KnownGoodError as error:
        return _stuck(plane, saga, name, error)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is for a person
        # A run that failed of it would be begun again every second, for ever, and no person would hear of it.
        _log.exception("%s of %s failed in a way that nobody foresaw", name, saga.id)
        what = f"nobody foresaw {type(error).__name__}: {error}"
        return _stuck(plane, saga, name, PermanentError(what, hint="The log says where it came from"))
    if isinstance(result, Waiting):
        return saga
    after = saga.with_step(result)
    if name is StepName.VERIFY and result.outcome is StepOutcome.FAILED:
        # Before the verdict is on record: whoever dies in between judges again, and nothing is left to serve on.
        _leave_what_failed(plane, saga, result.details)
    body = {"saga": saga.id, "step": name.value, "outcome": result.outcome.value}
    try:
        saga = _save(plane, after, "rollback-step", {**_told(result.details), **body})
    except ConflictError as error:
        # Two that carry one rollback do it no harm: one of them is refused, and goes on from what is on record.
        if is_lease_lost(error):
            raise
        _log.info("%s of %s was done, and its record was refused: %s", name, saga.id, error)
        moved = find_saga(plane, saga.system, saga.id)
        if moved == saga:
            raise
        return moved
    reach(point.after())
    return saga


def follow(plane: Plane, saga: Saga, deadline: timedelta) -> Saga:
    """
    See a saga through until it is over, stuck, or the deadline has passed, together with whoever else does.

    Where runs carry rollbacks, this only looks.
    """
    last = plane.clock.monotonic() + deadline.total_seconds()
    _open_if_reached(plane, saga)
    while True:
        saga = find_saga(plane, saga.system, saga.id)
        saga = step_forward(plane, saga) if plane.runner is None else saga
        if saga.state is not SagaState.RUNNING or plane.clock.monotonic() > last:
            return saga
        plane.clock.pause(_POLL)


def find_saga(plane: Plane, system: str, saga: str) -> Saga:
    """Return a rollback as it is on record; raises NotFoundError when there is none."""
    found = next((other for other in plane.store.sagas(system) if other.id == saga), None)
    if found is None:
        raise NotFoundError(f"there is no rollback {saga}", hint=f"List them: kg history {system}")
    return found


def opened(plane: Plane, system: str, leaving: str, *, before: Collection[str]) -> list[Saga]:
    """Return the rollbacks of a version that somebody opened meanwhile: none of those known before."""
    return [saga for saga in plane.store.sagas(system) if saga.version == leaving and saga.id not in before]


def resume(plane: Plane, saga: Saga, actor: str) -> Saga:
    """
    Let a rollback that waits for a person go on, from the step that could not be done.

    Returns:
        The saga as it runs then.

    Raises:
        ConflictError: It does not wait for a person, or somebody else resumed it at this moment.
    """
    if saga.state is not SagaState.STUCK:
        raise ConflictError(f"rollback {saga.id} does not wait for a person: it is {saga.state}")
    body = {"saga": saga.id, "step": saga.next_step() or "", "needed": saga.needs}
    saga = _save(plane, saga.resumed(), "rollback-resumed", body, actor=actor)
    _open_if_reached(plane, saga)
    return saga


def _open_if_reached(plane: Plane, saga: Saga) -> None:
    """Open the run of a rollback; where that cannot be done now, whoever watches the system does it."""
    if plane.runner is None:
        return
    try:
        open_run(plane, plane.runner, saga)
    except TransientError as error:
        _log.warning("the run of %s is opened later: %s", saga.id, error)


def check_reaches(saga: Saga, actor: str, highest: Level) -> None:
    """Raise NotAuthorizedError where a rollback goes deeper than somebody may take one; to resume it is to take it."""
    if saga.level > highest:
        raise NotAuthorizedError(
            f"{actor} may take levels up to {highest}, and rollback {saga.id}, which waits, is level {saga.level}",
            hint="It takes somebody whose scope reaches that far: kg token create",
            level=int(saga.level),
        )


def under_way(plane: Plane, system: str, actor: str, highest: Level = Level.DATA) -> Saga | None:
    """
    Return the rollback that led to what is served now and is not over; None when there is none.

    One that waits for a person is tried again, for a person asks.

    Args:
        plane: The ports.
        system: Name of the system.
        actor: Who asks.
        highest: Highest level that they may take.

    Raises:
        NotAuthorizedError: It waits for a person, and goes deeper than this one may.
    """
    saga = led_here(plane, system)
    if saga is not None and saga.state is SagaState.STUCK:
        check_reaches(saga, actor, highest)
        return _resumed(plane, saga, actor)
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


def _resumed(plane: Plane, saga: Saga, actor: str) -> Saga:
    """Put on record that a rollback goes on; it goes on also where that cannot be recorded, or somebody else did it."""
    try:
        return _save(plane, saga.resumed(), "rollback-resumed", {"saga": saga.id}, actor=actor)
    except (ConflictError, ComponentError) as error:
        _log.warning("that rollback %s goes on is not on record: %s", saga.id, error)
        return find_saga(plane, saga.system, saga.id)


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


def _save(plane: Plane, saga: Saga, kind: str, body: dict[str, Any], *, actor: str = "saga") -> Saga:
    with plane.store.change(saga.system) as change:
        change.save_saga(saga)
        entry = change.append(kind, actor, plane.now(), body)
    publish_anchor(plane, saga.system, entry)
    return saga


def _stuck(plane: Plane, saga: Saga, name: StepName, error: KnownGoodError) -> Saga:
    body = {"saga": saga.id, "step": name.value, "why": str(error)}
    try:
        return _save(plane, saga.stuck(f"{name}: {error}"), "rollback-stuck", body)
    except ConflictError:
        return find_saga(plane, saga.system, saga.id)


def _told(details: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a step's details belongs on record: not the raw counts."""
    return {key: value for key, value in details.items() if key not in {"counts_at_flip", "judgements"}}
