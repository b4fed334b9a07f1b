"""
Go back: from what serves to the target of a plan, whoever decided it, a person or a trigger.

Where the target stands armed behind what is left, the flip is all it takes. Where something else stands there, that
would serve instead: the target is deployed first, as everything that comes into service is, and what is left is tripped
then.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from knowngood.control.deploy import Order, abandon_orphan, put_into_service
from knowngood.control.fault_point import FaultPoint, reach
from knowngood.control.flip import Acknowledged, Flip, unheard
from knowngood.control.plane import Plane
from knowngood.control.rollback import leave, trip_of
from knowngood.domain.compatibility import Override
from knowngood.domain.saga import Saga
from knowngood_sdk.errors import ConflictError
from knowngood_sdk.model.canonical import short
from knowngood_sdk.model.manifest import Manifest

__all__ = ["Act", "go_back"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """
    An act of leaving, as it goes on record.

    Attributes:
        actor: Who does it.
        source: What decided it: ``person`` or ``trigger``.
        why: The reason, in a sentence.
        decision: The whole decision, JSON.
        override: Leave to use a target that is not proven; None when there is none.
        deadline: How long replicas may take to load a target that does not stand behind what is left.
        acknowledged: Called with each replica as it leaves.
    """

    actor: str
    source: str
    why: str
    decision: Mapping[str, Any]
    override: Override | None = None
    deadline: timedelta = timedelta(seconds=120)
    acknowledged: Acknowledged = unheard


def go_back(
    plane: Plane,
    system: str,
    leaving: str,
    target: Manifest | None,
    act: Act,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[Flip, tuple[Saga, ...]]:
    """
    Leave a version for a target.

    Args:
        plane: The ports.
        system: Name of the system.
        leaving: The version under watch, which is left.
        target: What is to serve instead; None is whatever stands behind, the static fallback in the end.
        act: Who, why, and the decision.
        tell: Called with a line of progress for people.

    Raises:
        ConflictError: The system moved since the decision, or another deployment is under way.
        NotReadyError: The target cannot be brought into service; what is to be left serves on.
        OutcomeUnknownError: The replicas left it, and the store could not be written.
    """

    def left() -> tuple[Flip, tuple[Saga, ...]]:
        trip = trip_of(plane, system, leaving, source=act.source, why=act.why)
        return leave(plane, system, trip, act.actor, act.decision, tell=act.acknowledged)

    if target is None or plane.store.read(system).behind(leaving) == target.content_digest:
        return left()
    tell(f"{target.label} does not stand behind {short(leaving)}: it is deployed first")
    abandon_orphan(plane, system, act.actor)
    with plane.deploying(system):
        _deploy(plane, leaving, target, act, tell)
        reach(FaultPoint.ROLLBACK_DEPLOYED)
        return left()


def _deploy(plane: Plane, leaving: str, target: Manifest, act: Act, tell: Callable[[str], None]) -> None:
    """Put the target into service in front of what is left next; the caller keeps other deployments out."""
    system = target.system
    if plane.store.read(system).watched != leaving:
        raise ConflictError(
            f"system {system} moved while this was planned: {short(leaving)} is not what serves any more",
            hint=f"Look: kg status {system}; then, if need be, this command again",
        )
    order = Order(manifest=target, actor=act.actor, override=act.override, deadline=act.deadline, leaves=leaving)
    try:
        put_into_service(plane, order, tell)
    except BaseException:
        if plane.store.read(system).served == leaving:
            tell(f"{target.label} did not come into service: {short(leaving)} serves on")
        raise
