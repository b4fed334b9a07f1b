"""
Aftermath: what a version leaves behind in the world once nobody serves it any longer (A3, A4).

Both parts can be repeated: what is discarded or cancelled already is found to be so. What cannot be had again, and what
was carried out, is counted and left to a person.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from knowngood.control.plane import Plane
from knowngood.domain.effect import Effect, EffectState
from knowngood.domain.saga import Saga, StepOutcome
from knowngood.domain.state import StateClass
from knowngood.ports.effects import Effects
from knowngood.ports.written_state import WrittenState
from knowngood_sdk.errors import ConflictError, KnownGoodError, NotFoundError, PermanentError

__all__ = ["Seen", "cancel_held", "discard_derived", "freeze"]

_DEADLINE = timedelta(minutes=5)
_PAGE = 500

Seen = tuple[StepOutcome, dict[str, Any]]
"""How it ended, and what goes on record of it."""


def freeze(plane: Plane, saga: Saga) -> dict[str, Any]:
    """
    Cancel what is held as soon as the version is barred, as far as that can be done at once.

    What cannot is tried again by the step that sees to it for good; nothing may wait here for somebody else's record.

    Returns:
        By the name of the record how much was cancelled, or why nothing could be; empty where none is declared.
    """
    try:
        declared = plane.effects(plane.system_file(saga.system))
    except KnownGoodError as error:
        return {"effects": str(error)}
    seen: dict[str, Any] = {}
    for name, effects in declared.items():
        try:
            seen[name], _ = _cancelled(effects, saga)
        except KnownGoodError as error:
            seen[name] = str(error)
    return seen


def discard_derived(plane: Plane, saga: Saga) -> Seen:
    """
    Discard what the version that was left has derived, and count what it accumulated.

    Raises:
        TransientError: One place cannot be reached now.
        NotFoundError: An adapter is not installed any longer.
    """
    declared = plane.states(plane.system_file(saga.system))
    return _seen({name: _state(state, saga) for name, state in declared.items()}, "state")


def cancel_held(plane: Plane, saga: Saga) -> Seen:
    """
    Cancel what the version that was left had still to do, and count what it did.

    Raises:
        TransientError: One record cannot be reached now.
        NotFoundError: An adapter is not installed any longer.
    """
    declared = plane.effects(plane.system_file(saga.system))
    return _seen({name: _effects(effects, saga) for name, effects in declared.items()}, "effects")


def _state(state: WrittenState, saga: Saga) -> dict[str, Any]:
    try:
        if state.state_class is StateClass.ACCUMULATED:
            written = state.written(saga.version)
            return {"class": state.state_class.value, **written.to_json(), "for_a_person": written.items > 0}
        repaired = state.repair(saga.version, generation=saga.generation, deadline=_DEADLINE)
    except ConflictError as error:
        return {"overtaken": str(error)}
    except PermanentError as error:
        return {"why": str(error)}
    return {"class": state.state_class.value, **repaired.to_json()}


def _effects(effects: Effects, saga: Saga) -> dict[str, Any]:
    try:
        cancelled, failed = _cancelled(effects, saga)
        damage = effects.damage(saga.version)
    except ConflictError as error:
        return {"overtaken": str(error)}
    except PermanentError as error:
        return {"why": str(error)}
    seen = {"cancelled": cancelled, **damage.to_json(), "for_a_person": damage.in_state(EffectState.EXECUTED) > 0}
    return {**seen, "why": f"{len(failed)} could not be cancelled, the first: {failed[0]}"} if failed else seen


def _cancelled(effects: Effects, saga: Saga) -> tuple[int, list[str]]:
    """Cancel what is held; return how much that was, and of what could not be cancelled its id with the reason."""
    cancelled, failed = 0, []
    for effect in _held(effects, saga.version):
        try:
            after = effects.cancel(effect.id, generation=saga.generation)
        except (NotFoundError, PermanentError) as error:
            failed.append(f"{effect.id}: {error}")
        else:
            cancelled += after.state is EffectState.CANCELLED
    return cancelled, failed


def _held(effects: Effects, version: str) -> Iterator[Effect]:
    """Go through what is held, page by page: what cannot be cancelled is passed, and not met again."""
    after = ""
    while page := effects.caused_by(version, state=EffectState.HELD, after=after, limit=_PAGE):
        yield from page
        after = page[-1].id


def _seen(by_name: Mapping[str, Mapping[str, Any]], what: str) -> Seen:
    if not by_name:
        return StepOutcome.SKIPPED, {"reason": f"the system declares no {what}"}
    failed = {name: seen["why"] for name, seen in by_name.items() if seen.get("why")}
    details: dict[str, Any] = {what: {name: dict(seen) for name, seen in by_name.items()}}
    if not failed:
        return StepOutcome.DONE, details
    why = "; ".join(f"{name}: {reason}" for name, reason in sorted(failed.items()))
    return StepOutcome.FAILED, {**details, "why": why}
