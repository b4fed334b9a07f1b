"""
Reach: whether something outside can be reached, found out by one caller for all.

The first call that finds it gone pays for that with its patience. From then on nobody waits: who asks is refused at
once, and a thread of its own looks again and again until it is back.

Two that stand in one place, as the store and the runs in one database, are gone together: where one is found gone the
other is taken for gone too, until its own first look says otherwise. Else whoever needs both would pay twice in a row.
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
        threads: Makes the thread that looks, given as ``Thread`` is.
    """

    def __init__(
        self,
        what: str,
        probe: Callable[[], object],
        *,
        every: timedelta = _LOOK_AGAIN,
        threads: Callable[..., Thread] = Thread,
    ) -> None:
        self.what = what
        self._probe = probe
        self._every = every
        self._threads = threads
        self._gone: TransientError | None = None
        self._presumed: TransientError | None = None
        self._beside: list[Reach] = []
        self._lock = Lock()
        self._closed = Event()
        self._looking = False

    def beside(self, other: "Reach") -> None:
        """Note that both stand in one place, before either is asked."""
        if other not in self._beside:
            self._beside.append(other)
            other.beside(self)

    @property
    def gone(self) -> bool:
        """Whether somebody found it gone, and nobody found it back."""
        return self._gone is not None

    @property
    def presumed(self) -> bool:
        """Whether it is taken for gone because what stands beside it is, until its own look is over."""
        return self._presumed is not None

    def check(self) -> None:
        """Raise TransientError at once while it is gone, or taken for gone."""
        gone = self._gone or self._presumed
        if gone is not None:
            raise TransientError(gone.message, hint=gone.hint)

    def lost(self, error: TransientError) -> None:
        """Take it for gone from now on: somebody waited for it in vain."""
        with self._lock:
            newly = self._look() and self._found_gone(error)
        if newly:
            self._tell(error)

    def doubted(self) -> None:
        """Find out whether it is gone: a call failed for what may also be a reason of its own."""
        with self._lock:
            self._look()

    def presume(self, what: str, error: TransientError) -> None:
        """Take it for gone as what stands beside it is, until the look that is under way, or begins now, is over."""
        with self._lock:
            if self._gone is None and self._look():
                message = f"{self.what} stands where {what} does, which is away: {error.message}"
                self._presumed = TransientError(message, hint=error.hint)

    def close(self) -> None:
        """Look no more."""
        self._closed.set()

    def _found_gone(self, error: TransientError) -> bool:
        newly, self._gone, self._presumed = self._gone is None, error, None
        return newly

    def _tell(self, error: TransientError) -> None:
        _log.warning("%s is away: %s", self.what, error)
        for other in self._beside:
            other.presume(self.what, error)

    def _look(self) -> bool:
        """See to it that somebody looks, and say whether somebody does: else nobody would ever find it back."""
        if not self._looking and not self._closed.is_set():
            try:
                self._threads(target=self._look_on, name=f"reach-{self.what}", daemon=True).start()
            except RuntimeError as error:
                _log.warning("whether %s can be reached cannot be found out now: %s", self.what, error)
            else:
                self._looking = True
        return self._looking

    def _look_on(self) -> None:
        while True:
            try:
                self._probe()
            except TransientError as error:
                with self._lock:
                    newly = self._found_gone(error)
                if newly:
                    self._tell(error)
            except KnownGoodError as error:
                # It answers; what is wrong with it is for whoever asks next to find.
                _log.warning("%s answers with trouble: %s", self.what, error)
                break
            except Exception:  # noqa: BLE001 - what is looked for by nobody any more would be gone for ever
                _log.exception("looking at %s failed in a way that nobody foresaw", self.what)
                break
            else:
                break
            if self._closed.wait(self._every.total_seconds()):
                break
        with self._lock:
            if self._gone is not None:
                _log.warning("%s is back", self.what)
            self._gone = self._presumed = None
            self._looking = False
