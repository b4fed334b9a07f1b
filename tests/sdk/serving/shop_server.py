"""The shop as worker processes of uvicorn, and callers who write down every answer."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.sdk.serving.steward import Steward, until

__all__ = ["ROOT", "Load", "Server", "uvicorn"]

ROOT = Path(__file__).parents[3]
CALLS = ("/async", "/sync") * 2
PATIENCE_SECONDS = 30.0


@dataclass
class Server:
    url: str
    process: subprocess.Popen[bytes]

    def ask(self, path: str = "/async", rider: str = "rider") -> httpx.Response:
        return httpx.get(self.url + path, headers={"x-rider-id": rider}, timeout=10)


@contextmanager
def uvicorn(steward: Steward, workers: int) -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--port", str(port), "--log-level", "error", "--workers", str(workers)]
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "tests.sdk.serving.shop:app", *options],
        cwd=ROOT,
        env={**os.environ, "KNOWNGOOD_DIR": str(steward.directory)},
    )
    server = Server(f"http://127.0.0.1:{port}", process)
    try:
        until(lambda: len(steward.reports) == workers and answers(server), "the server")
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def answers(server: Server) -> bool:
    try:
        return server.ask().status_code == 200
    except httpx.TransportError:
        return False


@dataclass
class Load:
    """
    Callers of their own, who write down every answer, when they sent for it and when they had it.

    Attributes:
        lasting: Whether a caller keeps its connection, and with it its worker.
        workers: How many worker processes share the lasting connections evenly; 0 leaves that to the kernel.
    """

    server: Server
    lasting: bool = True
    workers: int = 0
    seen: list[tuple[float, float, int, dict[str, Any], str]] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)
    callers_of: Counter[int] = field(default_factory=Counter)

    def call(self, path: str, client: httpx.Client) -> None:
        with closing(client):
            number = 0
            if not self.lasting:
                client.headers["connection"] = "close"
            while not self.done.is_set():
                number += 1
                sent = time.monotonic()
                answer = client.get(path, headers={"x-rider-id": f"rider-{number}"})
                body = answer.json() if answer.status_code == 200 else {}
                named = answer.headers.get("kg-system-version", "")
                self.seen.append((sent, time.monotonic(), answer.status_code, body, named))

    @contextmanager
    def running(self) -> Iterator[None]:
        callers: list[threading.Thread] = []
        try:
            # One after the other: those that ask already keep their worker busy, and another one takes the next.
            for path in CALLS:
                callers.append(threading.Thread(target=self.call, args=(path, self._connected())))
                callers[-1].start()
            yield
        finally:
            self.done.set()
            for caller in callers:
                caller.join()

    def _connected(self) -> httpx.Client:
        """Open a connection; which worker gets it is the kernel's choice, so do it until one has it that may."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            client = httpx.Client(base_url=self.server.url, timeout=10)
            if not self.workers:
                return client
            worker = client.get("/async").json()["pid"]
            if self.callers_of[worker] < len(CALLS) // self.workers:
                self.callers_of[worker] += 1
                return client
            client.close()
            assert time.monotonic() < deadline, f"no other worker took a connection: {dict(self.callers_of)}"
