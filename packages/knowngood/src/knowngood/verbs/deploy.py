"""Deploy, and what ends a deployment: giving it up, or giving its candidate all traffic."""

from datetime import timedelta

from knowngood.control import deploy as control
from knowngood.control.plane import Plane
from knowngood.control.reconcile import reconcile
from knowngood.control.release import capture, recorded_again
from knowngood.domain.compatibility import Override
from knowngood.domain.deployment import Deployment
from knowngood.ports.verbs import DeployWish, Document, Tell, silent
from knowngood_sdk.errors import ConflictError
from knowngood_sdk.model.canonical import short
from knowngood_sdk.model.manifest import Intent

__all__ = ["abandon", "deploy", "deployment_document", "promote"]


def deploy(plane: Plane, system: str, wish: DeployWish, *, actor: str, tell: Tell = silent) -> Document:
    """Put what the working places hold now into service, or a version on record, with the way back armed first."""
    intent = Intent(text=wish.intent, expects=wish.expects)
    # What replicas know and a killed command did not put on record comes first: no deployment undoes it unseen.
    repaired = reconcile(plane, system)
    for saga in repaired.started:
        tell("warning", f"replicas had left {short(saga.version)}; that is on record now")
    if repaired.abandoned is not None:
        _tell_given_up(repaired.abandoned, tell)
    if wish.version is not None:
        manifest = recorded_again(plane, system, wish.version, intent)
    else:
        manifest = capture(plane, system, intent)
    leave = None
    if wish.override:
        leave = Override(by=actor, reason=wish.override, combination=manifest.content_digest, at=plane.now())
    order = control.Order(
        manifest=manifest,
        actor=actor,
        split=wish.split,
        override=leave,
        deadline=timedelta(seconds=wish.timeout_seconds),
    )
    deployed = control.deploy(plane, order, tell=lambda line: tell("waiting", line))
    armed = deployed.armed
    return {
        **deployment_document(deployed.deployment),
        "replicas": list(armed.replicas),
        "load_seconds": armed.load_seconds,
        "way_back_seconds": armed.flip_seconds,
    }


def abandon(plane: Plane, system: str, *, actor: str, tell: Tell = silent) -> Document:
    """Give up the deployment under way; one that had ended half done is given up just the same."""
    given_up = _repaired(plane, system, tell)
    if given_up is not None:
        return deployment_document(plane.store.deployments(system)[-1])
    _check_under_way(plane, system)
    return deployment_document(control.abandon(plane, system, actor))


def promote(plane: Plane, system: str, *, actor: str, tell: Tell = silent) -> Document:
    """Give the candidate under way all traffic, or let a deployment go on that is held for a person."""
    _repaired(plane, system, tell)
    return deployment_document(control.promote(plane, system, actor))


def deployment_document(deployment: Deployment) -> Document:
    """Return a deployment without the counts that it began with: they are for the watch, not for a reader."""
    return {key: value for key, value in deployment.to_json().items() if key != "baseline"}


def _repaired(plane: Plane, system: str, tell: Tell) -> str | None:
    given_up = reconcile(plane, system).abandoned
    if given_up is not None:
        _tell_given_up(given_up, tell)
    return given_up


def _tell_given_up(version: str, tell: Tell) -> None:
    tell("warning", f"the deployment of {short(version)} had ended half done; it is given up now")


def _check_under_way(plane: Plane, system: str) -> None:
    if plane.store.read(system).candidate is None:
        raise ConflictError(
            f"no deployment of {system} is under way",
            hint=f"To start one: kg deploy {system}; to leave what is served: kg rollback {system}",
        )
