"""
Memory runner: the port's ``Runner`` without a database, for tests.

``MemoryRuns`` is what would be on disk; each ``MemoryRunner`` on it is one start of a process. ``kill`` ends one as
SIGKILL would: what it had under way is nobody's until somebody recovers it, and records nothing any more.
"""

import copy
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NoReturn, TypeVar

from knowngood.ports.clock import Clock
from knowngood.ports.runner import Run, RunState, RunStep, Work
from knowngood_sdk.errors import ConflictError, KnownGoodError, NotFoundError, PermanentError, TransientError

__all__ = ["MemoryRunner", "MemoryRuns"]

_LOOK_SECONDS = 0.005
_LINGER_SECONDS = 10.0
_ABORT = "abort"

T = TypeVar("T")


class _Leaving(BaseException):
    """This thread is not, or no longer, the one that carries the run out."""


@dataclass(slots=True)
class _Kept:
    """One run as it is kept; ``claim`` rises with each one who begins to carry it out."""

    run: Run
    after: str = ""
    due: datetime | None = None
    claim: int = 0
    steps: list[RunStep] = field(default_factory=list)
    messages: dict[str, list[Any]] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)
    ended_at: datetime | None = None


class MemoryRuns:
    """
    What is kept of runs.

    Attributes:
        away: Whether it cannot be reached.
    """

    def __init__(self) -> None:
        self.away = False
        self.kept: dict[str, _Kept] = {}
        self.lock = threading.RLock()

    def find(self, run: str) -> _Kept:
        """Return what is kept of a run; raises NotFoundError, or TransientError while it cannot be reached."""
        if self.away:
            raise TransientError("the store of runs cannot be reached")
        if run not in self.kept:
            raise NotFoundError(f"there is no run {run!r}", hint="It was never started, or was forgotten since")
        return self.kept[run]


