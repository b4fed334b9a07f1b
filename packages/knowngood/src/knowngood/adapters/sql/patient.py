"""
Patient: a connection to Postgres on which nobody waits longer than they meant to.

Time limits that the server keeps are of no use against a server that is frozen, and those of the kernel are not against
a proxy that goes on acknowledging packets. So the client keeps time itself, wherever it waits for an answer.
"""

import math
import socket
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any, TypeVar

import psycopg

__all__ = [
    "LONGEST_WAIT",
    "PatientConnection",
    "SilentError",
    "in_a_hurry",
    "no_time_left",
    "resolved",
    "waiting_at_most",
]

LONGEST_WAIT = timedelta(seconds=2)
"""How long anybody waits for a database that does not answer, unless they say otherwise."""

T = TypeVar("T")


class SilentError(psycopg.OperationalError):
    """The server did not answer in time; the connection is closed, for an answer that comes late would be misread."""


@dataclass(slots=True)
class _Budget:
    """
    What a block may still wait for the server, all its waits together; its own work does not count.

    Attributes:
        seconds: What is left.
        until: By the monotonic clock; set while whatever the block does counts, and infinite else.
    """

    seconds: float
    until: float = math.inf

    @property
    def over(self) -> bool:
        return self.seconds <= 0 or monotonic() > self.until


_budget: ContextVar[_Budget | None] = ContextVar("budget", default=None)


@contextmanager
def waiting_at_most(longest: timedelta, *, at_least: timedelta = timedelta()) -> Iterator[None]:
    """
    Bound all waiting of a block, on whatever connections.

    Args:
        longest: The bound; inside of another block what that one has left, if it is less.
        at_least: What there is to wait in any case, for an end that must not fail because the beginning took long.
    """
    outer = _budget.get()
    seconds = longest.total_seconds() if outer is None else min(longest.total_seconds(), outer.seconds)
    token = _budget.set(_Budget(max(seconds, at_least.total_seconds())))
    try:
        yield
    finally:
        _budget.reset(token)


@contextmanager
def in_a_hurry() -> Iterator[None]:
    """Count all that happens in a block: while a connection is sought, waiting for one that others have counts too."""
    budget = _budget.get()
    if budget is None:
        yield
        return
    budget.until = monotonic() + budget.seconds
    try:
        yield
    finally:
        budget.seconds = min(budget.seconds, budget.until - monotonic())
        budget.until = math.inf


def no_time_left() -> bool:
    """Whether the block has waited for as long as it may."""
    budget = _budget.get()
    return budget is not None and budget.over


def resolved(host: str, port: int, look: Callable[..., list[Any]] = socket.getaddrinfo) -> list[str]:
    """
    Return the addresses of a host.

    Raises:
        psycopg.OperationalError: There are none, or no server of names answered in time. Nothing else bounds that: with
            the network gone the system's own resolver waits for many seconds.
    """
    answers: SimpleQueue[list[str] | OSError] = SimpleQueue()

    def ask() -> None:
        try:
            found = look(host, port, type=socket.SOCK_STREAM)
            answers.put(list(dict.fromkeys(str(address[0]) for *_, address in found)))
        except OSError as error:
            answers.put(error)

    # A daemon, for a question that hangs must not hold up the end of the process.
    Thread(target=ask, name="knowngood-resolve", daemon=True).start()
    budget = _budget.get() or _Budget(LONGEST_WAIT.total_seconds())
    began = monotonic()
    try:
        answer = answers.get(timeout=max(budget.seconds, 0))
    except Empty as error:
        raise SilentError(f"the name {host} was not resolved in time") from error
    finally:
        budget.seconds -= monotonic() - began
    if isinstance(answer, OSError):
        raise psycopg.OperationalError(f"the name {host} cannot be resolved: {answer}") from answer
    return answer


class PatientConnection(psycopg.Connection[Any]):
    """A connection whose every wait for the server ends in time, also while it is being opened."""

    @classmethod
    def _connect_gen(cls, *arguments: Any, **options: Any) -> Generator[Any, Any, Any]:
        # The driver's own limit is whole seconds, two at least, for each address of the server.
        return _in_time(super()._connect_gen(*arguments, **options))

    def wait(self, gen: Generator[Any, Any, T], *arguments: Any, **options: Any) -> T:
        """Wait for the server; raises SilentError once the time is over."""
        try:
            return super().wait(_in_time(gen), *arguments, **options)
        except SilentError:
            self.close()
            raise


def _in_time(steps: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
    """Pass on what an exchange with the server waits for, and give up between two looks at the socket."""
    budget = _budget.get() or _Budget(LONGEST_WAIT.total_seconds())
    try:
        wanted = next(steps)
        while True:
            began = monotonic()
            ready = yield wanted
            budget.seconds -= monotonic() - began
            if not ready and budget.over:
                steps.close()
                raise SilentError("no answer came in time")
            wanted = steps.send(ready)
    except StopIteration as end:
        result: T = end.value
        return result
