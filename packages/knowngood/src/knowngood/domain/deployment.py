"""Deployment: who put which version into service, how far it got, and the counts that it began with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.counts import VersionCounts
from knowngood_sdk.model.route import FULL

__all__ = ["Deployment", "DeploymentState", "Strategy"]


class DeploymentState(StrEnum):
    """How far a deployment got."""

    ARMED = "armed"  # minted, loaded everywhere, takes no traffic
    CANARY = "canary"  # takes a share
    FULL = "full"  # takes all traffic; not yet verified
    ABANDONED = "abandoned"  # given up before it took all traffic, without a trip
    ROLLED_BACK = "rolled-back"  # its version was tripped
    VERIFIED = "verified"  # live, with its metrics at their baseline


class Strategy(StrEnum):
    """How the candidate was first given traffic."""

    FULL = "full"
    CANARY = "canary"

    @classmethod
    def of(cls, split: int) -> "Strategy":
        """Return the strategy of a deployment whose candidate is first given this share, in basis points."""
        return cls.FULL if split == FULL else cls.CANARY


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """
    One deployment, by the generation that it minted.

    Attributes:
        system: Name of the system.
        generation: Its generation.
        version: Content digest of the candidate.
        manifest: Digest of the whole manifest, with this deployment's intent and parent.
        strategy: How it is first given traffic.
        split: Share of the candidate in basis points: the one last given, or while armed the one to be given first.
        actor: Who deployed.
        started_at: When the generation was minted, as ISO 8601 in UTC.
        full_at: When it took all traffic, or None.
        state: How far it got.
        baseline: Cumulative counts of every version when it was last given traffic, so that what came since can be told
            apart after any restart.
        leaves: Version that is left once this one takes all traffic, where a rollback asked for it; else None.
        anchored_at: When the baseline was taken, as ISO 8601 in UTC; left out, when it started.
        held: Why it goes no further until a person has looked (a trigger with ``do: hold``); empty when it may.
    """

    system: str
    generation: int
    version: str
    manifest: str
    strategy: Strategy
    split: int
    actor: str
    started_at: str
    full_at: str | None = None
    state: DeploymentState = DeploymentState.ARMED
    baseline: Mapping[str, VersionCounts] = field(default_factory=dict)
    anchored_at: str = ""
    leaves: str | None = None
    held: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.split <= FULL:
            raise InvalidError(f"a split is 0 to {FULL} basis points, not {self.split}")
        if not self.anchored_at:
            object.__setattr__(self, "anchored_at", self.started_at)
        object.__setattr__(self, "baseline", MappingProxyType(dict(self.baseline)))

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "system": self.system,
            "generation": self.generation,
            "version": self.version,
            "manifest": self.manifest,
            "strategy": self.strategy.value,
            "split": self.split,
            "actor": self.actor,
            "started_at": self.started_at,
            "full_at": self.full_at,
            "state": self.state.value,
            "anchored_at": self.anchored_at,
            "leaves": self.leaves,
            "held": self.held,
            "baseline": {version: counts.to_json() for version, counts in self.baseline.items()},
        }

    @classmethod
    def from_json(cls, document: Any) -> "Deployment":
        """Read what ``to_json`` wrote; raises InvalidError for anything else."""
        try:
            full_at, leaves = document["full_at"], document["leaves"]
            return cls(
                system=str(document["system"]),
                generation=int(document["generation"]),
                version=str(document["version"]),
                manifest=str(document["manifest"]),
                strategy=Strategy(document["strategy"]),
                split=int(document["split"]),
                actor=str(document["actor"]),
                started_at=str(document["started_at"]),
                full_at=None if full_at is None else str(full_at),
                state=DeploymentState(document["state"]),
                anchored_at=str(document["anchored_at"]),
                leaves=None if leaves is None else str(leaves),
                held=str(document["held"]),
                baseline={str(v): VersionCounts.from_json(counts) for v, counts in document["baseline"].items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidError(f"the deployment is malformed: {type(error).__name__} {error}") from error
