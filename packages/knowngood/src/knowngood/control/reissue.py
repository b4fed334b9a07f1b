"""
Reissue: mint again what is served, so that replicas that stayed outside come in (rule 19).

A person may ask for it; by itself it is done only once everything that replicas left on their own evidence was made
something of: the fleet left it too, or the replica was verified. Either way it is on record, with whom it brings in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from knowngood.control.gate import live_replicas
from knowngood.control.plane import Plane
from knowngood.control.publish import known_generation, publish, spread
from knowngood.domain.incident import incidents
from knowngood.domain.reissue import check_settled, outside
from knowngood.domain.reissue import reissue as minted_again
from knowngood.domain.saga import SagaState
from knowngood_sdk.errors import ConflictError
from knowngood_sdk.model.wire import ReplicaReport

__all__ = ["Reissued", "reissue", "reissue_if_settled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reissued:
    """
    A reissue that is on record.

    Attributes:
        version: What was served, and is.
        generation: The new generation.
        brings_in: Replica -> why it was outside.
    """

    version: str
    generation: int
    brings_in: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"version": self.version, "generation": self.generation, "brings_in": dict(self.brings_in)}


def reissue(plane: Plane, system: str, *, actor: str, why: str) -> Reissued:
    """
    Mint what is served again, because a person asked for it: what replicas left on their own evidence is seen by that.

    Raises:
        NotFoundError: There is no such system.
        RefusedError: What is served is in quarantine.
        ConflictError: A deployment is under way, no version is served, or there is nothing that this would bring in.
    """
    plane.store.read(system)  # nothing is locked of a system that there is not
    with plane.deploying(system):
        return _mint(plane, system, actor=actor, why=why, asked=True)


def reissue_if_settled(plane: Plane, system: str, actor: str) -> Reissued | None:
    """
    Mint what is served again where that brings a live replica in and nothing speaks against it.

    Returns:
        What was done, or None: nobody is outside, a replica is not verified, a rollback or a deployment is under way.
    """
    if not outside(plane.store.read(system), _reports(plane, system)):
        return None
    try:
        with plane.deploying(system):
            return _mint(plane, system, actor=actor, why="replicas stayed outside", asked=False)
    except ConflictError:
        return None


def _mint(plane: Plane, system: str, *, actor: str, why: str, asked: bool) -> Reissued:
    known = known_generation(plane, system)
    reports = _reports(plane, system)
    live = frozenset(name for name, seen in plane.traffic.replicas(system).items() if seen.workers_alive)
    with plane.store.change(system) as change:
        who = outside(change.state, reports)
        if not asked:
            verified = [trip for trip, one in incidents(plane.store.ledger(system)).items() if one.verified]
            check_settled(change.state, live, verified)
            if not who or any(saga.state is SagaState.RUNNING for saga in plane.store.sagas(system)):
                raise ConflictError(f"nobody is outside of {system}, or a rollback is under way")
        after = minted_again(change.state, who, above=known)
        change.save(after)
        generation = after.row.generation
        body = {"version": after.served, "generation": generation, "chain": list(after.chain), "brings_in": who}
        change.append("reissued", actor, plane.now(), {**body, "why": why})
    spread(plane, publish(plane, system, after))
    return Reissued(version=after.chain[0], generation=generation, brings_in=who)


def _reports(plane: Plane, system: str) -> dict[str, ReplicaReport]:
    return {name: replica.report for name, replica in live_replicas(plane, system).items()}
