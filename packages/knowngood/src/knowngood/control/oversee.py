"""
Oversee: what one process of a control plane does by itself, for as long as it runs.

Any number of such processes share one store. Each claims leases: one for itself, by which the others know that it
lives, and one for each system that it watches, for one owner is enough. What a lease guards is the record: whoever has
lost it is refused by the store. It does not guard a flip, for a flip is a fact that may be told twice, and whoever sees
a version fail while the store is away must not wait for it.

Threads of several kinds, so that what hangs holds up nothing else: one renews the leases, one looks after the runs (its
own, and those of processes that died), one for each system where something moves watches it, and one for all others
sees whether anything does; runs have theirs from the runner.
"""

import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from threading import Event, Lock, Semaphore, Thread

from knowngood.control.exclusive import let_go
from knowngood.control.fault_point import FaultPoint, reach
from knowngood.control.plane import Plane
from knowngood.control.timers import works_of
from knowngood.control.watching import Looked, Pace, Tell, Watch
from knowngood.domain.ledger import Anchor
from knowngood.ports.lease import Held, Leases
from knowngood.ports.presence import Presence
from knowngood.ports.runner import Runner, RunState
from knowngood_sdk.errors import ConflictError, KnownGoodError, TransientError

__all__ = ["Looked", "Overseer", "Pace"]

_log = logging.getLogger(__name__)
_WORKER = "worker:"
_WATCH = "watch:"
_MOST_RUNS = 10_000
_LINGER_SECONDS = 10.0
_MOST_BEGUN = 100
"""Systems that are taken between two renewals of leases."""
_MOST_FIRST_LOOKS = 8
_TURN_SECONDS = 1.0
"""How long a first look waits for others to end: a thousand at once would take all connections, and all of a core."""
_MOST_HUNG = 3
"""Looks at one system that may hang at the same time: each keeps a thread, and perhaps a connection."""
_BLIP = timedelta(seconds=2)
"""A store that was away for longer may have left our own runs waiting for it; see ``_take_up_own``."""


