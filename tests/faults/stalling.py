"""
A proxy in front of a database, for networks that fail: it forwards, or it accepts and never answers.

It stands in for a database host that hangs, or a firewall that drops what it forwarded before.
"""

import contextlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from urllib.parse import parse_qs, urlsplit, urlunsplit

__all__ = ["StallingProxy", "stalling_proxy"]

_CHUNK = 65536


class StallingProxy:
    """
    Forwards connections of the loopback to a socket of a database.

    Attributes:
        url: The address of the database through this proxy.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = Path(parse_qs(parts.query)["host"][0]) / ".s.PGSQL.5432"
        self._flows = Event()
        self._flows.set()
        self._over = Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        user = parts.username or "postgres"
        self.url = urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{port}", query=""))
        Thread(target=self._accept, daemon=True).start()

    def stall(self) -> None:
        """Answer nobody from now on, on connections old and new."""
        self._flows.clear()

    def flow(self) -> None:
        """Go on forwarding, what came in between included."""
        self._flows.set()

    def close(self) -> None:
        """End every connection."""
        self._over.set()
        self._flows.set()
        self._listener.close()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(str(self._target))
            except OSError:
                server.close()
                client.close()
                continue
            for source, target in ((client, server), (server, client)):
                Thread(target=self._forward, args=(source, target), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                self._flows.wait()
                target.sendall(data)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@contextmanager
def stalling_proxy(url: str) -> Iterator[StallingProxy]:
    """Give a proxy in front of the database of an address, while the block runs."""
    proxy = StallingProxy(url)
    try:
        yield proxy
    finally:
        proxy.close()
