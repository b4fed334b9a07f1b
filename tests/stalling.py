"""
A TCP proxy that stalls: the stand-in for a database, or a network, that accepts and never answers.

It goes on taking bytes and acknowledging packets, as a frozen host behind a live load balancer does, so that nothing
below the client's own clock notices.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from urllib.parse import parse_qs, urlsplit


class Proxy:
    """
    Attributes:
        url: The address of the database through the proxy.
    """

    def __init__(self, behind: str) -> None:
        parts = urlsplit(behind)
        self._behind = behind
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        person = parts.netloc.rpartition("@")[0] or "postgres"
        self.url = f"postgresql://{person}@127.0.0.1:{port}{parts.path}"
        self._flowing = Event()
        self._flowing.set()
        self._cut_after = b""
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._accepting = Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def stall(self) -> None:
        """Take everything, pass on nothing."""
        self._flowing.clear()

    def go_on(self) -> None:
        """Pass on what came meanwhile, and what comes."""
        self._flowing.set()

    def cut_after(self, words: bytes) -> None:
        """Pass a client's next message with these words on, and cut that connection before the answer."""
        self._cut_after = words

    def close(self) -> None:
        self._flowing.set()
        # Closing alone would leave who waits for the next client waiting, with a socket that nobody closes.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()
        for pair in self._pairs:
            for side in pair:
                with suppress(OSError):
                    side.shutdown(socket.SHUT_RDWR)
                side.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = _dial(self._behind)
            except OSError:
                client.close()
                continue
            self._pairs.append((client, server))
            for source, sink in ((client, server), (server, client)):
                Thread(target=self._pump, args=(source, sink, source is client), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, asking: bool) -> None:  # noqa: FBT001
        with suppress(OSError):
            while data := source.recv(65_536):
                self._flowing.wait()
                cut = asking and self._cut_after and self._cut_after in data
                if cut:
                    self._cut_after = b""
                    source.shutdown(socket.SHUT_RDWR)
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def _dial(address: str) -> socket.socket:
    """Connect to a server, at its port or at the socket in the folder that its address names."""
    parts = urlsplit(address)
    folder = parse_qs(parts.query).get("host", [""])[0]
    if not folder.startswith("/"):
        return socket.create_connection((parts.hostname or folder, parts.port or 5432))
    server = socket.socket(socket.AF_UNIX)
    try:
        server.connect(f"{folder}/.s.PGSQL.{parts.port or 5432}")
    except OSError:
        server.close()
        raise
    return server


@contextmanager
def in_front_of(behind: str) -> Iterator[Proxy]:
    proxy = Proxy(behind)
    try:
        yield proxy
    finally:
        proxy.close()
