"""
Stage: the processes of the demo, started as a person or a service manager would start them.

Everything here is a real process with its own log in the folder: model servers, agents, the control loop, riders. What
the demo does to knowngood it does through the command line.
"""

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import httpx

from knowngood.demo.interrupts import Interrupts
from knowngood_sdk.errors import PermanentError, TransientError

__all__ = [
    "FAULT",
    "SYSTEM",
    "WATCH_EVERY_SECONDS",
    "Child",
    "Replica",
    "Server",
    "Stage",
    "lasting_port",
    "poll",
    "set_up",
    "workers_of",
]

SYSTEM = "pricing"
FAULT = "flip.first-acknowledged"
"""The public fault point at which the control loop dies: in the middle of the flip, with nothing on record."""

WATCH_EVERY_SECONDS = 0.25
"""Seconds between two looks of the control loop."""

_START_SECONDS = 60.0
_STOP_SECONDS = 5.0
_STARTED = re.compile(r"running on http://127\.0\.0\.1:(\d+)")
_ASKED_FOR_PIDS = 40
_FIRST_PORT = 18_000
_FIRST_CLIENT_PORT = 32_768
_PORTS_TRIED = 5
_PORT_TAKEN = "address already in use"
_NUMERICS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_NOT_INHERITED = ("PYTHONDONTWRITEBYTECODE", "GIT_", "KNOWNGOOD_")
"""How names of variables begin that children are not given: the demo is the same whoever starts it, from wherever."""


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
        log_from: Position in the log at which this process began to write, in bytes.
    """

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    log_from: int = 0

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def ask_to_stop(self) -> None:
        """Send it SIGTERM, and do not wait."""
        if self.running:
            self.process.terminate()

    def stop(self) -> None:
        """End it by SIGTERM, and by SIGKILL if it does not listen."""
        self.ask_to_stop()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def output(self) -> str:
        """Return what it wrote."""
        data = self.log.read_bytes() if self.log.exists() else b""
        return data[self.log_from :].decode(errors="replace")

    def check_running(self) -> None:
        """Raise PermanentError, with the end of its log, if it has ended."""
        if not self.running:
            ending = self.output()[-2000:].strip()
            raise PermanentError(f"{self.name} ended with {self.process.returncode}: {ending}")


@dataclass(frozen=True, slots=True)
class Server:
    """A server process and where it answers."""

    url: str
    child: Child


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """A replica: its agent, its server, and the process ids of the server's workers."""

    name: str
    agent: Child
    server: Server
    workers: tuple[int, ...]


