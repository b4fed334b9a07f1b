"""
Host: a working folder with released versions, and the processes that work in it.

Everything in it is the product's own: release and route documents on disk, agents with their sockets, words and
journals, workers that load, warm and report.
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any, Self

from knowngood.adapters.folder.traffic import FolderTraffic
from knowngood_sdk.model.manifest import Component, Intent, Manifest, Ref, Role
from knowngood_sdk.model.wire import ReleaseDocument
from knowngood_sdk.serving.disk import make_folder
from knowngood_sdk.serving.fingerprint import fingerprint
from knowngood_sdk.serving.folder import ReplicaFolder, is_held

__all__ = ["FIRST_REPLICA", "ROOT", "SYSTEM", "BenchmarkError", "Child", "Host", "free_port", "until"]

ROOT = Path(__file__).parents[1]
SYSTEM = "bench"
FIRST_REPLICA = "a"
GOLDEN = {"input": {"x": 2.0}}
_PARTS = {"model": Role.MODEL, "features": Role.FEATURES, "config": Role.CONFIG}
_PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 0.005
_STOP_SECONDS = 10.0


class BenchmarkError(Exception):
    """A benchmark could not be carried out; its figure would mean nothing."""


def until(true: Callable[[], bool], what: str, seconds: float = _PATIENCE_SECONDS) -> None:
    """Return when a condition holds; raises BenchmarkError when it does not come within the time."""
    deadline = time.monotonic() + seconds
    pause = Event()
    while not true():
        if time.monotonic() > deadline:
            raise BenchmarkError(f"it did not come within {seconds:g} s: {what}")
        pause.wait(_LOOK_SECONDS)


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(slots=True)
class Child:
    """
    A process of a benchmark.

    Attributes:
        name: What it is.
        process: The process; it leads a group of its own.
        log: Where its output goes.
        stopped: Whether the benchmark ended it.
    """

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    stopped: bool = False

    def check(self) -> None:
        """Raise BenchmarkError when it has ended without being told to."""
        if not self.stopped and self.process.poll() is not None:
            text = self.log.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise BenchmarkError(f"{self.name} ended with {self.process.returncode}: {text}")

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.stopped = True
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Ask it to end, and return when it has."""
        self.stopped = True
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def clear_away(self) -> None:
        """End it and whatever it started."""
        self.stop()
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


@dataclass(slots=True)
class Host:
    """
    A working folder and its processes. Use it as a context: at the end every process is ended.

    Attributes:
        folder: Where everything is written.
        random: Seeded randomness of the benchmark.
        traffic: The control plane's port to the replicas.
        agents: Replica -> its agent process.
        children: Every process that was started.
        parts: Version -> part -> the digest of its bytes, of every released version.
    """

    folder: Path
    random: random.Random
    traffic: FolderTraffic = field(init=False)
    agents: dict[str, Child] = field(default_factory=dict)
    children: list[Child] = field(default_factory=list)
    parts: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        make_folder(self.home)
        make_folder(self.folder / "logs")
        self.traffic = FolderTraffic(self.home)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in reversed(self.children):
            child.clear_away()

    @property
    def home(self) -> Path:
        """The working folder of knowngood."""
        return self.folder / "home"

    def replica(self, name: str) -> ReplicaFolder:
        """Return the folder of a replica."""
        return ReplicaFolder.of(self.home, SYSTEM, name)

    def release(self, labels: Sequence[str]) -> list[str]:
        """Write and release one version for each label, made of three parts, and return their digests."""
        return [self._release(label, weight) for weight, label in enumerate(labels, start=1)]

    def start(self, name: str, module: str, order: Any = None, *, env: dict[str, str] | None = None) -> Child:
        """
        Start a module of Python as a process.

        Args:
            name: For messages and the log.
            module: What to run, with its arguments after spaces.
            order: Given to it as JSON on standard input, if at all.
            env: Further environment variables; it belongs to the first replica unless they say otherwise.
        """
        return self.start_command(name, [sys.executable, "-m", *module.split()], order, env=env)

    def start_command(
        self, name: str, command: Sequence[str | Path], order: Any = None, *, env: dict[str, str] | None = None
    ) -> Child:
        """Start a command as a process; the rest is as with ``start``."""
        log = self.folder / "logs" / f"{name}.log"
        environment = {
            **os.environ,
            "KNOWNGOOD_DIR": str(self.home),
            "KNOWNGOOD_REPLICA": FIRST_REPLICA,
            "PYTHONPATH": str(ROOT),
            **(env or {}),
        }
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL if order is None else subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        if process.stdin is not None:
            process.stdin.write(json.dumps(order).encode())
            process.stdin.close()
        child = Child(name, process, log)
        self.children.append(child)
        return child

    def start_agent(self, replica: str = FIRST_REPLICA, *, wait: bool = True) -> Child:
        """Start the agent of a replica, and return when it listens."""
        child = self.start(f"agent-{replica}", f"knowngood_sdk.agent {SYSTEM} {replica}")
        self.agents[replica] = child
        if wait:
            folder = self.replica(replica)
            until(lambda: is_held(folder.agent_lock) and folder.agent_socket.exists(), f"agent {replica} listens")
            child.check()
        return child

    def wait_ready(self, versions: Collection[str], workers: int, *, replica: str = FIRST_REPLICA) -> None:
        """Return when so many workers of a replica have these versions ready, and its agent has seen it."""

        def ready() -> bool:
            for child in self.children:
                if child.name.startswith(("worker", "server")):
                    child.check()
            report = self.replica(replica).report()
            return report is not None and report.workers >= workers and report.ready >= set(versions)

        until(ready, f"{workers} worker(s) of replica {replica} are ready")

    def _release(self, label: str, weight: int) -> str:
        folder = self.folder / "versions" / label
        make_folder(folder)
        components = {}
        for part, role in _PARTS.items():
            path = folder / f"{part}.json"
            path.write_text(json.dumps({"part": part, "label": label, "weight": weight}), encoding="utf-8")
            ref = Ref(digest=fingerprint(path), native=label, facets={"form": "file"})
            components[part] = Component(role=role, kind="files", ref=ref)
        golden = folder / "golden.jsonl"
        golden.write_text(json.dumps({**GOLDEN, "output": {"price": 2.0 * weight**3}}) + "\n", encoding="utf-8")
        release = ReleaseDocument(
            manifest=Manifest(system=SYSTEM, components=components, intent=Intent(text=label)),
            paths={part: str(folder / f"{part}.json") for part in components},
            golden=str(golden),
        )
        self.traffic.publish_release(release)
        version = release.manifest.content_digest
        self.parts[version] = {part: component.ref.digest for part, component in components.items()}
        return version
