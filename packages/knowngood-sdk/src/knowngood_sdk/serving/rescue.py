"""
Rescue: a failed call is answered by the standby within the same request, once, and not too often.

Only for handlers that are declared free of side effects. A budget keeps it from doubling the load of a service that is
failing as a whole: beyond it a failure stays a failure, and the local trip has to decide.
"""

import threading
from collections import deque
from collections.abc import Callable

__all__ = ["RescueBudget"]

SHARE = 0.2
RECENT = 1_000
FIRST = 2
"""Calls that may be rescued before there are enough requests to take a share of."""


class RescueBudget:
    """
    Lets at most a fifth of the last 1,000 requests be answered again, or 2 of a worker's first ones. Safe for threads.

    Args:
        requests: Returns how many requests this worker has counted so far.
    """

    def __init__(self, requests: Callable[[], int]) -> None:
        self._requests = requests
        self._lock = threading.Lock()
        self._taken: deque[int] = deque()

    def take(self) -> bool:
        """Take one call from the budget; False when it is used up."""
        with self._lock:
            requests = self._requests()
            while self._taken and self._taken[0] <= requests - RECENT:
                self._taken.popleft()
            if len(self._taken) >= max(FIRST, SHARE * min(requests, RECENT)):
                return False
            self._taken.append(requests)
            return True
