"""
Outbox: the port to the place where a decision is kept until it is on record.

A flip does not wait for the store, so the reasons for it are written beside the trip first, durably and without a
database; whoever records the trip, also after a crash, takes them from here into the ledger.
"""

from collections.abc import Mapping
from typing import Any, Protocol

__all__ = ["Outbox"]


class Outbox(Protocol):
    """
    Decisions by the uid of the trip that they led to. All methods are idempotent.

    Any method may raise TransientError when the place cannot be written at the moment.
    """

    def put(self, system: str, uid: str, document: Mapping[str, Any]) -> None:
        """Keep a decision, durably when this returns; one that is there stays as it is."""
        ...

    def get(self, system: str, uid: str) -> Mapping[str, Any] | None:
        """Return a decision, or None when there is none."""
        ...

    def drop(self, system: str, uid: str) -> None:
        """Forget a decision that is on record; one that is not there is forgotten already."""
        ...
