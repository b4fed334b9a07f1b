"""
Planner: the smallest consistent restoration, and why everything else was not taken.

It never guesses. A target is a version that was verified as a whole and is not in quarantine, or a combination that was
measured on real requests, or that a person allowed by name. Where there is none, that is the result.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile

from knowngood.domain.compatibility import Override, judge_combination, mismatches, proof_of
from knowngood.domain.evidence import Grade
from knowngood.domain.level import Level, diff
from knowngood.domain.on_record import OnRecord, Recorded
from knowngood.domain.plan import Alternative, Choice, Estimates, Plan, Verb, duration_of, steps_of
from knowngood.domain.system import Tolerance
from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.canonical import short
from knowngood_sdk.model.manifest import Manifest, Role

__all__ = ["SLOW_MINUTES", "Recorded", "Shadowed", "Situation", "plan"]

SLOW_MINUTES = 10.0
"""A way back that takes longer is flagged."""
WHOLE = "system"
_SHOWN = 3
"""Options of one kind that are told."""
_NEVER = math.nan
_ROLE_ASKED: Mapping[Level, Role] = {Level.FEATURES: Role.FEATURES, Level.DATA: Role.DATA}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadowed:
    """
    What scoring in shadow showed of a combination, on the same real requests as the known version.

    Attributes:
        divergence: Its mean absolute relative divergence from the known version's outputs; NaN without a pair.
        n: Requests that both answered.
        failed: Requests that it could not answer.
        bad_divergence: The live version's own divergence, on the same requests; None when not measured.
    """

    divergence: float
    n: int
    failed: int = 0
    bad_divergence: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """
    All that a plan is made from.

    Attributes:
        live: What is to be left.
        history: Versions on record, newest first.
        ready: Content digests of the versions that stand ready on every replica.
        shadow: Content digest of a combination -> what was measured of it.
        overrides: Content digest of a combination -> a person's leave to use it.
        beside: Content digest of what serves the rest of the traffic while the live one is a candidate; None
            once that takes all of it.
        wanted: Content digest of the version that a person named; None when the planner is free.
        suspected: Name of the component that is believed to be at fault; None when nobody knows.
        asked: Level that a person asked for; None when the planner is free.
        estimates: What was measured of durations.
        rule: When an unproven combination may be used.
        realtime: Whether the system answers while somebody waits.
        behind: Content digests of the versions that would serve, one after the other, before the static fallback does.
        static_fallback: Whether one is declared.

    Raises:
        InvalidError: The live version has no component of the suspected name.
    """

    live: Manifest
    history: Sequence[OnRecord]
    ready: frozenset[str] = frozenset()
    shadow: Mapping[str, Shadowed] = field(default_factory=dict)
    overrides: Mapping[str, Override] = field(default_factory=dict)
    beside: str | None = None
    wanted: str | None = None
    suspected: str | None = None
    asked: Level | None = None
    estimates: Estimates = field(default_factory=Estimates)
    rule: Tolerance = field(default_factory=Tolerance)
    realtime: bool = True
    behind: Sequence[str] = ()
    static_fallback: bool = True

    def __post_init__(self) -> None:
        if self.suspected is not None and self.suspected not in self.live.components:
            raise InvalidError(
                f"{self.live.label} has no component {self.suspected!r}",
                hint=f"It has {', '.join(sorted(self.live.components))}",
            )


def plan(situation: Situation) -> Plan:
    """
    Plan the way back from the live version.

    Returns:
        The plan. Its alternatives are ordered: the planned one first, then what could be taken as well, then what was
        refused, each group from shallow to deep. Whole versions older than the one to go back to are not among them.
    """
    others = _others(situation)
    reference = _reference(situation, others)
    if reference is None:
        return _unsafe(situation, [_whole(situation, entry) for entry in others])
    parts = [] if situation.wanted else _parts(situation, reference.target)
    told = {part.target.content_digest for part in parts}
    after = takewhile(lambda entry: entry.version != reference.target.content_digest, others)
    newer = [_whole(situation, entry) for entry in after if entry.version not in told]
    choice = _choose(situation, [*parts, reference])
    if choice is None:
        return _unsafe(situation, [*parts, *newer, reference])
    chosen = _preferred(choice, parts)
    rest = [_told(situation, item, chosen) for item in (*parts, *newer, reference) if item is not choice]
    alternatives = (chosen, *_sorted(rest))
    shallow = [item for item in alternatives if item.allowed and item.level <= Level.SYSTEM]
    too_deep = situation.realtime and chosen.level > Level.SYSTEM
    stop_first = min(shallow, key=_speed, default=None) if too_deep else None
    return Plan(
        live=situation.live.content_digest,
        chosen=chosen,
        alternatives=alternatives,
        risks=_risks(chosen, reference.target),
        flags=_flags(situation, chosen, stop_first),
        stop_first=stop_first,
    )


def _unsafe(situation: Situation, considered: Sequence[Alternative]) -> Plan:
    alternatives = _sorted(considered)
    options = _options(situation, alternatives)
    return Plan(live=situation.live.content_digest, chosen=None, alternatives=alternatives, options=options)


def _sorted(alternatives: Iterable[Alternative]) -> tuple[Alternative, ...]:
    """Order by what may be taken, then from shallow to deep; what stood first stays first."""
    return tuple(sorted(alternatives, key=lambda item: (not item.allowed, item.level)))


# ---------------------------------------------------------------------------------------------------- alternatives


def _others(situation: Situation) -> list[OnRecord]:
    """Return the versions that differ from the live one, newest first, each once."""
    others: dict[str, OnRecord] = {}
    for entry in situation.history:
        others.setdefault(entry.version, entry)
    others.pop(situation.live.content_digest, None)
    return list(others.values())


def _whole(situation: Situation, entry: OnRecord) -> Alternative:
    """Judge going back to a recorded version as a whole."""
    allowed, reason, override = _judged(situation, entry)
    alternative = Alternative(
        scope=WHOLE,
        target=entry.manifest,
        changes=diff(situation.live, entry.manifest),
        choice=Choice.ALLOWED if allowed else Choice.REFUSED,
        reason=reason,
        proven=True,
        grade=entry.standing.grade,
        known_issues=entry.known_issues,
        override=override if allowed else None,
    )
    return _timed(situation, alternative)


def _judged(situation: Situation, entry: OnRecord) -> tuple[bool, str, Override | None]:
    """Tell whether a recorded version may be gone back to, why, and by whose leave; without reading its manifest."""
    standing, version = entry.standing, entry.version
    override = situation.overrides.get(version) if version == situation.wanted else None
    allowed = standing.eligible
    if standing.quarantined:
        reason = "it is in quarantine"
    elif standing.eligible:
        reason, override = f"it was recorded as a whole and is {standing.grade}", None
    elif version == situation.beside:
        reason, override = f"it serves the rest of the traffic, and is {standing.grade}", None
        allowed = True
    else:
        reason = f"it is only {standing.grade}; a target is at least {Grade.VERIFIED}"
        if override is not None:
            reason = f"{override.by} allowed it although {reason}: {override.reason}"
            allowed = True
    return allowed, reason, override


def _reference(situation: Situation, others: Sequence[OnRecord]) -> Alternative | None:
    """
    Return the version to go back to: the newest that may be a target and that differs where the fault is suspected.

    What serves the rest of the traffic anyway comes first, and one that stands ready before a newer one that has to be
    loaded. Where a person named one, it is that one or none. Manifests of older versions are not read: nothing of them
    could change the choice.
    """
    if situation.wanted is not None:
        candidates = [entry for entry in others if entry.version == situation.wanted]
    else:
        beside = [entry for entry in others if entry.version == situation.beside]
        ready = [entry for entry in others if entry.version in situation.ready]
        candidates = [*beside, *ready, *others]
    possible = (_whole(situation, entry) for entry in candidates if _judged(situation, entry)[0])
    return next((item for item in possible if _restores_suspect(situation, item)), None)


def _parts(situation: Situation, target: Manifest) -> list[Alternative]:
    """Judge restoring a part: the models; what is suspected or asked for, with what its contracts drag along."""
    live, asked = situation.live, situation.asked
    changed = frozenset(diff(live, target).components)
    movable = changed & live.components.keys() & target.components.keys()
    models = _of_role(Role.MODEL, movable, live, target)
    scopes = [models]
    if situation.suspected is not None:
        scopes.append(_closure(live, target, frozenset({situation.suspected}) & movable, movable))
    if asked is not None and asked in _ROLE_ASKED:
        scopes.append(_closure(live, target, _of_role(_ROLE_ASKED[asked], movable, live, target), movable))
    return [
        _part(situation, "+".join(sorted(names)), _mixed(live, target, names))
        for names in dict.fromkeys(scopes)
        if names and names != changed
    ]


def _part(situation: Situation, scope: str, combination: Manifest) -> Alternative:
    """Judge a combination of live and target components."""
    digest = combination.content_digest
    same = next((entry for entry in situation.history if entry.version == digest), None)
    if same is not None and (same.standing.eligible or same.standing.quarantined):
        return replace(_whole(situation, same), scope=scope)
    evidence = situation.shadow.get(digest, Shadowed(divergence=_NEVER, n=0))
    verdict = judge_combination(
        evidence.divergence,
        evidence.n,
        tolerance=situation.rule.divergence,
        min_requests=situation.rule.requests,
        failed=evidence.failed,
        override=situation.overrides.get(digest),
    )
    proof = proof_of(combination, _telling(situation, combination, same))
    alternative = Alternative(
        scope=scope,
        target=combination,
        changes=diff(situation.live, combination),
        choice=Choice.ALLOWED if verdict.allowed else Choice.REFUSED,
        reason="; ".join((*proof.reasons, verdict.reason)),
        proven=False,
        grade=same.standing.grade if same else None,
        known_issues=same.known_issues if same else (),
        divergence=verdict.divergence,
        bad_divergence=evidence.bad_divergence,
        tolerance=verdict.tolerance,
        n=verdict.n,
        override=verdict.override,
    )
    return _timed(situation, alternative)


def _telling(situation: Situation, combination: Manifest, same: OnRecord | None) -> list[Manifest]:
    """
    Return the manifests on record that tell something of a combination, the live one first.

    That is those that hold one of its models, which tell what it was recorded with; those that provide what its
    contracts miss, which gives that its name; and the combination itself.
    """
    marks = [part.ref.digest for part in combination.components.values() if part.role is Role.MODEL]
    marks += [item.required for item in mismatches(combination)]
    entries = (e for e in situation.history if e is same or any(map(e.may_mention, marks)))
    return [situation.live, *(entry.manifest for entry in entries)]


def _timed(situation: Situation, alternative: Alternative) -> Alternative:
    """Return the alternative with its steps and how long they take, unless it is refused."""
    if not alternative.allowed:
        return alternative
    ready = alternative.target.content_digest in situation.ready
    steps = steps_of(alternative.changes, ready=ready, estimates=situation.estimates)
    return replace(alternative, ready=ready, steps=steps, estimate_seconds=duration_of(steps))


def _of_role(role: Role, names: Iterable[str], live: Manifest, target: Manifest) -> frozenset[str]:
    """Return the names of the components, present on both sides, that have a role on either."""
    return frozenset(name for name in names if role in (live.components[name].role, target.components[name].role))


def _closure(live: Manifest, target: Manifest, start: frozenset[str], movable: frozenset[str]) -> frozenset[str]:
    """
    Grow a set of components until their contracts hold in the mixture, or nothing that could come along is left.

    Whatever a broken contract touches and can be moved comes along.
    """
    names = start
    while names:
        broken = mismatches(_mixed(live, target, names))
        touched = {item.component for item in broken} | {item.provider for item in broken if item.provider}
        if touched & movable <= names:
            break
        names |= touched & movable
    return names


def _mixed(live: Manifest, target: Manifest, names: frozenset[str]) -> Manifest:
    """Return the live manifest with some of its components as the target has them."""
    components = {name: target.components[name] if name in names else part for name, part in live.components.items()}
    return Manifest(system=live.system, components=components, parent=live.digest)


# ----------------------------------------------------------------------------------------------------------- choice


def _choose(situation: Situation, alternatives: Sequence[Alternative]) -> Alternative | None:
    """Return the shallowest alternative that may be taken, unless level 2 stands armed, proven and as fast."""
    possible = [
        item
        for item in alternatives
        if item.allowed and _restores_suspect(situation, item) and _is_asked_for(situation, item)
    ]
    if not possible:
        return None
    shallowest = min(possible, key=lambda item: (item.level, not item.proven, _speed(item)))
    return next((item for item in possible if _is_better(item, shallowest)), shallowest)


def _is_better(whole: Alternative, shallowest: Alternative) -> bool:
    """Whether level 2, armed and proven, beats level 1: where it is faster, or as fast and the other unproven."""
    if shallowest.level is not Level.MODEL or whole.level is not Level.SYSTEM or not (whole.proven and whole.ready):
        return False
    as_fast = _speed(whole) == _speed(shallowest)
    return _speed(whole) < _speed(shallowest) or (as_fast and not shallowest.proven)


def _speed(alternative: Alternative) -> tuple[bool, float]:
    """Order what begins with the flip first, then by the measured time until the harm stops; not measured is last."""
    seconds = alternative.stops_harm_seconds
    return (alternative.steps[0].verb is not Verb.TRAFFIC, math.inf if seconds is None else seconds)


def _restores_suspect(situation: Situation, alternative: Alternative) -> bool:
    return situation.suspected is None or situation.suspected in alternative.changes.components


def _is_asked_for(situation: Situation, alternative: Alternative) -> bool:
    """Whether an alternative is what a person meant by a level: that level, or what usually has it."""
    asked = situation.asked
    if asked is None or alternative.level == asked:
        return True
    if asked is Level.SYSTEM or alternative.scope == WHOLE:
        return asked is Level.SYSTEM and alternative.scope == WHOLE
    roles = {side.role for change in alternative.changes.changes for side in change.sides}
    return roles == {Role.MODEL} if asked is Level.MODEL else _ROLE_ASKED[asked] in roles


# --------------------------------------------------------------------------------------------- what to tell people


def _preferred(choice: Alternative, parts: Sequence[Alternative]) -> Alternative:
    """Mark the choice, and say so where it was taken although less would have been allowed."""
    reason = choice.reason
    if any(part.allowed and part.level < choice.level for part in parts):
        reason = f"{reason}; it stands armed, is proven, and is as fast as level {Level.MODEL}"
    return replace(choice, choice=Choice.PREFERRED, reason=reason)


def _told(situation: Situation, alternative: Alternative, chosen: Alternative) -> Alternative:
    """Return an alternative that was not chosen, with what spoke against it."""
    if not alternative.allowed:
        return alternative
    if not _restores_suspect(situation, alternative):
        why = f"it leaves {situation.suspected} as it is"
    elif not _is_asked_for(situation, alternative):
        why = f"it is level {alternative.level}, and level {situation.asked} was asked for"
    else:
        why = f"level {chosen.level} is preferred: {chosen.reason}"
    return replace(alternative, reason=f"{alternative.reason}; {why}")


def _risks(chosen: Alternative, reference: Manifest) -> tuple[str, ...]:
    """State the risk of the level (B1 to B4), with the names that it comes from."""
    if chosen.level is not Level.MODEL:
        return (_RISKS[chosen.level],)
    others = diff(chosen.target, reference).components
    if not others:
        return ("none: nothing but the model changed since",)
    return (f"{', '.join(others)} changed since: the old model may not behave as it did",)


def _flags(situation: Situation, chosen: Alternative, stop_first: Alternative | None) -> tuple[str, ...]:
    flags = []
    if situation.realtime and chosen.level > Level.SYSTEM:
        first = f"go to {stop_first.target.label} (level {stop_first.level})" if stop_first else _NO_STOP
        flags.append(f"level {chosen.level} is unsuited to a real-time system; to stop the harm first, {first}")
    if situation.asked not in (None, chosen.level):
        flags.append(f"level {situation.asked} was asked for; what changes makes it level {chosen.level}")
    if chosen.estimate_seconds is None:
        flags.append("how long it takes was never measured")
    elif (minutes := chosen.estimate_seconds / 60) > SLOW_MINUTES:
        flags.append(f"it takes {minutes:.0f} minutes, more than {SLOW_MINUTES:.0f}")
    flags += [f"known issue of the target: {issue}" for issue in chosen.known_issues]
    if chosen.override is not None:
        flags.append(f"allowed by {chosen.override.by}, against the evidence: {chosen.override.reason}")
    return tuple(flags)


def _options(situation: Situation, alternatives: Sequence[Alternative]) -> tuple[str, ...]:
    """
    Say what a person could do where nothing is safe, each with the command that does it.

    What was verified stands first, then the static fallback and a fix, then what takes a person's word: combinations,
    versions that were never verified, versions in quarantine.
    """
    system = situation.live.system
    back = f"kg rollback {system}"
    suspect = "" if situation.suspected is None else f" --suspect {situation.suspected}"
    level = "" if situation.asked is None else f" --level {situation.asked}"
    held = {entry.version for entry in situation.history if entry.standing.quarantined}
    age = {entry.version: i for i, entry in reversed(list(enumerate(situation.history)))}
    safe: list[str] = []
    unproven: list[str] = []
    unverified: list[str] = []
    quarantined: list[str] = []
    for item in sorted(alternatives, key=lambda item: age.get(item.target.content_digest, 0)):
        label = item.target.label
        if not _restores_suspect(situation, item):
            continue
        if item.allowed:
            safe.append(f"take {label} at its own level: {back}{suspect} --level {item.level}")
        elif not item.proven:
            unproven.append(f"take {label} all the same ({item.reason}): {back}{suspect}{level} --override REASON")
        elif item.target.content_digest in held:
            release = f"kg quarantine release {system} {label} --reason REASON"
            quarantined.append(f"release {label} from quarantine, if leaving it was a mistake: {release}")
        else:
            unverified.append(f"take {label} as an emergency ({item.reason}): {back} --to {label} --override REASON")
    elsewhere = situation.suspected is not None and not (safe or unproven or unverified or quarantined)
    static = ", then ".join(f"{back} --to {name}" for name in [*map(short, situation.behind), "fallback"])
    return (
        *safe,
        *([f"look elsewhere: no version on record has another {situation.suspected}"] if elsewhere else ()),
        *([f"answer with the static fallback: {static}"] if situation.static_fallback else ()),
        f"deploy a fix, whose content is new: kg deploy {system}",
        *unproven,
        *_newest(unverified, f"kg history {system}"),
        *_newest(quarantined, f"kg quarantine list {system}"),
    )


def _newest(options: Sequence[str], all_of_them: str) -> Sequence[str]:
    """Return the first few options, which are the newest, and how to see the others."""
    more = len(options) - _SHOWN
    return [*options[:_SHOWN], f"... and {more} more: {all_of_them}"] if more > 0 else options


_NO_STOP = "answer with the static fallback: no level 1 or 2 is open"
_RISKS = {
    Level.SYSTEM: "more parts move than in a model-only rollback, to a state that was known good",
    Level.FEATURES: "stale or wrong features are served while features are computed again",
    Level.DATA: "the current, perhaps bad, model goes on serving during the retraining",
}
