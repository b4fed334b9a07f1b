"""
A process with light stream clients: ``python -m benchmarks.fan_streams PORT COUNT [--counts]``.

Not agents: each holds a stream and a connection for its answers, and answers at once, from one thread, without a state,
a disk or a worker. With ``--counts`` each sends instead, once a second, what a worker with twenty metrics counted.
"""

import json
import selectors
import socket
import sys
import threading
import time
from dataclasses import dataclass, field

from benchmarks.network import GOOD, SYSTEM
from knowngood_sdk.model.counts import Sums, VersionCounts
from knowngood_sdk.model.route import ReplicaState
from knowngood_sdk.model.stream import counts_body, report_body
from knowngood_sdk.model.wire import CountsReport, ReplicaReport

HEARD = "heard"
_ASK = b'"ask":"'
_AT = "2026-01-01T00:00:00Z"
_METRICS = 20
_SECOND = 1.0


@dataclass(slots=True, eq=False)
class _Client:
    name: str
    stream: socket.socket
    answers: socket.socket
    received: bytearray = field(default_factory=bytearray)

    def post(self, what: str, body: bytes) -> None:
        head = f"POST /v1/systems/{SYSTEM}/replicas/{self.name}/{what} HTTP/1.1\r\nhost: x\r\n"
        self.answers.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)

    def report(self, answers: dict[str, str]) -> None:
        # Where an agent tells how long it took to load, this one tells when it heard: the clock is that of the host.
        heard = {HEARD: time.monotonic()}
        report = ReplicaReport(replica=self.name, state=ReplicaState(), load_seconds=heard, workers=1, at=_AT)
        self.post("report", report_body(report, answers))


def main() -> None:
    """Answer, or count, until the input is closed."""
    port, count, counting = int(sys.argv[1]), int(sys.argv[2]), "--counts" in sys.argv
    clients = [_connected(f"r{number}", port) for number in range(count)]
    stop = threading.Event()
    threading.Thread(target=_until_closed, args=(stop,), daemon=True).start()
    print(json.dumps("ready"), flush=True)
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.stream, selectors.EVENT_READ, client)
            selector.register(client.answers, selectors.EVENT_READ, None)
        if counting:
            threading.Thread(target=_count, args=(clients, stop), daemon=True).start()
        while not stop.is_set():
            for key, _ in selector.select(0.2):
                chunk = key.fileobj.recv(65536)  # type: ignore[union-attr]
                if not chunk:
                    selector.unregister(key.fileobj)
                elif key.data is not None:
                    _answer(key.data, chunk)


def _until_closed(stop: threading.Event) -> None:
    sys.stdin.read()
    stop.set()


def _connected(name: str, port: int) -> _Client:
    stream, answers = (socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(2))
    for each in (stream, answers):
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream.sendall(f"GET /v1/systems/{SYSTEM}/stream?replica={name} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    client = _Client(name, stream, answers)
    client.report({})
    return client


def _answer(client: _Client, chunk: bytes) -> None:
    client.received += chunk
    while b"\n\n" in client.received:
        event, _, rest = bytes(client.received).partition(b"\n\n")
        client.received = bytearray(rest)
        if _ASK in event:
            client.report({event.split(_ASK, 1)[1].split(b'"', 1)[0].decode(): ""})


def _count(clients: list[_Client], stop: threading.Event) -> None:
    """Send each client's counts once a second, spread over it."""
    sequence = 0
    while not stop.is_set():
        sequence += 1
        began = time.monotonic()
        outcomes = {f"metric-{number}": Sums().plus(Sums(n=sequence, total=1.0), 1) for number in range(_METRICS)}
        versions = {GOOD: VersionCounts(requests=sequence, outcomes=outcomes)}
        for number, client in enumerate(clients):
            report = CountsReport(worker=f"w-{client.name}", sequence=sequence, at=_AT, versions=versions)
            client.post("counts", counts_body(_AT, [report.to_json()]))
            ahead = began + number * _SECOND / len(clients) - time.monotonic()
            if ahead > 0:
                stop.wait(ahead)
        stop.wait(max(0.0, began + _SECOND - time.monotonic()))


if __name__ == "__main__":
    main()