class MemoryRunner:
    """
    One process that carries out runs.

    Args:
        runs: What is kept.
        incarnation: This start of this process.
        clock: The time.
    """

    def __init__(self, runs: MemoryRuns, incarnation: str, clock: Clock) -> None:
        self.incarnation = incarnation
        self.records = runs
        self.clock = clock
        self._works: Mapping[str, Work] = {}
        self.stopping = threading.Event()
        self._killed = False
        self._threads: list[threading.Thread] = []

    def launch(self, works: Mapping[str, Work]) -> None:
        """See the port."""
        self._works = works
        self.stopping.clear()
        self._spawn(self._dispatch)

    def close(self) -> None:
        """See the port."""
        self.stopping.set()
        for thread in self._threads:
            thread.join(_LINGER_SECONDS)

    def kill(self) -> None:
        """End as by SIGKILL; what runs on in this test's process records nothing."""
        self._killed = True
        self.stopping.set()

    def start(self, run: str, kind: str, payload: Mapping[str, Any], *, after: str = "") -> None:
        """See the port."""
        self._keep(_Kept(Run(id=run, kind=kind, payload=_json(payload), state=RunState.QUEUED), after=after))

    def defer(self, run: str, kind: str, payload: Mapping[str, Any], at: datetime) -> None:
        """See the port."""
        self._keep(_Kept(Run(id=run, kind=kind, payload=_json(payload), state=RunState.DEFERRED)))
        with self.records.lock:
            kept = self.records.find(run)
            if kept.run.state is RunState.DEFERRED:
                kept.due = at

    def signal(self, run: str, topic: str, message: Any, *, key: str) -> None:
        """See the port."""
        with self.records.lock:
            kept = self.records.find(run)
            if key not in kept.keys:
                kept.keys.add(key)
                kept.messages.setdefault(topic, []).append(_json(message))

    def abort(self, run: str, why: str) -> None:
        """See the port."""
        self.signal(run, _ABORT, why, key=f"{run}:abort")

    def resume(self, run: str) -> None:
        """See the port."""
        with self.records.lock:
            kept = self.records.find(run)
            if kept.run.state is not RunState.FAILED:
                raise ConflictError(f"run {run} did not fail: it is {kept.run.state}")
            if kept.steps and kept.steps[-1].error:
                del kept.steps[-1]
            kept.run = replace(kept.run, state=RunState.QUEUED, error="")

    def run(self, run: str) -> Run:
        """See the port."""
        with self.records.lock:
            kept = self.records.find(run)
            return replace(kept.run, steps=tuple(kept.steps))

    def runs(self, *, state: RunState | None = None, limit: int = 100) -> Sequence[Run]:
        """See the port."""
        with self.records.lock:
            if self.records.away:
                raise TransientError("the store of runs cannot be reached")
            newest = [kept.run for kept in reversed(self.records.kept.values()) if state in {None, kept.run.state}]
            return tuple(newest[:limit])

    def recover(self, dead: Sequence[str]) -> Sequence[str]:
        """See the port."""
        with self.records.lock:
            left = [kept for kept in self.records.kept.values() if kept.run.holder in set(dead)]
            for kept in left:
                kept.claim += 1
                kept.run = replace(kept.run, state=RunState.QUEUED, holder="")
            return tuple(kept.run.id for kept in left)

    def forget(self, before: datetime) -> int:
        """See the port."""
        with self.records.lock:
            old = [name for name, kept in self.records.kept.items() if kept.ended_at and kept.ended_at < before]
            for name in old:
                del self.records.kept[name]
            return len(old)

    # ---- inside

    def _keep(self, kept: _Kept) -> None:
        with self.records.lock:
            if self.records.away:
                raise TransientError("the store of runs cannot be reached")
            self.records.kept.setdefault(kept.run.id, kept)

    def _spawn(self, act: Callable[[], None]) -> None:
        thread = threading.Thread(target=act, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _dispatch(self) -> None:
        while not self.stopping.wait(_LOOK_SECONDS):
            with self.records.lock:
                for kept in () if self.records.away else list(self.records.kept.values()):
                    if self._due(kept):
                        kept.claim += 1
                        kept.run = replace(kept.run, state=RunState.RUNNING, holder=self.incarnation)
                        self._spawn(lambda kept=kept, claim=kept.claim: self._carry_out(kept, claim))  # type: ignore[misc]

    def _due(self, kept: _Kept) -> bool:
        if kept.run.state is RunState.DEFERRED:
            return kept.due is not None and kept.due <= self.clock.now()
        if kept.run.state is not RunState.QUEUED or kept.run.kind not in self._works:
            return False
        busy = (other for other in self.records.kept.values() if other.run.state is RunState.RUNNING)
        return not kept.after or all(other.after != kept.after for other in busy)

    def _carry_out(self, kept: _Kept, claim: int) -> None:
        try:
            self._works[kept.run.kind](_Context(self, kept, claim))
        except _Leaving:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this run
            self._end(kept, claim, RunState.FAILED, str(error))
        else:
            self._end(kept, claim, RunState.DONE, "")

    def _end(self, kept: _Kept, claim: int, state: RunState, error: str) -> None:
        with self.records.lock:
            if not self._killed and kept.claim == claim:
                kept.run = replace(kept.run, state=state, holder="", error=error)
                kept.ended_at = self.clock.now()

    def check(self, kept: _Kept, claim: int) -> None:
        """Leave a run that is not, or no longer, this process's."""
        if self.stopping.is_set() or self._killed or kept.claim != claim:
            raise _Leaving

    def record(self, kept: _Kept, claim: int, step: RunStep) -> None:
        """Keep a step that is over, unless the run is somebody else's by now."""
        with self.records.lock:
            if self._killed or kept.claim != claim:
                raise _Leaving
            kept.steps.append(step)


class _Context:
    """The port's ``RunContext``."""

    def __init__(self, runner: MemoryRunner, kept: _Kept, claim: int) -> None:
        self.id = kept.run.id
        self.payload = kept.run.payload
        self._runner = runner
        self._kept = kept
        self._claim = claim
        self._over = list(kept.steps)
        self._were_over = [step.name for step in kept.steps]
        self._aborted = ""

    def step(self, name: str, act: Callable[[], T]) -> T:
        """See the port."""
        self._runner.check(self._kept, self._claim)
        if self._over:
            step = self._over.pop(0)
            if step.error:
                raise PermanentError(step.error)
            return copy.deepcopy(step.result)  # type: ignore[no-any-return] # what act returned
        try:
            result = act()
        except Exception as error:
            words = error.message if isinstance(error, KnownGoodError) else str(error)
            self._runner.record(self._kept, self._claim, RunStep(name=name, error=words))
            raise
        self._runner.record(self._kept, self._claim, RunStep(name=name, result=_json(result)))
        return result

    def until(self, name: str, look: Callable[[], T | None], every: timedelta) -> T:
        """See the port."""

        def wait() -> T:
            while (seen := look()) is None:
                self._runner.stopping.wait(every.total_seconds())
                self._runner.check(self._kept, self._claim)
            return seen

        return self.step(name, wait)

    @property
    def over(self) -> list[str]:
        """See the port."""
        return self._were_over

    def check(self) -> None:
        """See the port."""
        self._runner.check(self._kept, self._claim)

    def leave(self) -> NoReturn:
        """See the port."""
        raise _Leaving

    def pause(self, duration: timedelta) -> None:
        """See the port."""
        clock = self._runner.clock
        due = datetime.fromisoformat(self.step("pause", (clock.now() + duration).isoformat))
        while clock.now() < due:
            self._runner.stopping.wait(_LOOK_SECONDS)
            self._runner.check(self._kept, self._claim)

    def receive(self, topic: str, timeout: timedelta) -> Any:
        """See the port."""
        clock = self._runner.clock
        end = clock.monotonic() + timeout.total_seconds()

        def take() -> list[Any] | None:
            with self._runner.records.lock:
                waiting = self._kept.messages.get(topic, [])
                if waiting:
                    return [waiting.pop(0)]
            return [None] if clock.monotonic() >= end else None

        return self.until("receive", take, timedelta(seconds=_LOOK_SECONDS))[0]

    def aborted(self) -> str:
        """See the port."""
        with self._runner.records.lock:
            self._aborted = self._aborted or str((self._kept.messages.get(_ABORT) or [""])[0])
        return self._aborted


def _json(value: Any) -> Any:
    """Return a copy as it comes back from a database."""
    return json.loads(json.dumps(value, default=dict))
