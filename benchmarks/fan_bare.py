"""
The peer of a fan-out: a server that could not do less.

It speaks to the same light clients, on asyncio alone: one write of fixed bytes to every stream, and a count of the
answers by POST. No routes, no tokens, no state, and nothing is read of a body but the id of what was asked.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.host import BenchmarkError, free_port
from benchmarks.network import SYSTEM
from knowngood_sdk.model.stream import push_event
from knowngood_sdk.model.wire import RouteDocument

__all__ = ["Bare", "bare"]

_STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
_TAKEN = b"HTTP/1.1 204 No Content\r\n\r\n"
_LENGTH = b"content-length: "
_END = b"\r\n\r\n"
_EVENT = push_event("bare", RouteDocument(system=SYSTEM))
_DEADLINE_SECONDS = 30.0


class Bare:
    """
    The server, in a loop of its own.

    Attributes:
        port: Where it listens.
        streams: Streams that are open.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.streams: list[asyncio.Transport] = []
        self._loop = asyncio.new_event_loop()
        self._left = 0
        self._all = threading.Event()

    def push(self, streams: int) -> None:
        """Send the event on so many streams, and return when as many answers are there."""
        if len(self.streams) != streams:
            raise BenchmarkError(f"{len(self.streams)} of {streams} streams are open")
        self._all.clear()
        self._left = streams
        self._loop.call_soon_threadsafe(self._write)
        if not self._all.wait(_DEADLINE_SECONDS):
            raise BenchmarkError(f"{self._left} of {streams} streams did not answer")

    def answered(self) -> None:
        """Count an answer."""
        self._left -= 1
        if not self._left:
            self._all.set()

    def run(self) -> None:
        """Listen until ``stop``."""
        asyncio.set_event_loop(self._loop)
        made = self._loop.create_server(lambda: _Connection(self), "127.0.0.1", self.port, backlog=4096)
        server = self._loop.run_until_complete(made)
        self._loop.run_forever()
        server.close()
        for stream in self.streams:
            stream.abort()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    def stop(self) -> None:
        """Let ``run`` return."""
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _write(self) -> None:
        for stream in self.streams:
            stream.write(_EVENT)


class _Connection(asyncio.Protocol):
    """A stream, or a connection for answers."""

    def __init__(self, server: Bare) -> None:
        self._server = server
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while _END in self._received:
            head, _, rest = self._received.partition(_END)
            if head.startswith(b"GET"):
                self._received = rest
                self._transport.write(_STREAM)
                self._server.streams.append(self._transport)
                continue
            length = int(head.partition(_LENGTH)[2].partition(b"\r\n")[0])
            if len(rest) < length:
                return
            self._received = rest[length:]
            self._transport.write(_TAKEN)
            if b'"bare"' in rest[:length]:
                self._server.answered()


@contextmanager
def bare() -> Iterator[Bare]:
    """Serve in a thread of this process."""
    server = Bare()
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(30)