class Overseer:
    """
    One process of a control plane, at work.

    Args:
        plane: The ports; with a runner.
        leases: Who is in charge of what.
        presence: Which processes of this host run.
        incarnation: This start of this process; unique for ever, and what its runner was given too.
        pace: How often what is done.
        tell: Told what a person who looks on wants to know.
        remember: Told before each look at a system, so that what is on record of it is known when the store is away.
        threads: Makes the threads that look, each given as ``Thread`` is.
    """

    def __init__(  # noqa: PLR0913 - its ports, its name, its pace, its mouth
        self,
        plane: Plane,
        leases: Leases,
        presence: Presence,
        incarnation: str,
        *,
        pace: Pace | None = None,
        tell: Tell = lambda system, line: _log.info("%s", f"{system} {line}".lstrip()),
        remember: Callable[[str], None] = lambda _system: None,
        threads: Callable[..., Thread] = Thread,
    ) -> None:
        self.plane = plane
        self._leases = leases
        self._presence = presence
        self.pace = pace or Pace()
        self.tell = tell
        self.remember = remember
        self.threads = threads
        self._over = Event()
        self._entered = Event()
        self._lock = Lock()
        self._turns = Semaphore(_MOST_FIRST_LOOKS)
        self._asking = Lock()
        self._heads: tuple[Mapping[str, Anchor], float] | None = None
        self._watches: dict[str, Watch] = {}
        self._hung: list[Watch] = []
        self._looked: dict[str, Looked] = {}
        self._worker: Held | None = None
        self._away_since: float | None = None
        self._owed = Event()
        self._claimable = Event()
        self._stirred = Event()
        self._launched = False
        self._forgot_at: float | None = None
        self._threads: list[Thread] = []
        self.incarnation = incarnation

    @property
    def watching(self) -> Collection[str]:
        """Systems that this process watches now."""
        with self._lock:
            return tuple(sorted(self._watches))

    @property
    def looked(self) -> dict[str, Looked]:
        """How the looks of this process went, by system."""
        with self._lock:
            return dict(self._looked)

    def count(self, system: str, *, at: float | None = None) -> None:
        """Count a look that ended well at a time, in seconds since the epoch, or that failed."""
        with self._lock:
            seen = self._looked.get(system, Looked())
            failed = Looked(succeeded=seen.succeeded, failed=seen.failed + 1, last_at=seen.last_at)
            done = Looked(succeeded=seen.succeeded + 1, failed=seen.failed, last_at=at or 0.0)
            self._looked[system] = failed if at is None else done

    def heads(self) -> Mapping[str, Anchor]:
        """
        Return how far every ledger goes, as of the present turn: asked once for all who watch.

        Raises:
            TransientError: The store is away.
        """
        with self._asking:
            now = time.monotonic()  # as the pauses between looks pass, whatever clock the plane goes by
            if self._heads is None or now - self._heads[1] >= self.pace.every.total_seconds() / 2:
                self._heads = None
                self._heads = self.plane.store.heads(), now
            return self._heads[0]

    def give_turn_back(self) -> None:
        """Let another one begin."""
        self._turns.release()

    def start(self) -> None:
        """
        Begin. Returns at once; what the database keeps waiting begins when it is there.

        Raises:
            TransientError: That this process runs cannot be noted on this host.
            ConflictError: Its incarnation is another process's.
        """
        self._presence.enter(self.incarnation)
        reach(FaultPoint.SERVER_ENTERED)
        self._spawn("leases", self._renew, self.pace.beat, self._claimable)
        self._spawn("runs", self._tend, min(self.pace.beat, self.pace.every), self._entered)
        self._spawn("rests", self._rouse, self.pace.every, self._stirred)

    def stop(self) -> None:
        """Stop: looks and steps under way are finished, leases are given back, the rest is whoever's comes next."""
        self._over.set()
        self._claimable.set()
        self._entered.set()
        self._stirred.set()
        for thread in self._threads:
            thread.join(_LINGER_SECONDS)
        with self._lock:
            watches = list(self._watches.values())
            self._watches.clear()
        for watch in watches:
            watch.stop()
        for watch in watches:
            watch.join(_LINGER_SECONDS)
        try:
            if self.plane.runner is not None:
                self.plane.runner.close()
        finally:
            self._give_back(watches)

    def _give_back(self, watches: Collection[Watch]) -> None:
        """Give leases and presence back, so that others need not wait until they run out."""
        try:
            for watch in watches:
                self._leases.release(f"{_WATCH}{watch.system}", self.incarnation)
            self._leases.release(f"{_WORKER}{self.incarnation}", self.incarnation)
            self._presence.forget(self.incarnation)
        except KnownGoodError as error:
            self.tell("", f"leases run out by themselves: {error}")

    # ---- leases

    def _renew(self) -> None:
        """Renew the leases, and take those that nobody has."""
        me = self.incarnation
        try:
            held = self._leases.claim(f"{_WORKER}{me}", me, self.pace.lease)
            systems = self.plane.store.systems()
            if held is None:
                self.tell("", "another process takes this one for dead, and takes over what it was doing")
                self._drop(self._watches.keys())
                return
            self._worker = held
            if not self._launched:
                self._entered.set()
            self._keep_all(systems)
            self._drop(self._watches.keys() - set(systems))
        except KnownGoodError:
            # Nobody knows who holds what: the store refuses who does not, and judging goes on.
            self._away_since = self._away_since or self.plane.clock.monotonic()
            raise
        reach(FaultPoint.SERVER_CLAIMED)
        if self._away_since is not None:
            if self.plane.clock.monotonic() - self._away_since > _BLIP.total_seconds():
                self._owed.set()
            self._away_since = None

    def _keep_all(self, systems: Collection[str]) -> None:
        """Renew what is ours in one go, and claim what nobody has. A look that hangs lets its lease run out."""
        names = {f"{_WATCH}{system}": watch for system, watch in self._watches.items() if not watch.hangs}
        renewed = self._leases.renew(names, self.incarnation, self.pace.lease)
        kept = {watch.system for name, watch in names.items() if self._is_same(renewed.get(name), watch)}
        rest = [system for system in systems if system not in kept]
        taken = self._leases.held(_WATCH) if rest else {}
        before, began = len(self._watches), self.plane.clock.monotonic()
        for system in rest:
            if self._watches.get(system) is not None or not self._is_others(taken.get(f"{_WATCH}{system}")):
                self._keep(system)
            late = self.plane.clock.monotonic() - began > self.pace.beat.total_seconds()
            if late or len(self._watches) - before >= _MOST_BEGUN:
                # What is ours already is renewed before the next ones are taken.
                self._claimable.set()
                return

    @staticmethod
    def _is_same(held: Held | None, watch: Watch) -> bool:
        return held is not None and held.fence == watch.held.fence

    def _is_others(self, held: Held | None) -> bool:
        return held is not None and held.holder != self.incarnation and held.expires_in > timedelta()

    def _keep(self, system: str) -> None:
        """Claim one system, and watch it while it is ours."""
        watch = self._watches.get(system)
        if watch is not None and watch.hangs:
            if not self._give_up(watch):
                return
            watch = None
        held = self._leases.claim(f"{_WATCH}{system}", self.incarnation, self.pace.lease)
        if watch is not None and (held is None or held.fence != watch.held.fence):
            self._drop({system})
            watch = None
        if watch is None and held is not None:
            watch = Watch(self, system, held)
            with self._lock:
                self._watches[system] = watch
            # A thousand first looks at once would take all connections, and all of a core.
            watch.start(has_turn=self._turns.acquire(timeout=_TURN_SECONDS))

    def _give_up(self, watch: Watch) -> bool:
        """
        Leave a look that hangs to itself once its lease is over, and say whether that was done.

        Others may take the system first, for a beat, as here the next look may hang too. The lease is given back, so
        that a new one has a new fence: what the hung look may still write is refused.
        """
        name = f"{_WATCH}{watch.system}"
        if not watch.told_hanging:
            watch.told_hanging = True
            self.tell(watch.system, "a look hangs; when its lease is over, whoever watches begins anew")
        held = self._leases.held(name).get(name)
        if held is not None and held.holder == self.incarnation and held.expires_in > -self.pace.beat:
            return False
        self._hung = [hung for hung in self._hung if hung.is_alive]
        if sum(hung.system == watch.system for hung in self._hung) >= _MOST_HUNG - 1:
            return False
        self._hung.append(watch)
        self._leases.release(name, self.incarnation)
        self._drop({watch.system})
        return True

    def _drop(self, systems: Collection[str]) -> None:
        with self._lock:
            for system in list(systems):
                watch = self._watches.pop(system, None)
                if watch is not None:
                    watch.stop()

    # ---- systems that rest

    def _rouse(self) -> None:
        """Begin to look again at the systems where something moved; that nothing did at the others is a look, too."""
        with self._lock:
            watches = list(self._watches.values())
        for watch in watches:
            watch.give_late_turn_back()
        resting = [watch for watch in watches if watch.rests]
        if not resting:
            return
        heads, until = self._heads_unless_away(), time.monotonic() + _TURN_SECONDS
        for watch in resting:
            if not watch.is_stirred(heads):
                self.count(watch.system, at=self.plane.clock.now().timestamp())
            elif not self._over.is_set() and self._turns.acquire(timeout=max(0.0, until - time.monotonic())):
                watch.start(has_turn=True)

    def _heads_unless_away(self) -> Mapping[str, Anchor] | None:
        try:
            return self.heads()
        except TransientError:
            return None
        except KnownGoodError as error:
            # One ledger is damaged, and of the others nobody knows: each is looked at for itself.
            _log.warning("every system is looked at, for it cannot be told where anything moved: %s", error)
            return {}
        except Exception:  # noqa: BLE001 - as above, and in a way that nobody foresaw
            _log.exception("every system is looked at, for it cannot be told where anything moved")
            return {}

    # ---- runs

    def _tend(self) -> None:
        """Carry runs out, and take up those of processes that died. Nothing before this process is known to live."""
        runner = self.plane.runner
        if runner is None or self._worker is None:
            return
        if not self._launched:
            runner.launch(works_of(self._plane_of_a_run))
            self._launched = True
            self.tell("", f"{self.incarnation} carries out runs")
            reach(FaultPoint.SERVER_LAUNCHED)
        self._reap(runner)
        self._take_up_own(runner)
        self._forget(runner)

    def _plane_of_a_run(self) -> Plane:
        """Return the ports for a run that begins now: its records are refused once we are taken for dead."""
        if self._worker is None:
            raise ConflictError("this process holds no lease, so it may carry out nothing")
        return replace(self.plane, store=self.plane.store.fenced(self._worker))

    def _reap(self, runner: Runner) -> None:
        """
        Take over the runs of processes that died.

        On this host the kernel says so, at once; of others nothing was heard for as long as a lease holds. A process
        that only stood still finds its leases gone, its records refused, and begins anew with what is left.
        """
        leases = {name.removeprefix(_WORKER): held for name, held in self._leases.held(_WORKER).items()}
        ended = set(self._presence.ended())
        silent = {name for name, held in leases.items() if held.expires_in <= timedelta()}
        unknown = {run.holder for run in runner.runs(state=RunState.RUNNING, limit=_MOST_RUNS)} - leases.keys() - {""}
        for dead in sorted((ended | silent | unknown) - {self.incarnation}):
            self._bury(runner, dead, at_once=dead in ended)

    def _bury(self, runner: Runner, dead: str, *, at_once: bool) -> None:
        name = f"{_WORKER}{dead}"
        if at_once:
            for watched, held in self._leases.held(_WATCH).items():
                if held.holder == dead:
                    self._leases.release(watched, dead)
            # What it was deploying is carried on by nobody: the next look gives it up.
            let_go(self._leases, dead)
            self._leases.release(name, dead)
        # Whoever has this lease is refused from here on, and of those who take over one does.
        if self._leases.claim(name, self.incarnation, self.pace.lease) is None:
            return
        reach(FaultPoint.SERVER_REAPING)
        taken = runner.recover([dead])
        self._leases.release(name, self.incarnation)
        self._presence.forget(dead)
        reach(FaultPoint.SERVER_REAPED)
        self._claimable.set()
        self.tell("", f"{dead} has ended; {len(taken)} of its runs go on")

    def _take_up_own(self, runner: Runner) -> None:
        """
        Begin our own runs again after the store was away.

        The library waits longer and longer for a store that is away, up to a minute and a half, and cannot be told to
        look sooner. A run that is begun again goes on at once; the thread that still waits is refused its record.
        """
        if self._owed.is_set():
            self._owed.clear()
            taken = runner.recover([self.incarnation])
            self.tell("", f"the store is back; {len(taken)} runs go on")

    def _forget(self, runner: Runner) -> None:
        now = self.plane.clock.monotonic()
        if self._forgot_at is None or now - self._forgot_at > timedelta(hours=1).total_seconds():
            self._forgot_at = now
            runner.forget(self.plane.clock.now() - self.pace.keep)

    def _spawn(self, name: str, act: Callable[[], None], every: timedelta, woken: Event) -> None:
        arguments = (act, every.total_seconds(), woken)
        thread = Thread(target=self._repeat, args=arguments, name=f"oversee-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _repeat(self, act: Callable[[], None], every: float, woken: Event) -> None:
        told = ""
        while not self._over.is_set():
            woken.clear()
            try:
                act()
                told = ""
            except KnownGoodError as error:
                if error.message != told:
                    told = error.message
                    self.tell("", f"{error.code}: {error}")
            except Exception:  # noqa: BLE001 - whatever it is, the next pass starts from what is true then
                _log.exception("a pass of the overseer failed")
            woken.wait(every)
