"""Interrupts: Ctrl-C, SIGTERM and SIGHUP end the demo at any time, but not between starting a process and noting it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Interrupts"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Turns signals into KeyboardInterrupt while they are caught; held ones come when the hold is over."""

    def __init__(self) -> None:
        self._holding = 0
        self._pending = False

    @contextmanager
    def caught(self) -> Iterator["Interrupts"]:
        """Catch the signals within the block; only the main thread may."""
        before = {number: signal.signal(number, self._heard) for number in _SIGNALS}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Put signals off until the end of the block, which is short; one that came is raised there."""
        self._holding += 1
        try:
            yield
        finally:
            self._holding -= 1
        if self._pending and not self._holding:
            self._pending = False
            raise KeyboardInterrupt

    def _heard(self, _number: int, _frame: FrameType | None) -> None:
        if self._holding:
            self._pending = True
            return
        raise KeyboardInterrupt
