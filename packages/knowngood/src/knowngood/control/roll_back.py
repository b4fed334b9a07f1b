"""
Roll back: what a person's word becomes.

It is planned, also where the person names the target: the level, the authority that it takes and the evidence are those
of what would really change, and go on record.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from knowngood.control.flip import Acknowledged, Flip, unheard
from knowngood.control.go_back import Act, go_back
from knowngood.control.lookup import version_named
from knowngood.control.plane import Plane
from knowngood.control.rollback import led_here, opened, owes_a_trip
from knowngood.control.situation import situation_of
from knowngood.domain.authority import ON_CALL, Request, authorize
from knowngood.domain.compatibility import Override
from knowngood.domain.level import Level
from knowngood.domain.plan import Plan
from knowngood.domain.planner import plan
from knowngood.domain.saga import Saga, SagaState, StepOutcome
from knowngood_sdk.errors import ConflictError, NotAuthorizedError, NotReadyError
from knowngood_sdk.model.canonical import short
from knowngood_sdk.model.manifest import Manifest
from knowngood_sdk.model.wording import readable

__all__ = ["STATIC_FALLBACK", "Rolled", "Wish", "roll_back"]

STATIC_FALLBACK = "fallback"
"""What a person writes for the static fallback where a version is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """
    What a person asks for.

    Attributes:
        actor: Who.
        why: The reason, in their words.
        target: Version to go back to, or ``fallback`` for the static one; None leaves it to the plan.
        level: Level that they ask for; what it really is follows from the plan.
        suspected: Component that they believe to be at fault.
        override: Why what is not proven may be used all the same; None when it may not.
        deadline: How long replicas may take to load a target that does not stand behind what is left.
        highest: Highest level that they may take, whatever the plan makes of it.
    """

    actor: str
    why: str
    target: str | None = None
    level: Level | None = None
    suspected: str | None = None
    override: str | None = None
    deadline: timedelta = timedelta(seconds=120)
    highest: Level = Level.DATA

    def __post_init__(self) -> None:
        # A reason that nothing can keep must not keep what is to be left in service.
        object.__setattr__(self, "why", readable(self.why))
        if self.override is not None:
            object.__setattr__(self, "override", readable(self.override))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolled:
    """What was done: the plan (None where the static fallback was asked for), the flip, and the rollback it started."""

    plan: Plan | None
    flip: Flip
    saga: Saga


def roll_back(
    plane: Plane,
    system: str,
    wish: Wish,
    tell: Callable[[str], None] = lambda _: None,
    *,
    acknowledged: Acknowledged = unheard,
) -> Rolled:
    """
    Leave what is served now.

    Args:
        plane: The ports.
        system: Name of the system.
        wish: What a person asks for.
        tell: Called with a line of progress for people.
        acknowledged: Called with each replica as it leaves.

    Raises:
        NotReadyError: There is no safe target; the message says what a person could do.
        NotAuthorizedError: The level takes an authority that is missing.
        OutcomeUnknownError: The replicas left it, and the store could not be written.
        ConflictError: What was to be left is left already.
    """
    _check_not_restored(plane, system, wish)
    known = {saga.id for saga in plane.store.sagas(system)}
    if wish.target == STATIC_FALLBACK:
        made, target, leaving = None, None, _leaving_for_static(plane, system)
    else:
        made = _planned(plane, system, wish)
        target, leaving = _target(made), made.live
    _authorize(made, wish, target)
    chosen = made.chosen if made else None
    decision = {
        "outcome": "roll back",
        "level": int(_level(made)),
        "reasons": [wish.why],
        "target": target.content_digest if target else STATIC_FALLBACK,
        "plan": made.to_json() if made else None,
    }
    act = Act(
        actor=wish.actor,
        source="person",
        why=wish.why,
        decision=decision,
        override=chosen.override if chosen else None,
        deadline=wish.deadline,
        acknowledged=acknowledged,
    )
    flipped, sagas = go_back(plane, system, leaving, target, act, tell)
    # A reconciler that heard of the trip from a replica may have put it on record first: the rollback is the same.
    ours = [saga for saga in sagas if saga.version == leaving] or opened(plane, system, leaving, before=known)
    if not ours:
        raise ConflictError(
            f"version {short(leaving)} was left already", hint=f"Look: kg status {system}, kg history {system}"
        )
    return Rolled(plan=made, flip=flipped, saga=ours[0])


