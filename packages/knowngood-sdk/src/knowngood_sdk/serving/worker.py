"""
Worker: one process that serves, put together.

It holds the route, the slots and the counts of the process, and two threads beside the requests: one loads versions,
the other reads what changed on disk, folds counts, judges local trips and writes reports. Neither can fail a request,
and no request waits for either.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from knowngood_sdk.errors import InvalidError, KnownGoodError
from knowngood_sdk.model.route import Facts, live_positions
from knowngood_sdk.model.wire import CountsReport, RouteDocument, WorkerReport
from knowngood_sdk.serving.counting import Counting
from knowngood_sdk.serving.folder import ReplicaFolder, hold
from knowngood_sdk.serving.golden import Answer
from knowngood_sdk.serving.limits import LocalLimits
from knowngood_sdk.serving.loader import Loader
from knowngood_sdk.serving.local_trip import LocalTrips
from knowngood_sdk.serving.rescue import RescueBudget
from knowngood_sdk.serving.router import Router
from knowngood_sdk.serving.shadow import Score, Shadow
from knowngood_sdk.serving.slot import Slot, Version, resident_bytes, static_slot
from knowngood_sdk.serving.table import Pick
from knowngood_sdk.serving.trouble import Troubles

__all__ = ["Handlers", "Worker"]

TICK_SECONDS = 0.2
_ALARM_PAUSE_SECONDS = 0.01
_HEARTBEAT_SECONDS = 1.0
_CLOSE_SECONDS = 2.0

_Seen = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Handlers:
    """
    What the user declared.

    Attributes:
        load: Makes a value of a version.
        fallback: Makes the value that answers when no version can; None when there is none.
        answer: Answers a golden input; None when there is none.
        score: Gives the number by which versions are compared; None when there is none.
        limits: When a worker leaves a version by itself; the applied system file adds to it.
    """

    load: Callable[[Version], Any]
    fallback: Callable[[], Any] | None = None
    answer: Answer | None = None
    score: Score | None = None
    limits: LocalLimits = field(default_factory=LocalLimits)


class Worker:
    """
    The serving side of one process.

    Args:
        folder: The replica folder.
        handlers: What the user declared.
        in_force: Told each new ``pick`` of the router.
        loaded: Slots that were loaded before this process was forked.

    Attributes:
        router: Which slot serves.
        counting: What is counted.
        count: Takes one event.
        troubles: What went wrong beside the requests.
        shadow: Scores samples of requests.
        budget: How many calls may be answered again by the standby.
        slow_ns: A request that took longer is judged at once.
        held_out: Whether this replica is to say "not ready" to its balancer.
        alarm: Set by a request that failed, took too long or answered nonsense, so that it is judged at once.
    """

    def __init__(
        self, folder: ReplicaFolder, handlers: Handlers, in_force: Callable[[Pick], None], loaded: Mapping[str, Slot]
    ) -> None:
        self.name = f"{os.getpid()}-{os.urandom(4).hex()}"
        self.troubles = Troubles()
        self.router = Router(folder, self.troubles, in_force)
        self.counting = Counting(folder.system_folder.name)
        self.count = self.counting.add
        self.shadow = Shadow(self.counting, lambda: self._loader.slots, self.troubles)
        self.budget = RescueBudget(lambda: self.counting.requests)
        self.alarm = threading.Event()
        self.opened = threading.Event()
        self._folder = folder
        self._handlers = handlers
        self._fallback = self._static_fallback()
        self._loader = Loader(folder, handlers.load, handlers.answer, self._on_slots)
        self._loader.take_over(loaded)
        self._trips = LocalTrips(folder, self.name, self.router, self.counting, self.troubles)
        self._trips.answer = handlers.answer
        self.slow_ns = self._trips.limits.slow_ns
        self.held_out = False
        self._stop = threading.Event()
        self._folder_made = False
        self._lock_descriptor: int | None = None
        self._seen: dict[Path, _Seen] = {}
        self._route: RouteDocument | None = None
        self._report: WorkerReport | None = None
        self._sequence = 0
        self._flushed = (0, 0.0)
        self._thread = threading.Thread(target=self._run, name="kg-upkeep", daemon=True)

    # Life.

    def start(self) -> None:
        """Start to serve: read what the replica knows, and load what it names. Never fails; troubles are reported."""
        self._announce()
        self.router.install(self._loader.slots, self._fallback)
        self.router.attach()
        self._look()
        self._guarded("published", self._heed_published)
        self._loader.start()
        self._thread.start()

    def close(self) -> None:
        """Stop beside the requests, write what was counted, and take leave of the agent."""
        self._stop.set()
        self.alarm.set()
        self.shadow.close()
        self._loader.close(_CLOSE_SECONDS)
        self._thread.join(_CLOSE_SECONDS)
        self.counting.fold()
        self._flush()
        if self._lock_descriptor is not None:
            with contextlib.suppress(OSError):
                # Left behind on a disk that refuses, they are cleared away by the agent.
                (self._folder.workers / f"{self.name}.json").unlink(missing_ok=True)
                self._folder.worker_lock(self.name).unlink(missing_ok=True)
            self.disown()

    def disown(self) -> None:
        """Let go of the lock, in a child process that was forked from this worker and is none itself."""
        if self._lock_descriptor is not None:
            os.close(self._lock_descriptor)
            self._lock_descriptor = None

    def knows(self, version: str) -> bool:
        """Tell whether a version is, or was, one of this system's here."""
        generations = self.router.state.generations.values()
        return version in self._loader.slots or any(version in generation.chain for generation in generations)

    @property
    def slots(self) -> Mapping[str, Slot]:
        """The ready slots by version."""
        return self._loader.slots

    @property
    def failed(self) -> Mapping[str, str]:
        """Version -> why it could not be made ready."""
        return self._loader.failed

    # Beside the requests.

    def _run(self) -> None:
        while not self._stop.is_set():
            alarmed = self.alarm.wait(TICK_SECONDS)
            self.alarm.clear()
            try:
                self._tick()
                self.troubles.note("upkeep", "")
            except Exception as error:  # noqa: BLE001 - this thread must outlive whatever happens to it
                self.troubles.note("upkeep", f"upkeep failed: {type(error).__name__}: {error}")
            if alarmed:
                # In a storm of errors, a breath between two looks is enough for requests to do something else.
                self._stop.wait(_ALARM_PAUSE_SECONDS)

    def _announce(self) -> None:
        """Have a folder, and hold the lock there by which the agent sees that this worker lives."""
        if self._lock_descriptor is not None and not _is_at(self._lock_descriptor, self._folder.worker_lock(self.name)):
            # Somebody removed it, or the whole folder.
            self.disown()
            self._folder_made, self._report = False, None
        if not self._folder_made:
            self._folder_made = self._guarded("folder", self._folder.make)
        if self._lock_descriptor is None:
            self._guarded("lock", self._take_lock)

    def _take_lock(self) -> None:
        self._lock_descriptor = hold(self._folder.worker_lock(self.name))

    def _tick(self) -> None:
        complete = self.counting.fold()
        self.troubles.note("lost counts", "" if complete else "requests came faster than they could be counted")
        self.troubles.note("strange counts", self.counting.trouble)
        self._trips.judge()
        self._trips.make_durable()
        self._announce()
        self.router.attach()
        self._look()
        self._write_report()
        events, at = self._flushed
        due = time.monotonic() - at
        if due >= _HEARTBEAT_SECONDS or (due >= TICK_SECONDS and events != self.counting.events):
            self._flush()

    def _on_slots(self) -> None:
        self.router.install(self._loader.slots, self._fallback)
        self._open_if_loaded()
        self.alarm.set()

    def _look(self) -> None:
        """Read what has changed on disk."""
        folder = self._folder
        # Both are looked at, always.
        if self._changed(folder.state_file) | self._changed(folder.journal_file):
            self._read(folder.state_file, self._learn)
        if self._changed(folder.route_file):
            self._read(folder.route_file, self._read_route)
        if self._changed(folder.settings_file):
            self._read(folder.settings_file, self._read_settings)
        self._loader.want(self._wanted())
        self._open_if_loaded()

    def _read(self, path: Path, act: Callable[[], None]) -> None:
        if not self._guarded(path.name, act):
            # What could not be read is read again at the next look.
            del self._seen[path]

    def _learn(self) -> None:
        self.troubles.note("replica folder", " ".join(self.router.look().warnings))

    def _read_route(self) -> None:
        route = self._folder.route()
        if route is not None and route.route.generation and route.route.generation not in route.generations:
            # Its facts are for the agent all the same, which is why it can be read at all.
            raise InvalidError(
                f"the route names generation {route.route.generation} without its chain", hint="Deploy again"
            )
        self._route = route
        self.held_out = route is not None and self._folder.replica in route.held_out
        self.shadow.obey(self._route.shadow if self._route else None, self._handlers.score)

    def _heed_published(self) -> None:
        facts = self._route.facts if self._route else Facts()
        self.router.heed({uid: trip for uid, trip in facts.trips.items() if uid not in facts.released})
        self._loader.want(self._wanted())

    def _read_settings(self) -> None:
        self._trips.limits = self._handlers.limits.declared(self._folder.settings())
        self.slow_ns = self._trips.limits.slow_ns

    def _wanted(self) -> tuple[str, ...]:
        """Return what to keep loaded: what serves, what stands behind it, then what the control plane asks for."""
        state = self.router.state
        chain = state.chain
        live = [chain[position] for position in state.positions if position < len(chain)]
        asked = self._route.wanted if self._route else ()
        return tuple(dict.fromkeys((*live, *chain[state.latched :], *chain, *asked)))

    def _open_if_loaded(self) -> None:
        """Let requests in once everything that the route names is loaded; a worker that starts skips nothing."""
        if not self.opened.is_set():
            needed = self._needed()
            if needed is not None and needed <= self._loader.slots.keys():
                self.router.open()
                self.opened.set()

    def _needed(self) -> set[str] | None:
        """Return the versions that must be loaded first; None while it is not known."""
        state = self.router.state
        if not state.fleet.generation:
            if self._folder.route_file not in self._seen:
                return None
            route = self._route
            if route is None or not route.route.generation:
                return set()
            # A fleet stands somewhere already: wait until the agent has joined it. A step past the end needs nothing.
            chain = route.generations[route.route.generation].chain
            joins = any(p < len(chain) for p in live_positions(route.route.step, route.route.split))
            return None if joins else set()
        return {state.chain[p] for p in state.positions if p < len(state.chain)}

    def _write_report(self) -> None:
        report = WorkerReport(
            worker=self.name,
            pid=os.getpid(),
            ready=frozenset(self._loader.slots),
            failed=self._loader.failed,
            load_seconds={version: slot.load_seconds for version, slot in self._loader.slots.items()},
            fallback=self._fallback is not None,
            warnings=self.troubles.texts,
        )
        if self._report is None or replace(self._report, memory_bytes=0) != report:
            report = replace(report, memory_bytes=resident_bytes())
            if self._guarded("report", lambda: self._folder.write_worker(report)):
                self._report = report

    def _flush(self) -> None:
        self._flushed = (self.counting.events, time.monotonic())
        self._sequence += 1
        report = CountsReport(
            worker=self.name,
            sequence=self._sequence,
            at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            versions=self.counting.counts(),
        )
        self._guarded("counts", lambda: self._folder.write_counts(report))

    def _changed(self, path: Path) -> bool:
        try:
            found = path.stat()
            seen: _Seen = (found.st_ino, found.st_mtime_ns, found.st_size)
        except OSError:
            # Not there, or not to be reached: reading it tells which.
            seen = None
        if path in self._seen and self._seen[path] == seen:
            return False
        self._seen[path] = seen
        return True

    def _guarded(self, topic: str, act: Callable[[], None]) -> bool:
        """Do something that may fail without harm to requests; return whether it went well."""
        try:
            act()
        except KnownGoodError as error:
            self.troubles.note(topic, f"{topic}: {error}")
            return False
        except Exception as error:  # noqa: BLE001 - the start of a worker is a request's too: whatever it is, it is told
            self.troubles.note(topic, f"{topic}: {type(error).__name__}: {error}")
            return False
        self.troubles.note(topic, "")
        return True

    def _static_fallback(self) -> Slot | None:
        if self._handlers.fallback is None:
            return None
        try:
            return static_slot(self._handlers.fallback())
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a stranger's code; without it the honest error answers
            self.troubles.note("fallback", f"the static fallback raised {type(error).__name__}: {error}")
            return None


def _is_at(descriptor: int, path: Path) -> bool:
    """Tell whether an open file is the one under a path."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False
