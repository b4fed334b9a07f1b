"""
Riders: HTTP load from a process of its own, which writes down what it got.

Run as ``python -m benchmarks.riders`` with a JSON order on standard input; it ends at SIGTERM, answers awaited.
Failures and mixtures are counted from its log and from nobody else's.
"""

import asyncio
import json
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.cell import Cell

__all__ = ["MOST_CONNECTIONS", "Log", "Question", "Visits"]

_OK = 200
_NO_ANSWER = 0
_TIMEOUT_SECONDS = 5.0
MOST_CONNECTIONS = 256
"""Requests that may wait at once at a steady pace; the pace breaks rather than send more."""
_TURN_SECONDS = 0.001


@dataclass(slots=True)
class Log:
    """
    What riders saw, one entry for each request.

    Attributes:
        sent_ns: When the request was written to its socket, of ``monotonic_ns``.
        answered_ns: When its answer was complete, or when it failed.
        status: HTTP status; 0 when there was no answer.
        version: The system version that the answer names, or an empty text.
        mixed: Whether its parts' own stamps are not those of the version that it names.
    """

    sent_ns: list[int] = field(default_factory=list)
    answered_ns: list[int] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    version: list[str] = field(default_factory=list)
    mixed: list[bool] = field(default_factory=list)

    def add(self, sent_ns: int, status: int, version: str, *, mixed: bool) -> None:
        """Take in a request that has just ended."""
        self.sent_ns.append(sent_ns)
        self.answered_ns.append(time.monotonic_ns())
        self.status.append(status)
        self.version.append(sys.intern(version))
        self.mixed.append(mixed)

    def write(self, path: Path) -> None:
        """Write it whole."""
        beside = path.with_suffix(".part")
        beside.write_text(
            json.dumps([self.sent_ns, self.answered_ns, self.status, self.version, self.mixed]), encoding="utf-8"
        )
        beside.replace(path)

    @classmethod
    def read(cls, path: Path) -> "Log":
        """Read what ``write`` wrote."""
        return cls(*json.loads(path.read_text(encoding="utf-8")))

    def __len__(self) -> int:
        return len(self.sent_ns)

    @property
    def failed(self) -> list[int]:
        """Places of the requests that got no proper answer."""
        return [place for place, status in enumerate(self.status) if status != _OK]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """
    What riders ask, and how they read the version in its answer.

    Attributes:
        path: What is asked for.
        body: JSON that is posted to it; nothing is, and the path is got, where it is empty.
        parts: Version -> part -> the stamp that belongs to it; a header of the answer names the version.
        named: Versions, one of which stands in the answer as a text of JSON; where there are any, no header is read.
    """

    path: str
    body: str = ""
    parts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    named: Sequence[str] = ()

    def request(self, number: int) -> bytes:
        """Return the request of a rider."""
        head = f"{self.path} HTTP/1.1\r\nhost: bench\r\nx-rider-id: {number}\r\n"
        if not self.body:
            return f"GET {head}\r\n".encode()
        sizes = f"content-type: application/json\r\ncontent-length: {len(self.body)}\r\n"
        return f"POST {head}{sizes}\r\n{self.body}".encode()

    def read(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> tuple[str, bool]:
        """Return the version that an answer names, and whether it is a proper one with parts of another version."""
        if self.named:
            found = [version for version in self.named if f'"{version}"'.encode() in body]
            return found[0] if len(found) == 1 else "", status == _OK and len(found) != 1
        version = headers.get(b"kg-system-version", b"").decode()
        return version, status == _OK and json.loads(body)["parts"] != self.parts.get(version)


class _Line(asyncio.Protocol):
    """One connection that is kept open; one request at a time."""

    def __init__(self, visits: "Visits") -> None:
        self._visits = visits
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self.sent_ns = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._socket = transport.get_extra_info("socket")

    def send(self, request: bytes) -> None:
        """Send a request; the line is busy until it is answered."""
        self._received = b""
        self.sent_ns = time.monotonic_ns()
        if self._transport is not None:
            self._transport.write(request)
            # uvicorn with several workers sends head and body apart and waits for the head to be acknowledged, which
            # the kernel puts off by 40 ms: that would be measured instead of the server.
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if end and self.sent_ns:
            lines = head.split(b"\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
            if len(body) >= int(headers.get(b"content-length", b"0")):
                sent, self.sent_ns = self.sent_ns, 0
                self._visits.answered(self, sent, int(lines[0].split()[1]), headers, body)

    def connection_lost(self, _error: Exception | None) -> None:
        sent, self.sent_ns = self.sent_ns, 0
        self._transport = None
        self._visits.lost(self, sent)

    def hang_up(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.abort()


class Visits:
    """
    Riders of one server.

    Args:
        port: Where it listens on the loopback interface.
        question: What is asked.
        riders: Connections that each send again as soon as they were answered; 0 for a steady rate instead.
        per_second: Requests sent in each second, whether earlier ones were answered or not.
        count: File of a cell that tells how many requests have ended; empty for none.
    """

    def __init__(
        self, port: int, question: Question, *, riders: int = 0, per_second: float = 0.0, count: str = ""
    ) -> None:
        self.log = Log()
        self._count = Cell(Path(count)) if count else None
        self._port = port
        self._question = question
        self._riders = riders
        self._per_second = per_second
        self._sent = 0
        self._idle: deque[_Line] = deque()
        self._lines: set[_Line] = set()
        self._stopped = False

    async def run(self, stop: asyncio.Event) -> None:
        """Send until told to stop, then wait for the answers that are due."""
        waiter = asyncio.create_task(stop.wait())
        if self._riders:
            for _ in range(self._riders):
                (await self._dial()).send(self._next())
            await waiter
        else:
            await self._keep_pace(stop)
            waiter.cancel()
        self._stopped = True
        waited = 0.0
        while any(line.sent_ns for line in self._lines) and waited < _TIMEOUT_SECONDS:
            waited += _TURN_SECONDS
            await asyncio.sleep(_TURN_SECONDS)
        for line in list(self._lines):
            line.hang_up()
        await asyncio.sleep(0)

    def answered(self, line: _Line, sent: int, status: int, headers: Mapping[bytes, bytes], body: bytes) -> None:
        """Note an answer, and send again."""
        version, mixed = self._question.read(status, headers, body)
        self._note(sent, status, version, mixed=mixed)
        if self._riders and not self._stopped:
            line.send(self._next())
        else:
            self._idle.append(line)

    def lost(self, line: _Line, sent: int) -> None:
        """Note that a connection was closed; a request that was under way on it has failed."""
        self._lines.discard(line)
        if sent:
            self._note(sent, _NO_ANSWER, "", mixed=False)
            if self._riders and not self._stopped:
                self._again = asyncio.ensure_future(self._replace())

    def _note(self, sent: int, status: int, version: str, *, mixed: bool) -> None:
        self.log.add(sent, status, version, mixed=mixed)
        if self._count is not None:
            self._count.set(len(self.log))

    async def _replace(self) -> None:
        (await self._dial()).send(self._next())

    async def _keep_pace(self, stop: asyncio.Event) -> None:
        began = time.monotonic()
        while not stop.is_set():
            due = int((time.monotonic() - began) * self._per_second)
            while self._sent < due:
                line = self._idle.popleft() if self._idle else None
                if line is None or line not in self._lines:
                    if len(self._lines) >= MOST_CONNECTIONS:
                        # The server is that far behind: what is not sent cannot be counted, so the pace breaks.
                        break
                    dialled_ns = time.monotonic_ns()
                    try:
                        line = await self._dial()
                    except ConnectionError:  # nobody listens: this rider is turned away, and the next one comes in time
                        self._sent += 1
                        self.log.add(dialled_ns, _NO_ANSWER, "", mixed=False)
                        continue
                line.send(self._next())
            await asyncio.sleep(_TURN_SECONDS)

    async def _dial(self) -> _Line:
        _, line = await asyncio.get_running_loop().create_connection(lambda: _Line(self), "127.0.0.1", self._port)
        self._lines.add(line)
        return line

    def _next(self) -> bytes:
        self._sent += 1
        return self._question.request(self._sent)


async def _main(order: dict[str, Any]) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    log = Path(order.pop("log"))
    question = Question(**order.pop("question"))
    visits = Visits(order.pop("port"), question, **order, count=str(log.with_suffix(".count")))
    await visits.run(stop)
    visits.log.write(log)


if __name__ == "__main__":
    asyncio.run(_main(json.load(sys.stdin)))
