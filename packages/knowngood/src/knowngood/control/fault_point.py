"""
Fault points: named places where a test or a drill may kill this process.

Crash safety is only as good as the crashes that were tried. ``KNOWNGOOD_FAULT=<point>`` makes the process send itself
SIGKILL when it reaches that point for the first time, exactly as the kernel or a person would: nothing is flushed,
nothing is cleaned up. ``<point>:<signal>`` sends another signal, such as SIGINT for Ctrl-C or SIGSTOP for a process
that hangs. The names are public and stay.
"""

import os
import signal
from enum import StrEnum

from knowngood_sdk.errors import InvalidError

__all__ = ["FaultPoint", "reach"]

_VARIABLE = "KNOWNGOOD_FAULT"


class FaultPoint(StrEnum):
    """Where a process can be told to die."""

    DEPLOY_RECORDED = "deploy.recorded"
    DEPLOY_ARMED = "deploy.armed"
    DEPLOY_MINTED = "deploy.minted"
    DEPLOY_ADVANCED = "deploy.advanced"
    ROLLBACK_DEPLOYED = "rollback.deployed"
    FLIP_DECIDED = "flip.decided"
    FLIP_FIRST_ACKNOWLEDGED = "flip.first-acknowledged"
    FLIP_PUSHED = "flip.pushed"
    FLIP_RECORDED = "flip.recorded"
    SAGA_FAN_OUT = "saga.fan-out"
    SAGA_DEPENDENTS = "saga.dependents"
    SAGA_QUARANTINE = "saga.quarantine"
    SAGA_VERIFY = "saga.verify"
    SAGA_PEOPLE = "saga.people"
    SAGA_CLOSE = "saga.close"


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
    os.kill(os.getpid(), number)