@dataclass(slots=True)
class Stage:
    """
    A folder and the processes that work in it.

    Attributes:
        folder: Where everything is written.
        interrupts: Holds Ctrl-C off while a process is being started.
        children: Every process that was started, oldest first.
    """

    folder: Path
    interrupts: Interrupts
    children: list[Child] = field(default_factory=list)

    @property
    def home(self) -> Path:
        """The working folder of knowngood (KNOWNGOOD_DIR)."""
        return self.folder / ".knowngood"

    @property
    def manifests(self) -> Path:
        """Where the release documents lie, which say what every version is made of."""
        return self.home / "systems" / SYSTEM / "manifests"

    def start(
        self, name: str, arguments: list[str], *, env: Mapping[str, str] | None = None, stdin: bytes | None = None
    ) -> Child:
        """Start a process of this Python with its output in ``logs/<name>.log``."""
        log = self.folder / "logs" / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with self.interrupts.held(), log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - our own modules
                [sys.executable, *arguments],
                cwd=self.folder,
                env={**self._environment(), **(env or {})},
                stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            child = Child(name=name, process=process, log=log, log_from=output.tell())
            self.children.append(child)
        if stdin is not None and process.stdin is not None:
            process.stdin.write(stdin)
            process.stdin.close()
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
        said = f"{done.stdout.decode()[-1500:]}{done.stderr.decode()[-1500:]}"
        if done.returncode not in accept:
            raise PermanentError(f"kg {' '.join(arguments)} ended with {done.returncode}: {said}")
        try:
            answer: dict[str, Any] = json.loads(done.stdout)
        except ValueError as error:
            raise PermanentError(f"kg {' '.join(arguments)} answered no JSON: {said}") from error
        return {**answer, "exit_code": done.returncode}

    def start_server(self, name: str, app: str, *, workers: int, env: Mapping[str, str], port: int = 0) -> Child:
        """Start uvicorn; with port 0 it takes one that is free, so that none can be in use already."""
        return self.start(
            name,
            [
                "-m", "uvicorn", app, "--host", "127.0.0.1", "--port", str(port), "--workers", str(workers),
                "--no-access-log", "--log-level", "info", "--timeout-keep-alive", "30",
            ],
            env=env,
        )  # fmt: skip

    def wait_served(self, child: Child, *, again: Callable[[], Child] | None = None) -> Server:
        """
        Wait until a server answers; return where.

        Args:
            child: Its process.
            again: Starts it on another port, where somebody took the one that it was given.

        Raises:
            PermanentError: It ended instead; the message has the end of its log.
            TransientError: It did not answer within a minute.
        """
        for _ in range(_PORTS_TRIED - 1):
            try:
                return self._wait_served(child)
            except PermanentError:
                if again is None or _PORT_TAKEN not in child.output():
                    raise
                child = again()
        return self._wait_served(child)

    def _wait_served(self, child: Child) -> Server:
        found: dict[str, str] = {}

        def answers() -> bool:
            child.check_running()
            started = _STARTED.search(child.output())
            if started is None:
                return False
            url = found["url"] = f"http://127.0.0.1:{started[1]}"
            try:
                return httpx.get(f"{url}/healthz", timeout=1.0).status_code == httpx.codes.OK
            except httpx.HTTPError:
                return False

        poll(answers, _START_SECONDS, f"starting {child.name}")
        return Server(found["url"], child)

    def start_watch(self, *, fault: str = "") -> Child:
        """Start the control loop, with a fault point to die at if one is named."""
        environment = {"KNOWNGOOD_FAULT": fault} if fault else {}
        arguments = ["watch", SYSTEM, "--every", f"{WATCH_EVERY_SECONDS:g}", "--output", "json"]
        return self.start("watch", ["-m", "knowngood.cli", *arguments], env=environment)

    def start_riders(self, name: str, order: Mapping[str, Any]) -> Child:
        """Start riders, who begin at the moment that their order names."""
        return self.start(f"riders-{name}", ["-m", "knowngood.demo.load"], stdin=json.dumps(order).encode())

    def close(self) -> None:
        """End every process: all are asked first, then waited for, and what they left behind is killed."""
        for child in reversed(self.children):
            child.ask_to_stop()
        for child in reversed(self.children):
            child.stop()
            _end_group(child.pid)

    def _environment(self) -> dict[str, str]:
        """Return what children are given: one thread for numerics, and bytecode kept, for many import the same."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
        ours = {
            **dict.fromkeys(_NUMERICS, "1"),
            "KNOWNGOOD_ACTOR": "demo",
            "KNOWNGOOD_DIR": str(self.home),
            "PYTHONUNBUFFERED": "1",
        }
        return {**inherited, **ours}


@contextmanager
def set_up(interrupts: Interrupts, *, keep: bool) -> Iterator[Stage]:
    """Make a stage in a folder of its own; at the end every process is stopped, and the folder removed unless kept."""
    folder = Path(tempfile.mkdtemp(prefix="kg-demo-")).resolve()
    stage = Stage(folder=folder, interrupts=interrupts)
    try:
        yield stage
    finally:
        with interrupts.held():
            stage.close()
            if not keep:
                _remove(folder)


def workers_of(server: Server, count: int) -> tuple[int, ...]:
    """Return the process ids of the workers that answered, up to so many; one may stay out of sight."""
    pids: set[int] = set()
    for _ in range(_ASKED_FOR_PIDS):
        if len(pids) < count:
            pids.add(int(httpx.get(f"{server.url}/healthz", timeout=5.0).json()["pid"]))
    return tuple(sorted(pids))


def lasting_port() -> int:
    """
    Return a port that is free, and that no client is given while a server is away from it.

    Clients are given ports from 32768 on; one that tried again and again could even be connected to itself. Where the
    search begins differs from process to process, for two demos may run at once.

    Raises:
        PermanentError: None is free.
    """
    ports = list(range(_FIRST_PORT, _FIRST_CLIENT_PORT))
    begin = os.getpid() * 101 % len(ports)
    for port in ports[begin:] + ports[:begin]:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise PermanentError(f"no port from {_FIRST_PORT} to {_FIRST_CLIENT_PORT} is free", hint="End what listens there")


def _remove(folder: Path) -> None:
    """Remove a folder in which some folders may not be written: what is kept by content is never changed."""
    for where, folders, _ in os.walk(folder):
        for name in folders:
            path = Path(where, name)
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | stat.S_IRWXU)
    shutil.rmtree(folder)


def _end_group(leader: int) -> None:
    """End what a process left behind in its group: workers of a server that was killed."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return
