"""
Plan: one way back, in ordered steps, with everything that was considered and refused.

A plan is a value: nothing in it was done yet. It says its level, which follows from what it changes; the authority that
this takes; what can go wrong; and, where there is no safe target, what a person could do.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from knowngood.domain.authority import AUTHORITY, Rule
from knowngood.domain.compatibility import Override
from knowngood.domain.evidence import Grade
from knowngood.domain.level import Diff, Level
from knowngood_sdk.model.canonical import short
from knowngood_sdk.model.manifest import Manifest, Role, Switching

__all__ = ["Alternative", "Choice", "Estimates", "Plan", "Step", "Verb", "duration_of", "steps_of"]

_ORDER = (Role.DATA, Role.STATE, Role.FEATURES, Role.MODEL, Role.PROMPT, Role.CONFIG, Role.INFRA)
"""Order in which components are switched: what others are computed from comes first."""


class Verb(StrEnum):
    """What a step does."""

    PROBE = "probe"  # is it restorable
    PREPARE = "prepare"  # everything slow, nothing visible
    LOAD = "load"  # the whole version on every replica: loaded, warmed, golden outputs checked
    SWITCH = "switch"  # the commit point of one component
    TRAFFIC = "traffic"  # the flip
    EFFECTIVE = "effective"  # the data path is asked, not the pointer


class Choice(StrEnum):
    """What the planner says of an alternative."""

    PREFERRED = "preferred"  # the one that is planned
    ALLOWED = "allowed"  # could be taken as well
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """
    One thing to do.

    Attributes:
        stage: Steps of one stage run side by side; a stage starts when the one before is over. Counts from 1.
        verb: What it does.
        component: On which component; empty for what concerns the whole version.
        estimate_seconds: How long it takes, as measured, in seconds; None when it was never measured.
    """

    stage: int
    verb: Verb
    component: str = ""
    estimate_seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "stage": self.stage,
            "verb": self.verb.value,
            "component": self.component,
            "estimate_seconds": self.estimate_seconds,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimates:
    """
    What was measured, all in seconds.

    Attributes:
        restore: Component -> prepare and switch together, as its probe measured them.
        load: Loading a whole version on every replica; None when it was never measured.
        flip: From the decision until every replica acknowledged; None when it was never measured.
    """

    restore: Mapping[str, float] = field(default_factory=dict)
    load: float | None = None
    flip: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "restore", MappingProxyType(dict(self.restore)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """
    One thing that could be gone back to.

    Attributes:
        scope: What is restored: ``system`` for a recorded version as a whole, else component names joined by ``+``.
        target: The manifest that would serve.
        changes: What differs from the live one.
        choice: What the planner says of it.
        reason: Why.
        proven: Whether the target was recorded as one manifest.
        grade: What is known of it; None for a combination, of which nothing is.
        ready: Whether a slot stands ready on every replica, so that it takes a flip alone.
        steps: What to do, in order; empty when it is refused.
        estimate_seconds: How long all steps take, in seconds; None when a part was never measured.
        divergence: Mean absolute relative divergence of the combination from the known version; None when not measured.
        bad_divergence: The live version's own divergence on the same requests; None when not measured.
        tolerance: Highest divergence that is allowed; None for a proven target.
        n: Real requests behind these figures.
        override: A person's leave that allowed it; None when none did.
        known_issues: What is known to be wrong with the target, in sentences.
    """

    scope: str
    target: Manifest
    changes: Diff
    choice: Choice
    reason: str
    proven: bool
    grade: Grade | None = None
    ready: bool = False
    steps: tuple[Step, ...] = ()
    estimate_seconds: float | None = None
    divergence: float | None = None
    bad_divergence: float | None = None
    tolerance: float | None = None
    n: int = 0
    override: Override | None = None
    known_issues: tuple[str, ...] = ()

    @property
    def level(self) -> Level:
        """How deep it goes, by what it changes."""
        return self.changes.level or Level.MODEL

    @property
    def stops_harm_seconds(self) -> float | None:
        """How long until the traffic is switched, in seconds; None when a part was never measured."""
        last = max((step.stage for step in self.steps if step.verb is Verb.TRAFFIC), default=0)
        return duration_of(tuple(step for step in self.steps if step.stage <= last))

    @property
    def allowed(self) -> bool:
        """Whether it may be taken."""
        return self.choice is not Choice.REFUSED

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "scope": self.scope,
            "level": int(self.level),
            "target": self.target.content_digest,
            "verdict": self.choice.value,
            "reason": self.reason,
            "proven": self.proven,
            "grade": self.grade.value if self.grade else None,
            "ready": self.ready,
            "changes": list(self.changes.components),
            "steps": [step.to_json() for step in self.steps],
            "estimate_seconds": self.estimate_seconds,
            "stops_harm_seconds": self.stops_harm_seconds if self.steps else None,
            "divergence": self.divergence,
            "bad_divergence": self.bad_divergence,
            "tolerance": self.tolerance,
            "n": self.n,
            "override": self.override.to_json() if self.override else None,
            "known_issues": list(self.known_issues),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    What to do, or that nothing is safe.

    Attributes:
        live: Content digest of the version to leave.
        chosen: The planned alternative; None when nothing is safe.
        alternatives: All that were considered, the chosen one among them.
        risks: What can go wrong with the chosen one.
        flags: What a person should know before saying yes.
        stop_first: A shallower alternative that stops the harm while the chosen one runs; None when there is none.
        options: What a person could do where nothing is safe; empty otherwise.
    """

    live: str
    chosen: Alternative | None
    alternatives: tuple[Alternative, ...]
    risks: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    stop_first: Alternative | None = None
    options: tuple[str, ...] = ()

    @property
    def unsafe(self) -> bool:
        """Whether there is no safe target."""
        return self.chosen is None

    @property
    def level(self) -> Level | None:
        """How deep the chosen alternative goes; None when nothing is safe."""
        return self.chosen.level if self.chosen else None

    @property
    def authority(self) -> Rule | None:
        """What the level takes of people; None when nothing is safe."""
        return AUTHORITY[self.chosen.level] if self.chosen else None

    @property
    def consumers(self) -> tuple[str, ...]:
        """Other systems that the chosen alternative reaches."""
        return self.chosen.changes.shared_by if self.chosen else ()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        authority = self.authority
        return {
            "outcome": "unsafe" if self.chosen is None else "planned",
            "live": self.live,
            "target": self.chosen.target.content_digest if self.chosen else None,
            "level": None if self.level is None else int(self.level),
            "grade": self.chosen.grade.value if self.chosen and self.chosen.grade else None,
            "chosen": self.chosen.to_json() if self.chosen else None,
            "alternatives": [alternative.to_json() for alternative in self.alternatives],
            "authority": authority.to_json() if authority else None,
            "consumers": list(self.consumers),
            "risks": list(self.risks),
            "flags": list(self.flags),
            "stop_first": self.stop_first.target.content_digest if self.stop_first else None,
            "options": list(self.options),
        }

    def __str__(self) -> str:
        if self.chosen is None:
            return f"no safe target for {short(self.live)}"
        return f"level {self.chosen.level} from {short(self.live)} to {self.chosen.target.label}: {self.chosen.reason}"


