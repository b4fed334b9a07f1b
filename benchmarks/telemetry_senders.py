"""
A process with the replicas of the telemetry benchmark: ``python -m benchmarks.telemetry_senders``.

Each replica holds a stream, and a connection that it keeps, with a real token, and sends what its one worker counted
once a second, in the form in which an agent sends it: head and body are one write. Like an agent it
waits for an answer before it sends again; what was due meanwhile is sent at once then, and its time counts from when it
was due. All of it is one thread. Reads its order as JSON from standard input, answers in lines of JSON.
"""

import heapq
import json
import selectors
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from knowngood_sdk.model.counts import Sums, VersionCounts, log_bin
from knowngood_sdk.model.route import ReplicaState
from knowngood_sdk.model.stream import counts_body, report_body
from knowngood_sdk.model.wire import CountsReport, ReplicaReport

__all__ = ["METRICS", "counted", "worker_of"]

METRICS = 20
_OUTCOMES = 11
_BINS = 20
_LATENCIES, _PREDICTIONS = (range(log_bin(least), log_bin(least) + _BINS) for least in (0.005, 50.0))
_SECOND = 1.0
_PATIENCE_SECONDS = 30.0
_TAKEN = b"HTTP/1.1 204 "
_END = b"\r\n\r\n"


@dataclass(slots=True, eq=False)
class _Replica:
    name: str
    answers: socket.socket
    stream: socket.socket
    head: str
    sequence: int = 0
    due: deque[tuple[float, bytes]] = field(default_factory=deque)
    received: bytes = b""
    under_way: float = 0.0
    last: list[bytes] = field(default_factory=list)


def counted(sequence: int, subjects: Sequence[int] = ()) -> VersionCounts:
    """
    Return what a worker has counted of one version after so many seconds, as twenty metrics.

    Five counts (answered, failed through its own fault, through the caller's, rescued, nonsense), latency and output
    each as a histogram of twenty bins and as moments, and the moments of eleven outcomes. ``subjects`` is the sketch of
    whose requests they were, beside them.
    """
    n = sequence * 20
    return VersionCounts(
        requests=n,
        errors=sequence,
        client_errors=sequence,
        rescued=sequence,
        nonsense=sequence,
        latency=dict.fromkeys(_LATENCIES, sequence),
        latencies=Sums(n, n * 0.0119, n * 0.000173),
        predictions=Sums(n, n * 149.31, n * 25_110.7),
        prediction_bins=dict.fromkeys(_PREDICTIONS, sequence),
        outcomes={f"outcome-{number}": Sums(sequence, sequence * 1.25, sequence * 2.5) for number in range(_OUTCOMES)},
        subjects=tuple(subjects),
    )


def worker_of(replica: str) -> str:
    """Return the name of a replica's worker."""
    return f"worker-of-{replica}"


