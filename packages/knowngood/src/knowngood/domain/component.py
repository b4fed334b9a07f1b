"""
Component: what the control plane knows and asks of one versioned part of a system.

These are the values that go through the port (ports/component.py); which version a manifest records is a ``Ref`` of
knowngood_sdk.model.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.manifest import Ref

__all__ = [
    "Availability",
    "Caps",
    "Depth",
    "Lease",
    "Pin",
    "PinStrength",
    "Prepared",
    "Probe",
    "Receipt",
    "Seen",
    "check_lease_id",
]

_LEASE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


class Depth(StrEnum):
    """How far a probe looks: registries call artifacts ready that are gone."""

    METADATA = "metadata"  # the tool still knows the version
    BYTES = "bytes"  # every byte was read, and matches the digest
    LOAD = "load"  # it stands where a loader reads it, and matches the digest there


class Availability(StrEnum):
    """What a probe found."""

    OK = "ok"
    GONE = "gone"
    DAMAGED = "damaged"  # there, and not what the digest names
    UNKNOWN = "unknown"  # could not be found out; neither healthy nor broken


class PinStrength(StrEnum):
    """What keeps a pinned version from being collected, weakest first."""

    NONE = "none"
    COOPERATIVE = "cooperative"  # a cleaner that asks will spare it
    NATIVE = "native"  # the tool itself protects it
    PHYSICAL = "physical"  # a copy or a link of our own; the tool may delete its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """
    What a component can promise; the deployment gate refuses one that cannot keep what its system needs.

    Attributes:
        cas: ``switch`` compares and swaps; without it the control plane holds a lock and reads back.
        atomic: A reader sees the old version or the new one, never anything between.
        reversible: ``switch`` to what stood before brings back the same content.
        pin: Strength of its pins.
        propagation: Longest time from ``switch`` until every reader follows, zero where they follow at once.
        warm: Two versions can stand ready side by side, so that a switch loads nothing.
    """

    cas: bool
    atomic: bool
    reversible: bool
    pin: PinStrength
    propagation: timedelta
    warm: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """
    Whether a version can be restored right now.

    Attributes:
        availability: What was found.
        eta_seconds: Measured estimate for prepare and switch together, in seconds; None when nothing was measured.
        reason: What is wrong and what to do, for people; empty when it is ok.
    """

    availability: Availability
    eta_seconds: float | None = None
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether the version can be restored."""
        return self.availability is Availability.OK


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """
    A claim on a version, to be renewed.

    Attributes:
        id: Letters, digits, dashes and underscores, 100 at most, for it becomes part of file names and Git refs.
        owner: Who needs it, for people.
        until: Aware instant after which the claim ends, unless it was renewed.

    Raises:
        InvalidError: The id has other characters, or ``until`` has no time zone.
    """

    id: str
    owner: str
    until: datetime

    def __post_init__(self) -> None:
        check_lease_id(self.id)
        if self.until.tzinfo is None:
            raise InvalidError(
                f"lease {self.id} ends at {self.until} without a time zone", hint="Give an aware datetime"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """
    A lease that holds.

    Attributes:
        lease_id: Its lease.
        strength: What it really protects from, recorded with it.
        until: Aware instant at which it ends.
    """

    lease_id: str
    strength: PinStrength
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """
    What is in force.

    Attributes:
        ref: The version; None when nothing was ever switched to.
        token: Opaque state of the pointer, to hand to ``switch`` as ``expect``; None where the tool cannot compare.
        propagated: Share of the readers asked that agree, a ratio in [0, 1].
    """

    ref: Ref | None
    token: str | None
    propagated: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """
    A version that only the commit point is missing for.

    Attributes:
        ref: The version.
        path: Absolute local path of its immutable content, for loaders; None for what has no local content.
    """

    ref: Ref
    path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """
    What a switch did; ``switch(prepare(receipt.before))`` undoes it.

    Attributes:
        key: Idempotency key of the switch.
        before: Version that stood before; None when there was none, and then there is nothing to undo to.
        after: Version that stands since.
        token: State of the pointer right after it; None where the tool cannot compare.
    """

    key: str
    before: Ref | None
    after: Ref
    token: str | None


def check_lease_id(lease_id: str) -> str:
    """
    Return the id when it can be the id of a lease.

    Raises:
        InvalidError: It has other characters, or is too long.
    """
    if not _LEASE_ID.fullmatch(lease_id):
        raise InvalidError(
            f"{lease_id!r} cannot be the id of a lease", hint="Use letters, digits, - and _; 100 at most, no dash first"
        )
    return lease_id
