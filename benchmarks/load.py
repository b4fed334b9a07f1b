"""Load: servers and riders of a host, and what riders saw."""

import json
import time
import urllib.request
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.host import FIRST_REPLICA, Child, Host, free_port, until
from benchmarks.riders import Log, Question

__all__ = ["Server", "admitted_to_left", "send_riders", "spans", "start_riders", "start_server", "stop_riders"]

_ASK_SECONDS = 5.0


class Server:
    """
    A uvicorn server of the service.

    Args:
        child: Its process.
        port: Where it listens on the loopback interface.
    """

    def __init__(self, child: Child, port: int) -> None:
        self.child = child
        self.port = port

    def ask(self, path: str) -> dict[str, Any]:
        """Ask for a path on a connection of its own, and return the JSON answer."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=_ASK_SECONDS) as answer:
            document: dict[str, Any] = json.load(answer)
            return document

    @property
    def answers(self) -> bool:
        """Whether it listens and its application has started."""
        self.child.check()
        try:
            return "pid" in self.ask("/healthz")
        except OSError:
            return False


def start_server(
    host: Host,
    *,
    workers: int,
    work_seconds: float = 0.0,
    application: str = "benchmarks.server:app",
    replica: str = FIRST_REPLICA,
    env: Mapping[str, str] | None = None,
) -> Server:
    """
    Start a server of a replica; it answers once a version is deployed.

    Args:
        host: Where.
        workers: Worker processes.
        work_seconds: What a prediction takes.
        application: What it serves.
        replica: Whose.
        env: Further environment variables.
    """
    port = free_port()
    options = f"--host 127.0.0.1 --port {port} --workers {workers} --no-access-log --log-level warning"
    child = host.start(
        f"server-{replica}",
        f"uvicorn {application} {options}",
        env={"KNOWNGOOD_REPLICA": replica, "BENCH_WORK_SECONDS": str(work_seconds), **(env or {})},
    )
    return Server(child, port)


def start_riders(host: Host, server: Server, parts: Mapping[str, Mapping[str, str]], name: str, **load: Any) -> Child:
    """
    Start riders of a server, and return when it answers them.

    Args:
        host: Where.
        server: What they ask.
        parts: Version -> part -> the stamp that belongs to it.
        name: Name of the process and its log.
        load: ``riders`` or ``per_second``, and ``path`` if it is not ``/price``.
    """
    until(lambda: server.answers, "the server answers")
    question = Question(path=load.pop("path", "/price"), parts=parts)
    return send_riders(host, server.port, question, name, **load)


def send_riders(
    host: Host, port: int, question: Question, name: str, *, riders: int = 0, per_second: float = 0.0
) -> Child:
    """
    Start riders of whatever answers at a port.

    Args:
        host: Where.
        port: Of the loopback interface.
        question: What they ask.
        name: Name of the process and its log.
        riders: How many ask again as soon as they were answered; 0 for a steady rate instead.
        per_second: Requests in each second, whether earlier ones were answered or not.
    """
    load = {"riders": riders, "per_second": per_second, "log": str(host.folder / f"{name}.json")}
    return host.start(name, "benchmarks.riders", {"port": port, "question": asdict(question), **load})


def stop_riders(host: Host, riders: Child) -> Log:
    """End the riders, and return what they saw."""
    riders.check()
    riders.stop()
    return Log.read(host.folder / f"{riders.name}.json")


def spans(flips: Sequence[Any]) -> list[tuple[int, int, str]]:
    """Return for each flip the time from its acknowledgement to the next one's decision, in ns, and what was left."""
    ends = [flip.began_ns for flip in flips[1:]] + [time.monotonic_ns()]
    return [(flip.acknowledged_ns, end, flip.left) for flip, end in zip(flips, ends, strict=True) if flip.left]


def admitted_to_left(log: Log, acknowledged: Sequence[tuple[int, int, str]]) -> tuple[int, int]:
    """
    Count requests that were sent and answered while every replica had acknowledged to have left a version.

    One that is still under way when the next flip begins may rightly be admitted to either version.

    Args:
        log: What riders saw.
        acknowledged: As ``spans`` returns them.

    Returns:
        How many were, and how many of them the version that was left answered.
    """
    sent = wrong = 0
    for start, end, left in acknowledged:
        # A log is written as answers come, so that what was answered in between lies side by side.
        answered = range(bisect_left(log.answered_ns, start), bisect_left(log.answered_ns, end))
        inside = [place for place in answered if start < log.sent_ns[place]]
        sent += len(inside)
        wrong += sum(log.version[place] == left for place in inside)
    return sent, wrong
