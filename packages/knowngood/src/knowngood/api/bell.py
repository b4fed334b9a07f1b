"""Bell: wakes what waits in the event loop, from any thread; however many are woken at once, the loop is woken once."""

import asyncio
import contextlib
from collections import deque
from weakref import WeakKeyDictionary

__all__ = ["Bell", "Bells"]


class Bell:
    """
    The bell of one event loop. Safe for threads.

    To wake the loop costs a system call, at which the caller also gives up the interpreter: for a thousand streams that
    are told the same that would be a thousand of both, while the hub is held.

    Args:
        loop: Where those wait that are woken.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._rung: deque[asyncio.Event] = deque()
        self._called = False

    def ring(self, waiting: asyncio.Event) -> None:
        """Set an event of the loop, soon."""
        self._rung.append(waiting)
        # In this order, and the other one below: whoever finds it called was put down before all are passed on.
        if not self._called:
            self._called = True
            with contextlib.suppress(RuntimeError):  # the server has stopped
                self._loop.call_soon_threadsafe(self._pass_on)

    def _pass_on(self) -> None:
        self._called = False
        while self._rung:
            self._rung.popleft().set()


class Bells:
    """The bells of all loops that a router serves; to be asked in the loop itself."""

    def __init__(self) -> None:
        self._bells: WeakKeyDictionary[asyncio.AbstractEventLoop, Bell] = WeakKeyDictionary()

    def here(self) -> Bell:
        """Return the bell of the running loop."""
        loop = asyncio.get_running_loop()
        bell = self._bells.get(loop)
        if bell is None:
            bell = self._bells[loop] = Bell(loop)
        return bell
