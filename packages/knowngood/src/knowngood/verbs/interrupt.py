"""
Interrupt: stop a verb that runs in a thread, at a point where it can clear up.

Control waits on its clock alone. Interrupted, it raises there, as Ctrl-C does in a command: a deployment under way is
given up, and a rollback whose version was left goes on by itself.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from threading import Event

from knowngood.control.plane import Plane
from knowngood.ports.clock import Clock

__all__ = ["Interrupted", "interruptible"]


class Interrupted(KeyboardInterrupt):
    """Whoever asked for the verb does not want it any more, or the server stops."""


class _Clock:
    """A clock whose pauses end when somebody interrupts."""

    def __init__(self, clock: Clock, interrupted: Event) -> None:
        self._clock = clock
        self._interrupted = interrupted

    def now(self) -> datetime:
        return self._clock.now()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def pause(self, duration: timedelta) -> None:
        if self._interrupted.wait(max(0.0, duration.total_seconds())):
            # Once: what clears up may have to wait too, and nothing may break that off.
            self._interrupted.clear()
            raise Interrupted


def interruptible(plane: Plane, interrupted: Event) -> Plane:
    """Return a plane on which a verb ends, at its next pause, once the event is set; for the system's clock alone."""
    return replace(plane, clock=_Clock(plane.clock, interrupted))
