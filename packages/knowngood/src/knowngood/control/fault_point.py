"""
Fault points: named places where a test or a drill may kill this process.

Crash safety is only as good as the crashes that were tried. ``KNOWNGOOD_FAULT=<point>`` makes the process send itself
SIGKILL when it reaches that point for the first time, exactly as the kernel or a person would: nothing is flushed,
nothing is cleaned up. The names are public and stay.
"""

import os
import signal
from enum import StrEnum

__all__ = ["FaultPoint", "reach"]

_VARIABLE = "KNOWNGOOD_FAULT"


class FaultPoint(StrEnum):
    """Where a process can be told to die."""

    DEPLOY_RECORDED = "deploy.recorded"
    DEPLOY_ARMED = "deploy.armed"
    DEPLOY_MINTED = "deploy.minted"
    DEPLOY_ADVANCED = "deploy.advanced"
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
    """Die here by SIGKILL if the environment asks for it; do nothing otherwise."""
    if os.environ.get(_VARIABLE) == point:
        os.kill(os.getpid(), signal.SIGKILL)
