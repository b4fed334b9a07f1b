"""Heart: the one timer of an open stream. It beats where nothing was sent for long, and gives up who does not read."""

import asyncio

__all__ = ["Heart"]


class Heart:
    """
    Times one stream, in the event loop and the task that feed it.

    One timer that looks now and then, and none for each event: a thousand streams are sent the same at once, and to set
    and to take back two thousand timers would hold up what is sent.

    Args:
        rung: Set when the stream has been silent for long.
        heartbeat: After so many seconds without an event.
        deaf: Seconds in which who is sent something takes it.

    Attributes:
        gave_up: Whether the task was cancelled because what it sends was not taken.
    """

    def __init__(self, rung: asyncio.Event, heartbeat: float, deaf: float) -> None:
        self.gave_up = False
        self._rung = rung
        self._heartbeat = heartbeat
        self._deaf = deaf
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._since = self._loop.time()
        self._sending = False
        self._timer = self._loop.call_later(min(heartbeat, deaf), self._look)

    def sending(self) -> None:
        """Note that something is being sent."""
        self._since, self._sending = self._loop.time(), True

    def sent(self) -> None:
        """Note that it was taken."""
        self._since, self._sending = self._loop.time(), False

    def stop(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        due = self._since + (self._deaf if self._sending else self._heartbeat)
        if now < due:
            # Not later than this: what is sent from now on may not be taken.
            self._timer = self._loop.call_at(min(due, now + self._deaf), self._look)
        elif self._sending and self._task is not None:
            self.gave_up = True
            self._task.cancel()
        else:
            self._rung.set()
            self._timer = self._loop.call_at(now + min(self._heartbeat, self._deaf), self._look)
