"""Roll back: leave what serves, at once and everywhere, and follow until what serves instead is verified."""

from datetime import timedelta
from typing import Any

from knowngood.control.lag import check_keeps_up, known_route
from knowngood.control.lookup import version_named
from knowngood.control.plane import Plane
from knowngood.control.reconcile import complete, learn
from knowngood.control.roll_back import STATIC_FALLBACK, Wish, roll_back
from knowngood.control.rollback import follow, under_way
from knowngood.control.saga_steps import verification_of
from knowngood.domain.level import Level
from knowngood.domain.saga import Saga, SagaState, StepName
from knowngood.ports.verbs import Document, RollbackWish, Tell, silent
from knowngood.verbs.incident import INCIDENT
from knowngood_sdk.errors import ComponentError, ConflictError, KnownGoodError
from knowngood_sdk.model.canonical import short

__all__ = ["break_glass_instead", "rollback", "so_far"]

_RESUMED: dict[str, Any] = {
    "resumed": True,
    "plan": None,
    "flip_seconds": None,
    "acknowledged": [],
    "unreachable": {},
    "gone": [],
    "unpublished": "",
    "elsewhere": [],
}


def rollback(
    plane: Plane, system: str, wish: RollbackWish, *, actor: str, highest: int = Level.DATA, tell: Tell = silent
) -> Document:
    """
    Leave what is served now; once it is left, an interruption stops the waiting alone.

    Args:
        plane: The ports.
        system: Name of the system.
        wish: What a person asks for.
        actor: Who.
        highest: Highest level that they may take.
        tell: Called with each line of progress; the sign ``good`` says that the version is left, and comes no sooner.
    """
    asked = Wish(
        actor=actor,
        why=wish.why,
        target=wish.to,
        level=Level(wish.level) if wish.level else None,
        suspected=wish.suspect,
        override=wish.override,
        deadline=timedelta(seconds=wish.timeout_seconds),
        highest=Level(highest),
    )
    try:
        saga, flipped = _leave(plane, system, asked, tell)
    except ComponentError as error:
        # Nothing was left yet: what could not be read is the record, and the replicas do not need it.
        raise break_glass_instead(error, system) from error
    INCIDENT.set(saga.id)
    if wish.wait:
        tell("waiting", "verifying; Ctrl-C leaves the rollback in place")
        saga = follow(plane, saga, timedelta(seconds=wish.timeout_seconds))
    return {**saga.to_json(), **flipped, "so_far": so_far(plane, saga)}


def so_far(plane: Plane, saga: Saga) -> str:
    """Say what the verification of a rollback has to go by until now; empty where it is over, or not there yet."""
    if saga.state is not SagaState.RUNNING or saga.next_step() is not StepName.VERIFY or saga.target is None:
        return ""
    try:
        return verification_of(plane, saga, plane.system_file(saga.system)).reason
    except KnownGoodError:  # it explains an answer, and is not it
        return ""


def break_glass_instead(error: ComponentError, system: str) -> ComponentError:
    """Return an error that also says how to leave at once without the store."""
    hint = f"{error.hint}. To leave at once without the store: kg rollback {system} --break-glass"
    return type(error)(error.message, hint=hint, **error.details)


def _leave(plane: Plane, system: str, wish: Wish, tell: Tell) -> tuple[Saga, dict[str, Any]]:
    """Leave what is served; where a rollback is under way go on with that one, so that nothing is left twice."""
    try:
        learn(plane, system)
    except (ComponentError, ConflictError) as error:
        # A store that cannot be written stops no flip.
        tell("warning", str(error))
    known = known_route(plane, system)
    check_keeps_up(system, plane.store.read(system), known)
    completed = complete(plane, system)
    completed = tuple(saga for saga in completed if wish.target is None or _names(plane, system, wish.target, saga))
    going = completed[0] if completed else _under_way(plane, system, wish)
    if going is not None:
        serves = short(going.target) if going.target else "the static fallback"
        tell("good", f"going on with the rollback that left {short(going.version)}")
        tell("", f"  to leave {serves} too, say where to: kg rollback {system} --to VERSION")
        return going, _RESUMED
    done = roll_back(
        plane,
        system,
        wish,
        tell=lambda line: tell("waiting", line),
        acknowledged=lambda replica, seconds: tell("", f"  {replica} left after {seconds * 1000:.1f} ms"),
    )
    nowhere = done.flip.unreachable and not done.flip.acknowledged
    tell("warning" if nowhere else "good", done.flip.summary)
    return done.saga, {
        "resumed": False,
        "plan": done.plan.to_json() if done.plan else None,
        "flip_seconds": done.flip.seconds,
        "acknowledged": sorted(done.flip.acknowledged),
        "unreachable": dict(done.flip.unreachable),
        "gone": list(done.flip.gone),
        "unpublished": done.flip.unpublished,
        "elsewhere": [],
    }


def _under_way(plane: Plane, system: str, wish: Wish) -> Saga | None:
    """Return the rollback to go on with; who says where to asks for another one."""
    return under_way(plane, system, wish.actor, wish.highest) if wish.target is None else None


def _names(plane: Plane, system: str, target: str, saga: Saga) -> bool:
    """Whether what a person typed as the target is where a rollback led."""
    if target == STATIC_FALLBACK:
        return saga.target is None
    return version_named(plane, system, target).content_digest == saga.target
