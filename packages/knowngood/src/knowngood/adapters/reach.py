"""
Reach: whether something outside can be reached, found out by one caller for all.

The first call that finds it gone pays for that with its patience. From then on nobody waits: who asks is refused at
once, and a thread of its own looks again and again until it is back.
"""

import logging
from collections.abc import Callable
from datetime import timedelta
from threading import Event, Lock, Thread

from knowngood_sdk.errors import KnownGoodError, TransientError

__all__ = ["Reach"]

_log = logging.getLogger(__name__)
_LOOK_AGAIN = timedelta(seconds=0.5)


class Reach:
    """
    Remembers that something is gone until it is back.

    Args:
        what: What it is, for people: "the store".
        probe: Asks it something cheap, within two seconds; raises TransientError while it is gone.
        every: Between two probes.
    """

    def __init__(self, what: str, probe: Callable[[], object], *, every: timedelta = _LOOK_AGAIN) -> None:
        self._what = what
        self._probe = probe
        self._every = every
        self._gone: TransientError | None = None
        self._lock = Lock()
        self._closed = Event()
        self._looking = False

    @property
    def gone(self) -> bool:
        """Whether it is gone, as far as anybody knows."""
        return self._gone is not None

    def check(self) -> None:
        """Raise TransientError at once while it is gone."""
        gone = self._gone
        if gone is not None:
            raise TransientError(gone.message, hint=gone.hint)

    def lost(self, error: TransientError) -> None:
        """Take it for gone from now on."""
        with self._lock:
            if self._gone is None:
                _log.warning("%s is away: %s", self._what, error)
            self._gone = error
            self._look()

    def doubted(self) -> None:
        """Find out whether it is gone: a call failed for what may also be a reason of its own."""
        with self._lock:
            self._look()

    def close(self) -> None:
        """Look no more."""
        self._closed.set()

    def _look(self) -> None:
        if not self._looking and not self._closed.is_set():
            self._looking = True
            Thread(target=self._look_on, name=f"reach-{self._what}", daemon=True).start()

    def _look_on(self) -> None:
        while True:
            try:
                self._probe()
            except TransientError as error:
                self._gone = error
            except KnownGoodError as error:
                # It answers; what is wrong with it is for whoever asks next to find.
                _log.warning("%s answers with trouble: %s", self._what, error)
                break
            else:
                break
            if self._closed.wait(self._every.total_seconds()):
                break
        with self._lock:
            if self._gone is not None:
                _log.warning("%s is back", self._what)
            self._gone = None
            self._looking = False
