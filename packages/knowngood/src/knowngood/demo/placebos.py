"""
Placebos: version 1 deployed over itself with an inert byte changed, to count how often that is rolled back.

Fast mode: no servers and no clock. The riders are simulated, what they would have made a server count is counted here,
and the product's own measuring, triggers, plan and decision (``knowngood.control`` and ``knowngood.domain``, called in
process) judge it at every look, as ``kg watch`` would have. What takes a server is not in it: nobody waits for an
answer, and nothing fails.

What this shows is narrow, and is said with the result. A placebo's outputs are version 1's own, so no trigger on
outputs can be breached; one on the business can, for it compares with the time before, and evening and weather move it.
While outputs on the same requests agree, such a fall is for a person to look at. So an automatic rollback here would
mean that this rule was broken.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import Any, Final, NamedTuple

import pandas as pd

from knowngood.control.measure import Measured, Recent, Snapshot, measure
from knowngood.control.watch import judge
from knowngood.demo.figures import binomial_upper
from knowngood.demo.replay_clock import SPEED
from knowngood.demo.stage import WATCH_EVERY_SECONDS
from knowngood.demo.world.artifacts import placebo_curve
from knowngood.demo.world.hours import EVENING_HOURS, evening_hours, thursday_evenings
from knowngood.demo.world.pricing import Pricing
from knowngood.demo.world.riders import EVENING_SECONDS, Rider, arrivals
from knowngood.domain import fleet
from knowngood.domain.decision import Circumstances, Decision, Outcome, decide
from knowngood.domain.deployment import Deployment, DeploymentState, Strategy
from knowngood.domain.evidence import Grade, Standing
from knowngood.domain.fleet import FleetState
from knowngood.domain.plan import Estimates, Plan
from knowngood.domain.planner import Recorded, Situation, plan
from knowngood.domain.system import SystemFile
from knowngood.domain.window import Verdict
from knowngood_sdk.model.counts import Paired, Sums, VersionCounts, log_bin
from knowngood_sdk.model.manifest import Component, Manifest, Ref, Role
from knowngood_sdk.model.route import FULL

__all__ = ["DEPLOYED_AT_SECONDS", "LOOK_EVERY_SECONDS", "Placebos", "deploy_placebo", "run_placebos"]

DEPLOYED_AT_SECONDS: Final = 2 * 3600.0
"""Replay seconds of the evening at which a deployment happens: 18:00."""

LOOK_EVERY_SECONDS: Final = SPEED * WATCH_EVERY_SECONDS
"""
Replay seconds between two looks: those of the demo's control loop at the demo's speed. The time that a look itself
takes is left out, so a placebo is looked at more often than a deployment on stage, and has more chances to be left.
"""

_FLIP_SECONDS: Final = 0.005
_SNAPSHOTS: Final = 8
"""What is remembered for the immediate triggers, which look at the last few windows alone."""
_SEEDS: Final = 1000
"""Seeds of the placebos' riders are those of the replay times this, plus their number: never the replay's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """
    What became of one placebo.

    Attributes:
        evening: The real evening.
        requests: Riders that the placebo answered.
        looks: How often it was judged.
        decision: The first decision that acted; else the last one that asked for a person; None when there was none.
        verdicts: Trigger -> every verdict that it came to at some look.
    """

    evening: date
    requests: int
    looks: int
    decision: Decision | None
    verdicts: Mapping[str, frozenset[Verdict]] = field(default_factory=dict)

    @property
    def rolled_back(self) -> bool:
        """Whether automation would have rolled it back."""
        return self.decision is not None and self.decision.acts


@dataclass(frozen=True, slots=True, kw_only=True)
class Placebos:
    """What became of all of them."""

    watched: tuple[Watched, ...]

    @property
    def deployments(self) -> int:
        """How many there were."""
        return len(self.watched)

    @property
    def automatic_rollbacks(self) -> int:
        """How many automation would have rolled back, although nothing was wrong."""
        return sum(item.rolled_back for item in self.watched)

    @property
    def evenings(self) -> int:
        """On how many evenings; where that is fewer, some come more than once, with other riders."""
        return len({item.evening for item in self.watched})

    @property
    def rate_upper_bound(self) -> float:
        """What so many deployments allow one to say of the rate: its one-sided 95 % upper bound, a ratio."""
        return binomial_upper(self.automatic_rollbacks, self.deployments)

    @property
    def rate_upper_bound_by_evening(self) -> float:
        """The same of evenings on which one was rolled back: two deployments on one evening are no two trials of it."""
        return binomial_upper(len({item.evening for item in self.watched if item.rolled_back}), self.evenings)

    def triggers(self, *verdicts: Verdict) -> list[str]:
        """Return the triggers that came to one of some verdicts at some look of some placebo."""
        found = {name for item in self.watched for name, seen in item.verdicts.items() if seen & set(verdicts)}
        return sorted(found)

    @property
    def breached(self) -> dict[str, int]:
        """Trigger -> placebos of which it was breached at some look."""
        return {
            name: sum(Verdict.BREACHED in item.verdicts.get(name, ()) for item in self.watched)
            for name in self.triggers(Verdict.BREACHED)
        }

    @property
    def undecided(self) -> list[str]:
        """Triggers that never came to a verdict, for want of what takes a server."""
        decided = self.triggers(Verdict.BREACHED, Verdict.CLEAR)
        return [name for name in self.triggers(*Verdict) if name not in decided]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        asked = [item.decision for item in self.watched if item.decision and not item.rolled_back]
        return {
            "mode": "fast: in process, no servers",
            "deployments": self.deployments,
            "automatic_rollbacks": self.automatic_rollbacks,
            "rate_upper_bound_95": self.rate_upper_bound,
            "rate_upper_bound_95_by_evening": self.rate_upper_bound_by_evening,
            "breached": self.breached,
            "clear_throughout": [n for n in self.triggers(Verdict.CLEAR) if n not in self.breached],
            "without_a_verdict": self.undecided,
            "asked_a_person": sum(decision.outcome is Outcome.INVESTIGATE for decision in asked),
            "evenings": self.evenings,
            "requests": sum(item.requests for item in self.watched),
            "looks": sum(item.looks for item in self.watched),
        }


