"""Killer: ends processes by SIGKILL at random instants around pushes, and starts them again as a supervisor would."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

__all__ = ["Killer"]


@dataclass(slots=True)
class Killer:
    """
    Kills at instants that are drawn; as a context, nothing is killed after its end.

    Attributes:
        random: Seeded; what is drawn is drawn by the caller's thread alone.
        within_seconds: A kill comes at most so long after it was asked for.
        kills: What was killed -> how often.
        doing: What is being done meanwhile, for people.
        met: What was being done when a kill fell -> how often.
    """

    random: random.Random
    within_seconds: float
    kills: dict[str, int] = field(default_factory=dict)
    doing: str = ""
    met: dict[str, int] = field(default_factory=dict)
    _timers: list[threading.Timer] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def soon(self, what: str, again: Callable[[], None]) -> None:
        """Kill something within the time; ``again`` kills it and starts it anew, one at a time."""

        def kill() -> None:
            with self._lock:
                self.met[self.doing] = self.met.get(self.doing, 0) + 1
                again()
                self.kills[what] = self.kills.get(what, 0) + 1

        timer = threading.Timer(self.random.random() * self.within_seconds, kill)
        self._timers.append(timer)
        timer.start()

    @property
    def all_kills(self) -> int:
        """How often anything was killed."""
        return sum(self.kills.values())

    def settle(self) -> None:
        """Return when no kill is due any more."""
        for timer in self._timers:
            timer.join()
        self._timers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.settle()
