"""
Shadow: several versions score the same real requests, off the request path and within a budget.

It gives the only evidence there is about a combination that was never deployed. A request costs one comparison, and
one that is sampled an append; when scoring falls behind, samples are dropped and never a request delayed.
"""

import contextlib
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from knowngood_sdk.model.wire import ShadowOrder
from knowngood_sdk.serving.counting import Counting
from knowngood_sdk.serving.slot import Slot
from knowngood_sdk.serving.trouble import Troubles

__all__ = ["Score", "Shadow"]

Score = Callable[[Any, Any], float]
"""The user's ``score(value, request) -> float``, free of side effects."""

_WAITING = 64
_IDLE_SECONDS = 0.5
_NICENESS = 10
_NEVER = 2**63


class Shadow:
    """
    Scores samples of real requests. Safe for threads.

    Args:
        counting: Where pairs are counted.
        slots: Returns the ready slots by version.
        troubles: Where it tells that the reference cannot score.
    """

    def __init__(self, counting: Counting, slots: Callable[[], Mapping[str, Slot]], troubles: Troubles) -> None:
        self._counting = counting
        self._slots = slots
        self._troubles = troubles
        self._score: Score | None = None
        self._order: ShadowOrder | None = None
        self._waiting: deque[Any] = deque(maxlen=_WAITING)
        self._next = _NEVER
        self._pause_ns = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopped = False
        self._thread: threading.Thread | None = None

    def sample(self, request: Any) -> None:
        """
        Offer a request for scoring; taken when the budget has room.

        Args:
            request: What ``score`` gets. Nobody may change it afterwards.
        """
        now = time.monotonic_ns()
        if now < self._next:
            return
        with self._lock:
            if now < self._next:
                return
            self._next = now + self._pause_ns
            # Full: the oldest sample gives way.
            self._waiting.append(request)
        self._wake.set()

    def obey(self, order: ShadowOrder | None, score: Score | None) -> None:
        """Score as ordered from now on; None stops it."""
        with self._lock:
            if order == self._order and score is self._score:
                return
            self._order, self._score = order, score
            self._waiting.clear()
            if order is None or score is None or not order.per_second > 0 or self._stopped:
                self._next = _NEVER
                return
            self._pause_ns = int(1e9 / order.per_second)
            self._next = 0
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="kg-shadow", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Stop scoring; a score that is being computed is not waited for beyond a second."""
        with self._lock:
            self._stopped, self._next = True, _NEVER
            thread = self._thread
        self._wake.set()
        if thread is not None:
            thread.join(1.0)

    def _run(self) -> None:
        # Where threads have a priority of their own this one comes last; elsewhere the budget alone bounds it.
        with contextlib.suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        while not self._stopped:
            self._wake.wait(_IDLE_SECONDS)
            self._wake.clear()
            while self._waiting and not self._stopped:
                with contextlib.suppress(IndexError):
                    self._compare(self._waiting.popleft())

    def _compare(self, request: Any) -> None:
        with self._lock:
            order, score = self._order, self._score
        if order is None or score is None:
            return
        slots = self._slots()
        reference = slots.get(order.reference)
        known = None if reference is None else self._scored(score, reference, request)
        if known is None:
            return
        for version in order.others:
            slot = slots.get(version)
            if slot is not None:
                self._counting.pair(order.reference, version, known, self._scored(score, slot, request))

    def _scored(self, score: Score, slot: Slot, request: Any) -> float | None:
        try:
            number = float(score(slot.value, request))
        except BaseException as error:  # noqa: BLE001 - a stranger's code, in our thread; that it failed is counted
            self._troubles.note("shadow", f"scoring in shadow: {type(error).__name__}: {error}")
            return None
        return number if math.isfinite(number) else None
