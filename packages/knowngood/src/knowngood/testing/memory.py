"""
In-memory ports: a fleet, its counts and its time in one process, without files, sockets or waiting.

They keep the promises of the ports (the same contract tests run over them), and what happens to replicas is done to
them by name: ``cut_off``, ``kill_agent``, ``set_ready``.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any

from knowngood.ports.telemetry import HealthSample
from knowngood.ports.traffic import Answers, Replica, Unreachable
from knowngood_sdk.errors import ConflictError, InvalidError, NotFoundError
from knowngood_sdk.model.route import Refusal, ReplicaState, Trip
from knowngood_sdk.model.wire import CountsReport, ReleaseDocument, ReplicaReport, RouteDocument

__all__ = ["MemoryClock", "MemoryDeploying", "MemoryTelemetry", "MemoryTraffic"]

_START = datetime(2026, 1, 1, tzinfo=UTC)
_LOOK = timedelta(milliseconds=10)


class MemoryClock:
    """A clock that stands still until somebody pauses on it or moves it."""

    def __init__(self, start: datetime = _START) -> None:
        self._start = start
        self._passed = timedelta()

    def now(self) -> datetime:
        """Return the start and what has passed since."""
        return self._start + self._passed

    def monotonic(self) -> float:
        """Return the seconds that have passed."""
        return self._passed.total_seconds()

    def pause(self, duration: timedelta) -> None:
        """Let time pass, at once."""
        self._passed += max(duration, timedelta())


class MemoryDeploying:
    """Lets one deployment of a system at a time in; a deployer that was killed has let go of it."""

    def __init__(self) -> None:
        self._inside: set[str] = set()

    @contextmanager
    def __call__(self, system: str) -> Iterator[None]:
        """Keep every other deployment of a system out while the block runs."""
        if system in self._inside:
            raise ConflictError(f"another deployment of {system} is under way")
        self._inside.add(system)
        try:
            yield
        finally:
            self._inside.discard(system)


@dataclass(slots=True)
class _Simulated:
    """A replica: the real rules of the data plane on a state that lives in memory."""

    name: str
    loads: bool
    ready: set[str]
    workers: int
    state: ReplicaState = field(default_factory=ReplicaState)
    failed: dict[str, str] = field(default_factory=dict)
    refusal: Refusal | None = None
    offered: RouteDocument | None = None
    anchor: tuple[int, str] = (0, "")
    memory_bytes: int = 0
    fallback: bool = True
    agent_alive: bool = True
    cut_off: bool = False
    starts: int = 1
    held_out: bool = False
    unheard: int = 0
    seen_at: datetime | None = None

    @property
    def usable(self) -> frozenset[str]:
        return frozenset(self.ready) if self.workers else frozenset()

    def take(self, document: RouteDocument) -> None:
        if self.loads and self.workers:
            self.ready.update(version for version in document.wanted if version not in self.failed)
        self.state, refusal = self._receive(document)
        if self.offered is None or document.route >= self.offered.route:
            self.offered = document
            self.refusal = refusal
        else:
            self.state, self.refusal = self._receive(self.offered)
        if document.anchor[0] > self.anchor[0]:
            self.anchor = document.anchor
        self.held_out = self.name in document.held_out

    def _receive(self, document: RouteDocument) -> tuple[ReplicaState, Refusal | None]:
        return self.state.receive(document.route, document.generations, document.facts, self.usable)


class MemoryTraffic:
    """
    A fleet in memory.

    Args:
        clock: Its time; a push that nobody answers lets its deadline pass on it.
    """

    def __init__(self, clock: MemoryClock | None = None) -> None:
        self.clock = clock or MemoryClock()
        self.releases: dict[tuple[str, str], ReleaseDocument] = {}
        self.rules: dict[str, dict[str, Any]] = {}
        self._published: dict[str, RouteDocument] = {}
        self._damaged: set[str] = set()
        self._writing = Lock()
        self._fleets: dict[str, dict[str, _Simulated]] = {}

    # ---- what happens to replicas

    def join(
        self, system: str, name: str, *, ready: Collection[str] = (), workers: int = 1, loads: bool = False
    ) -> None:
        """Start a replica with these versions ready; one that ``loads`` makes ready whatever a document wants."""
        simulated = _Simulated(name, loads, set(ready), workers, seen_at=self.clock.now())
        self._fleets.setdefault(system, {})[name] = simulated
        self._read_published(system)

    def set_ready(self, system: str, name: str, ready: Collection[str]) -> None:
        """Say which versions all workers of a replica have ready from now on; a refused generation is tried again."""
        simulated = self._find(system, name)
        simulated.ready = set(ready)
        if simulated.agent_alive and simulated.offered:
            simulated.take(simulated.offered)

    def fail(self, system: str, name: str, version: str, reason: str) -> None:
        """Make a version impossible to load on a replica."""
        simulated = self._find(system, name)
        simulated.failed[version] = reason
        simulated.ready.discard(version)

    def weigh(self, system: str, name: str, memory_bytes: int) -> None:
        """Say how much memory the workers of a replica take together."""
        self._find(system, name).memory_bytes = memory_bytes

    def take_fallback(self, system: str, name: str) -> None:
        """Let a replica have a worker whose program makes no static fallback."""
        self._find(system, name).fallback = False

    def trip_locally(self, system: str, name: str, version: str) -> None:
        """Let a replica leave a version on its own evidence (rule 9)."""
        simulated = self._find(system, name)
        simulated.state = simulated.state.leave_here(name, version, simulated.usable)

    def cut_off(self, system: str, name: str) -> None:
        """Let nothing reach a replica, though it runs."""
        self._find(system, name).cut_off = True

    def reconnect(self, system: str, name: str) -> None:
        """Undo ``cut_off``: it reads what is published."""
        self._find(system, name).cut_off = False
        self._read_published(system)

    def kill_agent(self, system: str, name: str) -> None:
        """End a replica's agent; its workers serve on."""
        self._find(system, name).agent_alive = False

    def lose(self, system: str, name: str) -> None:
        """Let a replica be heard of no more, for so long that nobody counts its workers as running; they serve on."""
        simulated = self._find(system, name)
        simulated.agent_alive, simulated.unheard, simulated.workers = False, simulated.workers, 0

    def restart_agent(self, system: str, name: str) -> None:
        """Start an agent again: it still knows its state, and reads what is published."""
        self._find(system, name).agent_alive = True
        self._read_published(system)

    def kill_workers(self, system: str, name: str) -> None:
        """End a replica's workers."""
        self._find(system, name).workers = 0

    def restart_workers(self, system: str, name: str, workers: int = 1) -> None:
        """Start all workers of a replica anew; what they are to have ready they load again."""
        simulated = self._find(system, name)
        simulated.workers = workers
        simulated.starts += 1
        self._read_published(system)

    def damage(self, system: str) -> None:
        """Make what is published unreadable until it is written anew."""
        self._damaged.add(system)

    # ---- the port

    def published(self, system: str) -> RouteDocument | None:
        """See the port."""
        if system in self._damaged:
            raise InvalidError(f"what is published for {system} cannot be read")
        return self._published.get(system)

    def publish(self, system: str, change: Callable[[RouteDocument], RouteDocument], *, anew: bool = False) -> None:
        """See the port."""
        with self._writing:
            before = None if anew and system in self._damaged else self.published(system)
            self._published[system] = change(before or RouteDocument(system=system))
            self._damaged.discard(system)
        self._read_published(system)

    def publish_release(self, release: ReleaseDocument) -> None:
        """See the port."""
        self.releases[release.manifest.system, release.manifest.content_digest] = release

    def publish_rules(self, system: str, rules: Mapping[str, Any]) -> None:
        """Keep the rules; nobody here has limits of its own."""
        self.rules[system] = dict(rules)

    def push(
        self, document: RouteDocument, deadline: timedelta, *, on_acknowledged: Callable[[str], None] | None = None
    ) -> Answers:
        """See the port."""

        def take(simulated: _Simulated) -> str:
            simulated.take(document)
            return ""

        fleet = self._fleets.get(document.system, {})
        agents = {name: simulated for name, simulated in fleet.items() if simulated.agent_alive}
        without = {
            name: Unreachable(replica=name, reason="no agent runs") for name in sorted(fleet.keys() - agents.keys())
        }
        return {**self._ask(agents, take, deadline, on_acknowledged), **without}

    def leave(
        self,
        system: str,
        trip: Trip,
        deadline: timedelta,
        *,
        replicas: Collection[str] | None = None,
        local: bool = False,
    ) -> Answers:
        """See the port."""
        fleet = self._fleets.get(system, {})
        if replicas is not None:
            fleet = {name: self._find(system, name) for name in replicas}

        def take(simulated: _Simulated) -> str:
            state, ready = simulated.state, simulated.usable
            if not local:
                simulated.state = state.leave(trip, ready)
            elif trip.version not in {left.version for left in state.local}:
                if state.target_after_leaving(trip.version, ready) is None:
                    return f"replica {simulated.name} does not serve {trip.version} or has nothing ready behind it"
                simulated.state = state.leave_here(simulated.name, trip.version, ready)
            return ""

        return self._ask(fleet, take, deadline, None)

    def replicas(self, system: str) -> Mapping[str, Replica]:
        """See the port."""
        return {
            name: Replica(
                name=name,
                report=_report(simulated),
                agent_alive=simulated.agent_alive,
                workers_alive=simulated.workers,
                seen_at=simulated.seen_at,
                workers_unheard=simulated.unheard,
            )
            for name, simulated in sorted(self._fleets.get(system, {}).items())
        }

    def stamp(self, system: str) -> object:
        """See the port."""
        return self._published.get(system), system in self._damaged, tuple(sorted(self._fleets.get(system, {})))

    def wait(
        self, system: str, until: Callable[[Mapping[str, Replica]], bool], deadline: timedelta
    ) -> Mapping[str, Replica]:
        """See the port."""
        end = self.clock.monotonic() + deadline.total_seconds()
        while True:
            seen = self.replicas(system)
            if until(seen) or self.clock.monotonic() >= end:
                return seen
            self.clock.pause(_LOOK)

    # ---- inside

    def _find(self, system: str, name: str) -> _Simulated:
        fleet = self._fleets.get(system, {})
        if name not in fleet:
            raise NotFoundError(f"system {system} has no replica {name!r}", hint=f"It has: {', '.join(sorted(fleet))}")
        return fleet[name]

    def _read_published(self, system: str) -> None:
        document = self._published.get(system)
        for simulated in self._fleets.get(system, {}).values():
            if document is not None and simulated.agent_alive and not simulated.cut_off:
                simulated.take(document)
                simulated.seen_at = self.clock.now()

    def _ask(
        self,
        fleet: Mapping[str, _Simulated],
        take: Callable[[_Simulated], str],
        deadline: timedelta,
        on_acknowledged: Callable[[str], None] | None,
    ) -> Answers:
        answers: dict[str, ReplicaReport | Unreachable] = {}
        for name, simulated in sorted(fleet.items()):
            if simulated.cut_off:
                answers[name] = Unreachable(replica=name, reason=f"no answer within {deadline.total_seconds():g} s")
            elif reason := take(simulated):
                answers[name] = Unreachable(replica=name, reason=reason)
            else:
                simulated.seen_at = self.clock.now()
                answers[name] = _report(simulated)
                if on_acknowledged:
                    on_acknowledged(name)
        if any(simulated.cut_off for simulated in fleet.values()):
            self.clock.pause(deadline)
        return answers


