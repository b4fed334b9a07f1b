"""
Presence: the port to which processes of this host run.

A lease says that a process has not been heard of for some time. On one host there is a better answer: the kernel knows
at once that a process has ended, however that happened, and never takes one that stands still for one that ended.
"""

from collections.abc import Collection
from typing import Protocol

__all__ = ["Presence"]


class Presence(Protocol):
    """
    Starts of control plane processes on this host, by incarnation. All methods are idempotent.

    Any method may raise TransientError when the place where they are noted cannot be read or written at the moment.
    """

    def enter(self, incarnation: str) -> None:
        """Note that this process runs, from now on until it ends."""
        ...

    def ended(self) -> Collection[str]:
        """Return those that were noted here and have ended since."""
        ...

    def forget(self, incarnation: str) -> None:
        """Forget one that has ended; one that runs stays noted, unless it is this process that leaves."""
        ...
