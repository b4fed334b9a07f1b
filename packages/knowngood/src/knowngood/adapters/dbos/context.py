"""Context: what a work is given, on DBOS's checkpoints."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from threading import Event
from typing import Any, NoReturn, TypeVar

from dbos import DBOS

from knowngood.ports.clock import Clock
from knowngood_sdk.errors import KnownGoodError, PermanentError

__all__ = ["ABORT", "DbosContext", "Stopping"]

ABORT = "knowngood-abort"
"""Topic of the message that asks a run to end."""

T = TypeVar("T")


class Stopping(BaseException):
    """
    The run is left as it is, for whoever comes next: the process stops, or it carries the run out once more.

    No ``Exception``, for that would be kept as the end of the step and of the run.
    """


class DbosContext:
    """
    The port's ``RunContext`` inside a DBOS workflow.

    Args:
        id: The run.
        payload: What it was started with.
        stop: Set when this process is to stop.
        clock: The time.
        over: Asks which of its steps are over.
        newest: Whether this process has not begun to carry it out once more.
    """

    def __init__(
        self,
        id: str,  # noqa: A002 - as in the port
        payload: Mapping[str, Any],
        stop: Event,
        clock: Clock,
        *,
        over: Callable[[], Sequence[str]],
        newest: Callable[[], bool],
    ) -> None:
        self.id = id
        self.payload = payload
        self._stop = stop
        self._clock = clock
        self._ask_over = over
        self._newest = newest
        self._aborted = ""

    def step(self, name: str, act: Callable[[], T]) -> T:
        """See the port."""
        raised: list[Exception] = []

        def noted() -> T:
            try:
                return act()
            except Exception as error:
                raised.append(error)
                raise

        self.check()
        try:
            return DBOS.run_step({"name": name}, noted)
        except KnownGoodError:
            raise
        except Exception as error:
            if raised and raised[-1] is error:
                raise
            # From the checkpoint: of what was raised then, the words are left.
            raise PermanentError(_words(error)) from error

    def until(self, name: str, look: Callable[[], T | None], every: timedelta) -> T:
        """See the port."""

        def wait() -> T:
            while (seen := look()) is None:
                self._stop.wait(every.total_seconds())
                self.check()
            return seen

        return self.step(name, wait)

    def pause(self, duration: timedelta) -> None:
        """See the port."""
        due = datetime.fromisoformat(self.step("pause", (self._clock.now() + duration).isoformat))
        while (left := (due - self._clock.now()).total_seconds()) > 0:
            self._stop.wait(left)
            self.check()

    def receive(self, topic: str, timeout: timedelta) -> Any:
        """See the port. It holds a thread for as long as it waits, so no work waits for people here."""
        self.check()
        return DBOS.recv(topic, timeout.total_seconds())

    def aborted(self) -> str:
        """See the port."""
        if not self._aborted:
            self.check()
            self._aborted = str(DBOS.recv(ABORT, 0) or "")
        return self._aborted

    @property
    def over(self) -> Sequence[str]:
        """See the port."""
        return self._ask_over()

    def check(self) -> None:
        """See the port."""
        if self._stop.is_set() or not self._newest():
            raise Stopping

    def leave(self) -> NoReturn:
        """See the port."""
        raise Stopping


def _words(error: Exception) -> str:
    """Return the message of an error that went through the portable form, which keeps its arguments alone."""
    return str(getattr(error, "message", "") or error)
