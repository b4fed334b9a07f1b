"""
Deploy: put a new system version into service, with the way back armed before anything moves.

Record, gate, arm, mint, advance. Until the generation is minted nothing has happened that anyone could see; from then
on until the candidate takes traffic, giving up means abandoning the deployment (rule 17), which moves nobody.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from knowngood.control.compose import combinations, require_proven
from knowngood.control.fault_point import FaultPoint, reach
from knowngood.control.gate import (
    Armed,
    check_fallback,
    check_memory,
    check_previous,
    check_promises,
    live_replicas,
    ready_everywhere,
    wait_until_armed,
)
from knowngood.control.plane import Plane
from knowngood.control.publish import Arming, known_generation, publish, publish_anchor, published, spread
from knowngood.control.release import stage
from knowngood.control.telemetry import merged_counts
from knowngood.domain import fleet
from knowngood.domain.compatibility import Override
from knowngood.domain.deployment import Deployment, DeploymentState, Strategy
from knowngood.domain.evidence import Grade
from knowngood.domain.fleet import FleetState
from knowngood.ports.traffic import Replica
from knowngood_sdk.errors import ConflictError, KnownGoodError, NotReadyError, RefusedError
from knowngood_sdk.model.canonical import short
from knowngood_sdk.model.manifest import Manifest
from knowngood_sdk.model.route import FULL, FleetRoute, Refusal
from knowngood_sdk.model.wire import ShadowOrder

__all__ = [
    "Deployed",
    "Order",
    "abandon",
    "abandon_orphan",
    "advance",
    "deploy",
    "promote",
    "put_into_service",
    "withdraw_orphan",
]

_SHADOW_PER_SECOND = 15.0
"""Requests that each worker scores in shadow every second, at most: enough for a verdict in seconds."""
_PATIENCE = timedelta(seconds=10)
"""How long replicas that are ready may take to accept a generation."""
_POLL = timedelta(milliseconds=20)
_AGAIN = "Deploy again: what replicas left is put on record first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """
    What is to be deployed, and how.

    Attributes:
        manifest: The system version.
        actor: Who wants it.
        split: First share of the candidate in basis points; ``FULL`` for all traffic at once.
        override: Leave to use an unproven combination, by a person's name; None when there is none.
        deadline: How long the replicas may take to get ready.
        leaves: Version that is left once this one takes all traffic: the wish of a rollback whose target does not
            stand behind it. It is on record with the deployment, so that whoever comes next completes it.
    """

    manifest: Manifest
    actor: str
    split: int = FULL
    override: Override | None = None
    deadline: timedelta = timedelta(seconds=120)
    leaves: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """A deployment that is in service, and what arming it measured."""

    deployment: Deployment
    armed: Armed


def deploy(plane: Plane, order: Order, tell: Callable[[str], None] = lambda _: None) -> Deployed:
    """
    Put a system version into service.

    Args:
        plane: The ports.
        order: What, and how.
        tell: Called with a line of progress for people.

    Raises:
        RefusedError: The version is in quarantine, or an unproven combination without evidence or override.
        ConflictError: It is served already, another deployment is under way, or a trip came meanwhile.
        NotReadyError: The gate found no tested way back.
    """
    with plane.deploying(order.manifest.system):
        return put_into_service(plane, order, tell)


def put_into_service(plane: Plane, order: Order, tell: Callable[[str], None]) -> Deployed:
    """Deploy as ``deploy`` does, for one who keeps other deployments out already and has more to do."""
    system, version = order.manifest.system, order.manifest.content_digest
    reach(FaultPoint.DEPLOY_BEGUN)
    spec = plane.system_file(system)
    state = plane.store.read(system)
    try:
        fleet.mint(state, version, ready=frozenset(state.chain), static_fallback=spec.fallback is not None)
    except RefusedError as error:
        _put_block_on_record(plane, order, str(error))
        raise
    served = plane.store.manifest(system, state.served) if state.served else None
    minting: list[Deployment] = []
    try:
        require_proven(plane, order.manifest, order.override)
        components = plane.adapters(system)
        check_promises(components, spec)
        check_previous(components, spec, state, served)
        reach(FaultPoint.DEPLOY_CHECKED)
        with plane.store.change(system) as change:
            change.record_manifest(order.manifest, plane.now())
            change.append(
                "manifest-recorded", order.actor, plane.now(), {"version": version, "manifest": order.manifest.digest}
            )
            reach(FaultPoint.DEPLOY_RECORDING)
        reach(FaultPoint.DEPLOY_RECORDED)
        armed = _arm(plane, order, state, served, tell)
        deployment = _mint(plane, order, state, armed, minting)
        _take(plane, deployment, order.deadline, tell)
        reach(FaultPoint.DEPLOY_TAKEN)
        deployment = advance(plane, system, order.split, order.actor)
    except BaseException as error:
        try:
            _give_up(plane, order, minting, error)
        except KnownGoodError as problem:
            # The reconciler gives up what this could not; what went wrong first is what a person has to hear.
            error.add_note(f"the deployment could not be given up yet: {problem}; kg watch {system} does it")
        raise
    reach(FaultPoint.DEPLOY_ADVANCED)
    return Deployed(deployment=deployment, armed=armed)


def _arm(plane: Plane, order: Order, state: FleetState, served: Manifest | None, tell: Callable[[str], None]) -> Armed:
    """Load the candidate everywhere beside what serves, and put the combinations that are not proven into shadow."""
    version = order.manifest.content_digest
    system = order.manifest.system
    stage(plane, order.manifest, golden=True)
    shadow: ShadowOrder | None = None
    if served is not None:
        mixed = combinations(order.manifest, served)
        for combination in mixed:
            stage(plane, combination, golden=False)
        others = (version, *(m.content_digest for m in mixed))
        shadow = ShadowOrder(reference=served.content_digest, others=others, per_second=_SHADOW_PER_SECOND)
    document = publish(plane, system, state, arming=Arming(version=version, shadow=shadow))
    reach(FaultPoint.DEPLOY_ARMING)
    armed = wait_until_armed(plane, document, version, order.deadline, tell)
    live, spec = live_replicas(plane, system), plane.system_file(system)
    check_fallback(live, spec)
    check_memory(live, spec.standby.memory)
    with plane.store.change(system) as change:
        figures = {
            "load_seconds": armed.load_seconds,
            "flip_seconds": armed.flip_seconds,
            "replicas": list(armed.replicas),
        }
        change.add_evidence(version, Grade.ARMED, plane.now(), figures)
        change.append("armed", order.actor, plane.now(), {"version": version, **figures})
    reach(FaultPoint.DEPLOY_ARMED)
    tell(f"armed on {len(armed.replicas)} replica(s); the way back takes {armed.flip_seconds * 1000:.1f} ms")
    return armed


def _mint(plane: Plane, order: Order, read: FleetState, armed: Armed, minting: list[Deployment]) -> Deployment:
    """
    Mint the generation, if nothing moved since the deployer read the state (rule 15).

    The deployment is noted in ``minting`` before it is committed: whoever stops this right after knows what to undo.
    """
    system, version = order.manifest.system, order.manifest.content_digest
    spec = plane.system_file(system)
    ready = ready_everywhere(live_replicas(plane, system))
    known = known_generation(plane, system)
    with plane.store.change(system) as change:
        state = change.state
        if state.row != read.row or state.facts.quarantined != read.facts.quarantined:
            raise ConflictError(
                f"system {system} moved while {short(version)} was being armed: {read.row} became {state.row}",
                hint=f"Somebody deployed or rolled back; look: kg status {system}; then deploy again",
            )
        minted = fleet.mint(state, version, ready=ready, static_fallback=spec.fallback is not None, above=known)
        change.save(minted)
        deployment = Deployment(
            system=system,
            generation=minted.row.generation,
            version=version,
            manifest=order.manifest.digest,
            strategy=Strategy.FULL if order.split == FULL else Strategy.CANARY,
            split=order.split,
            actor=order.actor,
            started_at=plane.now(),
            baseline=merged_counts(plane, system),
            leaves=order.leaves,
        )
        minting.append(deployment)
        change.save_deployment(deployment)
        body = {"version": version, "generation": minted.row.generation, "chain": list(minted.chain)}
        change.append("minted", order.actor, plane.now(), {**body, "flip_seconds": armed.flip_seconds})
        reach(FaultPoint.DEPLOY_MINTING)
    reach(FaultPoint.DEPLOY_MINTED)
    return deployment


def _take(plane: Plane, deployment: Deployment, deadline: timedelta, tell: Callable[[str], None]) -> None:
    """
    Wait until every live replica took the generation, and has its candidate ready.

    It was ready when it was armed; a worker that started since, or that was told in between to unload what an earlier
    deployer had left behind, loads it again.
    """
    system = deployment.system
    document = publish(plane, system, plane.store.read(system))
    spread(plane, document)
    reach(FaultPoint.DEPLOY_OFFERED)
    began, told = plane.clock.monotonic(), ""
    while True:
        live = live_replicas(plane, system)
        waiting = {n: r for n, r in live.items() if r.report.state.fleet.generation < deployment.generation}
        loading = sorted(name for name, replica in live.items() if deployment.version not in replica.report.ready)
        if live and not waiting and not loading:
            return
        refusals = _refusals(waiting, deployment.generation)
        who = "; ".join(f"{name}: {refusals[name].reason if name in refusals else 'no answer'}" for name in waiting)
        who = who or (f"{', '.join(loading)}: {short(deployment.version)} is not ready" if live else "none runs")
        if any(refusal.unseen_quarantine or refusal.unseen_local for refusal in refusals.values()):
            raise ConflictError(f"a replica left a version that this deployment has not seen: {who}", hint=_AGAIN)
        patience = deadline if loading else _PATIENCE
        if plane.clock.monotonic() > began + patience.total_seconds():
            message = f"generation {deployment.generation} was not taken by every replica: {who}"
            raise NotReadyError(message, hint=f"Look at their logs, and: kg status {system}")
        names = ", ".join(sorted(waiting) or loading) or "a replica"
        now = f"waiting for {names} to take generation {deployment.generation}"
        if now != told:
            tell(now)
            told = now
        plane.clock.pause(_POLL)


def _refusals(replicas: Mapping[str, Replica], generation: int) -> dict[str, Refusal]:
    """Return why replicas refuse a generation; what they refused before says nothing of this one."""
    reported = {name: replica.report.refusal for name, replica in replicas.items()}
    return {name: refusal for name, refusal in reported.items() if refusal and refusal.generation == generation}


def advance(plane: Plane, system: str, split: int, actor: str) -> Deployment:
    """
    Give the candidate under deployment more traffic (rule 16).

    Raises:
        ConflictError: It stepped back, or a trip came that it has not seen.
        NotReadyError: A live replica refuses or is not ready, one has workers and no agent, or none lives.
    """
    live = live_replicas(plane, system)
    agentless = _agentless(plane, system)
    if not live:
        raise NotReadyError(f"no replica of {system} runs that could serve the candidate", hint=f"kg status {system}")
    baseline = merged_counts(plane, system)
    with plane.store.change(system) as change:
        state = change.state
        candidate = state.chain[0] if state.chain else ""
        refusing = {n: refusal.reason for n, refusal in _refusals(live, state.row.generation).items()}
        unready = {n: f"{short(candidate)} is not ready" for n, r in live.items() if candidate not in r.report.ready}
        after = fleet.advance(state, split, refusing=refusing, unready={**unready, **agentless})
        change.save(after)
        now = plane.now()
        deployment = replace(
            change.deployment(after.row.generation),
            split=split,
            state=DeploymentState.FULL if split == FULL else DeploymentState.CANARY,
            full_at=now if split == FULL else None,
            baseline=baseline,
            anchored_at=now,
            held="",
        )
        change.save_deployment(deployment)
        change.append(
            "advanced", actor, now, {"version": candidate, "split": split, "generation": after.row.generation}
        )
        reach(FaultPoint.DEPLOY_ADVANCING)
    spread(plane, publish(plane, system, after))
    return deployment


def _agentless(plane: Plane, system: str) -> dict[str, str]:
    """Return the replicas whose workers serve on without an agent, with what to do: nothing can be switched there."""
    return {
        name: f"its agent does not run: kg agent {system} --replica {name}"
        for name, replica in plane.traffic.replicas(system).items()
        if replica.workers_alive and not replica.agent_alive
    }


def promote(plane: Plane, system: str, actor: str) -> Deployment:
    """
    Let a deployment go on, by a person's word: a candidate takes all traffic; what took it and is held is held no more.

    Raises:
        ConflictError: No deployment is under way and none is held; or as ``advance``.
        NotReadyError: As ``advance``.
    """
    with plane.store.change(system) as change:
        state = change.state
        held = None if state.candidate else change.deployment(state.row.generation) if state.row.generation else None
        if state.candidate is None and (held is None or not held.held or held.version != state.served):
            raise ConflictError(
                f"no deployment of {system} is under way",
                hint=f"To start one: kg deploy {system}; to leave what is served: kg rollback {system}",
            )
        if held is not None:
            lifted = replace(held, held="")
            change.save_deployment(lifted)
            change.append("hold-lifted", actor, plane.now(), {"version": held.version, "why": held.held})
            return lifted
    return advance(plane, system, FULL, actor)


def abandon(
    plane: Plane, system: str, actor: str, *, why: str = "a person asked for it", expected: FleetRoute | None = None
) -> Deployment:
    """
    Give up the deployment under way, without trip or quarantine (rule 17).

    Args:
        plane: The ports.
        system: Name of the system.
        actor: Who gives it up.
        why: The reason.
        expected: Where the route must still stand; None for wherever it is.

    Raises:
        ConflictError: No deployment is under way, or the route has moved from where it was expected.
    """
    with plane.store.change(system) as change:
        if expected not in {None, change.state.row}:
            raise ConflictError(f"system {system} moved meanwhile: {expected} became {change.state.row}")
        after = fleet.abandon(change.state)
        change.save(after)
        deployment = replace(change.deployment(after.row.generation), state=DeploymentState.ABANDONED)
        change.save_deployment(deployment)
        body = {"version": deployment.version, "generation": after.row.generation, "why": why}
        change.append("abandoned", actor, plane.now(), body)
    spread(plane, publish(plane, system, after, withdraw=deployment.version))
    return deployment


def abandon_orphan(plane: Plane, system: str, actor: str) -> str | None:
    """
    Give up a deployment that nobody carries on and that takes no traffic: it would only block the next one.

    Returns:
        The version that was given up, or None.
    """
    row = plane.store.read(system).row
    if row.generation == 0 or row.step > 0 or row.split > 0:
        return None
    if published(plane, system).route > row:
        # It took traffic since, as an older copy of the record does not know; or somebody was faster.
        return None
    try:
        with plane.deploying(system):
            return abandon(plane, system, actor, why="its deployer ended before it took traffic", expected=row).version
    except ConflictError:
        # Its deployer lives, or somebody was faster.
        return None


def withdraw_orphan(plane: Plane, system: str) -> None:
    """Let replicas unload what a deployer that died while it armed had them load and score in shadow."""
    if not _left_over(plane, system):
        return
    try:
        with plane.deploying(system):
            for version in _left_over(plane, system):
                publish(plane, system, plane.store.read(system), withdraw=version)
    except ConflictError:
        # Its deployer lives.
        return


def _left_over(plane: Plane, system: str) -> list[str]:
    """Return what replicas are told to load and no generation has."""
    chain = plane.store.read(system).chain
    return [version for version in published(plane, system).prepare if version not in chain]


def _give_up(plane: Plane, order: Order, minting: list[Deployment], error: BaseException) -> None:
    """
    Leave no half-done deployment behind, whatever ended it.

    What was not minted is withdrawn, what was minted is abandoned, and what took all its traffic stays: then the
    replicas only have to hear of it. A deployment of somebody else is left alone.
    """
    system, version = order.manifest.system, order.manifest.content_digest
    why = "it was stopped" if isinstance(error, KeyboardInterrupt) else str(error) or type(error).__name__
    state = plane.store.read(system)
    newest = plane.store.deployments(system)[-1:]
    ours = any(_same(one, made) for one in newest for made in minting)
    if ours and state.candidate == version:
        abandon(plane, system, order.actor, why=why)
    elif ours:
        spread(plane, publish(plane, system, state))
    else:
        publish(plane, system, state, withdraw=version)
        _put_block_on_record(plane, order, why)


def _put_block_on_record(plane: Plane, order: Order, why: str) -> None:
    system, version = order.manifest.system, order.manifest.content_digest
    with plane.store.change(system) as change:
        change.append("deployment-blocked", order.actor, plane.now(), {"version": version, "why": why})
    publish_anchor(plane, system)


def _same(one: Deployment, other: Deployment) -> bool:
    return (one.generation, one.version, one.started_at, one.actor) == (
        other.generation,
        other.version,
        other.started_at,
        other.actor,
    )