class MemoryTelemetry:
    """Counts and health as they were put in."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[str, CountsReport]] = {}
        self._health: dict[str, HealthSample] = {}

    def report(self, system: str, counts: CountsReport) -> None:
        """Put in the counts of a worker; an older report than the one that is there changes nothing."""
        workers = self._counts.setdefault(system, {})
        known = workers.get(counts.worker)
        if known is None or counts.sequence >= known.sequence:
            workers[counts.worker] = counts

    def set_health(self, url: str, sample: HealthSample) -> None:
        """Say what an endpoint answers from now on."""
        self._health[url] = sample

    def counts(self, system: str) -> Mapping[str, CountsReport]:
        """See the port."""
        return dict(self._counts.get(system, {}))

    def health(self, url: str, timeout: timedelta) -> HealthSample:
        """See the port; nothing listens where nothing was put in."""
        if not url.startswith(("http://", "https://")):
            raise InvalidError(f"{url!r} is no http or https URL", hint="Give the health endpoint as http://host/path")
        nobody = HealthSample(ok=False, status=None, latency_seconds=0.0, error="connection refused")
        sample = self._health.get(url, nobody)
        limit = timeout.total_seconds()
        if sample.latency_seconds > limit:
            return replace(sample, ok=False, status=None, latency_seconds=limit, error=f"no answer within {limit:g} s")
        return sample


def _report(simulated: _Simulated) -> ReplicaReport:
    at = "" if simulated.seen_at is None else simulated.seen_at.isoformat().replace("+00:00", "Z")
    return ReplicaReport(
        replica=simulated.name,
        state=simulated.state,
        ready=simulated.usable,
        failed=dict(simulated.failed),
        workers=simulated.workers,
        memory_bytes=simulated.memory_bytes,
        fallback=simulated.fallback,
        refusal=simulated.refusal,
        at=at,
        anchor=simulated.anchor,
        crew=frozenset(f"{simulated.name}-{simulated.starts}-{n}" for n in range(simulated.workers)),
        held_out=simulated.held_out,
    )
