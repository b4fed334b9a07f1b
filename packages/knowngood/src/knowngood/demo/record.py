"""
Record: what the product put on record, as ``kg history --output json`` tells it, and the moments in it.

The demo knows nothing of the product's inside: what was decided, done and seen it reads here, as a person would.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from knowngood_sdk.errors import NotFoundError

__all__ = ["Record", "epoch_of"]


def epoch_of(at: str) -> float:
    """Return an instant on record in epoch seconds."""
    return datetime.fromisoformat(at).timestamp()


@dataclass(frozen=True, slots=True)
class Record:
    """
    The history of the system.

    Attributes:
        entries: Of the ledger, oldest first.
        deployments: As they stand now, by generation.
        sagas: Rollbacks as they stand now, in the order in which they started.
    """

    entries: Sequence[Mapping[str, Any]]
    deployments: Sequence[Mapping[str, Any]]
    sagas: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, history: Mapping[str, Any]) -> "Record":
        """Read the answer of ``kg history``."""
        return cls(history["entries"], history["deployments"], history["sagas"])

    def saga(self, version: str, episode: int) -> Mapping[str, Any] | None:
        """Return the rollback of a version that was left for so manieth time; None when there is none."""
        return next((s for s in self.sagas if (s["version"], s["episode"]) == (version, episode)), None)

    def step(self, version: str, episode: int, name: str) -> Mapping[str, Any] | None:
        """Return a step of that rollback that is over; None when it is not."""
        saga = self.saga(version, episode)
        steps = saga["steps"] if saga else ()
        return next((step for step in steps if step["name"] == name), None)

    def decisions(self, version: str) -> list[Mapping[str, Any]]:
        """Return the decisions to leave a version on which automation acted, oldest first."""
        decided = [entry["body"] for entry in self.entries if entry["kind"] == "decided"]
        return [body for body in decided if body.get("version") == version and body.get("acts")]

    def trips(self, version: str) -> list[Mapping[str, Any]]:
        """Return the facts "leave this version", oldest first; their time is that of the decision."""
        return [e["body"] for e in self.entries if e["kind"] == "tripped" and e["body"]["version"] == version]

    def deployment(self, version: str) -> Mapping[str, Any]:
        """Return the newest deployment of a version; raises NotFoundError when it was never deployed."""
        found = [deployment for deployment in self.deployments if deployment["version"] == version]
        if not found:
            raise NotFoundError(f"{version} was never deployed", hint="Look: kg history")
        return found[-1]

    def is_verified(self, version: str) -> bool:
        """Whether a version was found verified in service."""
        return any(e["kind"] == "verified" and e["body"].get("version") == version for e in self.entries)
