"""
Gate: the three checks that can block a deployment (N1), each against the real thing.

The previous version is available, the infrastructure can load the new one beside it, and the routing can switch. A
check that could not be made blocks as one that failed does: a way back that nobody tested is none.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from knowngood.control.plane import Plane
from knowngood.control.publish import PUSH_DEADLINE
from knowngood.domain.component import Depth, PinStrength
from knowngood.domain.fleet import FleetState
from knowngood.domain.system import SystemFile, SystemKind
from knowngood.ports.component import Component
from knowngood.ports.traffic import Replica, Unreachable
from knowngood_sdk.errors import NotReadyError
from knowngood_sdk.model.canonical import short
from knowngood_sdk.model.manifest import Manifest
from knowngood_sdk.model.wire import RouteDocument

__all__ = [
    "Armed",
    "check_fallback",
    "check_memory",
    "check_previous",
    "check_promises",
    "live_replicas",
    "ready_everywhere",
    "wait_until_armed",
]

_POLL = timedelta(milliseconds=50)
_REALTIME_PROPAGATION = timedelta(seconds=60)
"""A real-time system is back on its previous version within this time (G1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Armed:
    """
    What the gate measured.

    Attributes:
        replicas: Replicas on which candidate and way back are ready.
        load_seconds: Longest time that a worker took to load, warm and check the candidate.
        flip_seconds: Time until every replica acknowledged a route, as a flip would take it.
    """

    replicas: tuple[str, ...]
    load_seconds: float
    flip_seconds: float
    probed: Mapping[str, float | None] = field(default_factory=dict)


def live_replicas(plane: Plane, system: str) -> dict[str, Replica]:
    """Return the replicas whose agent is alive and that have a living worker."""
    return _live(plane.traffic.replicas(system))


def ready_everywhere(replicas: Mapping[str, Replica]) -> frozenset[str]:
    """Return the versions that are ready on every one of some replicas; none when there is no replica."""
    sets = [replica.report.ready for replica in replicas.values()]
    return frozenset.intersection(*sets) if sets else frozenset()


def check_previous(
    components: Mapping[str, Component], spec: SystemFile, state: FleetState, served: Manifest | None
) -> dict[str, float | None]:
    """
    Check that there is something to go back to: every byte of the version that is served, or a static fallback.

    Returns:
        Component name -> estimate in seconds for restoring it.

    Raises:
        NotReadyError: A component of the served version cannot be restored, or there is neither version nor fallback.
    """
    if served is None:
        if spec.fallback is None:
            raise NotReadyError(
                f"this is the first deployment of {spec.system}, and it has no static fallback",
                hint="Declare fallback: in the system file: what to answer when no version can",
            )
        return {}
    estimates: dict[str, float | None] = {}
    for name, recorded in served.components.items():
        probe = components[name].probe(recorded.ref, Depth.LOAD)
        if not probe.ok:
            raise NotReadyError(
                f"component {name} of the version that is served ({short(state.served or '')}) is"
                f" {probe.availability}: {probe.reason}",
                hint="Restore it, then deploy: without it there is no way back",
                component=name,
            )
        estimates[name] = probe.eta_seconds
    return estimates


def check_promises(components: Mapping[str, Component], spec: SystemFile) -> None:
    """
    Check that every component can keep what its system needs (see ``Caps``).

    Raises:
        NotReadyError: A component cannot be kept for the cool-down, cannot go back, or reaches its readers too late for
            a system that answers while somebody waits.
    """
    for name in spec.components:
        component = components[name]
        caps = component.caps
        if caps.pin is PinStrength.NONE:
            raise NotReadyError(
                f"nothing keeps component {name} for the cool-down: its {component.kind} versions cannot be pinned",
                hint="Keep it where versions can be pinned (files, git)",
            )
        if not caps.reversible:
            raise NotReadyError(f"component {name} cannot go back to an earlier version", hint="Keep it somewhere else")
        if spec.kind is SystemKind.REALTIME and caps.propagation > _REALTIME_PROPAGATION:
            seconds = caps.propagation.total_seconds()
            raise NotReadyError(
                f"readers follow component {name} only after {seconds:g} s, too late for a real-time system",
                hint="Let each consumer address its version, or declare the system as batch",
            )


def wait_until_armed(
    plane: Plane, document: RouteDocument, version: str, deadline: timedelta, tell: Callable[[str], None]
) -> Armed:
    """
    Wait until every live replica has the candidate loaded, warm and right on its golden inputs, then try the routing.

    Raises:
        NotReadyError: A worker could not make it ready, no replica lives, the deadline passed, or one did not
            acknowledge a route.
    """
    system = document.system
    last = plane.clock.monotonic() + deadline.total_seconds()
    told = ""
    while True:
        seen = plane.traffic.replicas(system)
        live, lacking = _live(seen), _lacking(system, seen)
        for name, replica in sorted(live.items()):
            if version in replica.report.failed:
                reason = replica.report.failed[version]
                raise NotReadyError(f"replica {name} cannot make {short(version)} ready: {reason}", replica=name)
        waiting = sorted(name for name, replica in live.items() if version not in replica.report.ready)
        if live and not waiting:
            break
        wait = f"waiting for {', '.join(waiting) or 'a replica'} to load {short(version)}"
        now = "; ".join([f"{wait} (up to {deadline.total_seconds():.0f} s)", *lacking])
        if now != told:
            tell(now)
            told = now
        if plane.clock.monotonic() > last:
            raise NotReadyError(
                f"{short(version)} was not ready within {deadline.total_seconds():.0f} s on: "
                f"{', '.join(waiting) or 'any replica, for none is running'}",
                hint="; ".join(lacking) or "Look at the log of each server",
            )
        plane.clock.pause(_POLL)
    flip_seconds = _try_routing(plane, document)
    longest = max(replica.report.load_seconds.get(version, 0.0) for replica in live.values())
    return Armed(replicas=tuple(sorted(live)), load_seconds=longest, flip_seconds=flip_seconds)


def check_fallback(live: Mapping[str, Replica], spec: SystemFile) -> None:
    """
    Check that a static fallback that the system declares is there in every worker: it is the last way back of all.

    Raises:
        NotReadyError: A worker of a replica has none.
    """
    if spec.fallback is None:
        return
    for name, replica in sorted(live.items()):
        if not replica.report.fallback:
            raise NotReadyError(
                f"the static fallback that {spec.system} declares is missing in a worker of replica {name}:"
                " where no version can answer, nothing would",
                hint="Declare @kg.fallback in its server and see that it makes a value; or take fallback: out of the"
                " system file, then kg apply",
                replica=name,
            )


def check_memory(live: Mapping[str, Replica], bound: int | None) -> None:
    """
    Check that live and standby fit together on every replica, as measured with both loaded.

    Raises:
        NotReadyError: They do not: the standby would be pushed out when it is needed.
    """
    for name, replica in sorted(live.items()):
        used = replica.report.memory_bytes
        if bound is not None and used > bound:
            raise NotReadyError(
                f"live and standby together take {used / 2**20:.0f} MiB on replica {name}; "
                f"standby.memory allows {bound / 2**20:.0f} MiB",
                hint="Raise the bound, give the replica fewer workers, or make the model smaller",
                replica=name,
            )


def _try_routing(plane: Plane, document: RouteDocument) -> float:
    """Push a route as a flip does, and measure until the last acknowledgement."""
    started = plane.clock.monotonic()
    answers = plane.traffic.push(document, PUSH_DEADLINE)
    silent = {name: answer.reason for name, answer in answers.items() if isinstance(answer, Unreachable)}
    if silent:
        # A replica that was taken out of service leaves its folder behind: it holds nobody up.
        seen = plane.traffic.replicas(document.system)
        silent = {name: reason for name, reason in silent.items() if name not in seen or seen[name].workers_alive}
    if silent:
        who = "; ".join(f"{name}: {reason}" for name, reason in sorted(silent.items()))
        raise NotReadyError(
            f"the routing of these replicas cannot be switched: {who}",
            hint="; ".join(_lacking(document.system, plane.traffic.replicas(document.system))) or "Look at their logs",
        )
    return plane.clock.monotonic() - started


def _live(replicas: Mapping[str, Replica]) -> dict[str, Replica]:
    return {name: replica for name, replica in replicas.items() if replica.agent_alive and replica.workers_alive}


def _lacking(system: str, replicas: Mapping[str, Replica]) -> list[str]:
    """Say what does not run and how it is started: of each replica of which a part runs, or of all when none does."""
    if not replicas:
        return [f"no replica has joined yet: start its server, and beside it: kg agent {system}"]
    running = {name: replica for name, replica in replicas.items() if replica.alive}
    lacking = []
    for name, replica in sorted((running or replicas).items()):
        if not replica.workers_alive:
            lacking.append(f"{name} has no live worker: start its server")
        if not replica.agent_alive:
            lacking.append(f"{name} has no live agent: kg agent {system} --replica {name}")
    return lacking