def _planned(plane: Plane, system: str, wish: Wish) -> Plan:
    """
    Make the plan, of the version that was named if one was.

    Where nothing is safe and the person takes that upon them, one with what is not proven, too.
    """
    wanted = version_named(plane, system, wish.target).content_digest if wish.target else None

    def planned(overrides: Mapping[str, Override]) -> Plan:
        situation = situation_of(
            plane, system, suspected=wish.suspected, asked=wish.level, wanted=wanted, overrides=overrides
        )
        return plan(situation)

    made = planned({})
    if not (wish.override and made.unsafe):
        return made
    refused = [item.target.content_digest for item in made.alternatives if not item.proven]
    return planned(
        {
            version: Override(by=wish.actor, reason=wish.override, combination=version, at=plane.now())
            for version in (refused if wanted is None else [wanted])
        }
    )


def _check_not_restored(plane: Plane, system: str, wish: Wish) -> None:
    """
    Refuse to leave by accident what a rollback has just led to: the same command again is not another wish.

    One that says where to, or how, is; and so is one after a rollback whose target did not verify.
    """
    if wish.target or wish.level or wish.suspected or wish.override:
        return
    state = plane.store.read(system)
    owing = next((d for d in plane.store.deployments(system) if owes_a_trip(d, state)), None)
    if owing is not None:
        raise ConflictError(
            f"a rollback that leaves {short(owing.leaves or '')} is being completed by another process",
            hint=f"Look: kg status {system}; then, if need be, this command again",
        )
    led = led_here(plane, system)
    failed = led is not None and any(step.outcome is StepOutcome.FAILED for step in led.steps)
    if led is not None and led.state is SagaState.DONE and led.target is not None and not failed:
        raise ConflictError(
            f"version {short(led.target)} is what the rollback of {short(led.version)} led to",
            hint=f"To leave it too, say where to: kg rollback {system} --to VERSION (or fallback); "
            f"what there is: kg history {system}",
        )


def _leaving_for_static(plane: Plane, system: str) -> str:
    """Return what is left, having checked that leaving it leads to the static fallback."""
    leaving = situation_of(plane, system).live.content_digest
    if plane.system_file(system).fallback is None:
        raise NotReadyError(
            f"system {system} declares no static fallback",
            hint="Declare fallback: in the system file, then: kg apply FILE",
        )
    behind = plane.store.read(system).behind(leaving)
    if behind is not None:
        raise ConflictError(
            f"version {short(behind)} stands behind what is served, and would serve before the static fallback",
            hint=f"Go back to it: kg rollback {system} --to {short(behind)}",
        )
    return leaving


def _target(made: Plan) -> Manifest:
    if made.chosen is None:
        raise NotReadyError(f"{made}", hint="A person could:\n" + "\n".join(made.options))
    return made.chosen.target


def _level(made: Plan | None) -> Level:
    """Return how deep a rollback goes; the static fallback takes the place of a whole system."""
    return (made.level if made else None) or Level.SYSTEM


def _authorize(made: Plan | None, wish: Wish, target: Manifest | None) -> None:
    """Ask the policy; whoever may ask for a rollback at all acts as on-call engineer, up to their highest level."""
    level = _level(made)
    if level > wish.highest:
        raise NotAuthorizedError(
            f"{wish.actor} may take levels up to {wish.highest}, and this plan is level {level}",
            hint="It takes somebody whose scope reaches that far; what it would do: kg plan SYSTEM",
            level=int(level),
        )
    consumers = made.consumers if made else ()
    request = Request(
        level=level,
        target=target.content_digest if target else STATIC_FALLBACK,
        actor=wish.actor,
        roles=frozenset({ON_CALL}),
        consumers=consumers,
        named=consumers,
    )
    permission = authorize(request)
    if not permission.allowed:
        raise NotAuthorizedError(permission.reason, hint="It takes " + "; ".join(permission.missing))
