"""
A real replica for tests: the agent is a process of its own, the worker a stand-in that says what is ready.

What is done to it is done as in life: SIGKILL, SIGSTOP, SIGTERM, a disk that is full.
"""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from knowngood_sdk.errors import ConflictError
from knowngood_sdk.model.wire import WorkerReport
from knowngood_sdk.serving.folder import ReplicaFolder, hold, is_held

__all__ = ["ReplicaUnderTest", "StandInWorker", "until"]

_PATIENCE_SECONDS = 20.0
_LOOK_SECONDS = 0.002


def until(true: Callable[[], bool], what: str) -> None:
    """Return when a condition holds; fail the test, saying what did not come, after 20 seconds."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    pause = threading.Event()
    while not true():
        assert time.monotonic() < deadline, f"it did not come within {_PATIENCE_SECONDS:g} s: {what}"
        pause.wait(_LOOK_SECONDS)


class StandInWorker:
    """Holds a worker's lock and keeps its report, as a worker process would, without serving anything."""

    def __init__(self, folder: ReplicaFolder, name: str, ready: Collection[str]) -> None:
        self._folder = folder
        self._name = name
        lock = hold(folder.worker_lock(name))
        if lock is None:
            raise ConflictError(f"worker {name} lives already")
        self._lock: int | None = lock
        self.say(ready)

    def say(self, ready: Collection[str]) -> None:
        """Report these versions as ready."""
        report = WorkerReport(worker=self._name, pid=os.getpid(), ready=frozenset(ready), fallback=True)
        self._folder.write_worker(report)

    def die(self) -> None:
        """Let go of the lock, as the kernel does for a dead process; the report stays."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


class ReplicaUnderTest:
    """
    One replica folder with an agent process and stand-in workers. Use it as a context.

    Args:
        folder: The replica folder; made here.
        ready: Versions that the first worker, ``w1``, has ready; None starts no worker.
        options: Further options of the agent, such as ``--url``.
    """

    def __init__(
        self, folder: ReplicaFolder, ready: Collection[str] | None = (), options: Sequence[str | Path] = ()
    ) -> None:
        self.folder = folder
        self.options = [str(option) for option in options]
        folder.make()
        self.workers: dict[str, StandInWorker] = {}
        if ready is not None:
            self.add_worker("w1", ready)
        self._said: list[str] = []
        self._listener: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def of(
        cls,
        directory: Path,
        system: str,
        replica: str,
        ready: Collection[str] | None = (),
        options: Sequence[str | Path] = (),
    ) -> Self:
        """Return the replica of a working folder."""
        return cls(ReplicaFolder.of(directory, system, replica), ready, options)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The agent process that was started last."""
        assert self._process is not None, "the agent was not started"
        return self._process

    def start(self) -> None:
        """Start the agent, and return when it listens."""
        directory = self.folder.system_folder.parent.parent
        arguments = [self.folder.system_folder.name, self.folder.replica, "--directory", str(directory), *self.options]
        # A pipe and no file, for a file would be full with the disk.
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, and arguments of the test
            [sys.executable, "-m", "knowngood_sdk.agent", *arguments], stderr=subprocess.PIPE
        )
        self._listener = threading.Thread(target=self._listen, args=(self._process,), daemon=True)
        self._listener.start()
        process = self._process
        until(
            lambda: (
                process.poll() is not None or (is_held(self.folder.agent_lock) and self.folder.agent_socket.exists())
            ),
            "the agent listens",
        )
        assert process.poll() is None, f"the agent ended: {self.said()}"

    def said(self) -> str:
        """Return what all agents that were started here and have ended said on stderr."""
        self._ended()
        return "".join(self._said)

    def kill(self) -> None:
        """End the agent by SIGKILL."""
        self.process.kill()
        self._ended()

    def stop(self) -> int:
        """End the agent by SIGTERM, and return its exit code."""
        self.process.terminate()
        return self._ended()

    def stall(self) -> None:
        """Stop the agent from running, by SIGSTOP."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the agent run on."""
        self.process.send_signal(signal.SIGCONT)

    def fill_disk(self) -> None:
        """Let every write of the agent to a file fail."""
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    def free_disk(self) -> None:
        """Undo ``fill_disk``."""
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def add_worker(self, name: str, ready: Collection[str]) -> None:
        """Start a worker that has these versions ready."""
        self.workers[name] = StandInWorker(self.folder, name, ready)

    def close(self) -> None:
        """End everything."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            self._ended()
        for worker in self.workers.values():
            worker.die()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        if process.stderr is not None:
            with process.stderr as stderr:
                self._said.extend(line.decode() for line in stderr)

    def _ended(self) -> int:
        code = self.process.wait(_PATIENCE_SECONDS)
        if self._listener is not None:
            self._listener.join()
        return code
