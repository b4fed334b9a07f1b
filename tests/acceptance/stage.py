"""
A folder with real processes in it: the command line, agents, servers, the control loop.

Everything is started as a person or a service manager would start it, and waited for by looking.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

__all__ = ["Ended", "Stage", "Started", "until"]

PATIENCE_SECONDS = 30.0


def until(true: Callable[[], Any], what: str, *, seconds: float = PATIENCE_SECONDS, every: float = 0.05) -> Any:
    """Return what a look gives as soon as it is true; fail the test, saying what did not come."""
    deadline = time.monotonic() + seconds
    pause = Event()
    while not (seen := true()):
        assert time.monotonic() < deadline, f"it did not come within {seconds:g} s: {what}"
        pause.wait(every)
    return seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A command that is over: its exit code, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one document on standard output."""
        document: dict[str, Any] = json.loads(self.out)
        return document

    @property
    def error(self) -> dict[str, Any]:
        """The error of a command that was asked for JSON."""
        error: dict[str, Any] = self.json["error"]
        return error


@dataclass(slots=True)
class Started:
    """A process that runs, with its output in a file."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    @property
    def stopped(self) -> bool:
        """Whether it stands still, as after SIGSTOP."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return "\nState:\tT" in status

    @property
    def text(self) -> str:
        """What it wrote so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Return its exit code once it has ended; negative for a signal."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"it has not ended within {seconds:g} s; it wrote:\n{self.text}") from error

    def end(self) -> None:
        """Kill it and whatever it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()


@dataclass(slots=True)
class Stage:
    """
    A folder and the processes that work in it.

    Attributes:
        folder: Where commands run; system file and components lie here.
        started: Every process that was started, oldest first.
        client: Variables of commands that ask a server; empty where they work on the folder.
    """

    folder: Path
    started: list[Started] = field(default_factory=list)
    client: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """The working folder of knowngood."""
        return self.folder / ".knowngood"

    def kg(self, *arguments: str, env: Mapping[str, str] | None = None, seconds: float = 60.0) -> Ended:
        """Run one command to its end."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self._environment({**self.client, **(env or {})}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
        return Ended(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())

    def start_kg(self, *arguments: str, env: Mapping[str, str] | None = None) -> Started:
        """Start a command and leave it running."""
        more = {**self.client, **(env or {})}
        return self.start(self.command(*arguments), name=f"kg-{arguments[0]}", env=more)

    def start(self, command: Sequence[str], *, name: str, env: Mapping[str, str] | None = None) -> Started:
        """Start any process in a group of its own, with its output in a file."""
        logs = self.folder / "logs"
        logs.mkdir(exist_ok=True)
        log = logs / f"{len(self.started)}-{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self._environment(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(Started(process=process, log=log))
        return self.started[-1]

    def files(self) -> dict[str, bytes]:
        """Return every file of the working folder but locks, those of replicas, and what looking at a store touches."""
        return {
            str(path.relative_to(self.home)): path.read_bytes()
            for path in sorted(self.home.rglob("*"))
            if path.is_file() and not path.name.endswith(_TOUCHED) and "replicas" not in path.parts
        }

    def close(self) -> None:
        """End every process, newest first."""
        for one in reversed(self.started):
            one.end()

    @staticmethod
    def command(*arguments: str) -> list[str]:
        """Return the command line of ``kg`` with some arguments."""
        return [sys.executable, "-m", "knowngood.cli", *arguments]

    def _environment(self, more: Mapping[str, str] | None) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith("COVERAGE")}
        home = {"HOME": str(self.folder), "KNOWNGOOD_DIR": str(self.home), "KNOWNGOOD_ACTOR": "ann"}
        return {**kept, "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", **home, **(more or {})}


_KEPT = {"PATH", "TMPDIR", "VIRTUAL_ENV", "SYSTEMROOT"}
_TOUCHED = ("-shm", "-wal", ".lock")
