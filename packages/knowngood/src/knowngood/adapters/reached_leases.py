"""Reached leases: leases in a store that is known to be away are waited for by nobody."""

from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import TypeVar

from knowngood.adapters.reach import Reach
from knowngood.ports.lease import Held, Leases
from knowngood_sdk.errors import TransientError

__all__ = ["ReachedLeases"]

T = TypeVar("T")


class ReachedLeases:
    """
    The port's ``Leases`` on others, refused at once while what keeps them is away.

    Args:
        leases: The leases.
        reach: Whether what keeps them can be reached; it is told when it was waited for in vain.
    """

    def __init__(self, leases: Leases, reach: Reach) -> None:
        self._leases = leases
        self._reach = reach

    def claim(self, name: str, holder: str, ttl: timedelta) -> Held | None:
        """Take a lease that is free or over, or renew one's own; see the port."""
        return self._asked(lambda: self._leases.claim(name, holder, ttl))

    def renew(self, names: Collection[str], holder: str, ttl: timedelta) -> Mapping[str, Held]:
        """Renew what is still the holder's; see the port."""
        return self._asked(lambda: self._leases.renew(names, holder, ttl))

    def release(self, name: str, holder: str) -> None:
        """Give a lease back; see the port."""
        self._asked(lambda: self._leases.release(name, holder))

    def held(self, prefix: str = "") -> Mapping[str, Held]:
        """Return every lease that was taken and not given back; see the port."""
        return self._asked(lambda: self._leases.held(prefix))

    def _asked(self, ask: Callable[[], T]) -> T:
        self._reach.check()
        try:
            return ask()
        except TransientError as error:
            if error.details.get("locked"):
                self._reach.doubted()
            else:
                self._reach.lost(error)
            raise
