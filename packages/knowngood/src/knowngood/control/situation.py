"""Situation: everything that a plan is made from, gathered from the store, the replicas and what was measured."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from knowngood.control.compose import best_pairs
from knowngood.control.gate import live_replicas, ready_everywhere
from knowngood.control.lag import check_keeps_up, known_route
from knowngood.control.plane import Plane
from knowngood.control.telemetry import merged_counts
from knowngood.domain.compatibility import Override
from knowngood.domain.component import Depth
from knowngood.domain.evidence import Evidence, Grade, Standing, standing_of
from knowngood.domain.level import Level
from knowngood.domain.on_record import OnRecord, Unread
from knowngood.domain.plan import Estimates
from knowngood.domain.planner import Shadowed, Situation
from knowngood.domain.system import SystemFile, SystemKind
from knowngood_sdk.errors import ComponentError, NotFoundError
from knowngood_sdk.model.counts import VersionCounts
from knowngood_sdk.model.manifest import Manifest
from knowngood_sdk.model.route import Facts

__all__ = ["situation_of"]

_log = logging.getLogger(__name__)


def situation_of(  # noqa: PLR0913 - what may be known of a wish, each by its name
    plane: Plane,
    system: str,
    *,
    suspected: str | None = None,
    asked: Level | None = None,
    wanted: str | None = None,
    overrides: Mapping[str, Override] | None = None,
    probe: bool = False,
) -> Situation:
    """
    Gather the situation of a system: what is to be left is the candidate once it takes traffic, else what is served.

    Args:
        plane: The ports.
        system: Name of the system.
        suspected: Component that is believed to be at fault.
        asked: Level that a person asked for.
        wanted: Content digest of the version that a person named.
        overrides: Leave to use unproven combinations, by content digest.
        probe: Whether to ask every component how long restoring the way back takes; a flip has no time for that.

    Raises:
        NotFoundError: Nothing is served.
        ConflictError: The record is behind what the replicas stand on, so nobody can plan by it.
    """
    spec = plane.system_file(system)
    known = known_route(plane, system)
    state = plane.store.read(system)
    check_keeps_up(system, state, known)
    leaving = state.watched
    if leaving is None:
        raise NotFoundError(
            f"system {system} serves no version",
            hint=f"Deploy one: kg deploy {system}, or one that is on record: kg deploy {system} --version VERSION",
        )
    evidence = plane.store.evidence(system)
    history = _history(plane, spec, state.facts, evidence)
    live = plane.store.manifest(system, leaving)
    return Situation(
        live=live,
        history=history,
        ready=ready_everywhere(live_replicas(plane, system)),
        shadow=_shadowed(_counted(plane, system), leaving, history),
        overrides=overrides or {},
        beside=state.served if leaving == state.candidate else None,
        wanted=wanted,
        suspected=suspected,
        asked=asked,
        estimates=_estimates(plane, spec, evidence, live if probe else None),
        rule=spec.unproven,
        realtime=spec.kind is SystemKind.REALTIME,
        behind=tuple(v for v in state.chain[state.chain.index(leaving) + 1 :] if v not in state.facts.quarantined),
        static_fallback=spec.fallback is not None,
    )


class _Entry:
    """A version on record, read and judged once it is asked for: of a long history few are."""

    def __init__(self, kept: Unread, standing: Callable[[str], Standing]) -> None:
        self.version = kept.version
        self.known_issues: tuple[str, ...] = ()
        self._kept = kept
        self._standing = standing

    @cached_property
    def manifest(self) -> Manifest:
        return self._kept.read()

    @cached_property
    def standing(self) -> Standing:
        return self._standing(self.version)

    def may_mention(self, text: str) -> bool:
        return self._kept.may_mention(text)


def _history(plane: Plane, spec: SystemFile, facts: Facts, evidence: Sequence[Evidence]) -> tuple[OnRecord, ...]:
    """Return the versions on record, newest first, each with what its own evidence makes of it."""
    shown: dict[str, list[Evidence]] = {}
    for fact in evidence:
        shown.setdefault(fact.version, []).append(fact)
    now, keep = plane.clock.now(), spec.standby.keep

    def standing(version: str) -> Standing:
        return standing_of(version, shown.get(version, ()), facts, now=now, cool_down=keep)

    return tuple(_Entry(kept, standing) for kept in reversed(plane.store.versions(spec.system)))


def _counted(plane: Plane, system: str) -> Mapping[str, VersionCounts]:
    """Return what was counted; nothing where it cannot be read, for a plan without evidence beats none at all."""
    try:
        return merged_counts(plane, system)
    except ComponentError as error:
        _log.warning("planned without what was measured in shadow: %s", error)
        return {}


def _shadowed(counts: Mapping[str, VersionCounts], leaving: str, history: Sequence[OnRecord]) -> dict[str, Shadowed]:
    """Return what was measured of every version beside a known one."""
    known = frozenset(e.version for e in history if e.version in counts and e.standing.eligible)
    measured: dict[str, Shadowed] = {}
    for version in {version for of in counts.values() for version in of.shadow}:
        pairs, beside = best_pairs(counts, version, known)
        bad = beside.get(leaving)
        measured[version] = Shadowed(
            divergence=pairs.divergence,
            n=pairs.n,
            failed=pairs.failed,
            bad_divergence=bad.divergence if bad is not None and bad.n else None,
        )
    return measured


def _estimates(plane: Plane, spec: SystemFile, evidence: tuple[Evidence, ...], target: Manifest | None) -> Estimates:
    """Return what arming measured last, and what the components' probes say."""
    armed = [fact.figures for fact in evidence if fact.grade is Grade.ARMED]
    restore: dict[str, float] = {}
    if target is not None:
        adapters = plane.adapters(spec.system)
        for name, recorded in target.components.items():
            seconds = adapters[name].probe(recorded.ref, Depth.BYTES).eta_seconds
            if seconds is not None:
                restore[name] = seconds
    if not armed:
        return Estimates(restore=restore)
    return Estimates(
        restore=restore,
        load=max(float(figures["load_seconds"]) for figures in armed),
        flip=float(armed[-1]["flip_seconds"]),
    )
