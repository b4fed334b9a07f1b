"""
Balancer: the port to what spreads requests over the replicas of a system.

A replica that is held out gets no new requests; it runs on, keeps its route current and finishes what it began. What
comes to it all the same it answers. At least half of the live replicas stay in, whoever asks
(``knowngood.domain.rotation``).
"""

from typing import Protocol

__all__ = ["Balancer"]


class Balancer(Protocol):
    """
    Who gets requests. All methods are idempotent.

    Any method may raise TransientError when the balancer cannot be reached or told at the moment.
    """

    def hold_out(self, system: str, replica: str) -> bool:
        """
        Let a replica get no new requests, until it is let in again, also over restarts of either side.

        Returns:
            Whether it is held out now; not, where that would leave less than half of the live replicas, or where it
            does not run.
        """
        ...

    def let_in(self, system: str, replica: str) -> None:
        """Let a replica get requests again; one that was never held out does already."""
        ...

    def held_out(self, system: str) -> frozenset[str]:
        """Return the names of those that are held out, whether they run or not."""
        ...
