"""Wire: a network between agents and a server that can be cut in two ways, and restored."""

import contextlib
import selectors
import socket
import threading
from enum import StrEnum
from types import TracebackType
from typing import Self

__all__ = ["Cut", "Wire"]

_CHUNK = 64 * 1024
_LOOK_SECONDS = 0.002
_CONNECT_SECONDS = 1.0


class Cut(StrEnum):
    """How a network is cut: nothing listens any more, or everything is accepted and nothing is passed on."""

    REFUSED = "refused"
    BLACK_HOLE = "black hole"


class Wire:
    """
    Passes bytes on to a port of loopback. Use it as a context.

    Connections that stood in a black hole, or were opened into it, stay dead once it is restored, and nobody is told:
    a firewall forgot them. Their ends find out by their own clocks alone.

    Args:
        target: Port of the server.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener: socket.socket | None = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._dead: list[socket.socket] = []
        self._wanted: Cut | None = None
        self._cut: Cut | None = None
        self._done = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped = True
        self._thread.join()
        for each in (*self._pairs, *self._dead, self._listener):
            if each is not None:
                each.close()
        self._selector.close()

    def cut(self, how: Cut) -> None:
        """Cut it, and return when it is."""
        self._change(how)

    def restore(self) -> None:
        """Pass on what is connected from now on, and return when that is so."""
        self._change(None)

    def _change(self, to: Cut | None) -> None:
        self._done.clear()
        self._wanted = to
        self._done.wait()

    def _run(self) -> None:
        while not self._stopped:
            if not self._done.is_set():
                self._apply(self._wanted)
                self._done.set()
            for key, _ in self._selector.select(_LOOK_SECONDS):
                if key.fileobj is self._listener:
                    self._accept(self._listener)
                elif key.data in self._pairs:
                    self._pass_on(key.data)

    def _apply(self, wanted: Cut | None) -> None:
        self._cut = wanted
        if wanted is Cut.REFUSED and self._listener is not None:
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None
            for each in list(self._pairs):
                self._end(each)
        elif wanted is Cut.BLACK_HOLE:
            for each in self._pairs:
                self._selector.unregister(each)
            self._dead += self._pairs
            self._pairs.clear()
        elif self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
            self._selector.register(self._listener, selectors.EVENT_READ)

    def _accept(self, listener: socket.socket) -> None:
        peer, _ = listener.accept()
        if self._cut is Cut.BLACK_HOLE:
            self._dead.append(peer)
            return
        try:
            server = socket.create_connection(("127.0.0.1", self._target), timeout=_CONNECT_SECONDS)
        except OSError:
            peer.close()
            return
        for each, other in ((peer, server), (server, peer)):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pairs[each] = other
            self._selector.register(each, selectors.EVENT_READ, each)

    def _pass_on(self, source: socket.socket) -> None:
        with contextlib.suppress(OSError):
            chunk = source.recv(_CHUNK)
            if chunk:
                self._pairs[source].sendall(chunk)
                return
        self._end(source)

    def _end(self, one: socket.socket) -> None:
        for each in (one, self._pairs.get(one)):
            if each is not None and self._pairs.pop(each, None) is not None:
                self._selector.unregister(each)
                each.close()