class _Senders:
    def __init__(self, order: dict[str, Any]) -> None:
        self._port, self._token, self._system = order["port"], order["token"], order["system"]
        self._version, self._subjects = order["version"], order["subjects"]
        self._selector = selectors.DefaultSelector()
        self._replicas = [self._connected(f"r{number:04}") for number in range(order["replicas"])]
        self.took: list[float] = []
        self.refused: list[str] = []
        for replica in self._replicas:
            self._selector.register(replica.answers, selectors.EVENT_READ, replica)
            self._selector.register(replica.stream, selectors.EVENT_READ, None)

    def greet(self) -> None:
        """Report once for each replica, and return when all are answered."""
        for replica in self._replicas:
            at = _now()
            report = ReplicaReport(replica=replica.name, state=ReplicaState(), ready=frozenset({self._version}), at=at)
            self._send(replica, "report", report_body(report, {}))
        self._settle()

    def count(self, seconds: float) -> dict[str, Any]:
        """Send counts once a second, spread over it; return how it went."""
        self.took, began = [], time.monotonic()
        spread = _SECOND / len(self._replicas)
        turns = [(began + number * spread, number) for number in range(len(self._replicas))]
        heapq.heapify(turns)
        end = began + seconds
        while turns:
            self._look(turns[0][0] - time.monotonic())
            while turns and (turn := turns[0])[0] <= time.monotonic():
                heapq.heappop(turns)
                self._put(self._replicas[turn[1]], turn[0])
                if turn[0] + _SECOND < end:
                    heapq.heappush(turns, (turn[0] + _SECOND, turn[1]))
        self._settle()
        lasted = time.monotonic() - began
        return {"seconds": lasted, "took_ms": [round(took * 1_000, 2) for took in self.took]}

    def repeat(self) -> None:
        """Send once more what every replica sent second to last, and last: what comes late, and what comes twice."""
        for back in (-2, -1):
            for replica in self._replicas:
                what = replica.last[max(back, -len(replica.last))]
                self._send(replica, "counts", what)
            self._settle()

    def sequences(self) -> dict[str, int]:
        """Return what each replica's worker has got to."""
        return {replica.name: replica.sequence for replica in self._replicas}

    def _put(self, replica: _Replica, due: float) -> None:
        replica.sequence += 1
        at, subjects = _now(), self._subjects
        versions = {self._version: counted(replica.sequence, subjects)}
        report = CountsReport(worker=worker_of(replica.name), sequence=replica.sequence, at=at, versions=versions)
        body = counts_body(at, [report.to_json()])
        replica.last = [*replica.last[-1:], body]
        self._send(replica, "counts", body, due)

    def _send(self, replica: _Replica, what: str, body: bytes, due: float = 0.0) -> None:
        head = replica.head.format(what=what, length=len(body)).encode()
        replica.due.append((due or time.monotonic(), head + body))
        if not replica.under_way:
            self._next(replica)

    def _next(self, replica: _Replica) -> None:
        replica.under_way, message = replica.due.popleft()
        replica.answers.sendall(message)

    def _look(self, seconds: float) -> None:
        for key, _ in self._selector.select(max(0.0, seconds)):
            chunk = key.fileobj.recv(65_536)  # type: ignore[union-attr]
            if not chunk:
                raise ConnectionError("the server hung up")
            if key.data is not None:
                self._take(key.data, chunk)

    def _take(self, replica: _Replica, chunk: bytes) -> None:
        replica.received += chunk
        if not replica.received.endswith(_END):
            return
        # One answer at a time is under way, and none that is a success has a body.
        if not replica.received.startswith(_TAKEN):
            raise ConnectionError(f"a message was answered {replica.received[:300]!r}")
        self.took.append(time.monotonic() - replica.under_way)
        replica.received, replica.under_way = b"", 0.0
        if replica.due:
            self._next(replica)

    def _settle(self) -> None:
        end = time.monotonic() + _PATIENCE_SECONDS
        while any(replica.under_way for replica in self._replicas):
            self._look(0.1)
            if time.monotonic() > end:
                raise TimeoutError(f"messages were not answered within {_PATIENCE_SECONDS:g} s")

    def _connected(self, name: str) -> _Replica:
        answers, stream = (socket.create_connection(("127.0.0.1", self._port), timeout=30) for _ in range(2))
        for each in (answers, stream):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        place = f"/v1/systems/{self._system}"
        common = f"Host: 127.0.0.1:{self._port}\r\nAccept-Encoding: identity\r\nauthorization: Bearer {self._token}\r\n"
        opening = f"GET {place}/stream?replica={name} HTTP/1.1\r\n{common}accept: text/event-stream\r\n\r\n"
        stream.sendall(opening.encode())
        head = (
            f"POST {place}/replicas/{name}/{{what}} HTTP/1.1\r\n{common}Content-Length: {{length}}\r\n"
            "content-type: application/json\r\n\r\n"
        )
        return _Replica(name=name, answers=answers, stream=stream, head=head)


def main() -> None:
    """Do as the order says."""
    order = json.loads(sys.stdin.readline())
    senders = _Senders(order)
    senders.greet()
    senders.count(order["warm_up_seconds"])
    _say("ready")
    for line in sys.stdin:
        what = json.loads(line)
        if "seconds" in what:
            _say(senders.count(what["seconds"]))
        else:
            senders.repeat()
            _say(senders.sequences())


def _say(what: Any) -> None:
    print(json.dumps(what), flush=True)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


if __name__ == "__main__":
    main()