def run_placebos(
    hours: pd.DataFrame,
    known: Pricing,
    rules: SystemFile,
    *,
    seed: int,
    count: int = 20,
    tell: Callable[[int], None] = lambda _: None,
) -> Placebos:
    """
    Deploy placebos on held-out Thursday evenings, each with riders of its own.

    Args:
        hours: The year, as ``load_hours`` gives it.
        known: Version 1.
        rules: The system's triggers and grants.
        seed: Of the replay; the placebos' riders come from others that follow from it.
        count: How many.
        tell: Called with how many are done.
    """
    days = thursday_evenings()
    watched = []
    for number in range(count):
        riders = arrivals(hours, days[number % len(days)], seed=seed * _SEEDS + number + 1)
        records = evening_hours(hours, days[number % len(days)])
        placebo = Pricing(known.model, known.features, placebo_curve(number + 1))
        watched.append(deploy_placebo(riders, known=known, candidate=placebo, records=records, rules=rules))
        tell(number + 1)
    return Placebos(watched=tuple(watched))


def deploy_placebo(
    riders: Sequence[Rider], *, known: Pricing, candidate: Pricing, records: pd.DataFrame, rules: SystemFile
) -> Watched:
    """
    Replay an evening on which a candidate takes all traffic at 18:00, and watch it.

    The watch ends when automation would have rolled it back, or with the evening.

    Args:
        riders: The evening's, in the order of arrival.
        known: What serves before, and is compared with in shadow on every request after.
        candidate: What is deployed; a placebo, or for a test of this very harness a version that is not inert.
        records: The hours of the evening.
        rules: The system's triggers and grants.
    """
    scene = _Scene(known, candidate, records, rules)
    before = [rider for rider in riders if rider.offset_seconds < DEPLOYED_AT_SECONDS]
    after = riders[len(before) :]
    scene.serve(before, deployed=False)
    scene.deploy()
    looks = 0
    last: Decision | None = None
    for look, visits in groupby(after, key=lambda rider: int(rider.offset_seconds // LOOK_EVERY_SECONDS)):
        scene.serve(list(visits), deployed=True)
        looks += 1
        decision = scene.look((look + 1) * LOOK_EVERY_SECONDS)
        last = decision or last
        if decision is not None and decision.acts:
            break
    return Watched(
        evening=records.index[0].date(),
        requests=scene.counts[scene.candidate.content_digest].requests,
        looks=looks,
        decision=last,
        verdicts={name: frozenset(seen) for name, seen in scene.verdicts.items()},
    )


class _Scene:
    """Counts of one evening, and the watch that looks at them."""

    def __init__(self, known: Pricing, candidate: Pricing, records: pd.DataFrame, rules: SystemFile) -> None:
        self.known, self.candidate = _manifest(known), _manifest(candidate)
        self.rules = rules
        self._known_quotes, self._candidate_quotes = _quotes(known, records), _quotes(candidate, records)
        self.verdicts: dict[str, set[Verdict]] = {}
        self.counts = {self.known.content_digest: VersionCounts(), self.candidate.content_digest: VersionCounts()}
        self._started_at = datetime.combine(records.index[0].date(), time(EVENING_HOURS[0]), tzinfo=UTC)
        self._recent = Recent(snapshots=deque(maxlen=_SNAPSHOTS))
        self._plan = _plan(self.known, self.candidate)
        self._deployment: Deployment | None = None
        self._state = FleetState()

    def serve(self, riders: Sequence[Rider], *, deployed: bool) -> None:
        """Let riders ask; from the deployment on, the known version answers the same requests in shadow."""
        version = (self.candidate if deployed else self.known).content_digest
        quotes = self._candidate_quotes if deployed else self._known_quotes
        demands = [quotes[rider.hour].demand for rider in riders]
        took = [float(rider.takes(quotes[rider.hour].price)) for rider in riders]
        bins = {log_bin(demand): demands.count(demand) for demand in set(demands)}
        served = VersionCounts(
            requests=len(riders), predictions=_sums(demands), prediction_bins=bins, outcomes={"conversion": _sums(took)}
        )
        self.counts[version] = self.counts[version].plus(served)
        if deployed:
            reference = [self._known_quotes[rider.hour].demand for rider in riders]
            known = self.known.content_digest
            compared = VersionCounts(shadow={version: _paired(reference, demands)})
            self.counts[known] = self.counts[known].plus(compared)

    def deploy(self) -> None:
        """Give the candidate all traffic."""
        known, candidate = self.known.content_digest, self.candidate.content_digest
        for version in (known, candidate):
            minted = fleet.mint(self._state, version, ready=frozenset(), static_fallback=True)
            self._state = fleet.advance(minted, FULL, refusing={}, unready={})
        self._deployment = Deployment(
            system=self.rules.system,
            generation=self._state.row.generation,
            version=candidate,
            manifest=self.candidate.digest,
            strategy=Strategy.FULL,
            split=FULL,
            actor="demo",
            started_at=self._at(DEPLOYED_AT_SECONDS),
            full_at=self._at(DEPLOYED_AT_SECONDS),
            state=DeploymentState.FULL,
            baseline=dict(self.counts),
        )
        self._remember(DEPLOYED_AT_SECONDS)

    def look(self, offset_seconds: float) -> Decision | None:
        """Judge what was counted until now; return the decision, where a trigger is breached."""
        self._remember(offset_seconds)
        judgements = judge(self.rules, self._measured())
        for judgement in judgements:
            self.verdicts.setdefault(judgement.trigger, set()).add(judgement.verdict)
        if not any(judgement.verdict is Verdict.BREACHED for judgement in judgements):
            return None
        grants = {name: declared.grant for name, declared in self.rules.triggers.items()}
        return decide(judgements, Circumstances(plan=self._plan, grants=grants))

    def _measured(self) -> Measured:
        assert self._deployment is not None  # noqa: S101 - nobody looks before the deployment
        return measure(
            self._recent,
            self._deployment,
            self._state,
            version=self.candidate.content_digest,
            known=self.known.content_digest,
        )

    def _remember(self, offset_seconds: float) -> None:
        at = self._started_at + timedelta(seconds=min(offset_seconds, EVENING_SECONDS))
        self._recent.snapshots.append(Snapshot(at=at, counts=dict(self.counts)))

    def _at(self, offset_seconds: float) -> str:
        return (self._started_at + timedelta(seconds=offset_seconds)).isoformat()


class _Quote(NamedTuple):
    demand: float
    price: float


def _quotes(pricing: Pricing, records: pd.DataFrame) -> dict[pd.Timestamp, _Quote]:
    """Return what a version answers in each hour of an evening."""
    quotes = pricing.quotes(records)
    pairs = zip(quotes["demand"].tolist(), quotes["price"].tolist(), strict=True)
    return {pd.Timestamp(hour): _Quote(*pair) for hour, pair in zip(quotes.index, pairs, strict=True)}


def _plan(known: Manifest, candidate: Manifest) -> Plan:
    """Plan the way back as it stands in the story: the version before is verified and ready everywhere."""
    standing = Standing(version=known.content_digest, grade=Grade.VERIFIED, quarantined=False)
    situation = Situation(
        live=candidate,
        history=(Recorded(manifest=known, standing=standing),),
        ready=frozenset({known.content_digest, candidate.content_digest}),
        estimates=Estimates(flip=_FLIP_SECONDS),
    )
    return plan(situation)


def _manifest(pricing: Pricing) -> Manifest:
    """Return the manifest of a version that no adapter ever saw: the stamps are its digests."""
    parts = {
        "model": (Role.MODEL, "files", pricing.model.stamp),
        "features": (Role.FEATURES, "git", pricing.features.stamp),
        "config": (Role.CONFIG, "inline", pricing.curve.stamp),
    }
    components = {
        name: Component(role=role, kind=kind, ref=Ref(digest=digest)) for name, (role, kind, digest) in parts.items()
    }
    return Manifest(system="pricing", components=components)


def _sums(values: Sequence[float]) -> Sums:
    return Sums(len(values), sum(values), sum(value * value for value in values))


def _paired(reference: Sequence[float], other: Sequence[float]) -> Paired:
    relative = [(theirs - ours) / abs(ours) for ours, theirs in zip(reference, other, strict=True)]
    return Paired(
        reference=_sums(reference),
        other=_sums(other),
        relative=_sums(relative),
        absolute=_sums([abs(value) for value in relative]),
    )
