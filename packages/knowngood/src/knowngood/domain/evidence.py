"""
Evidence: what is known of a system version, as facts that are only ever added.

A grade is never stored. It is computed from the facts, the trips and the present instant, so that nothing has to run
for a version to become known good, and last night's grade can be computed again today.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from functools import total_ordering
from types import MappingProxyType
from typing import Any

from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.route import Facts, Trip

__all__ = ["COOL_DOWN", "Evidence", "Grade", "Standing", "standing_of"]

COOL_DOWN = timedelta(hours=72)
"""How long a version must have been verified, without a trip, to be known good."""


@total_ordering
class Grade(Enum):
    """How much is known of a system version, least first; a target of a rollback is at least verified."""

    RECORDED = "recorded"  # its manifest is on record
    ARMED = "armed"  # loaded, golden outputs right
    VERIFIED = "verified"  # live, its metrics at their baseline
    KNOWN_GOOD = "known-good"  # verified, and past its cool-down without a trip

    def __str__(self) -> str:
        return self.value

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Grade):
            return NotImplemented
        order = list(Grade)
        return order.index(self) < order.index(other)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """
    One fact about a system version.

    Attributes:
        version: Its content digest.
        grade: What was shown; never known good, for that follows from the rest and time.
        at: When it was shown, as ISO 8601 in UTC.
        figures: What was measured then, JSON.

    Raises:
        InvalidError: The grade is known good, or the instant is none.
    """

    version: str
    grade: Grade
    at: str
    figures: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.grade is Grade.KNOWN_GOOD:
            raise InvalidError(
                "known good cannot be recorded", hint="Record what was verified; the cool-down does the rest"
            )
        _instant(self.at)
        object.__setattr__(self, "figures", MappingProxyType(dict(self.figures)))

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"version": self.version, "grade": self.grade.value, "at": self.at, "figures": dict(self.figures)}

    @classmethod
    def from_json(cls, document: Any) -> "Evidence":
        """Read what ``to_json`` wrote; raises InvalidError for anything else."""
        try:
            return cls(
                version=str(document["version"]),
                grade=Grade(document["grade"]),
                at=str(document["at"]),
                figures=dict(document["figures"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidError(f"the evidence is malformed: {type(error).__name__} {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """
    Where a system version stands at an instant.

    Attributes:
        version: Its content digest.
        grade: What its evidence amounts to.
        quarantined: Whether a trip is in force, that nobody released: it may not be activated then, whatever its grade.
        known_good_at: When the cool-down ends or ended, as an aware datetime; None while it is not verified.
    """

    version: str
    grade: Grade
    quarantined: bool
    known_good_at: datetime | None = None

    @property
    def eligible(self) -> bool:
        """Whether it may be the target of a rollback: at least verified, and not quarantined."""
        return self.grade >= Grade.VERIFIED and not self.quarantined

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "version": self.version,
            "grade": self.grade.value,
            "quarantined": self.quarantined,
            "known_good_at": self.known_good_at.isoformat() if self.known_good_at else None,
        }


def standing_of(
    version: str, evidence: Iterable[Evidence], trips: Facts, *, now: datetime, cool_down: timedelta = COOL_DOWN
) -> Standing:
    """
    Compute where a version stands.

    A trip makes all that was shown before it void, also once it is released: a version that was left for a reason shows
    itself again before anything goes back to it.

    Args:
        version: Content digest.
        evidence: Facts, of any versions, in any order.
        trips: Fleet trips and releases.
        now: The present instant, aware. Evidence of later instants is not looked at.
        cool_down: How long after it was verified a version becomes known good.
    """
    void_until = max((_left_at(trip, now) for trip in trips.trips.values() if trip.version == version), default=None)
    shown: dict[Grade, datetime] = {}
    for fact in evidence:
        if fact.version != version:
            continue
        at = _instant(fact.at)
        if at <= now and (void_until is None or at > void_until):
            shown[fact.grade] = min(at, shown.get(fact.grade, at))
    grade = max(shown, default=Grade.RECORDED)
    known_good_at = None
    if grade is Grade.VERIFIED:
        known_good_at = shown[grade] + cool_down
        grade = Grade.KNOWN_GOOD if now >= known_good_at else grade
    return Standing(version=version, grade=grade, quarantined=version in trips.quarantined, known_good_at=known_good_at)


def _left_at(trip: Trip, now: datetime) -> datetime:
    """Return when a trip happened: now at the latest, also when its clock ran ahead or its time cannot be read."""
    try:
        return min(_instant(trip.at), now)
    except InvalidError:
        return now


def _instant(at: str) -> datetime:
    try:
        instant = datetime.fromisoformat(at)
    except ValueError as error:
        raise InvalidError(f"{at!r} is no instant", hint="Use ISO 8601 in UTC: 2026-11-23T18:00:00Z") from error
    if instant.tzinfo is None:
        raise InvalidError(f"{at!r} has no time zone", hint="Use ISO 8601 in UTC: 2026-11-23T18:00:00Z")
    return instant
