"""
Serving: the app on a socket, until it is told to stop.

Told so, it takes nothing new, lets the verbs under way end within a time, and interrupts what is late: a deployment is
given up then, a rollback goes on when a server runs again.
"""

import errno
import gc
import ipaddress
import signal
import socket
import ssl
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from knowngood.api.under_way import Works
from knowngood.config import Settings
from knowngood_sdk.errors import ConflictError, InvalidError, NotFoundError, PermanentError

__all__ = ["bind", "check_exposure", "serve", "settle"]

_CLEARING_SECONDS = 5
_BACKLOG = 2048
_COLLECTED_EVERY = (10_000, 20, 20)


def check_exposure(settings: Settings) -> None:
    """
    Refuse to listen where others can read tokens from the wire.

    Raises:
        InvalidError: It would listen beyond this host, and has neither TLS nor leave to do without.
    """
    if settings.tls_cert or settings.insecure or _is_loopback(settings.host):
        return
    raise InvalidError(
        f"listening on {settings.host} without TLS would show every token to whoever can read the network",
        hint="Give a certificate: --tls-cert FILE --tls-key FILE; where something in front of the server has TLS: "
        "--insecure; for this host alone: --host 127.0.0.1",
    )


def bind(settings: Settings) -> socket.socket:
    """
    Return the socket to listen on.

    Raises:
        ConflictError: The port is in use.
        InvalidError: The address is none of this host's.
        PermanentError: It may not be listened on.
    """
    where = f"{settings.host}:{settings.port}"
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((settings.host, settings.port), family=family, backlog=_BACKLOG)
    except socket.gaierror as error:
        raise InvalidError(
            f"{settings.host} is no address: {error.strerror}", hint="Give one of this host's"
        ) from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConflictError(
                f"{where} is in use by another process",
                hint=f"It may be another kg serve; see whose: ss -ltnp 'sport = :{settings.port}'; or give another "
                "port: --port",
            ) from error
        if error.errno == errno.EADDRNOTAVAIL:
            raise InvalidError(f"{settings.host} is no address of this host", hint="Give one that is") from error
        raise PermanentError(f"{where} cannot be listened on: {error.strerror}", hint="Give another --port") from error
    # Connections inherit it. The library sets it where it makes the socket itself; without it the body of an answer,
    # or the second of two events, waits until the first was acknowledged, which a peer may put off by 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def settle() -> None:
    """
    Let the garbage collector pass over what is there by now: modules, routes, schemas, which stay until the end.

    It looks through all that lives each time that a quarter as much was made anew, and reports of a thousand replicas
    are as much: it would hold all of them up in the middle of a flip, for objects that never become garbage. What comes
    after is collected as ever, in larger portions.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTED_EVERY)


def serve(app: FastAPI, settings: Settings, listener: socket.socket, announce: Callable[[], None]) -> None:
    """
    Answer until a signal says to stop.

    Args:
        app: What answers.
        settings: What it was told.
        listener: From ``bind``.
        announce: Called once requests are answered.

    Raises:
        NotFoundError: There is no such certificate, or no such key.
        PermanentError: They cannot be used, the server did not start, or it ended before all was stopped.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="on",
        server_header=False,
        ws="none",
        timeout_keep_alive=30,
        timeout_graceful_shutdown=round(settings.grace_seconds) + _CLEARING_SECONDS,
        ssl_certfile=settings.tls_cert or None,
        ssl_keyfile=settings.tls_key or None,
    )
    try:
        config.load()
    except FileNotFoundError as error:
        raise NotFoundError(
            f"there is no file {error.filename or settings.tls_cert}", hint="Look at tls_cert and tls_key"
        ) from error
    except (ssl.SSLError, OSError) as error:
        raise PermanentError(
            f"certificate and key cannot be used: {error}", hint="Both are PEM, and belong to each other"
        ) from error
    # The library raises a signal again when it has stopped; by then there is nothing left to do.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _nothing)
    server = _Server(config, app.state.works, settings.grace_seconds, announce)
    server.run(sockets=[listener])
    if not server.started:
        raise PermanentError("the server did not start", hint="The lines above say why; mend it and start it again")
    if not app.state.all_is_stopped:
        raise PermanentError(
            "the server ended before all was stopped",
            hint="The lines above may say why. What is on record goes on when a server runs again",
        )


class _Server(uvicorn.Server):
    """A server that tells its verbs and streams when it begins to stop."""

    def __init__(self, config: uvicorn.Config, works: Works, grace: float, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._works = works
        self._grace = grace
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            settle()
            self._announce()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._works.stop(self._grace)
        super().handle_exit(sig, frame)


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Take a signal."""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
