"""
Watching: looks at one system, again and again, for as long as its process holds the lease.

In a thread of its own while anything moves, so that a look that hangs holds up no other system. Where nothing moves it
rests: it has no thread then, and costs one comparison a look.
"""

import logging
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from threading import Event, Lock, Thread
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
_LONG_TURN = timedelta(seconds=1)
"""How long a first look keeps others from theirs."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rest:
    """
    A rest of a system where nothing moves.

    Attributes:
        head: How far its ledger went at the last look.
        traffic: What ``Traffic.stamp`` said of it then.
        until: When it is looked at all the same, in seconds of the plane's clock.
    """

    head: Anchor | None
    traffic: object
    until: float


_DUE = _Rest(head=None, traffic=None, until=float("-inf"))


class Overseeing(Protocol):
    """What a watch needs of the one who started it."""

    plane: Plane
    pace: Pace
    tell: Tell
    remember: Callable[[str], None]
    threads: Callable[..., Thread]

    def heads(self) -> Mapping[str, Anchor]:
        """Return how far every ledger goes."""
        ...

    def count(self, system: str, *, at: float | None = None) -> None:
        """Count a look."""
        ...

    def give_turn_back(self) -> None:
        """Let the next one begin."""
        ...


class Watch:
    """
    Watches one system, for as long as this process holds the lease.

    Args:
        overseer: Who started it.
        system: Name of the system.
        held: The lease.
    """

    def __init__(self, overseer: Overseeing, system: str, held: Held) -> None:
        self.held = held
        self.system = system
        self._overseer = overseer
        self._plane = replace(overseer.plane, store=overseer.plane.store.fenced(held))
        self._pace = overseer.pace
        self._over = Event()
        self._began_at: float | None = None
        self._told = ""
        self._rest: _Rest | None = None
        self.told_hanging = False
        self._watcher = Watcher(self._plane, system, hold=self._pace.hold)
        self._timers: set[str] = set()
        self._thread: Thread | None = None
        self._turn = Lock()

    def start(self, *, has_turn: bool) -> None:
        """
        Begin to look.

        Args:
            has_turn: Whether the first look has a turn, which is given back after it.
        """
        self._rest = None
        if has_turn:
            self._turn.acquire()
        thread = self._overseer.threads(target=self._look_on, name=f"watch-{self.system}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            # The host gives no more threads now. It is due, so whoever rouses what rests tries again.
            self._give_turn_back()
            self._rest = _DUE
            _log.warning("%s is looked at later: %s", self.system, error)
        else:
            self._thread = thread

    def give_late_turn_back(self) -> None:
        """Let others begin where the first look takes long: what hangs holds up nobody else."""
        began_at = self._began_at
        if began_at is not None and self._plane.clock.monotonic() - began_at > _LONG_TURN.total_seconds():
            self._give_turn_back()

    def _give_turn_back(self) -> None:
        if self._turn.locked():
            with suppress(RuntimeError):
                # Somebody else did at this moment.
                self._turn.release()
                self._overseer.give_turn_back()

    def stop(self) -> None:
        """Stop after the look that is under way."""
        self._over.set()

    def join(self, seconds: float) -> None:
        """Wait for that."""
        if self._thread is not None:
            self._thread.join(seconds)

    @property
    def rests(self) -> bool:
        """Whether nothing moved at the last look, so that the next one is ``is_stirred``."""
        return self._rest is not None and not self._over.is_set()

    def is_stirred(self, heads: Mapping[str, Anchor] | None) -> bool:
        """
        Whether a system that rests is to be looked at again: something moved, or it rested for long enough.

        A look would read the whole record to find what the last one found.

        Args:
            heads: How far every ledger goes; None while the store is away: then what replicas see counts alone.
        """
        rest = self._rest
        if rest is None:
            return False
        if self._plane.clock.monotonic() >= rest.until:
            return True
        moved = heads is not None and heads.get(self.system) != rest.head
        try:
            return moved or self._plane.traffic.stamp(self.system) != rest.traffic
        except Exception:  # noqa: BLE001 - what cannot be told of one system is for a look to find, and for no other
            _log.exception("whether anything moved at %s cannot be told", self.system)
            return True

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
        return self._thread is not None and self._thread.is_alive()

    def _look_on(self) -> None:
        try:
            rest = None if self._over.is_set() else self._safely()
        finally:
            self._give_turn_back()
        while rest is None and not self._over.wait(self._pace.every.total_seconds()):
            rest = self._safely()
        # The last that this thread does: from here on another one may begin.
        self._rest = rest

    def _safely(self) -> "_Rest | None":
        """Look once, whatever comes of it."""
        self._began_at = self._plane.clock.monotonic()
        try:
            rest = self._look()
            self._overseer.count(self.system, at=self._plane.clock.now().timestamp())
        except KnownGoodError as error:
            self._overseer.count(self.system)
            with self._logged():
                self._trouble(error)
        except Exception:  # noqa: BLE001 - a control loop that ends because a look failed watches nothing
            self._overseer.count(self.system)
            _log.exception("the look at %s failed", self.system)
        else:
            return rest
        finally:
            self._began_at = None
            self.told_hanging = False
        return None

    def _look(self) -> "_Rest | None":
        """Look once, and return what tells the next change, where nothing moves."""
        rest = self._would_rest()
        if self._plane.traffic.replicas(self.system):
            self._recall()
        tick = self._watcher.tick()
        for note in tick.notes:
            self._overseer.tell(self.system, note)
        if self._plane.runner is not None:
            set_timers(self._plane, self._plane.runner, self.system, self._timers, self._pace.keep)
        self._told = ""
        return rest if tick.quiet else None

    @contextmanager
    def _logged(self) -> Iterator[None]:
        try:
            yield
        except Exception:  # noqa: BLE001 - a control loop that ends because nobody could be told watches nothing
            _log.exception("the trouble with %s could not be told", self.system)

    def _would_rest(self) -> "_Rest | None":
        """
        Return what is another value once something was put on record or published, or a replica joined.

        Asked before a look, so that what comes during it is not missed. None where that cannot be told, as while the
        store is away, or where the ledger of another system is damaged: then every look is a whole one.
        """
        length = _FULL_LOOK.total_seconds() * random.uniform(0.5, 1.5)  # noqa: S311 - it spreads the looks
        try:
            return _Rest(
                head=self._overseer.heads().get(self.system),
                traffic=self._plane.traffic.stamp(self.system),
                until=self._plane.clock.monotonic() + length,
            )
        except KnownGoodError:
            return None

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
