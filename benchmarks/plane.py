"""Plane: a real ``kg serve`` as a process of its own, and what it takes of the machine."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from benchmarks.host import ROOT, BenchmarkError, until
from knowngood.app import open_tokens
from knowngood.config import Settings
from knowngood.control.tokens import Giver, create
from knowngood.domain.level import Level
from knowngood.domain.token import Order, Scope, verbs_of

__all__ = ["ServedPlane", "served"]

_TICKS = os.sysconf("SC_CLK_TCK")
_START_SECONDS = 120.0
_STOP_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedPlane:
    """
    A server that runs.

    Attributes:
        process: It.
        port: Where it listens, on the loopback interface.
        token: Of a person who may do everything.
        replica_token: Of an agent.
    """

    process: subprocess.Popen[bytes]
    port: int
    token: str
    replica_token: str

    def connection(self) -> HTTPConnection:
        """Return a connection, which its caller closes."""
        return HTTPConnection("127.0.0.1", self.port, timeout=60)

    def get(self, connection: HTTPConnection, path: str) -> bytes:
        """Return the body of an answer; raises BenchmarkError when it is not 200."""
        connection.request("GET", path, headers={"Authorization": f"Bearer {self.token}"})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:  # noqa: PLR2004 - HTTP
            raise BenchmarkError(f"GET {path} was answered {answer.status}: {body[:300].decode()}")
        return body

    def json(self, path: str) -> Any:
        """Return a document."""
        with closing(self.connection()) as connection:
            return json.loads(self.get(connection, path))

    def processor_seconds(self) -> float:
        """Return what it has used of the processor since it started."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def peak_mb(self) -> float:
        """Return the most memory that it ever had, in MB."""
        return self._memory("VmHWM")

    def _memory(self, field: str) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        found = re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)
        if found is None:
            raise BenchmarkError(f"the kernel tells no {field} of the server")
        return int(found[1]) / 1_024

    def share_of_a_core(self, seconds: float, pause: Any) -> float:
        """Return the percentage of one core that it uses while ``pause`` waits for so long."""
        began, used = time.monotonic(), self.processor_seconds()
        pause(seconds)
        return (self.processor_seconds() - used) / (time.monotonic() - began) * 100


@contextmanager
def served(folder: Path, store: str = "", **settings: str) -> Iterator[ServedPlane]:
    """
    Run ``kg serve`` on a working folder, until the block ends.

    Args:
        folder: The working folder.
        store: What ``--store`` is given; empty for the one in the folder.
        settings: Further settings: ``KNOWNGOOD_<NAME>`` -> value.
    """
    token, replica_token = (_token(folder, store, words) for words in ("owner", "replica"))
    log = folder / "serve.log"
    command = [sys.executable, "-m", "knowngood.cli", "serve", "--dir", str(folder), "--port", "0"]
    command += ["--store", store] if store else []
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KNOWNGOOD_")}
    environment |= {f"KNOWNGOOD_{name.upper()}": value for name, value in settings.items()}
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield ServedPlane(process=process, port=_port(process, log), token=token, replica_token=replica_token)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _port(process: "subprocess.Popen[bytes]", log: Path) -> int:
    def text() -> str:
        return log.read_text(encoding="utf-8", errors="replace")

    until(lambda: "listening at" in text() or process.poll() is not None, "the server listens", _START_SECONDS)
    found = re.search(r"listening at http://127\.0\.0\.1:(\d+)", text())
    if found is None:
        raise BenchmarkError(f"kg serve did not start: {text()[-2000:]}")
    return int(found[1])


def _token(folder: Path, store: str, may: str) -> str:
    scope = Scope(verbs=verbs_of([may]), systems=frozenset({"*"}), highest=Level.DATA)
    order = Order(name=f"benchmark-{may}", scope=scope, life=timedelta(days=1))
    with closing(open_tokens(Settings(dir=folder, store=store))) as tokens:
        return create(tokens, os.urandom(32), order, Giver(name="root", now=datetime.now(UTC))).secret
