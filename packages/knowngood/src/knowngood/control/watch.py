"""
Watch: the control loop of one host.

A tick reconciles, takes open rollbacks forward, measures, judges, decides, and acts where the system's owner granted
it. What it remembers between ticks may be lost at any moment; what matters is on record or can be measured again.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from knowngood.control.decide import decide_on
from knowngood.control.deploy import advance
from knowngood.control.go_back import Act, go_back
from knowngood.control.lag import known_route, lag_of
from knowngood.control.measure import Measured, Recent, Snapshot, measure
from knowngood.control.plane import Plane
from knowngood.control.publish import publish, publish_anchor, published
from knowngood.control.reconcile import Reconciled, reconcile
from knowngood.control.rollback import owes_a_trip, run_open
from knowngood.control.telemetry import merged_counts
from knowngood.domain.decision import Decision
from knowngood.domain.deployment import Deployment, DeploymentState
from knowngood.domain.evidence import Grade
from knowngood.domain.fleet import FleetState, merge
from knowngood.domain.plan import Plan
from knowngood.domain.saga import Saga, SagaState, StepOutcome
from knowngood.domain.system import SystemFile, TriggerSpec
from knowngood.domain.trigger import (
    BusinessDrop,
    ErrorRate,
    Health,
    Latency,
    Nonsense,
    PredictionShift,
    Trigger,
    from_spec,
)
from knowngood.domain.verification import Outcome, verify
from knowngood.domain.window import HealthCheck, Judgement, Verdict
from knowngood_sdk.errors import ComponentError, KnownGoodError, OutcomeUnknownError, TransientError
from knowngood_sdk.model.canonical import short
from knowngood_sdk.model.route import FULL

__all__ = ["Tick", "Watcher", "judge"]

_log = logging.getLogger(__name__)
_HEALTH_TIMEOUT = timedelta(seconds=1)
_LOAD_DEADLINE = timedelta(seconds=30)
"""How long replicas may take to load a target that does not stand behind what a trigger leaves."""
_WAYS = "to leave it: kg rollback SYSTEM; to let it go on: kg deploy SYSTEM --promote"
_WATCHED = frozenset({DeploymentState.CANARY, DeploymentState.FULL, DeploymentState.VERIFIED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """
    What one pass saw and did.

    Attributes:
        judgements: What each trigger says of the version under watch; empty when none is.
        decision: What was decided, when a trigger is breached.
        sagas: Rollbacks that are not over.
        notes: What a person who looks on wants to know, a line each.
        quiet: Whether nothing can come of another pass before something is put on record, published, or a replica
            joins: nobody serves the system, nothing is under way, and no endpoint is asked.
    """

    judgements: tuple[Judgement, ...] = ()
    decision: Decision | None = None
    sagas: tuple[Saga, ...] = ()
    notes: tuple[str, ...] = ()
    quiet: bool = False


@dataclass(slots=True)
class Watcher:
    """
    Watches one system.

    Attributes:
        plane: The ports.
        system: Name of the system.
        hold: How long a canary that is clear is watched before it takes all traffic; None leaves that to a person.
    """

    plane: Plane
    system: str
    hold: timedelta | None = None
    recent: Recent = field(default_factory=Recent)
    told: dict[str, Verdict] = field(default_factory=dict)
    recorded: set[tuple[int, str, str, str]] = field(default_factory=set)
    trouble: str = ""
    lag: str = ""  # how far the record was behind the replicas at the last look
    stood: dict[str, SagaState] | None = None  # each rollback at the last look; None before the first

    def tick(self) -> Tick:
        """
        Make one pass. Safe to repeat, to miss, and to be killed in.

        What has to be put on record waits where the store is away; judging, deciding and leaving do not.
        """
        notes, sagas = self._caught_up()
        self._measure()
        spec = self.plane.system_file(self.system)
        reached = known_route(self.plane, self.system)
        stored = self.plane.store.read(self.system)
        told, self.lag = self.lag, lag_of(self.system, stored, reached)
        # With the facts that replicas can read and the store could not take yet.
        document = published(self.plane, self.system)
        state = merge(stored, document.facts, frozenset())[0]
        deployment = self._deployment(state)
        # What could not be done at this pass is told once, and tried again until it can.
        quiet = not (notes or sagas or self.trouble or document.prepare or spec.health) and state.row == stored.row
        quiet = quiet and self._is_settled(state, deployment) and not self.plane.traffic.replicas(self.system)
        if self.lag or deployment is None or deployment.state not in _WATCHED:
            # What the record has for live is not what serves: to judge it would be to leave the wrong one.
            notes += [self.lag] if self.lag not in {"", told} else []
            return Tick(sagas=sagas, notes=tuple(notes), quiet=quiet)
        measured = self._measured(deployment, state)
        judgements = judge(spec, measured)
        notes += self._news(judgements)
        decision = None
        breached = any(judgement.verdict is Verdict.BREACHED for judgement in judgements)
        if breached and state.row != stored.row:
            # One flip is made ahead of the record; a second one needs a plan, and that is made from what is on record.
            notes.append(f"{short(deployment.version)} is breached too: that waits until what was left is on record")
        elif breached:
            known = self._of_the_known(spec, state, measured)
            decision, plan = decide_on(self.plane, spec, deployment, judgements, known)
            notes += self._act(deployment, decision, plan)
            news, sagas = self._carried_on()
            notes += news
        else:
            notes += self._settle(spec, state, deployment, measured, judgements)
        return Tick(
            judgements=judgements, decision=decision, sagas=sagas, notes=tuple(notes), quiet=quiet and not notes
        )

    def _caught_up(self) -> tuple[list[str], tuple[Saga, ...]]:
        """Bring store and replicas together and take open rollbacks forward, as far as the store lets anybody."""
        try:
            if self.stood is None:
                # What was over before the first look is no news; what waits for a person is.
                over = (saga for saga in self.plane.store.sagas(self.system) if saga.state is SagaState.DONE)
                self.stood = {saga.id: saga.state for saga in over}
            repaired = reconcile(self.plane, self.system)
            notes = [f"rollback started: {saga.id}" for saga in repaired.started]
            notes += [
                f"{trip.replica} left {short(trip.version)} on its own evidence" for trip in sorted(repaired.local)
            ]
            notes += _of_the_sick(repaired)
            if repaired.abandoned is not None:
                notes.append(f"the deployment of {short(repaired.abandoned)} had ended half done: given up")
        except (TransientError, OutcomeUnknownError) as error:
            _log.warning("%s is watched, and what is seen goes on record later: %s", self.system, error)
            return [f"not on record yet: {error}"] if self._news_of(error) else [], ()
        news, sagas = self._carried_on()
        return [*notes, *news], sagas

    def _carried_on(self) -> tuple[list[str], tuple[Saga, ...]]:
        """
        Take open rollbacks forward; return what became of rollbacks since the last look, and those that were open.

        Runs may carry them, and their store may be away alone: what this look saw and did is told all the same.
        """
        try:
            opened = run_open(self.plane, self.system)
            news = self._became()
        except (ComponentError, OutcomeUnknownError) as error:
            _log.warning("open rollbacks of %s go on later: %s", self.system, error)
            return [f"open rollbacks go on later: {error}"] if self._news_of(error) else [], ()
        self.trouble = ""
        return news, opened

    def _became(self) -> list[str]:
        """
        Return what became of rollbacks since the last look, whoever carried them.

        Compared with that look, not with the beginning of this one: where runs carry rollbacks, they end in between.
        """
        if self.stood is None:
            # The store was away from the first look on: the next one begins.
            return []
        stood, sagas = self.stood, self.plane.store.sagas(self.system)
        self.stood = {saga.id: saga.state for saga in sagas}
        return _ended([saga for saga in sagas if stood.get(saga.id) is not saga.state])

    def _news_of(self, error: KnownGoodError) -> bool:
        """Whether this trouble was not told at the last pass already."""
        told, self.trouble = self.trouble, error.message
        return told != error.message

    def _measure(self) -> None:
        now = self.plane.clock.now()
        try:
            counts, error = merged_counts(self.plane, self.system), ""
        except KnownGoodError as problem:
            counts, error = {}, str(problem)
            _log.warning("%s was not measured: %s", self.system, problem)
        self.recent.snapshots.append(Snapshot(at=now, counts=counts, error=error))
        for url in self.plane.system_file(self.system).health:
            sample = self.plane.telemetry.health(url, _HEALTH_TIMEOUT)
            detail = f"{url}: {sample.error or sample.status}"
            self.recent.health.append(HealthCheck(at=now, healthy=sample.ok, detail=detail))

    def _deployment(self, state: FleetState) -> Deployment | None:
        """Return the deployment of the version under watch: the one under way, else that of what is served."""
        version = state.watched
        matching = [made for made in self.plane.store.deployments(self.system) if made.version == version]
        return matching[-1] if matching else None

    @staticmethod
    def _is_settled(state: FleetState, deployment: Deployment | None) -> bool:
        """Whether no deployment is under way, and none was cut off that somebody has to complete."""
        armed = state.row.generation and not state.row.step and state.row.split < FULL
        return not armed and (deployment is None or not owes_a_trip(deployment, state))

    def _measured(self, deployment: Deployment, state: FleetState) -> Measured:
        """Measure the version under watch beside the one behind it; after a rollback nothing known is behind."""
        compared = not state.row.step and len(state.chain) > 1 and deployment.version != state.chain[1]
        known = state.chain[1] if compared else None
        return measure(self.recent, deployment, state, version=deployment.version, known=known)

    def _news(self, judgements: Sequence[Judgement]) -> list[str]:
        """Return what changed since the last tick: a verdict that stays is no news."""
        news = [j for j in judgements if self.told.get(j.trigger) is not j.verdict]
        # A trigger that is clear again may breach anew, and that is another decision.
        clear = {judgement.trigger for judgement in judgements if judgement.verdict is Verdict.CLEAR}
        self.recorded = {key for key in self.recorded if key[2] not in clear}
        self.told.update({judgement.trigger: judgement.verdict for judgement in news})
        return [f"{judgement.trigger}: {judgement.verdict} - {judgement.reason}" for judgement in news]

    def _of_the_known(self, spec: SystemFile, state: FleetState, measured: Measured) -> tuple[Judgement, ...]:
        """
        Return what fixed limits say of the version behind: its endpoint before, its requests while both serve.

        An endpoint that was down before the deployment is no fault of it.
        """
        triggers = _triggers(spec)
        before = [trigger.judge(measured.health_before) for trigger in triggers if isinstance(trigger, Health)]
        if state.candidate is None or len(state.chain) < 2:  # noqa: PLR2004 - nothing stands behind
            return tuple(before)
        windows = self.recent.windows(state.chain[1])
        fixed = [trigger for trigger in triggers if isinstance(trigger, ErrorRate | Latency | Nonsense)]
        return (*before, *(trigger.judge(windows) for trigger in fixed))

    def _act(self, deployment: Deployment, decision: Decision, plan: Plan) -> list[str]:
        """Go where the plan leads if the decision says so and the owner granted it; record every decision once."""
        measured_at = self.recent.snapshots[-1].at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        document = {
            **decision.to_json(),
            "version": deployment.version,
            "measured_at": measured_at,
            "plan": plan.to_json(),
        }
        if not decision.acts:
            return self._record_once(deployment, decision, document)
        first = plan.stop_first or plan.chosen
        act = Act(
            actor="automation",
            source="trigger",
            why="; ".join(decision.reasons)[:500],
            decision=document,
            override=first.override if first else None,
            deadline=_LOAD_DEADLINE,
        )
        target = first.target if first else None
        notes: list[str] = []
        flipped, sagas = go_back(self.plane, self.system, deployment.version, target, act, notes.append)
        return [str(plan), *notes, flipped.summary, *(f"rollback started: {saga.id}" for saga in sagas)]

    def _record_once(self, deployment: Deployment, decision: Decision, document: dict[str, object]) -> list[str]:
        """
        Record a decision not to act: once for each breach of a deployment, not at every look.

        One that holds for a person keeps the deployment where it is: no more traffic, no evidence, until they looked.
        """
        key = (deployment.generation, deployment.version, decision.trigger, decision.outcome)
        if key in self.recorded:
            return []
        with self.plane.store.change(self.system) as change:
            change.append("decided", "automation", self.plane.now(), document)
            if decision.holds:
                change.save_deployment(replace(change.deployment(deployment.generation), held=decision.reasons[0]))
        self.recorded.add(key)
        publish_anchor(self.plane, self.system)
        notes = [f"{decision.outcome}: {'; '.join(decision.reasons)}"]
        return [*notes, f"held for a person: {_WAYS.replace('SYSTEM', self.system)}"] if decision.holds else notes

    def _settle(
        self,
        spec: SystemFile,
        state: FleetState,
        deployment: Deployment,
        measured: Measured,
        judgements: Sequence[Judgement],
    ) -> list[str]:
        """Promote a canary that is clear, verify what took all traffic; neither while it is held for a person."""
        if deployment.held:
            return []
        if deployment.state is DeploymentState.CANARY:
            return self._promote(deployment, measured, judgements)
        if deployment.state is not DeploymentState.FULL or state.row.split < FULL:
            return []
        found = verify(measured.since, measured.control, _triggers(spec), spec.verify, shadow=measured.shadow)
        if found.outcome is not Outcome.VERIFIED:
            return []
        now = self.plane.now()
        with self.plane.store.change(self.system) as change:
            if change.state.row != state.row:
                return []
            change.save_deployment(replace(deployment, state=DeploymentState.VERIFIED))
            change.add_evidence(deployment.version, Grade.VERIFIED, now, {"requests": found.requests})
            body = {"version": deployment.version, "why": found.reason, "generation": deployment.generation}
            change.append("verified", "automation", now, body)
        publish(self.plane, self.system, self.plane.store.read(self.system), settled=deployment.version)
        return [f"{short(deployment.version)} verified: {found.reason}"]

    def _promote(self, deployment: Deployment, measured: Measured, judgements: Sequence[Judgement]) -> list[str]:
        if self.hold is None or measured.since.length_seconds < self.hold.total_seconds():
            return []
        if any(judgement.verdict is not Verdict.CLEAR for judgement in judgements):
            return []
        advance(self.plane, self.system, FULL, "automation")
        return [f"{short(deployment.version)} was clear at {deployment.split / 100:g} % and takes all traffic"]


def _of_the_sick(repaired: Reconciled) -> list[str]:
    """Return what was done about replicas that fell ill alone, or that stayed outside."""
    notes = [
        f"{one.trip.replica} is sick: {short(one.trip.version)} serves well elsewhere" for one in repaired.cared.opened
    ]
    notes += [f"{replica} is held out of the balancer" for replica in repaired.cared.held_out]
    notes += [f"{one.trip.replica} is verified again" for one in repaired.cared.verified]
    notes += [f"{replica} is let into the balancer again" for replica in repaired.cared.let_in]
    if repaired.reissued is not None:
        who = "; ".join(f"{replica} {why}" for replica, why in repaired.reissued.brings_in.items())
        notes.append(
            f"{short(repaired.reissued.version)} is minted again as generation {repaired.reissued.generation}: {who}"
        )
    return notes


def _ended(sagas: Sequence[Saga]) -> list[str]:
    """Return which rollbacks are over or wait for a person, a line each."""
    notes = []
    for saga in sagas:
        if saga.state is SagaState.STUCK:
            notes.append(f"rollback {saga.id} waits for a person: {saga.needs}")
        elif saga.state is SagaState.DONE:
            failed = [step.name.value for step in saga.steps if step.outcome is StepOutcome.FAILED]
            serves = short(saga.target) if saga.target else "the static fallback"
            verdict = "verified" if saga.target else "nothing to verify"
            ending = f"failed: {', '.join(failed)}" if failed else verdict
            notes.append(f"rollback {saga.id} is over: {serves} serves, {ending}")
    return notes


def judge(spec: SystemFile, measured: Measured) -> tuple[Judgement, ...]:
    """Ask every trigger of a system about the version under watch."""
    return tuple(_judgement(trigger, measured) for trigger in _triggers(spec))


def _judgement(trigger: Trigger, measured: Measured) -> Judgement:
    match trigger:
        case PredictionShift():
            return trigger.judge(measured.since, measured.for_predictions)
        case BusinessDrop():
            return trigger.judge(measured.since, measured.control)
        case Health():
            return trigger.judge(measured.health)
        case _:
            return trigger.judge(measured.recent)


def _triggers(spec: SystemFile) -> list[Trigger]:
    declared: Sequence[TriggerSpec] = tuple(spec.triggers.values())
    return [from_spec(trigger, spec.sla) for trigger in declared]
