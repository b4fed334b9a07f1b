"""
Saga steps: what follows a flip, each step an ``ensure`` that can be repeated.

A step reads what is, does what is missing, and looks again. It ends in a ``Step`` for the record, or it says what it is
still waiting for. None of them moves traffic back: after the flip there is only forward.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from knowngood.control.aftermath import Seen, cancel_held, discard_derived, freeze
from knowngood.control.fault_point import FaultPoint, reach
from knowngood.control.flip import reach_without_agent
from knowngood.control.gate import live_replicas
from knowngood.control.plane import Plane
from knowngood.control.publish import behind, publish, published, spread
from knowngood.control.telemetry import merged_counts
from knowngood.domain.authority import duty_of
from knowngood.domain.deployment import Deployment, DeploymentState
from knowngood.domain.fleet import FleetState
from knowngood.domain.saga import Saga, Step, StepName, StepOutcome
from knowngood.domain.system import SystemFile
from knowngood.domain.trigger import from_spec
from knowngood.domain.verification import Outcome, Verification, verify
from knowngood.domain.window import Against, Control, Window
from knowngood_sdk.errors import ComponentError, NotFoundError
from knowngood_sdk.model.counts import VersionCounts
from knowngood_sdk.model.manifest import Switching

__all__ = ["STEPS", "Waiting", "verification_of"]

_FAN_OUT_DEADLINE = timedelta(seconds=30)
_PREPARE_DEADLINE = timedelta(minutes=5)
_IN_SERVICE = frozenset({DeploymentState.CANARY, DeploymentState.FULL, DeploymentState.VERIFIED})


class Waiting(str):
    """What a step is waiting for, in words."""

    __slots__ = ()


Result = Step | Waiting


def _record(plane: Plane, saga: Saga) -> Result:
    """Fix what verification will start from, and close the deployment that was left."""
    details: dict[str, Any] = {}
    try:
        at_flip = merged_counts(plane, saga.system).get(saga.target or "", VersionCounts())
        details["counts_at_flip"] = at_flip.to_json()
    except ComponentError as error:
        # What could not be measured holds up no rollback; it cannot be verified then, and that is said.
        details["not_measured"] = str(error)
    with plane.store.change(saga.system) as change:
        state = change.state
        left = _was_in_front(plane, saga, state)
        for deployment in plane.store.deployments(saga.system):
            ended = _ended(deployment, saga, state, left=left)
            if ended is not deployment:
                change.save_deployment(ended)
    publish(plane, saga.system, state)
    reach(FaultPoint.SAGA_RECORD)
    return Step(name=StepName.RECORD, at=plane.now(), details=details)


def _ended(deployment: Deployment, saga: Saga, state: FleetState, *, left: bool) -> Deployment:
    """
    Return a deployment as the rollback leaves it.

    That of the version left is rolled back, unless somebody released the version and deployed it again since, or nobody
    served it when it was barred. One that was under way is given up where the fleet stepped back from it; a trip of
    what nobody serves moves no canary.
    """
    if left and deployment.version == saga.version and deployment.state in _IN_SERVICE:
        again = deployment.generation > saga.generation
        return deployment if again else replace(deployment, state=DeploymentState.ROLLED_BACK)
    under_way = deployment.state in {DeploymentState.ARMED, DeploymentState.CANARY}
    if under_way and deployment.generation == state.row.generation and state.row.step > 0:
        return replace(deployment, state=DeploymentState.ABANDONED)
    return deployment


def _was_in_front(plane: Plane, saga: Saga, state: FleetState) -> bool:
    """
    Whether the fleet left the version to get to the target of the rollback.

    A standby, or what was superseded, is barred by a trip too. That moves nobody: what serves is not what a rollback
    led to, so it is no business of this one.

    Args:
        plane: The ports.
        saga: The rollback.
        state: The route, read at any time since its flip: what a generation consists of never changes.
    """
    since = _in_front_since(plane, saga, state)
    if since is None or saga.episode == 1:
        return since is not None
    # Released and barred once more, it may stand in front of what serves still, and the fleet has left it long ago.
    earlier = [
        other.generation
        for other in plane.store.sagas(saga.system)
        if other.version == saga.version and other.episode < saga.episode
    ]
    return since > max(earlier, default=-1)


def _lost_generation(saga: Saga, state: FleetState) -> str:
    """
    Say in which generation a version was left that the record does not know; empty where it knows it.

    An older copy of the store was put back: what stood in front of what is not on record, and the trip alone tells.
    """
    told = (t.generation for t in state.facts.trips.values() if t.version == saga.version)
    lost = max((number for number in told if number > saga.generation and number not in state.generations), default=0)
    return f"generation {lost}, which the record does not know (an older copy was put back?)" if lost else ""


def _in_front_since(plane: Plane, saga: Saga, state: FleetState) -> int | None:
    """Return the last generation, up to that of the flip, in which the version stood in front of the target."""
    generation = state.generations.get(saga.generation)
    chain = generation.chain if generation is not None else ()
    if saga.target is not None:
        chain = chain[: chain.index(saga.target)] if saga.target in chain else ()
    if saga.version in chain:
        return saga.generation
    deployed = (
        made.generation
        for made in plane.store.deployments(saga.system)
        if (made.leaves, made.version) == (saga.version, saga.target) and made.generation <= saga.generation
    )
    return max(deployed, default=None)


def _fan_out(plane: Plane, saga: Saga) -> Result:
    """See to it that every replica with living workers has left the version, whether its agent runs or not."""
    document = published(plane, saga.system)
    if any(behind(replica, document) for replica in live_replicas(plane, saga.system).values()):
        spread(plane, document)
    in_force = (t for uid, t in document.facts.trips.items() if uid not in document.facts.released)
    trip = next((t for t in in_force if t.version == saga.version), None)
    if trip is not None:
        reach_without_agent(plane, saga.system, trip, _staying(plane, saga))
    running = {name for name, replica in plane.traffic.replicas(saga.system).items() if replica.workers_alive}
    staying = _staying(plane, saga)
    details: dict[str, Any] = {"left": sorted(running - set(staying)), "staying": staying}
    reach(FaultPoint.SAGA_FAN_OUT)
    if not staying:
        return Step(name=StepName.FAN_OUT, at=plane.now(), details=details)
    if running & set(staying) and _age(plane, saga.started_at) < _FAN_OUT_DEADLINE:
        return Waiting(f"{', '.join(staying)} to leave")
    details["why"] = f"{', '.join(staying)} may still serve it"
    return Step(name=StepName.FAN_OUT, at=plane.now(), outcome=StepOutcome.FAILED, details=details)


def _dependents(plane: Plane, saga: Saga) -> Result:
    """Switch what does not follow the flip: components behind a pointer or changed in place."""
    if saga.target is None or plane.store.read(saga.system).served != saga.target:
        # Past it, what serves now was switched to by whoever put it there.
        return Step(name=StepName.DEPENDENTS, at=plane.now(), outcome=StepOutcome.SKIPPED)
    manifest = plane.store.manifest(saga.system, saga.target)
    adapters = plane.adapters(saga.system)
    switched = {}
    for name, recorded in manifest.components.items():
        if recorded.switching is Switching.ADDRESSED:
            continue
        adapter = adapters[name]
        seen = adapter.current()
        if seen.ref is not None and seen.ref.digest == recorded.ref.digest:
            continue
        prepared = adapter.prepare(recorded.ref, _PREPARE_DEADLINE)
        receipt = adapter.switch(prepared, expect=seen.token, key=f"{saga.id}:{name}")
        switched[name] = receipt.after.digest
        adapter.effective(_PREPARE_DEADLINE)
    reach(FaultPoint.SAGA_DEPENDENTS)
    outcome = StepOutcome.DONE if switched else StepOutcome.SKIPPED
    return Step(name=StepName.DEPENDENTS, at=plane.now(), outcome=outcome, details={"switched": switched})


def _quarantine(plane: Plane, saga: Saga) -> Result:
    """See that neither store nor replicas would let the version back in, and freeze what it still had to do."""
    state = plane.store.read(saga.system)
    if saga.version not in state.facts.quarantined:
        return Step(
            name=StepName.QUARANTINE,
            at=plane.now(),
            outcome=StepOutcome.SKIPPED,
            details={"why": "it was released by name meanwhile"},
        )
    if saga.version not in published(plane, saga.system).facts.quarantined:
        spread(plane, publish(plane, saga.system, state))
    # Acts are held for minutes, and the metrics may take longer to come back.
    frozen = freeze(plane, saga) if _was_in_front(plane, saga, state) else {}
    reach(FaultPoint.SAGA_QUARANTINE)
    return Step(name=StepName.QUARANTINE, at=plane.now(), details={"frozen": frozen} if frozen else {})


def _verify(plane: Plane, saga: Saga) -> Result:
    """See the metrics of the version that serves now back at their baseline, on the stated sample."""
    if saga.target is None:
        return Step(
            name=StepName.VERIFY,
            at=plane.now(),
            outcome=StepOutcome.SKIPPED,
            details={"reason": "the static fallback answers: there is no version to verify"},
        )
    state = plane.store.read(saga.system)
    lost = _lost_generation(saga, state)
    if lost:
        reason = f"it was left in {lost}: what serves instead cannot be judged by it"
        return Step(name=StepName.VERIFY, at=plane.now(), outcome=StepOutcome.FAILED, details={"reason": reason})
    if not _was_in_front(plane, saga, state):
        return Step(
            name=StepName.VERIFY,
            at=plane.now(),
            outcome=StepOutcome.SKIPPED,
            details={"reason": "nobody served what was barred: nothing moved that could be verified"},
        )
    spec = plane.system_file(saga.system)
    verification = verification_of(plane, saga, spec)
    details = verification.to_json()
    reach(FaultPoint.SAGA_VERIFY)
    if verification.outcome is Outcome.VERIFIED:
        return Step(name=StepName.VERIFY, at=plane.now(), details=details)
    if verification.outcome is Outcome.WAITING and _age(plane, saga.steps[-1].at) < spec.verify.within:
        return Waiting(verification.reason)
    return Step(name=StepName.VERIFY, at=plane.now(), outcome=StepOutcome.FAILED, details=details)


def verification_of(plane: Plane, saga: Saga, spec: SystemFile) -> Verification:
    """Judge the version that a rollback led to on everything since the flip."""
    record = saga.steps[0]
    target = saga.target or ""
    try:
        counts = merged_counts(plane, saga.system)
    except ComponentError as error:
        return Verification(outcome=Outcome.WAITING, requests=0, reason=f"not measured: {error}")
    if "counts_at_flip" not in record.details:
        reason = f"what was served until the flip was not measured: {record.details.get('not_measured')}"
        return Verification(outcome=Outcome.FAILED, requests=0, reason=reason)
    at_flip = VersionCounts.from_json(record.details["counts_at_flip"])
    since = counts.get(target, VersionCounts()).minus(at_flip)
    try:
        before = plane.store.deployment(saga.system, saga.generation).baseline.get(target, VersionCounts())
    except NotFoundError:
        before = at_flip
    started_at = datetime.fromisoformat(record.at)
    length = max((plane.clock.now() - started_at).total_seconds(), 0.001)

    def window(counts: VersionCounts) -> Window:
        return Window(version=target, started_at=started_at, length_seconds=length, counts=counts)

    triggers = [from_spec(declared, spec.sla) for declared in spec.triggers.values()]
    control = Control(window=window(before), against=Against.EARLIER) if before.requests else None
    return verify(window(since), control, triggers, spec.verify)


def _state(plane: Plane, saga: Saga) -> Result:
    """Discard what the version derived while it served; what it accumulated is counted, for a person."""
    return _aftermath(plane, saga, StepName.STATE, discard_derived)


def _effects(plane: Plane, saga: Saga) -> Result:
    """Cancel what the version had still to do; what it did is counted, for a person."""
    return _aftermath(plane, saga, StepName.EFFECTS, cancel_held)


def _aftermath(plane: Plane, saga: Saga, name: StepName, see_to_it: Callable[[Plane, Saga], Seen]) -> Result:
    state = plane.store.read(saga.system)
    if saga.version not in state.facts.quarantined:
        seen: Seen = StepOutcome.SKIPPED, {"reason": "it was released by name meanwhile"}
    elif not _was_in_front(plane, saga, state):
        # Months may have passed since it served, and what came after it may stand on what it wrote.
        lost = _lost_generation(saga, state)
        why = f"it was left in {lost}" if lost else "nobody served what was barred"
        seen = StepOutcome.SKIPPED, {"reason": f"{why}: what it did once is left as it is"}
    else:
        seen = see_to_it(plane, saga)
    reach(FaultPoint(f"saga.{name}"))
    outcome, details = seen
    return Step(name=name, at=plane.now(), outcome=outcome, details=details)


def _people(plane: Plane, saga: Saga) -> Result:
    """Put on record who must hear of it and by when; sending is the work of whoever reads the record."""
    state = plane.store.read(saga.system)
    if not _was_in_front(plane, saga, state) and not _lost_generation(saga, state):
        reason = "nobody served what was barred: nothing moved that anybody must hear of"
        return Step(name=StepName.PEOPLE, at=plane.now(), outcome=StepOutcome.SKIPPED, details={"reason": reason})
    level = int(saga.level)
    reach(FaultPoint.SAGA_PEOPLE)
    return Step(name=StepName.PEOPLE, at=plane.now(), details={"duty": duty_of(level), "level": level})


def _close(plane: Plane, saga: Saga) -> Result:
    """Stop comparing in shadow what was left, and close the record."""
    reach(FaultPoint.SAGA_CLOSE)
    spread(plane, publish(plane, saga.system, plane.store.read(saga.system), withdraw=saga.version))
    return Step(name=StepName.CLOSE, at=plane.now())


STEPS: Mapping[StepName, Callable[[Plane, Saga], Result]] = {
    StepName.RECORD: _record,
    StepName.FAN_OUT: _fan_out,
    StepName.DEPENDENTS: _dependents,
    StepName.QUARANTINE: _quarantine,
    StepName.VERIFY: _verify,
    StepName.STATE: _state,
    StepName.EFFECTS: _effects,
    StepName.PEOPLE: _people,
    StepName.CLOSE: _close,
}
"""How each step is ensured."""


def _staying(plane: Plane, saga: Saga) -> list[str]:
    """Return the replicas that serve the version that is to be left, or of which nobody knows that they do not."""
    replicas = plane.traffic.replicas(saga.system)
    return sorted(name for name, replica in replicas.items() if replica.may_serve(saga.version))


def _age(plane: Plane, at: str) -> timedelta:
    return plane.clock.now() - datetime.fromisoformat(at)
