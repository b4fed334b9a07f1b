"""A balancer in memory, which knows by itself which replicas run."""

from knowngood.domain.rotation import may_leave

__all__ = ["MemoryBalancer"]


class MemoryBalancer:
    """Keeps who is held out; replicas come and go by name."""

    def __init__(self) -> None:
        self._live: dict[str, frozenset[str]] = {}
        self._held_out: dict[str, frozenset[str]] = {}

    def set_live(self, system: str, *replicas: str) -> None:
        """Say which replicas run from now on."""
        self._live[system] = frozenset(replicas)

    def hold_out(self, system: str, replica: str) -> bool:
        """See the port."""
        held_out = self.held_out(system)
        if replica in held_out:
            return True
        if not may_leave(replica, self._live.get(system, frozenset()), held_out):
            return False
        self._held_out[system] = held_out | {replica}
        return True

    def let_in(self, system: str, replica: str) -> None:
        """See the port."""
        self._held_out[system] = self.held_out(system) - {replica}

    def held_out(self, system: str) -> frozenset[str]:
        """See the port."""
        return self._held_out.get(system, frozenset())
