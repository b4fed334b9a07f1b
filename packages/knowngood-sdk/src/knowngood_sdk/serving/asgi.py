"""
ASGI: pins each request once, where it comes in, and says in the response which version served it.

Pure ASGI, so that it works below any framework, for streaming and for WebSockets, and adds no task of its own. Handlers
in threads of a pool see the pin too, for the pool copies the context.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

from knowngood_sdk.errors import ConflictError, KnownGoodError, NotReadyError
from knowngood_sdk.serving.event import Kind
from knowngood_sdk.serving.inside import Inside
from knowngood_sdk.serving.pin import BAGGAGE, VERSION_HEADER, pinned_version, strip_pins
from knowngood_sdk.serving.request import Desk, Request

__all__ = ["Asgi"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_FIRST_SERVER_ERROR = 500
_FIRST_CLIENT_ERROR = 400
_TRY_AGAIN_LATER = 1013
_LOOK_SECONDS = 0.2
_STARTS = ("http.response.start", "websocket.accept", "websocket.http.response.start")
_REFUSAL = "websocket.close"
_LEAVES = ("http.disconnect", "websocket.disconnect")


class Asgi:
    """
    Middleware for one system: ``app.add_middleware(kg.Asgi, subject="x-rider-id")``.

    Until the worker has loaded what it must serve, requests get 503 and ``Retry-After``.

    Args:
        app: The application.
        desk: Where its requests come in; ``kg.Asgi`` fills it in.
        subject: Name of the request header that tells who is served; the same subject stays on the same side of a
            split. None draws each request by itself.
        inside: Callers that are trusted: networks (``10.0.0.0/8``), ``unix``, or True for all. A pin in their baggage
            is honoured; of everybody else every pin is removed.
        uncounted: Paths whose requests are served and not counted, such as that of a health check: they come from no
            user, and would stand in the way of telling how users fare.
        boot_seconds: Longest time that the start of the application waits for the worker.
    """

    def __init__(
        self,
        app: App,
        *,
        desk: Desk,
        subject: str | None = None,
        inside: bool | Collection[str] = False,
        uncounted: Collection[str] = (),
        boot_seconds: float = 30.0,
    ) -> None:
        self._app = app
        self._desk = desk
        self._subject = None if subject is None else subject.lower().encode("latin-1")
        self._inside = Inside(inside)
        self._uncounted = frozenset(uncounted)
        self._boot_seconds = boot_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif scope["type"] in {"http", "websocket"}:
            await self._serve(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            request, scope = self._admit(scope)
        except ConflictError as error:
            await _refuse(scope, send, 409, error)
            return
        except KnownGoodError as error:
            await _refuse(scope, send, 503, error)
            return
        request.odd = True
        request.timed = scope["type"] == "http"
        request.kind = Kind.ERROR  # unless an answer begins
        if scope["path"] in self._uncounted:
            request.counted = False
        exchange = _Exchange(request, receive, send)
        with request:
            await self._app(scope, exchange.receive, exchange.send)

    def _admit(self, scope: Scope) -> tuple[Request, Scope]:
        """Pin a request; return it with the scope that the application gets, free of pins from outside."""
        subject = None
        pinned = False
        for name, value in scope["headers"]:
            if name == self._subject:
                subject = value or None
            elif name in {BAGGAGE, VERSION_HEADER}:
                pinned = True
        if not pinned:
            return self._desk.request(subject), scope
        pin = pinned_version(scope["headers"]) if self._inside.holds(scope) else None
        request = self._desk.request(subject, pin=pin)
        headers, request.baggage = strip_pins(scope["headers"])
        return request, {**scope, "headers": headers}

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start the worker with the application, and let it load before the server listens."""

        async def boot() -> Message:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self._boot()
            return message

        try:
            await self._app(scope, boot, send)
        finally:
            await asyncio.to_thread(self._desk.engine.close)

    async def _boot(self) -> None:
        # In short waits: a thread that waits for long would hold up a server that is told to stop meanwhile.
        opened = self._desk.engine.start().opened
        deadline = time.monotonic() + self._boot_seconds
        while not opened.is_set() and time.monotonic() < deadline:
            await asyncio.to_thread(opened.wait, _LOOK_SECONDS)


class _Exchange:
    """What goes to and fro in one request: names the version in the answer, and notes how it ends."""

    __slots__ = ("_begun", "_over", "_receive", "_request", "_send")

    def __init__(self, request: Request, receive: Receive, send: Send) -> None:
        self._request = request
        self._receive = receive
        self._send = send
        self._begun = self._over = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] in _LEAVES and not self._over:
            # What the application raises for it, or that it answers nothing, says that the client left.
            self._request.client_gone = True
            if not self._begun:
                self._request.kind = Kind.CLIENT_ERROR
        return message

    async def send(self, message: Message) -> None:
        request = self._request
        what = message["type"]
        if what in _STARTS:
            self._begun = True
            request.latency_ns = time.perf_counter_ns() - request.began
            request.kind = _kind_of(message.get("status", 200))
            named = (*request.slot.headers, (b"kg-route", request.table.route))
            message = {**message, "headers": [*message.get("headers", ()), *named]}
        elif what == _REFUSAL and not self._begun:
            # The application would not talk to this client.
            request.kind = Kind.CLIENT_ERROR
        try:
            await self._send(message)
        except BaseException:
            # What the server raises here says that the client left, not that the version failed.
            request.client_gone = True
            raise
        self._over = what == "http.response.body" and not message.get("more_body", False)


def _kind_of(status: int) -> int:
    if status < _FIRST_CLIENT_ERROR:
        return Kind.OK
    return Kind.ERROR if status >= _FIRST_SERVER_ERROR else Kind.CLIENT_ERROR


async def _refuse(scope: Scope, send: Send, status: int, error: KnownGoodError) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": _TRY_AGAIN_LATER, "reason": error.code})
        return
    body = str(error).encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    if isinstance(error, NotReadyError):
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
