"""Several worker processes of one replica: one flip reaches all, and a killed one costs the others nothing."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from knowngood_sdk.model.route import FULL
from tests.sdk.serving.steward import Steward, until

ROOT = Path(__file__).parents[3]


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
    """Callers of their own, who write down every answer, when they sent for it and when they had it."""

    server: Server
    seen: list[tuple[float, float, int, dict[str, Any], str]] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    def call(self, path: str) -> None:
        with httpx.Client(base_url=self.server.url, timeout=10) as client:
            number = 0
            while not self.done.is_set():
                number += 1
                sent = time.monotonic()
                answer = client.get(path, headers={"x-rider-id": f"rider-{number}"})
                body = answer.json() if answer.status_code == 200 else {}
                named = answer.headers.get("kg-system-version", "")
                self.seen.append((sent, time.monotonic(), answer.status_code, body, named))

    @contextmanager
    def running(self) -> Iterator[None]:
        callers = [threading.Thread(target=self.call, args=(path,)) for path in ("/async", "/sync") * 2]
        for caller in callers:
            caller.start()
        try:
            yield
        finally:
            self.done.set()
            for caller in callers:
                caller.join()


@pytest.mark.slow
@pytest.mark.requirement("A1", "G1", "G2", "G3")
def test_a_flip_reaches_every_worker_at_once_with_no_failure_and_no_mixture(tmp_path: Path) -> None:
    steward = Steward(tmp_path)
    v2, v1 = steward.release(2.0, surge=2.0), steward.release(1.0, surge=1.0)
    steward.accept(v2, v1)
    flips: list[tuple[float, float, str]] = []
    with uvicorn(steward, workers=2) as server:
        until(lambda: all(report.ready == {v1, v2} for report in steward.reports.values()), "both slots everywhere")
        load = Load(server)
        with load.running():
            pause = threading.Event()
            for number in range(2, 12):
                pause.wait(0.15)
                began = time.monotonic()
                steward.accept(*((v1, v2) if number % 2 == 0 else (v2, v1)))
                flips.append((began, time.monotonic(), v1 if number % 2 == 0 else v2))
            pause.wait(0.15)
    assert len({body["pid"] for *_, body, _ in load.seen}) == 2
    assert [status for _, _, status, _, _ in load.seen if status != 200] == []
    mixed = [b for *_, b, named in load.seen if b["factor"] != b["surge"] or b["version"] != named]
    assert mixed == []
    until_next = [began for began, _, _ in flips[1:]] + [float("inf")]
    wrong = [
        (sent, body["version"])
        for (_, done, version), end in zip(flips, until_next, strict=True)
        for sent, answered, _, body, _ in load.seen
        # What was sent after the word was set, and answered before the next flip began.
        if done < sent and answered < end and body["version"] != version
    ]
    assert wrong == []


@pytest.mark.slow
@pytest.mark.requirement("G1")
def test_a_worker_that_is_killed_is_gone_for_the_agent_and_its_successor_stands_where_the_others_stand(
    tmp_path: Path,
) -> None:
    steward = Steward(tmp_path)
    v2, v1 = steward.release(2.0), steward.release(1.0)
    steward.accept(v2, v1)
    with uvicorn(steward, workers=2) as server:
        steward.word.join(1, 1, FULL)
        assert server.ask().json()["version"] == v1
        victim = next(iter(steward.reports.values())).pid
        os.kill(victim, signal.SIGKILL)
        until(lambda: victim not in {report.pid for report in steward.reports.values()}, "the end of the victim")
        until(lambda: len([r for r in steward.reports.values() if r.ready]) == 2, "its successor")
        answers_of_both = until(lambda: both(server, victim), "answers of both")
    assert {body["version"] for body in answers_of_both} == {v1}


def both(server: Server, victim: int) -> list[dict[str, Any]] | None:
    """Answers from two workers that are not the victim."""
    found: dict[int, dict[str, Any]] = {}
    for number in range(20):
        try:
            body = server.ask(rider=f"rider-{number}").json()
        except httpx.TransportError:
            continue
        if body["pid"] != victim:
            found[body["pid"]] = body
    return list(found.values()) if len(found) == 2 else None
