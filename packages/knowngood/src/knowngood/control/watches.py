"""Watches: the control loop of every system that is on record, each in a thread of its own."""

import logging
import threading
from dataclasses import dataclass
from datetime import timedelta

from knowngood.control.plane import Plane
from knowngood.control.watch import Watcher
from knowngood_sdk.errors import KnownGoodError

__all__ = ["Looked", "Watches"]

_log = logging.getLogger(__name__)
_FIND_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """
    How the looks at one system went.

    Attributes:
        succeeded: Looks that ended well.
        failed: Looks that an error ended.
        last_at: When the last one ended well, in seconds since the epoch; 0 before the first.
    """

    succeeded: int = 0
    failed: int = 0
    last_at: float = 0.0


class Watches:
    """
    Looks at every system again and again, from ``start`` to ``stop``.

    Args:
        plane: The ports.
        every: Time between two looks at one system.
        hold: How long a canary that is clear is watched before it takes all traffic; None leaves that to a person.
    """

    def __init__(self, plane: Plane, *, every: timedelta, hold: timedelta | None = None) -> None:
        self._plane = plane
        self._every = every.total_seconds()
        self._hold = hold
        self._over = threading.Event()
        self._threads: dict[str, threading.Thread] = {}
        self._looked: dict[str, Looked] = {}

    @property
    def looked(self) -> dict[str, Looked]:
        """How the looks went, by system."""
        return dict(self._looked)

    def start(self) -> None:
        """Begin; systems that are applied later join by themselves."""
        finder = threading.Thread(target=self._find, name="watches", daemon=True)
        self._threads[""] = finder
        finder.start()

    def stop(self, within: timedelta) -> None:
        """Stop: looks that are under way may end, within a time."""
        self._over.set()
        for thread in tuple(self._threads.values()):
            thread.join(within.total_seconds())

    def _find(self) -> None:
        while not self._over.is_set():
            try:
                systems = self._plane.store.systems()
            except KnownGoodError as error:
                _log.warning("which systems there are is not known: %s", error)
                systems = ()
            for system in systems:
                if system not in self._threads:
                    thread = threading.Thread(target=self._watch, args=(system,), name=f"watch:{system}", daemon=True)
                    self._threads[system] = thread
                    thread.start()
            self._over.wait(_FIND_SECONDS)

    def _watch(self, system: str) -> None:
        watcher = Watcher(self._plane, system, hold=self._hold)
        while not self._over.is_set():
            seen = self._looked.get(system, Looked())
            try:
                tick = watcher.tick()
            except KnownGoodError as error:
                # Told, and looked again: a control loop that ends because a look failed watches nothing.
                _log.warning("%s was not looked at: %s", system, error)
                self._looked[system] = Looked(succeeded=seen.succeeded, failed=seen.failed + 1, last_at=seen.last_at)
            except Exception:  # noqa: BLE001 - one system must not end the looks at it
                _log.exception("%s was not looked at", system)
                self._looked[system] = Looked(succeeded=seen.succeeded, failed=seen.failed + 1, last_at=seen.last_at)
            else:
                now = self._plane.clock.now().timestamp()
                self._looked[system] = Looked(succeeded=seen.succeeded + 1, failed=seen.failed, last_at=now)
                for note in tick.notes:
                    _log.info("%s: %s", system, note)
            self._over.wait(self._every)
