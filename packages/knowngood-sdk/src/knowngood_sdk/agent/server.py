"""
Server: a control plane, or a peer, as an agent reaches it over HTTP.

The timeouts of the standard library hold for each read, so that a server which drips, or never ends, would hold a
thread for as long as it likes. Here every read has a deadline, and every body an end.
"""

import http.client
import io
import math
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from knowngood_sdk.errors import InvalidError, KnownGoodError, NotAuthorizedError, NotFoundError, TransientError
from knowngood_sdk.model.stream import decode_json

__all__ = ["Answer", "Connection", "Paced", "Server"]

CONNECT_SECONDS = 0.75
ANSWER_SECONDS = 1.0
"""
How long an answer to a short request is waited for. Together with the longest pause between two attempts it bounds how
long a replica that was cut off goes on asking in vain once it is back.
"""

MAX_BODY = 8 * 1024 * 1024
_MAX_ERROR = 64 * 1024
_CHUNK = 256 * 1024
_OK = 200
_NOT_MODIFIED = 304
_UNAUTHORIZED = 401
_FORBIDDEN = 403
_NOT_FOUND = 404
_FIRST_ERROR = 300
_REFUSED_HINT = "Make a new one, kg token create --scope replica, and put it into that file: it is read again by itself"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """
    Where an agent calls.

    Attributes:
        url: ``http://host:port`` or ``https://host:port``, with a path before ``/v1`` where there is one.
        token_file: File with the token that it shows; None shows none. It is read for each connection, so that it can
            be replaced.
        ca_file: File with the certificates of who may vouch for the server; None asks those of the system.

    Raises:
        InvalidError: The URL is none.
    """

    url: str
    token_file: Path | None = None
    ca_file: Path | None = None

    def __post_init__(self) -> None:
        self.parts  # noqa: B018 - read, so that it is refused where it is wrong

    @property
    def parts(self) -> SplitResult:
        """The URL, read."""
        try:
            parts = urlsplit(self.url)
            usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError as error:
            raise InvalidError(f"{self.url!r} is no URL to call: {error}") from error
        if not usable or parts.username or parts.query or parts.fragment:
            raise InvalidError(f"{self.url!r} is no URL to call", hint="Give one like https://control:8400")
        return parts

    def connect(self) -> "Connection":
        """
        Return a connection that is opened with its first request.

        Raises:
            InvalidError: The token or the certificates cannot be used.
            TransientError: Their file cannot be read.
        """
        parts = self.parts
        if parts.scheme == "https":
            plain: http.client.HTTPConnection = _HttpsConnection(
                parts.hostname or "", parts.port, timeout=CONNECT_SECONDS, context=self._context()
            )
        else:
            plain = _HttpConnection(parts.hostname or "", parts.port, timeout=CONNECT_SECONDS)
        return Connection(self, plain, parts.path.rstrip("/"), self._token())

    def _token(self) -> str:
        if self.token_file is None:
            return ""
        try:
            token = self.token_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise TransientError(f"the token in {self.token_file} cannot be read: {error}") from error
        if not token or not token.isprintable() or " " in token:
            raise InvalidError(f"{self.token_file} holds no token", hint="Make one with kg token")
        return token

    def _context(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise InvalidError(f"the certificates in {self.ca_file} cannot be used: {error}") from error


class Connection:
    """
    One connection; requests go one after the other. Not safe for threads, but for ``cut``.

    Args:
        server: Where it leads, for messages.
        plain: What carries it.
        prefix: Path before that of each request.
        token: What it shows; empty shows nothing.
    """

    def __init__(self, server: Server, plain: http.client.HTTPConnection, prefix: str, token: str) -> None:
        self._server = server
        self._url = server.url
        self._plain = plain
        self._prefix = prefix
        self._token = token

    def call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        seconds: float = ANSWER_SECONDS,
    ) -> "Answer":
        """
        Send a request and return the head of its answer.

        Args:
            method: ``GET`` or ``POST``.
            path: From ``/v1`` on.
            body: JSON to send.
            headers: Further headers.
            seconds: Until the head of the answer is there.

        Raises:
            NotAuthorizedError: The token is refused.
            NotFoundError: There is nothing there.
            TransientError: Nobody answers in time, or the answer is no success.
        """
        sent = {**(headers or {})}
        if self._token:
            sent["authorization"] = f"Bearer {self._token}"
        if body is not None:
            sent["content-type"] = "application/json"
        try:
            if self._plain.sock is None:
                self._plain.connect()
            self.until(seconds)
            paced: Any = self._plain.sock
            with paced.together():
                self._plain.request(method, self._prefix + path, body=body, headers=sent)
            response = self._plain.getresponse()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise TransientError(f"{self._url} does not answer: {_said(error)}") from error
        if response.status not in {_OK, _NOT_MODIFIED} and response.status >= _FIRST_ERROR:
            raise self._refused(method, path, response)
        return Answer(self, response)

    def until(self, seconds: float) -> None:
        """Let every read from now on end after so many seconds, all of them together."""
        sock: Any = self._plain.sock
        if sock is not None:
            sock.deadline = time.monotonic() + seconds

    def cut(self) -> None:
        """End the connection from another thread: whoever reads from it is told that it ended."""
        sock: Any = self._plain.sock
        if sock is not None:
            sock.cut()

    def close(self) -> None:
        """Hang up; the next call opens it again."""
        with suppress(OSError):
            self._plain.close()

    def _refused(self, method: str, path: str, response: http.client.HTTPResponse) -> KnownGoodError:
        try:
            body = response.read(_MAX_ERROR)
            said = decode_json(body)
            detail = str(said.get("detail") or said.get("title") or "")[:500] if isinstance(said, dict) else ""
        except (OSError, http.client.HTTPException, KnownGoodError):
            detail = ""
        self.close()
        # Told alike by whatever was asked for: it is one and the same trouble.
        which = (
            f"the token in {self._server.token_file}" if self._server.token_file else "this agent, which has no token"
        )
        if response.status in {_UNAUTHORIZED, _FORBIDDEN}:
            refused = f"{self._url} refuses {which} ({response.status}){detail and f': {detail}'}"
            return NotAuthorizedError(refused, hint=_REFUSED_HINT)
        message = f"{self._url} answers {method} {path} with {response.status}{detail and f': {detail}'}"
        if response.status == _NOT_FOUND:
            return NotFoundError(message)
        return TransientError(message)


