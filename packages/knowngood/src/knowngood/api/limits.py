"""Limits: how large and how deep the body of a request may be, checked before anything reads it."""

import http
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from knowngood.api.observed import REQUEST_ID
from knowngood.api.problem import response_of
from knowngood_sdk.errors import InvalidError

__all__ = ["DEEPEST", "Limits"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*(?:"|\Z)', flags=re.DOTALL)
"""A string, or one that never ends: matched to the end of the body, so that each byte is looked at once."""
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")

DEEPEST = 32
"""How deep the JSON of a request may be nested."""


class Limits:
    """
    Refuses what is too large or too deep, and gives the rest on whole.

    Args:
        app: What answers.
        largest: Most bytes of a body.
    """

    def __init__(self, app: Asgi, largest: int) -> None:
        self._app = app
        self._largest = largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            await self._app(scope, receive, send)
            return
        try:
            body = await self._body(scope, receive)
            check_depth(body, dict(scope["headers"]).get(b"content-type", b""))
        except InvalidError as error:
            too_large = error.details.get("largest") is not None
            status = http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE if too_large else None
            await response_of(error, REQUEST_ID.get(), status)(scope, receive, send)
            return
        given = [False]

        async def again() -> Message:
            if given[0]:
                return await receive()
            given[0] = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, again, send)

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        self._check_size(int(announced) if announced.isdigit() else 0)
        received = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return bytes(received)
            received += message.get("body", b"")
            self._check_size(len(received))
            if not message.get("more_body"):
                return bytes(received)

    def _check_size(self, size: int) -> None:
        if size > self._largest:
            raise InvalidError(
                f"the body has more than {self._largest:,} bytes", hint="Send less at once", largest=self._largest
            )


def check_depth(body: bytes, content_type: bytes) -> None:
    """
    Check that a JSON body is nested no deeper than what is read; whether it is JSON is not asked here.

    Raises:
        InvalidError: It is.
    """
    if b"json" not in content_type.lower() or body.count(b"[") + body.count(b"{") <= DEEPEST:
        return
    depth = 0
    for bracket in _STRING.sub(b"", body).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > DEEPEST:
            raise InvalidError(f"the body is nested more than {DEEPEST} deep", hint="Nest it less")
