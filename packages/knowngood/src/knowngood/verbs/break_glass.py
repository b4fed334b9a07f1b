"""Break glass: replicas leave what they serve, without store; all that it needs is a way to the replicas."""

from datetime import UTC, datetime
from uuid import uuid4

from knowngood.control.break_glass import break_glass as leave_at_once
from knowngood.ports.traffic import Traffic, Unreachable
from knowngood.ports.verbs import Document
from knowngood_sdk.model.route import Trip

__all__ = ["break_glass"]


def break_glass(traffic: Traffic, system: str, *, actor: str, why: str, replica: str | None = None) -> Document:
    """
    Make every replica leave what it serves, or the one that is named.

    Args:
        traffic: The replicas.
        system: Name of the system.
        actor: Who; stands beside the reason, for whoever puts it on record was not there.
        why: The reason.
        replica: The one replica that is to leave by itself; None for the whole fleet.
    """
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def make(generation: int, version: str) -> Trip:
        told = f"{why} ({actor})"
        return Trip(uid=uuid4().hex, version=version, generation=generation, source="break-glass", at=at, why=told)

    broken = leave_at_once(traffic, system, make, replica=replica)
    silent = {name: reply.reason for name, reply in broken.answers.items() if isinstance(reply, Unreachable)}
    return {
        "system": system,
        "version": broken.trip.version,
        "left": sorted(set(broken.answers) - set(silent)),
        "unreachable": silent,
        "unpublished": broken.unpublished,
    }
