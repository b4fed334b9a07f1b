"""A network for tests: a proxy in front of a server, that can be cut and healed."""

import contextlib
import selectors
import socket
import threading
from types import TracebackType
from typing import Self

_CHUNK = 64 * 1024


class Proxy:
    """
    Passes bytes on to a port of loopback. Use it as a context.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._stopped = False
        self._held = False
        self._refuses = False
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped = True
        self._thread.join()
        self._end_all()
        self._listener.close()
        self._selector.close()

    def cut(self) -> None:
        """End every connection, and every new one at once."""
        self._refuses = True

    def hold(self) -> None:
        """Let every connection stand, and nothing through, as a network that drops packets."""
        self._held = True

    def heal(self) -> None:
        """Undo both; what was held is let go of, as by a network that forgot its connections."""
        if self._held:
            self._refuses = True
            while self._pairs:
                threading.Event().wait(0.005)
        self._held = self._refuses = False

    def _run(self) -> None:
        while not self._stopped:
            ready = self._selector.select(0.005)
            if self._refuses:
                self._end_all()
            for key, _ in ready:
                if key.fileobj is self._listener:
                    self._accept()
                elif not self._held and key.data in self._pairs:
                    self._pass_on(key.data)

    def _accept(self) -> None:
        peer, _ = self._listener.accept()
        if self._refuses:
            peer.close()
            return
        try:
            server = socket.create_connection(("127.0.0.1", self._target), timeout=1)
        except OSError:
            peer.close()
            return
        self._pairs[peer], self._pairs[server] = server, peer
        for each in (peer, server):
            self._selector.register(each, selectors.EVENT_READ, each)

    def _pass_on(self, source: socket.socket) -> None:
        target = self._pairs[source]
        try:
            chunk = source.recv(_CHUNK)
            if chunk:
                target.sendall(chunk)
                return
        except OSError:
            pass
        self._end(source)

    def _end(self, one: socket.socket) -> None:
        for each in (one, self._pairs.get(one)):
            if each is not None and self._pairs.pop(each, None) is not None:
                with contextlib.suppress(KeyError):
                    self._selector.unregister(each)
                each.close()

    def _end_all(self) -> None:
        for each in list(self._pairs):
            if each in self._pairs:
                self._end(each)