class Answer:
    """
    The answer to a request; its body is read here.

    Attributes:
        changed: False when the server says that what is known here is what it has (304).
    """

    def __init__(self, connection: Connection, response: http.client.HTTPResponse) -> None:
        self._connection = connection
        self._response = response
        self.changed = response.status != _NOT_MODIFIED

    def header(self, name: str) -> str:
        """Return a header, empty when there is none."""
        return self._response.getheader(name, "") or ""

    def body(self, limit: int = MAX_BODY) -> bytes:
        """
        Return the whole body.

        Raises:
            TransientError: It is longer than the limit, or ended early.
        """
        return b"".join(self.chunks(limit))

    def json(self, limit: int = MAX_BODY) -> Any:
        """Return the body's JSON value; raises InvalidError when it is none, and TransientError as ``body``."""
        return decode_json(self.body(limit))

    def chunks(self, limit: int, *, seconds_each: float | None = None) -> Iterator[bytes]:
        """
        Give the body in pieces.

        Args:
            limit: Bytes, at most.
            seconds_each: Time for each piece; None leaves the deadline of the request.

        Raises:
            TransientError: It is longer than the limit, or ended early.
        """
        left = limit
        while True:
            if seconds_each is not None:
                self._connection.until(seconds_each)
            chunk = self._read(min(_CHUNK, left + 1))
            if not chunk and self._response.length:
                # The library tells of it only where all is read at once.
                self._connection.close()
                raise TransientError(f"an answer ended early: {self._response.length} bytes are missing")
            if not chunk:
                return
            left -= len(chunk)
            if left < 0:
                self._connection.close()
                raise TransientError(f"an answer is longer than {limit} bytes")
            yield chunk

    def line(self, limit: int) -> bytes:
        """
        Return the next line with its end, or what is left at the end of the body; empty when nothing is.

        Raises:
            TransientError: It is longer than the limit, or does not come in time.
        """
        try:
            line = self._response.readline(limit + 1)
        except (OSError, ValueError, http.client.HTTPException) as error:
            self._connection.close()
            raise TransientError(f"the stream broke: {_said(error)}") from error
        if len(line) > limit:
            self._connection.close()
            raise TransientError(f"a line of the stream is longer than {limit} bytes")
        return line

    def _read(self, count: int) -> bytes:
        try:
            return self._response.read(count)
        except (OSError, ValueError, http.client.HTTPException) as error:
            self._connection.close()
            raise TransientError(f"an answer ended early: {_said(error)}") from error


class _HttpConnection(http.client.HTTPConnection):
    def connect(self) -> None:
        super().connect()
        self.sock: Any = Paced(self.sock)


class _HttpsConnection(http.client.HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        self.sock: Any = Paced(self.sock)


class Paced:
    """
    What ``http.client`` uses of a socket, with a deadline over all reads and writes instead of one for each.

    Args:
        sock: The socket.

    Attributes:
        deadline: Of the monotonic clock, in seconds; infinite where there is none.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._held: bytearray | None = None
        self.deadline = math.inf

    def left(self) -> float | None:
        """Return the seconds until the deadline; raises TimeoutError when there are none."""
        if self.deadline == math.inf:
            return None
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("it took too long")
        return left

    @contextmanager
    def together(self) -> Iterator[None]:
        """Send as one what is sent in a block: head and body of a request wake the other side once, not twice."""
        self._held = bytearray()
        try:
            yield
            held, self._held = self._held, None
            self.sendall(held)
        finally:
            self._held = None

    def sendall(self, data: Any) -> None:
        """Send all of it; raises TimeoutError when the deadline comes first."""
        if self._held is not None:
            self._held += data
            return
        self._sock.settimeout(self.left())
        self._sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        """Return what reads from it."""
        del mode  # always for reading
        return io.BufferedReader(_Reader(self, self._sock), _CHUNK)

    def cut(self) -> None:
        """End the connection from another thread."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Hang up."""
        self._sock.close()


class _Reader(io.RawIOBase):
    def __init__(self, paced: Paced, sock: socket.socket) -> None:
        self._paced = paced
        self._sock = sock
        # It keeps the socket open for as long as an answer is read, as ``http.client`` expects.
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._paced.left())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _said(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__
