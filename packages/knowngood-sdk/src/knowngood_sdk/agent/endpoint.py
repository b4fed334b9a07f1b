"""
Endpoint: the agent's unix socket, served by the agent's own thread.

One request is handled at a time, because each changes the one state of the replica; reading and writing never block.
A peer that is slow, silent, greedy or hostile costs a bounded buffer until its deadline, and no other peer's answer.
"""

import os
import selectors
import socket
import struct
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from knowngood_sdk.agent.protocol import MAX_LINE, answer_of_error, decode, encode, socket_path
from knowngood_sdk.errors import InvalidError, KnownGoodError

__all__ = ["CONNECTION_SECONDS", "MAX_CONNECTIONS", "Endpoint"]

CONNECTION_SECONDS = 10.0
"""How long a connection may be silent or deaf, unless the agent is told otherwise."""

MAX_CONNECTIONS = 64
"""Connections at a time; one more closes the one that has been silent for longest."""

_CHUNK = 256 * 1024
_BACKLOG = 128
_OWNER_ONLY = 0o600
_CREDENTIALS = struct.Struct("3i")
"""Process, user and group of a peer."""


@dataclass(slots=True, eq=False)
class _Connection:
    peer: socket.socket
    deadline: float
    received: bytearray = field(default_factory=bytearray)
    searched: int = 0
    to_send: bytes = b""
    last: bool = False


class Endpoint:
    """
    Listens on a socket file and answers each line.

    Args:
        path: Where the socket stands; one left by a dead process is replaced, so hold the agent's lock.
        answer: Maps a request to its answer. A KnownGoodError becomes the answer that says so.
        connection_seconds: A connection is closed when it brings no complete request, or does not read its answer,
            for this long.

    Raises:
        OSError: The socket cannot be made there.
        InvalidError: The path is too long on this platform.
    """

    def __init__(
        self, path: Path, answer: Callable[[Any], Mapping[str, Any]], *, connection_seconds: float = CONNECTION_SECONDS
    ) -> None:
        self._path = path
        self._connection_seconds = connection_seconds
        self._answer = answer
        self._connections: set[_Connection] = set()
        self._selector = selectors.DefaultSelector()
        self._listener = _listen(path)
        self._selector.register(self._listener, selectors.EVENT_READ)
        # Whoever writes here, from any thread, ends the wait in ``serve``.
        self._bell, self._clapper = socket.socketpair()
        for end in (self._bell, self._clapper):
            end.settimeout(0)
        self._selector.register(self._bell, selectors.EVENT_READ)

    def serve(self, seconds: float) -> None:
        """Handle what is there, waiting for it for at most so many seconds."""
        for key, _ in self._selector.select(seconds):
            if key.fileobj is self._listener:
                self._accept()
            elif key.fileobj is self._bell:
                self._silence()
            elif key.data in self._connections:
                # Else it gave way a moment ago to one that was accepted in this very turn.
                self._advance(key.data)
        now = time.monotonic()
        for connection in [c for c in self._connections if c.deadline < now]:
            self._close(connection)

    def wake(self) -> None:
        """End the present or the next wait in ``serve``; for other threads."""
        with suppress(OSError):  # it rings already, or is closed
            self._clapper.send(b".")

    def close(self) -> None:
        """Close every connection and take the socket away."""
        for connection in list(self._connections):
            self._close(connection)
        self._selector.close()
        self._listener.close()
        self._bell.close()
        self._clapper.close()
        self._path.unlink(missing_ok=True)

    def _silence(self) -> None:
        with suppress(BlockingIOError):
            self._bell.recv(_CHUNK)

    def _accept(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except OSError:
            # The peer left while it waited, or descriptors ran out: the next one is accepted when there is room.
            return
        if not _is_ours(peer):
            peer.close()
            return
        peer.settimeout(0)
        if len(self._connections) >= MAX_CONNECTIONS:
            self._close(min(self._connections, key=lambda c: c.deadline))
        connection = _Connection(peer, time.monotonic() + self._connection_seconds)
        self._connections.add(connection)
        self._selector.register(peer, selectors.EVENT_READ, connection)
        # Whoever connects has mostly sent already: answer without another turn of the loop.
        self._advance(connection)

    def _advance(self, connection: _Connection) -> None:
        """Read or write what is possible now, and answer each complete line once the answer before it is read."""
        try:
            open_still = self._flush(connection) if connection.to_send else self._receive(connection)
            while open_still and not connection.to_send and not connection.last:
                line = _next_line(connection)
                if line is None:
                    break
                connection.to_send = self._reply(line)
                open_still = self._flush(connection)
        except OSError:
            open_still = False
        if not open_still:
            self._close(connection)

    def _receive(self, connection: _Connection) -> bool:
        try:
            chunk = connection.peer.recv(_CHUNK)
        except BlockingIOError:
            return True
        connection.received += chunk
        if len(connection.received) > MAX_LINE and b"\n" not in connection.received:
            connection.to_send = encode(answer_of_error(InvalidError(f"a line is longer than {MAX_LINE} bytes")))
            connection.last = True
            return self._flush(connection)
        return bool(chunk)

    def _flush(self, connection: _Connection) -> bool:
        """Send what can be sent; return whether the connection stays open."""
        connection.deadline = time.monotonic() + self._connection_seconds
        try:
            sent = connection.peer.send(connection.to_send)
        except BlockingIOError:
            sent = 0
        connection.to_send = connection.to_send[sent:]
        events = selectors.EVENT_WRITE if connection.to_send else selectors.EVENT_READ
        self._selector.modify(connection.peer, events, connection)
        return bool(connection.to_send) or not connection.last

    def _reply(self, line: bytes) -> bytes:
        try:
            return encode(self._answer(decode(line)))
        except KnownGoodError as error:
            return encode(answer_of_error(error))
        except Exception as error:  # noqa: BLE001 - a request that trips over a defect must not stop all others
            traceback.print_exc()
            defect = KnownGoodError(
                f"the agent tripped over this request: {error!r}", hint="This is a defect; its log has the traceback"
            )
            return encode(answer_of_error(defect))

    def _close(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        self._selector.unregister(connection.peer)
        connection.peer.close()


def _is_ours(peer: socket.socket) -> bool:
    """
    Whether the process at the other end is of this user, or of root, as the kernel tells it.

    The folder is its owner's alone, so nobody else should come so far; where somebody opened it to others, they still
    trip nothing. Where the kernel does not tell, the folder's permissions are what there is.
    """
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return True
    _, uid, _ = _CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size))
    return uid in {0, os.geteuid()}


def _next_line(connection: _Connection) -> bytes | None:
    end = connection.received.find(b"\n", connection.searched)
    if end < 0:
        connection.searched = len(connection.received)
        return None
    line = bytes(connection.received[:end])
    del connection.received[: end + 1]
    connection.searched = 0
    return line


def _listen(path: Path) -> socket.socket:
    # Bound beside its place and then renamed: it is the owner's alone before anybody can find it.
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.settimeout(0)
        with socket_path(beside) as address:
            listener.bind(address)
        beside.chmod(_OWNER_ONLY)
        listener.listen(_BACKLOG)
        beside.replace(path)
    except BaseException:
        listener.close()
        beside.unlink(missing_ok=True)
        raise
    return listener
