"""Watching: the thread that looks at one system, again and again, for as long as its process holds the lease."""

import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from threading import Event, Semaphore, Thread
from typing import Protocol

from knowngood.control.plane import Plane
from knowngood.control.timers import set_timers
from knowngood.control.watch import Watcher
from knowngood.domain.ledger import Anchor
from knowngood.ports.lease import Held
from knowngood_sdk.errors import KnownGoodError, TransientError

__all__ = ["Looked", "Overseeing", "Pace", "Tell", "Watch"]

_log = logging.getLogger(__name__)
_FULL_LOOK = timedelta(minutes=5)
"""Between two looks at a system where nothing moves, in the middle; drawn anew each time, so that they spread."""
Tell = Callable[[str, str], None]
"""System (empty for none), and a line of news for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """
    How often what is done.

    Attributes:
        every: Between two looks at a system.
        lease: How long a lease holds that is not renewed; the others take over then.
        patience: How long one look at a system may take; one that takes longer hangs, and its lease runs out.
        keep: How long runs that are over are kept.
        hold: How long a canary that is clear is watched before it takes all traffic; None leaves that to a person.
    """

    every: timedelta = timedelta(seconds=1)
    lease: timedelta = timedelta(seconds=15)
    patience: timedelta = timedelta(minutes=1)
    keep: timedelta = timedelta(days=30)
    hold: timedelta | None = None

    @property
    def beat(self) -> timedelta:
        """Between two renewals of a lease: two may be lost."""
        return self.lease / 3


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


class Overseeing(Protocol):
    """What a watch needs of the one who started it."""

    plane: Plane
    pace: Pace
    tell: Tell
    remember: Callable[[str], None]
    first_looks: Semaphore

    def heads(self) -> Mapping[str, Anchor]:
        """Return how far every ledger goes."""
        ...

    def count(self, system: str, *, at: float | None = None) -> None:
        """Count a look."""
        ...


class Watch:
    """The thread that watches one system, for as long as this process holds the lease."""

    def __init__(self, overseer: Overseeing, system: str, held: Held, *, permitted: bool) -> None:
        self.held = held
        self._permitted = permitted
        self.system = system
        self._overseer = overseer
        self._plane = replace(overseer.plane, store=overseer.plane.store.fenced(held))
        self._pace = overseer.pace
        self._over = Event()
        self._began_at: float | None = None
        self._told = ""
        self._quiet: tuple[object, float] | None = None  # what tells a change, and until when that is enough
        self.told_hanging = False
        self._thread = Thread(target=self._look_on, name=f"watch-{system}", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the look that is under way."""
        self._over.set()

    def join(self, seconds: float) -> None:
        """Wait for that."""
        self._thread.join(seconds)

    @property
    def hangs(self) -> bool:
        """Whether a look takes longer than it may; the pause between two looks is none."""
        began_at = self._began_at
        if began_at is None:
            return False
        return self._plane.clock.monotonic() - began_at > self._pace.patience.total_seconds()

    @property
    def is_alive(self) -> bool:
        """Whether its thread has not ended."""
        return self._thread.is_alive()

    def _give_permit_back(self) -> None:
        if self._permitted:
            self._permitted = False
            self._overseer.first_looks.release()

    def _look_on(self) -> None:
        watcher = Watcher(self._plane, self.system, hold=self._pace.hold)
        timers: set[str] = set()
        while not self._over.is_set():
            self._began_at = self._plane.clock.monotonic()
            try:
                stamp = self._stamp()
                if self._rests(stamp):
                    self._overseer.count(self.system, at=self._plane.clock.now().timestamp())
                    continue
                self._quiet = None
                if self._plane.traffic.replicas(self.system):
                    self._recall()
                tick = watcher.tick()
                for note in tick.notes:
                    self._overseer.tell(self.system, note)
                if self._plane.runner is not None:
                    set_timers(self._plane, self._plane.runner, self.system, timers, self._pace.keep)
                self._told = ""
                if tick.quiet and stamp is not None:
                    rest = _FULL_LOOK.total_seconds() * random.uniform(0.5, 1.5)  # noqa: S311 - it spreads the looks
                    self._quiet = stamp, self._plane.clock.monotonic() + rest
                self._overseer.count(self.system, at=self._plane.clock.now().timestamp())
            except KnownGoodError as error:
                self._overseer.count(self.system)
                self._trouble(error)
            except Exception:  # noqa: BLE001 - a control loop that ends because a look failed watches nothing
                self._overseer.count(self.system)
                _log.exception("the look at %s failed", self.system)
            finally:
                self._give_permit_back()
                self._began_at = None
                self.told_hanging = False
                self._over.wait(self._pace.every.total_seconds())
        self._give_permit_back()

    def _stamp(self) -> object:
        """
        Return what is another value once something was put on record or published, or a replica joined.

        None where that cannot be told, as while the store is away, or where the ledger of another system is damaged:
        then every look is a whole one, for a version that fails is left all the same.
        """
        try:
            return self._overseer.heads().get(self.system), self._plane.traffic.stamp(self.system)
        except KnownGoodError:
            return None

    def _rests(self, stamp: object) -> bool:
        """Whether nothing moves: then a look would read the whole record to find what the last one found."""
        return self._quiet is not None and self._quiet[0] == stamp and self._plane.clock.monotonic() < self._quiet[1]

    def _recall(self) -> None:
        try:
            self._overseer.remember(self.system)
        except TransientError:
            # It is away: then what was remembered before counts.
            return

    def _trouble(self, error: KnownGoodError) -> None:
        """Tell what went wrong, once for as long as it stays the same."""
        if error.message != self._told:
            self._told = error.message
            self._overseer.tell(self.system, f"{error.code}: {error}")
