"""
Observed: every request has an id, is counted, logged and, where that was asked for, traced.

What goes wrong without being one of our errors ends here: it is logged whole under the id, and the answer says no more
than that id.
"""

import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any
from uuid import uuid4

from knowngood.api.metrics import Metrics
from knowngood.api.problem import response_of
from knowngood.api.traces import Tracer
from knowngood_sdk.errors import KnownGoodError

__all__ = ["REQUEST_ID", "Observed"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

REQUEST_ID: ContextVar[str] = ContextVar("knowngood_request_id", default="")
"""Id of the request that this task or thread works for."""

_log = logging.getLogger(__name__)
_GIVEN = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
_TOLD = frozenset({"/v1/systems/{system}/replicas/{replica}/report", "/v1/systems/{system}/replicas/{replica}/counts"})
"""What every replica sends each second; where it is taken as usual, that is counted and no line of the log."""
_REFUSED = 400
_FAILED = 500


class Observed:
    """
    The outermost layer.

    Args:
        app: What answers.
        metrics: Where requests are counted.
        tracer: Makes the spans.
    """

    def __init__(self, app: Asgi, metrics: Metrics, tracer: Tracer) -> None:
        self._app = app
        self._metrics = metrics
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request_id = _id_of(headers.get(b"x-request-id", b""))
        token = REQUEST_ID.set(request_id)
        began, status = time.monotonic(), [0]
        head = [0.0]

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                status[0], head[0] = message["status"], time.monotonic() - began
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            with self._tracer.request(scope, headers) as span:
                try:
                    await self._app(scope, receive, sending)
                except Exception:  # noqa: BLE001 - the last place that sees it
                    _log.exception("a request failed")
                    if not status[0]:
                        await response_of(_unexpected(), request_id)(scope, receive, sending)
                span(_route(scope), status[0])
            self._tell(scope, status[0], head[0], time.monotonic() - began)
        finally:
            REQUEST_ID.reset(token)

    def _tell(self, scope: Scope, status: int, head: float, whole: float) -> None:
        route, method = _route(scope), str(scope["method"])
        self._metrics.answered(method, route, status, head)
        level = logging.ERROR if status >= _FAILED else logging.INFO
        if level == logging.INFO and (route in _QUIET or (route in _TOLD and status < _REFUSED)):
            level = logging.DEBUG
        if not _log.isEnabledFor(level):
            return
        fields: Mapping[str, Any] = {
            "method": method,
            "path": scope["path"],
            "status": status,
            "duration_seconds": round(whole, 6),
            "caller": scope.get("state", {}).get("caller", ""),
        }
        _log.log(level, "%s %s %d", method, scope["path"], status, extra=fields)


def _unexpected() -> KnownGoodError:
    return KnownGoodError(
        "this request failed in a way that was not foreseen", hint="The server's log has more under the id of it"
    )


def _route(scope: Scope) -> str:
    """Return the pattern of the path, so that neither ids nor what strangers ask for become labels."""
    path = getattr(scope.get("route"), "path", None)
    return str(path) if path else "none"


def _id_of(given: bytes) -> str:
    return given.decode() if _GIVEN.fullmatch(given) else uuid4().hex
