"""
Record: what the product put on record, as ``kg history --output json`` tells it, and the moments in it.

What was decided, done and seen on stage is read here, as a person would read it.
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

    def decisions(self, version: str, episode: int) -> list[Mapping[str, Any]]:
        """
        Return what was decided about a version while it was deployed for so manieth time, oldest first.

        Whether automation acted on it or not: a trigger that is breached leads to a decision, and each is on record.
        """
        deployed, found = 0, []
        for entry in self.entries:
            if entry["body"].get("version") == version:
                deployed += entry["kind"] == "minted"
                if entry["kind"] == "decided" and deployed == episode:
                    found.append(entry["body"])
        return found

    def advanced_at(self, version: str, episode: int) -> str | None:
        """Return when a version was first given traffic in the so manieth time it was deployed; None before that."""
        given = [e for e in self.entries if e["kind"] in {"minted", "advanced"} and e["body"].get("version") == version]
        deployed = 0
        for entry in given:
            deployed += entry["kind"] == "minted"
            if entry["kind"] == "advanced" and deployed == episode:
                return str(entry["at"])
        return None

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
