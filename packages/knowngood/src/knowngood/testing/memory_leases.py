"""Memory leases: the ports' ``Leases`` and ``Presence`` without a database or a kernel, for tests."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

from knowngood.ports.clock import Clock
from knowngood.ports.lease import Held
from knowngood_sdk.errors import TransientError

__all__ = ["MemoryLeases", "MemoryPresence"]


@dataclass(slots=True)
class _Lease:
    holder: str
    fence: int
    until: datetime


class MemoryLeases:
    """
    Leases in this process.

    Attributes:
        away: Whether they cannot be reached.

    Args:
        clock: The clock of the store.
    """

    def __init__(self, clock: Clock) -> None:
        self.away = False
        self._clock = clock
        self._leases: dict[str, _Lease] = {}
        self._fences: dict[str, int] = {}
        self._lock = Lock()

    def claim(self, name: str, holder: str, ttl: timedelta) -> Held | None:
        """See the port."""
        with self._lock:
            self._reach()
            now = self._clock.now()
            lease = self._leases.get(name)
            if lease is not None and lease.holder != holder and lease.until > now:
                return None
            if lease is None or lease.holder != holder:
                self._fences[name] = self._fences.get(name, 0) + 1
                lease = self._leases[name] = _Lease(holder, self._fences[name], now)
            lease.until = now + ttl
            return self._held(name, lease)

    def renew(self, names: Collection[str], holder: str, ttl: timedelta) -> Mapping[str, Held]:
        """See the port."""
        with self._lock:
            self._reach()
            mine = {name: self._leases[name] for name in names if name in self._leases}
            mine = {name: lease for name, lease in mine.items() if lease.holder == holder}
            for lease in mine.values():
                lease.until = self._clock.now() + ttl
            return {name: self._held(name, lease) for name, lease in mine.items()}

    def release(self, name: str, holder: str) -> None:
        """See the port."""
        with self._lock:
            self._reach()
            if name in self._leases and self._leases[name].holder == holder:
                del self._leases[name]

    def held(self, prefix: str = "") -> Mapping[str, Held]:
        """See the port."""
        with self._lock:
            self._reach()
            return {name: self._held(name, lease) for name, lease in self._leases.items() if name.startswith(prefix)}

    def _held(self, name: str, lease: _Lease) -> Held:
        left = lease.until - self._clock.now()
        return Held(name=name, holder=lease.holder, fence=lease.fence, expires_in=left)

    def _reach(self) -> None:
        if self.away:
            raise TransientError("the leases cannot be reached")


class MemoryPresence:
    """Processes that run as long as the test says so."""

    def __init__(self) -> None:
        self.running: set[str] = set()
        self._noted: set[str] = set()

    def enter(self, incarnation: str) -> None:
        """See the port."""
        self.running.add(incarnation)
        self._noted.add(incarnation)

    def ended(self) -> Collection[str]:
        """See the port."""
        return sorted(self._noted - self.running)

    def forget(self, incarnation: str) -> None:
        """See the port."""
        self.running.discard(incarnation)
        self._noted.discard(incarnation)
