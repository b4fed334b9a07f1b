"""
Runner: the port to durable execution.

A run goes on after the process that carried it out has died, from the step after the last one that is over. A step that
was cut off is done again, so every step is an ``ensure``: read, act if different, look again. What a run waits for is
kept, not slept through: a pause and a message outlive every process.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NoReturn, Protocol, TypeVar

__all__ = ["Run", "RunContext", "RunState", "RunStep", "Runner", "Work"]

T = TypeVar("T")


class RunState(StrEnum):
    """Where a run stands."""

    DEFERRED = "deferred"  # starts later
    QUEUED = "queued"  # waits for its turn
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"  # a person has to look; ``resume`` tries the step again that failed


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStep:
    """A step that is over: its name, what it returned (JSON), and why it failed, if so."""

    name: str
    result: Any = None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """
    One run.

    Attributes:
        id: Unique for ever; starting it again does nothing.
        kind: Which work.
        payload: What it was started with, JSON.
        state: Where it stands.
        holder: Process incarnation that carries it out; empty while none does.
        error: Why it failed; empty otherwise.
        steps: What is over, in order.
    """

    id: str
    kind: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    state: RunState = RunState.RUNNING
    holder: str = ""
    error: str = ""
    steps: Sequence[RunStep] = ()


class RunContext(Protocol):
    """What a work is given. Whatever it does but steps must be the same each time that it is done."""

    @property
    def id(self) -> str:
        """The run."""
        ...

    @property
    def payload(self) -> Mapping[str, Any]:
        """What it was started with."""
        ...

    def step(self, name: str, act: Callable[[], T]) -> T:
        """
        Do a step, once it is over never again, and return what it returned (JSON).

        An exception that it raises is over too: it is raised here, after a restart in its words as a PermanentError,
        and ends the run as failed unless the work takes it.
        """
        ...

    def until(self, name: str, look: Callable[[], T | None], every: timedelta) -> T:
        """
        Do a step that may have to wait: look until there is an answer other than None, and return it (JSON).

        Looks are not kept, the answer is; between two of them a process that is to stop stops, and whoever comes next
        goes on looking. An exception of a look is as one of a step.
        """
        ...

    @property
    def over(self) -> Sequence[str]:
        """Names of the steps that were over when this process took the run up. May raise TransientError."""
        ...

    def check(self) -> None:
        """
        Leave the run here when this process is to stop, or took it up once more meanwhile.

        Also within a step: whoever comes next begins that step again. What is raised then is no Exception, and is for
        nobody to take.
        """
        ...

    def leave(self) -> NoReturn:
        """Leave the run here as ``check`` does, for somebody else carries it out."""
        ...

    def pause(self, duration: timedelta) -> None:
        """Go on when the duration has passed, in whatever process that is."""
        ...

    def receive(self, topic: str, timeout: timedelta) -> Any:
        """Return the next message of a topic, or None when none came in time."""
        ...

    def aborted(self) -> str:
        """Return why somebody asked to abort the run; empty when nobody did. To be asked between steps."""
        ...


Work = Callable[[RunContext], None]


class Runner(Protocol):
    """
    Durable execution. All methods are idempotent.

    Any method may raise TransientError when the store of runs cannot be reached, within two seconds: nothing that must
    not wait may be made to depend on it.
    """

    def launch(self, works: Mapping[str, Work]) -> None:
        """Begin to carry out runs in this process; ``works`` says how, by kind."""
        ...

    def close(self) -> None:
        """Stop: the step under way is finished, the rest is left to whoever comes next."""
        ...

    def start(self, run: str, kind: str, payload: Mapping[str, Any], *, after: str = "") -> None:
        """
        Start a run; one that was started before is left as it is.

        Args:
            run: Its id.
            kind: Which work.
            payload: What it is given, JSON.
            after: Runs of the same value are carried out one after the other; empty for side by side.
        """
        ...

    def defer(self, run: str, kind: str, payload: Mapping[str, Any], at: datetime) -> None:
        """Start a run later, whoever lives then: no process waits for it. Again with another time, it is moved."""
        ...

    def signal(self, run: str, topic: str, message: Any, *, key: str) -> None:
        """Send a run a message (JSON); the same key again sends nothing. Raises NotFoundError when there is no run."""
        ...

    def abort(self, run: str, why: str) -> None:
        """Ask a run to end: a message that it sees between two steps, never a kill. Raises NotFoundError."""
        ...

    def resume(self, run: str) -> None:
        """Try the step again that failed. Raises NotFoundError, and ConflictError when the run did not fail."""
        ...

    def run(self, run: str) -> Run:
        """Return a run with its steps; raises NotFoundError when there is none."""
        ...

    def runs(self, *, state: RunState | None = None, limit: int = 100) -> Sequence[Run]:
        """Return runs without their steps, newest first."""
        ...

    def recover(self, dead: Sequence[str]) -> Sequence[str]:
        """Take over what dead processes left running; return the ids. One that lives by then is refused its records."""
        ...

    def forget(self, before: datetime) -> int:
        """Remove what ended before a moment, and return how many runs that were."""
        ...
