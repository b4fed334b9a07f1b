"""
Health: one HTTP request to an endpoint, with a deadline for the whole of it.

The timeouts of the standard library's clients hold for each read, so that an endpoint which drips would hold the watch
up for as long as it likes; here the deadline holds, whatever comes.
"""

import socket
import ssl
import time
from datetime import timedelta
from urllib.parse import SplitResult, urlsplit

from knowngood.ports.telemetry import HealthSample
from knowngood_sdk.errors import InvalidError

__all__ = ["ask"]

_PORTS = {"http": 80, "https": 443}
_MAX_HEAD = 64 * 1024
_HEALTHY_BELOW = 400


def ask(url: str, timeout: timedelta) -> HealthSample:
    """Return what the endpoint answers; see ``Telemetry.health``. Name resolution alone is left to the system."""
    parts = _parts(url)
    started = time.monotonic()
    deadline = started + timeout.total_seconds()
    try:
        status = _status(_head(parts, deadline))
    except TimeoutError:
        error = f"no answer within {timeout.total_seconds():g} s"
        return HealthSample(ok=False, status=None, latency_seconds=time.monotonic() - started, error=error)
    except (OSError, ValueError) as error:
        elapsed = time.monotonic() - started
        return HealthSample(ok=False, status=None, latency_seconds=elapsed, error=f"{url}: {error}")
    return HealthSample(ok=status < _HEALTHY_BELOW, status=status, latency_seconds=time.monotonic() - started)


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _PORTS and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
        parts = SplitResult("", "", "", "", "")
    if not usable or not url.isascii() or any(c.isspace() for c in url):
        raise InvalidError(f"{url!r} is no http or https URL", hint="Give the health endpoint as http://host:port/path")
    return parts


def _head(parts: SplitResult, deadline: float) -> bytes:
    """Return the head of the answer, or as much of it as the peer sent."""
    host = parts.hostname or ""
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    request = f"GET {path} HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\nConnection: close\r\n\r\n"
    with socket.create_connection((host, parts.port or _PORTS[parts.scheme]), timeout=_left(deadline)) as plain:
        plain.settimeout(_left(deadline))
        peer = (
            ssl.create_default_context().wrap_socket(plain, server_hostname=host) if parts.scheme == "https" else plain
        )
        with peer:
            peer.sendall(request.encode("ascii"))
            head = b""
            while b"\r\n\r\n" not in head and len(head) < _MAX_HEAD:
                peer.settimeout(_left(deadline))
                chunk = peer.recv(4096)
                if not chunk:
                    break
                head += chunk
    return head


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _status(head: bytes) -> int:
    """Return the status of a status line (RFC 9112, section 4)."""
    protocol, _, rest = head.partition(b" ")
    code = rest[:3]
    if not protocol.startswith(b"HTTP/") or not code.isdigit() or rest[3:4] not in (b" ", b"\r"):
        raise ValueError(f"no HTTP answer: {head[:40]!r}" if head else "the connection was closed without an answer")
    return int(code)
