"""Clock: the port to time, so that everything that waits or dates can run on a virtual one."""

from datetime import datetime, timedelta
from typing import Protocol

__all__ = ["Clock"]


class Clock(Protocol):
    """
    Time, in its three uses: dating, measuring, waiting.

    None of the methods raises. Reading changes nothing; only ``pause`` lets time pass on a virtual clock.
    """

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC. For dating only: it may jump."""
        ...

    def monotonic(self) -> float:
        """Return seconds since an arbitrary start. For durations: it never goes back."""
        ...

    def pause(self, duration: timedelta) -> None:
        """Return when the duration has passed; at once for zero or less."""
        ...
