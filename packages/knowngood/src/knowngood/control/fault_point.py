"""
Fault points: named places where a test or a drill may kill this process.

Crash safety is only as good as the crashes that were tried. ``KNOWNGOOD_FAULT=<point>`` makes the process send itself
SIGKILL when it reaches that point for the first time, exactly as the kernel or a person would: nothing is flushed,
nothing is cleaned up. ``<point>:<signal>`` sends another signal, such as SIGINT for Ctrl-C or SIGSTOP for a process
that hangs. The names are public and stay.
"""

import os
import signal
import threading
from enum import StrEnum

from knowngood_sdk.errors import InvalidError

__all__ = ["FaultPoint", "reach"]

_VARIABLE = "KNOWNGOOD_FAULT"


class FaultPoint(StrEnum):
    """Where a process can be told to die: before, in and after every step of deploy, flip, saga and server."""

    DEPLOY_BEGUN = "deploy.begun"
    DEPLOY_RECORDING = "deploy.recording"
    DEPLOY_RECORDED = "deploy.recorded"
    DEPLOY_CHECKED = "deploy.checked"
    DEPLOY_ARMING = "deploy.arming"
    DEPLOY_ARMED = "deploy.armed"
    DEPLOY_MINTING = "deploy.minting"
    DEPLOY_MINTED = "deploy.minted"
    DEPLOY_OFFERED = "deploy.offered"
    DEPLOY_TAKEN = "deploy.taken"
    DEPLOY_ADVANCING = "deploy.advancing"
    DEPLOY_ADVANCED = "deploy.advanced"
    ROLLBACK_DEPLOYED = "rollback.deployed"
    FLIP_DECIDED = "flip.decided"
    FLIP_FIRST_ACKNOWLEDGED = "flip.first-acknowledged"
    FLIP_PUSHED = "flip.pushed"
    FLIP_RECORDING = "flip.recording"
    FLIP_RECORDED = "flip.recorded"
    SAGA_RECORD_BEFORE = "saga.record.before"
    SAGA_RECORD = "saga.record"
    SAGA_RECORD_AFTER = "saga.record.after"
    SAGA_FAN_OUT_BEFORE = "saga.fan-out.before"
    SAGA_FAN_OUT = "saga.fan-out"
    SAGA_FAN_OUT_AFTER = "saga.fan-out.after"
    SAGA_DEPENDENTS_BEFORE = "saga.dependents.before"
    SAGA_DEPENDENTS = "saga.dependents"
    SAGA_DEPENDENTS_AFTER = "saga.dependents.after"
    SAGA_QUARANTINE_BEFORE = "saga.quarantine.before"
    SAGA_QUARANTINE = "saga.quarantine"
    SAGA_QUARANTINE_AFTER = "saga.quarantine.after"
    SAGA_VERIFY_BEFORE = "saga.verify.before"
    SAGA_VERIFY = "saga.verify"
    SAGA_VERIFY_AFTER = "saga.verify.after"
    SAGA_STATE_BEFORE = "saga.state.before"
    SAGA_STATE = "saga.state"
    SAGA_STATE_AFTER = "saga.state.after"
    SAGA_EFFECTS_BEFORE = "saga.effects.before"
    SAGA_EFFECTS = "saga.effects"
    SAGA_EFFECTS_AFTER = "saga.effects.after"
    SAGA_PEOPLE_BEFORE = "saga.people.before"
    SAGA_PEOPLE = "saga.people"
    SAGA_PEOPLE_AFTER = "saga.people.after"
    SAGA_CLOSE_BEFORE = "saga.close.before"
    SAGA_CLOSE = "saga.close"
    SAGA_CLOSE_AFTER = "saga.close.after"
    SERVER_ENTERED = "server.entered"
    SERVER_CLAIMED = "server.claimed"
    SERVER_LAUNCHED = "server.launched"
    SERVER_REAPING = "server.reaping"
    SERVER_REAPED = "server.reaped"
    SERVER_OPENED = "server.opened"

    def before(self) -> "FaultPoint":
        """Return the point before a step of a saga."""
        return FaultPoint(f"{self}.before")

    def after(self) -> "FaultPoint":
        """Return the point after a step of a saga: it is on record, and nobody knows yet."""
        return FaultPoint(f"{self}.after")


def reach(point: FaultPoint) -> None:
    """
    Die here if the environment asks for it; do nothing otherwise.

    Raises:
        InvalidError: The environment names no signal that there is.
    """
    wanted, _, name = os.environ.get(_VARIABLE, "").partition(":")
    if wanted != point:
        return
    del os.environ[_VARIABLE]
    try:
        number = signal.Signals[name or "SIGKILL"]
    except KeyError as error:
        raise InvalidError(f"{_VARIABLE} asks for signal {name!r}", hint="Write SIGKILL, SIGINT or SIGSTOP") from error
    # To this thread, so that it is here that the signal is met; any other one would let this one run on for a while.
    signal.pthread_kill(threading.get_ident(), number)
