"""Audit: verify a system's ledger against itself and against the anchors that replicas keep."""

from dataclasses import asdict, dataclass
from typing import Any

from knowngood.control.plane import Plane
from knowngood.domain.ledger import Anchor, verify

__all__ = ["Audited", "audit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """
    What an audit found.

    Attributes:
        ok: Whether the record is whole.
        count: Entries on record.
        anchors: Anchors outside of the store that were held against it.
        problem: The first thing that is wrong, with what to do; empty when nothing is.
        at: Sequence number of the entry it concerns, or None.
    """

    ok: bool
    count: int
    anchors: int
    problem: str = ""
    at: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)


def audit(plane: Plane, system: str) -> Audited:
    """Check every entry, then every replica's anchor: one ahead of the record shows that the end was cut off."""
    # Before the entries: what is appended while this reads is behind every anchor that was read already.
    anchors = [
        Anchor(*replica.report.anchor)
        for replica in plane.traffic.replicas(system).values()
        if replica.report.anchor[0]
    ]
    entries = list(plane.store.ledger(system))
    checks = [verify(entries), *(verify(entries, anchor) for anchor in anchors)]
    bad = next((check for check in checks if not check.ok), None)
    return Audited(
        ok=bad is None,
        count=len(entries),
        anchors=len(anchors),
        problem=bad.problem if bad else "",
        at=bad.sequence if bad else None,
    )
