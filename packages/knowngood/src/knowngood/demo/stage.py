"""
Stage: the processes of the demo, started as a person or a service manager would start them.

Everything here is a real process with its own log in the folder: model servers, agents, the control loop, riders. What
the demo does to knowngood it does through the command line.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import httpx

from knowngood_sdk.errors import PermanentError, TransientError

__all__ = ["Child", "Replica", "Stage", "poll"]

SYSTEM = "pricing"
_START_SECONDS = 60.0
_STOP_SECONDS = 10.0


def poll(condition: Callable[[], bool], seconds: float, what: str, *, every: float = 0.05) -> None:
    """
    Wait until a condition holds.

    Raises:
        TransientError: It did not within the time.
    """
    last = time.monotonic() + seconds
    pause = Event()
    while not condition():
        if time.monotonic() > last:
            raise TransientError(f"{what} took longer than {seconds:.0f} s", hint="Look at the logs: kg demo --keep")
        pause.wait(every)


@dataclass(slots=True)
class Child:
    """
    A process of the demo.

    Attributes:
        name: What it is, and the name of its log.
        process: The process.
        log: Where its output goes.
    """

    name: str
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

    def stop(self) -> None:
        """End it by SIGTERM, and by SIGKILL if it does not listen."""
        if self.running:
            self.process.terminate()
            try:
                self.process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def tail(self) -> str:
        """Return the end of its log."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-2000:] if self.log.exists() else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """A replica: its agent and its server with some workers."""

    name: str
    url: str
    workers: int
    agent: Child
    server: Child


@dataclass(slots=True)
class Stage:
    """
    A folder and the processes that work in it.

    Attributes:
        folder: Where everything is written.
        children: Every process that was started, oldest first.
    """

    folder: Path
    children: list[Child] = field(default_factory=list)

    @property
    def home(self) -> Path:
        """The working folder of knowngood (KNOWNGOOD_DIR)."""
        return self.folder / ".knowngood"

    def start(
        self, name: str, arguments: list[str], *, env: Mapping[str, str] | None = None, stdin: bytes | None = None
    ) -> Child:
        """Start a process of this Python with its output in ``logs/<name>.log``."""
        log = self.folder / "logs" / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - our own modules
                [sys.executable, *arguments],
                cwd=self.folder,
                env={**self._environment(), **(env or {})},
                stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if stdin is not None and process.stdin is not None:
            process.stdin.write(stdin)
            process.stdin.close()
        child = Child(name=name, process=process, log=log)
        self.children.append(child)
        return child

    def kg(self, *arguments: str, accept: tuple[int, ...] = (0,)) -> dict[str, Any]:
        """
        Run one command of the command line and return its JSON answer, with the exit code as ``exit_code``.

        Raises:
            PermanentError: It ended with another exit code than the accepted ones.
        """
        done = subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-m", "knowngood.cli", *arguments, "--output", "json"],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        if done.returncode not in accept:
            raise PermanentError(
                f"kg {' '.join(arguments)} ended with {done.returncode}: {done.stdout.decode()[-1500:]}"
                f"{done.stderr.decode()[-1500:]}"
            )
        answer: dict[str, Any] = json.loads(done.stdout)
        return {**answer, "exit_code": done.returncode}

    def start_replica(self, name: str, *, workers: int) -> Replica:
        """Start a replica's agent and its uvicorn server; returns at once, ``wait_served`` waits."""
        port = _free_port()
        environment = {"KNOWNGOOD_REPLICA": name}
        agent = self.start(
            f"agent-{name}", ["-m", "knowngood.cli", "agent", SYSTEM, "--replica", name], env=environment
        )
        server = self.start(
            f"server-{name}",
            [
                "-m", "uvicorn", "knowngood.demo.service:app", "--host", "127.0.0.1", "--port", str(port),
                "--workers", str(workers), "--no-access-log", "--log-level", "warning",
            ],
            env=environment,
        )  # fmt: skip
        return Replica(name=name, url=f"http://127.0.0.1:{port}", workers=workers, agent=agent, server=server)

    def wait_served(self, url: str, child: Child) -> None:
        """Wait until a server answers; raises PermanentError with its log when it ended instead."""

        def answers() -> bool:
            if not child.running:
                raise PermanentError(f"{child.name} ended at its start: {child.tail()}")
            try:
                return httpx.get(f"{url}/healthz", timeout=1.0).status_code == httpx.codes.OK
            except httpx.HTTPError:
                return False

        poll(answers, _START_SECONDS, f"starting {child.name}")

    def start_watch(self, *, fault: str = "") -> Child:
        """Start the control loop, with a fault point to die at if one is named."""
        environment = {"KNOWNGOOD_FAULT": fault} if fault else {}
        return self.start("watch", ["-m", "knowngood.cli", "watch", SYSTEM, "--every", "0.25"], env=environment)

    def start_load(self, order: Mapping[str, Any], name: str) -> Child:
        """Start riders; they begin at once."""
        return self.start(f"riders-{name}", ["-m", "knowngood.demo.load"], stdin=json.dumps(order).encode())

    def close(self) -> None:
        """End every process, newest first."""
        for child in reversed(self.children):
            child.stop()
            _end_group(child.pid)

    def _environment(self) -> dict[str, str]:
        numerics = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
        return {**os.environ, **numerics, "KNOWNGOOD_DIR": str(self.home), "PYTHONUNBUFFERED": "1"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end_group(leader: int) -> None:
    """End what a process left behind in its group: workers of a server that was killed."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return
