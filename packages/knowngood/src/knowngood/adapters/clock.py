"""The clock of this machine."""

import threading
import time
from datetime import UTC, datetime, timedelta

__all__ = ["SystemClock"]


class SystemClock:
    """Clock by the operating system."""

    def now(self) -> datetime:
        """Return the present instant in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds since some start, never going back."""
        return time.monotonic()

    def pause(self, duration: timedelta) -> None:
        """Return when the duration has passed; a signal handler that raises ends it early."""
        if duration > timedelta():
            threading.Event().wait(duration.total_seconds())
