"""
Incident: one replica left a version on its own evidence, and the others serve it well (rule 13).

It is that replica's affair and not the fleet's: a broken card, a full memory, a file that was torn on one host. What is
on record of it is read from the ledger, where it stands once, however often anybody looks.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from knowngood.domain.ledger import Entry
from knowngood_sdk.model.canonical import short
from knowngood_sdk.model.route import LocalTrip
from knowngood_sdk.model.wire import ReplicaReport

__all__ = ["SICK", "VERIFIED", "Incident", "incidents", "opened"]

SICK = "sick"
"""Kind of the ledger entry that opens an incident."""
VERIFIED = "replica-verified"
"""Kind of the ledger entry that says that a sick replica is well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """
    A lone sick replica.

    Attributes:
        trip: What it left, and when in the life of the route.
        crew: The workers that ran there when this came on record; empty where their agent does not say.
        again: Whether it is not the first of this replica and this version.
        verified: Whether the replica was verified since.
    """

    trip: LocalTrip
    crew: frozenset[str] = frozenset()
    again: bool = False
    verified: bool = False

    def name(self, system: str) -> str:
        """Return its identity."""
        return f"sick:{system}:{self.trip.replica}:{self.trip.generation}:{self.trip.version}"

    def well(self, report: ReplicaReport) -> str:
        """
        Tell why a replica counts as verified again.

        No worker that ran when it fell ill runs any more, and each that runs now has loaded the version, warmed it and
        got its golden outputs right. That heals a replica once: when the same version makes it ill again, its start was
        not the cure, and a person has to say so; as where nobody knows which workers those were.

        Returns:
            The evidence in words; empty while there is none.
        """
        if self.again or not self.crew or not report.crew:
            return ""
        if self.crew & report.crew or self.trip.version not in report.ready:
            return ""
        version = short(self.trip.version)
        return f"all workers were started anew, and {version} gave its golden outputs on {len(report.crew)} of them"

    def to_json(self, system: str) -> dict[str, Any]:
        """Return the body of its ledger entry."""
        trip = self.trip
        return {
            "incident": self.name(system),
            "replica": trip.replica,
            "generation": trip.generation,
            "version": trip.version,
            "crew": sorted(self.crew),
        }


def incidents(entries: Iterable[Entry]) -> Mapping[LocalTrip, Incident]:
    """Return the incidents that a ledger holds, by the local trip that each is about."""
    known: dict[LocalTrip, Incident] = {}
    for entry in entries:
        if entry.kind not in {SICK, VERIFIED}:
            continue
        body = entry.body
        trip = LocalTrip(str(body["replica"]), int(body["generation"]), str(body["version"]))
        if entry.kind == SICK:
            known.setdefault(trip, opened(trip, frozenset(body["crew"]), known))
        elif trip in known:
            known[trip] = replace(known[trip], verified=True)
    return known


def opened(trip: LocalTrip, crew: frozenset[str], known: Iterable[LocalTrip]) -> Incident:
    """
    Return the incident of a local trip.

    Args:
        trip: What a lone replica left.
        crew: The workers that run there.
        known: What is on record already.
    """
    again = any((other.replica, other.version) == (trip.replica, trip.version) for other in known if other != trip)
    return Incident(trip=trip, crew=crew, again=again)