def steps_of(changes: Diff, *, ready: bool, estimates: Estimates) -> tuple[Step, ...]:
    """
    Return what a restoration takes, in order.

    Where a slot stands ready and nothing is restored in place, the flip comes first, since it stops the harm at once,
    and what hangs on a pointer follows. Otherwise all is probed, then prepared side by side, loaded on every replica,
    switched in the order of dependence with the traffic last. What is restored in place is loaded after its switch:
    before it, the bytes are not there. At the end the data path of every component is asked.

    Args:
        changes: What differs between live and target.
        ready: Whether the target stands ready on every replica.
        estimates: What was measured.
    """
    restored = sorted(
        (change for change in changes.changes if change.after is not None),
        key=lambda change: (min(_ORDER.index(side.role) for side in change.sides), change.component),
    )
    names = [change.component for change in restored]
    moved = [change for change in restored if any(side.switching is not Switching.ADDRESSED for side in change.sides)]
    switched = [change.component for change in moved]
    in_place = any(side.switching is Switching.IN_PLACE for change in moved for side in change.sides)
    traffic = [(Verb.TRAFFIC, [""])]
    switches = [(Verb.SWITCH, [name]) for name in switched]
    effective = [(Verb.EFFECTIVE, names)]
    if ready and not in_place:
        stages = [*traffic, (Verb.PROBE, switched), (Verb.PREPARE, switched), *switches, *effective]
    else:
        load = [(Verb.LOAD, [""])]
        middle = [*switches, *load] if in_place else [*load, *switches]
        stages = [(Verb.PROBE, names), (Verb.PREPARE, names), *middle, *traffic, *effective]
    filled = [(verb, components) for verb, components in stages if components]
    return tuple(
        Step(stage=stage, verb=verb, component=name, estimate_seconds=_estimate(verb, name, estimates))
        for stage, (verb, components) in enumerate(filled, start=1)
        for name in components
    )


def duration_of(steps: tuple[Step, ...]) -> float | None:
    """
    Return how long some steps take, in seconds: in each stage the slowest, one stage after the other.

    Probes, and the look at the data path, are not part of it; a switch is in its component's prepare. None when a part
    was never measured, for a sum with a gap in it is no estimate.
    """
    slowest: dict[int, float] = {}
    for step in steps:
        if step.verb in (Verb.PROBE, Verb.SWITCH, Verb.EFFECTIVE):
            continue
        if step.estimate_seconds is None:
            return None
        slowest[step.stage] = max(slowest.get(step.stage, 0.0), step.estimate_seconds)
    return sum(slowest.values())


def _estimate(verb: Verb, component: str, estimates: Estimates) -> float | None:
    if verb is Verb.PREPARE:
        return estimates.restore.get(component)
    if verb is Verb.LOAD:
        return estimates.load
    return estimates.flip if verb is Verb.TRAFFIC else None
