"""Channel: one open stream to one replica, and what waits to be sent on it."""

from collections.abc import Callable
from threading import Lock

__all__ = ["Channel"]

_MAX_ORDERS = 256
"""Orders that may wait on one stream; a replica that reads none of so many is cut off, and calls again."""


class Channel:
    """
    What waits for one stream. Safe for threads.

    Of routes and rules only the newest waits, so that a replica which reads slowly costs no memory.

    Args:
        system: Name of the system.
        replica: Name of the replica.
        wake: Called, from any thread, when there is something to ``take``.
    """

    def __init__(self, system: str, replica: str, wake: Callable[[], None]) -> None:
        self.system = system
        self.replica = replica
        self._wake = wake
        self._lock = Lock()
        self._latest: dict[str, bytes] = {}
        self._orders: list[bytes] = []
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether the stream is to be closed."""
        return self._ended

    def offer(self, kind: str, event: bytes) -> None:
        """Send an event that takes the place of an earlier one of its kind."""
        with self._lock:
            self._latest[kind] = event
        self._wake()

    def order(self, event: bytes) -> None:
        """Send an event of which none may be lost."""
        with self._lock:
            self._orders.append(event)
            self._ended = self._ended or len(self._orders) > _MAX_ORDERS
        self._wake()

    def end(self) -> None:
        """Let the stream be closed."""
        self._ended = True
        self._wake()

    def take(self) -> bytes:
        """Return what is to be sent now, and forget it; orders first, for somebody waits for them."""
        with self._lock:
            taken = b"".join((*self._orders, *self._latest.values()))
            self._orders.clear()
            self._latest.clear()
        return taken
