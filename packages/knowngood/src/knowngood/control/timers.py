"""
Timers: what is to be done when a time is over, as deferred runs that outlive every process.

A run is opened as soon as its time is known, again and again by whoever looks: it is one run, by its id. What it does
when it is due starts from what is true then; where there is nothing to do any more, it does nothing.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from knowngood.control.carry import carry
from knowngood.control.plane import Plane
from knowngood.control.rollback import ROLLBACK, find_saga, run_to_open
from knowngood.domain.deployment import Deployment, DeploymentState
from knowngood.domain.evidence import Grade, Standing, standing_of
from knowngood.domain.saga import Saga, StepName, StepOutcome
from knowngood.ports.runner import RunContext, Runner, Work
from knowngood_sdk.errors import KnownGoodError, TransientError

__all__ = ["set_timers", "works_of"]

_COOL_DOWN = "cool-down"
_NOTIFY = "notify-deadline"
_AGAIN = timedelta(seconds=1)


def works_of(plane: Callable[[], Plane]) -> Mapping[str, Work]:
    """
    Return how runs of every kind are carried out.

    Args:
        plane: Gives the ports as this process may use them at that moment.
    """
    return {
        ROLLBACK: lambda run: carry(plane(), run),
        _COOL_DOWN: lambda run: _cooled_down(plane(), run),
        _NOTIFY: lambda run: _overdue(plane(), run),
    }


def set_timers(plane: Plane, runner: Runner, system: str, known: set[str], keep: timedelta) -> None:
    """
    Open the deferred runs of a system.

    A cool-down that was over longer ago than runs are kept is nobody's any more: the grade follows from the record, and
    to open a run for each version that ever cooled down would keep a server that starts busy for hours.

    Args:
        plane: The ports.
        runner: Where they are opened.
        system: Name of the system.
        known: Ids of those that the caller saw opened; added to here, so that nobody asks for them at every look.
        keep: How long runs that are over are kept.
    """
    cool_down, oldest = plane.system_file(system).standby.keep, plane.clock.now() - keep
    verified = {fact.version: fact.at for fact in plane.store.evidence(system) if fact.grade is Grade.VERIFIED}
    for made in plane.store.deployments(system):
        run = f"{_COOL_DOWN}:{system}:{made.generation}"
        if made.state is DeploymentState.VERIFIED and made.version in verified and run not in known:
            due = datetime.fromisoformat(verified[made.version]) + cool_down
            payload = {"system": system, "generation": made.generation}
            if due > oldest:
                runner.defer(run_to_open(runner, run, partial(_owes_known_good, plane, made)), _COOL_DOWN, payload, due)
                # The others are told by their time at every look: of a thousand systems they would be a hundred
                # thousand names to keep.
                known.add(run)
    for saga in plane.store.sagas(system):
        run = f"{_NOTIFY}:{saga.id}"
        within = _duty(saga).get("within_seconds")
        if within is not None and run not in known:
            due = datetime.fromisoformat(saga.started_at) + timedelta(seconds=within)
            undone = partial(_owes_an_answer, plane, saga)
            # However late: that somebody was not told in time is put on record by whoever lives then.
            runner.defer(run_to_open(runner, run, undone), _NOTIFY, {"system": system, "saga": saga.id}, due)
            known.add(run)


def _duty(saga: Saga) -> Mapping[str, Any]:
    """Return whom a rollback must be told to, as its step put it on record; nothing before that step."""
    people = next((step for step in saga.steps if step.name is StepName.PEOPLE), None)
    if people is None or people.outcome is not StepOutcome.DONE:
        return {}
    duty: Mapping[str, Any] = people.details.get("duty", {})
    return duty


def _cooled_down(plane: Plane, run: RunContext) -> None:
    """
    Put on record that a version has become known good, if it has.

    The grade itself needs no timer, for it follows from what is on record and the time; that it was reached is told.
    """
    system, generation = str(run.payload["system"]), int(run.payload["generation"])

    def look() -> str:
        deployment = plane.store.deployment(system, generation)
        standing = _standing(plane, deployment)
        if standing.grade is not Grade.KNOWN_GOOD or standing.quarantined:
            return f"{standing.grade}{', in quarantine' if standing.quarantined else ''}"
        body = {"version": deployment.version, "generation": generation}
        _append_once(plane, system, "known-good", body)
        return str(standing.grade)

    run.until("look", lambda: _unless_away(look), _AGAIN)


def _standing(plane: Plane, deployment: Deployment) -> Standing:
    """Return what is known of a deployed version now."""
    facts = plane.store.read(deployment.system).facts
    keep = plane.system_file(deployment.system).standby.keep
    evidence = plane.store.evidence(deployment.system)
    return standing_of(deployment.version, evidence, facts, now=plane.clock.now(), cool_down=keep)


def _owes_known_good(plane: Plane, deployment: Deployment) -> bool:
    """Whether a version is known good and that is not on record."""
    standing = _standing(plane, deployment)
    body = {"version": deployment.version, "generation": deployment.generation}
    reached = standing.grade is Grade.KNOWN_GOOD and not standing.quarantined
    return reached and not _on_record(plane, deployment.system, "known-good", body)


def _owes_an_answer(plane: Plane, saga: Saga) -> bool:
    """Whether it is on record neither that those who had to be were told of a rollback, nor that they were not."""
    answers = (e for e in plane.store.ledger(saga.system) if e.kind in {"notified", "notify-overdue"})
    return not any(entry.body.get("saga") == saga.id for entry in answers)


def _overdue(plane: Plane, run: RunContext) -> None:
    """Put on record that nobody put on record that those were told who had to be."""
    system, saga = str(run.payload["system"]), str(run.payload["saga"])

    def look() -> str:
        duty = _duty(find_saga(plane, system, saga))
        told = [e for e in plane.store.ledger(system) if e.kind == "notified" and e.body.get("saga") == saga]
        if told:
            return "told in time"
        _append_once(plane, system, "notify-overdue", {"saga": saga, "notify": duty.get("notify", "")})
        return "overdue"

    run.until("look", lambda: _unless_away(look), _AGAIN)


def _append_once(plane: Plane, system: str, kind: str, body: Mapping[str, Any]) -> None:
    """Append to the ledger what does not stand there yet: a step that was cut off is done again."""
    if not _on_record(plane, system, kind, body):
        with plane.store.change(system) as change:
            change.append(kind, "automation", plane.now(), body)


def _on_record(plane: Plane, system: str, kind: str, body: Mapping[str, Any]) -> bool:
    return any(entry.kind == kind and entry.body == body for entry in plane.store.ledger(system))


def _unless_away(look: Callable[[], str]) -> str | None:
    try:
        return look()
    except TransientError:
        return None
    except KnownGoodError as error:
        # The system was renamed, the deployment is not there: a timer that cannot be looked at holds nobody up.
        return f"{error.code}: {error.message}"
