"""
Bounded: calls that nobody waits for longer than a stated time.

A database that accepts and never answers holds whoever asks it for as long as the kernel likes, whatever time limits
the driver has. So the question is put in a thread of its own, and given up where no answer comes; the thread ends when
the call does.
"""

import logging
from collections.abc import Callable
from datetime import timedelta
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import Any, TypeVar

from knowngood_sdk.errors import TransientError

__all__ = ["Bounded", "Hand"]

_log = logging.getLogger(__name__)
_MOST_ABANDONED = 16
"""Calls that may hang at a time; the next ones are refused at once, so that threads do not pile up."""

T = TypeVar("T")


class _Call:
    """One call: what to do, and what became of it."""

    __slots__ = ("act", "done", "error", "result")

    def __init__(self, act: Callable[[], Any]) -> None:
        self.act = act
        self.done = Event()
        self.result: Any = None
        self.error: BaseException | None = None

    def do(self) -> None:
        try:
            self.result = self.act()
        except BaseException as error:  # noqa: BLE001 - raised again in whoever waits
            self.error = error
        finally:
            self.done.set()


class Hand:
    """One thread that does one call after the other, for a caller who waits a stated time for each."""

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        # A daemon: one that hangs must not hold up the end of the process.
        Thread(target=self._work, name=name, daemon=True).start()

    def do(self, act: Callable[[], T], patience: timedelta) -> tuple[bool, T | None]:
        """
        Do a call, after those that were given before.

        Returns:
            Whether it was over in time, and what it returned. What it raises is raised here.
        """
        call = _Call(act)
        self._calls.put(call)
        if not call.done.wait(patience.total_seconds()):
            return False, None
        if call.error is not None:
            raise call.error
        return True, call.result

    def last(self, act: Callable[[], Any]) -> None:
        """Do a call after all others, whose end nobody waits for, and let the thread end."""
        self._calls.put(_Call(act))
        self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call.do()


class Bounded:
    """
    Does calls side by side, and waits for none of them longer than its patience.

    Attributes:
        what: What is asked, for people: "the store".
        patience: Longest time to wait for one answer.
    """

    def __init__(self, what: str, patience: timedelta = timedelta(seconds=2)) -> None:
        self.what = what
        self.patience = patience
        self._idle: list[Hand] = []
        self._lock = Lock()
        self._abandoned = 0

    def __call__(self, act: Callable[[], T]) -> T:
        """
        Return what a call returns.

        Raises:
            TransientError: No answer came in time. What was asked may still be done.
        """
        with self._lock:
            if self._abandoned >= _MOST_ABANDONED:
                raise self._silent(f"{self._abandoned} earlier calls still wait for an answer")
            hand = self._idle.pop() if self._idle else Hand(f"knowngood-{self.what}")
        try:
            in_time, result = hand.do(act, self.patience)
        except BaseException:
            self._give_back(hand)
            raise
        if in_time:
            self._give_back(hand)
            return result  # type: ignore[return-value] # it is a T where the call was over
        with self._lock:
            self._abandoned += 1
        hand.last(self._one_less)
        raise self._silent("no answer came")

    def _give_back(self, hand: Hand) -> None:
        with self._lock:
            self._idle.append(hand)

    def _one_less(self) -> None:
        with self._lock:
            self._abandoned -= 1
        _log.info("a call of %s that was given up has ended", self.what)

    def _silent(self, why: str) -> TransientError:
        return TransientError(
            f"{self.what} does not answer within {self.patience.total_seconds():g} s: {why}",
            hint="Look whether the database runs and can be reached",
        )
