"""
Lease: the port to who is in charge of what, among several processes of a control plane.

A lease runs out by the clock of the store, not by that of a host. Its fence rises with each new holder, so that what a
holder writes who was stopped, replaced and woken again can be refused.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from knowngood_sdk.errors import KnownGoodError

__all__ = ["Held", "Leases", "is_lease_lost"]


def is_lease_lost(error: KnownGoodError) -> bool:
    """Whether something was refused because its lease has another holder: ``lease_lost`` in its details says so."""
    return bool(error.details.get("lease_lost"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """
    Who holds a lease.

    Attributes:
        name: What is held: ``watch:pricing``, ``worker:host-4711-…``.
        holder: The process incarnation; unique for each start.
        fence: Rises with each new holder, a count >= 1.
        expires_in: Time left by the clock of the store; zero or less when it is over.
    """

    name: str
    holder: str
    fence: int
    expires_in: timedelta


class Leases(Protocol):
    """
    Leases by name. All methods are idempotent.

    Any method may raise TransientError when the store cannot be reached: then nobody knows who holds it, and a holder
    whose time is over by its own monotonic clock must stop by itself.
    """

    def claim(self, name: str, holder: str, ttl: timedelta) -> Held | None:
        """
        Take a lease that is free or over, or renew one's own.

        Returns:
            The lease, with the same fence when it was renewed and a higher one when it changed hands; None while
            somebody else holds it.
        """
        ...

    def renew(self, names: Collection[str], holder: str, ttl: timedelta) -> Mapping[str, Held]:
        """
        Renew leases of one holder, all in one transaction; takes none.

        Returns:
            Those that are the holder's, by name, with the fences that they had.
        """
        ...

    def release(self, name: str, holder: str) -> None:
        """Give a lease back; one that is somebody else's stays theirs."""
        ...

    def held(self, prefix: str = "") -> Mapping[str, Held]:
        """Return every lease that was ever taken and not given back, also those that are over, by name."""
        ...
