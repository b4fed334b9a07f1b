"""
Server: the service over HTTP. Run by uvicorn: ``uvicorn benchmarks.server:app``.

``/price`` answers as a plain handler does, ``/safe`` as one that is declared free of side effects, so that the standby
answers when a call fails. ``/break`` spoils the version that serves, in this process, ``/heal`` ends that, and both
tell when it was.
"""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from benchmarks.service import Priced, broken, kg

__all__ = ["app"]

WORK_SECONDS = float(os.environ.get("BENCH_WORK_SECONDS", "0"))
"""What a prediction takes, without using the processor; a failing one takes as long."""

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


async def _plain(scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[Any]], send: Send) -> None:
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    what = scope["path"]
    if what == "/price":
        await _answer(send, await _priced(kg.slot()))
    elif what == "/safe":
        await _answer(send, await kg.acall(_priced))
    elif what == "/break":
        broken.add(kg.pick().version)
        await _answer(send, {"at": time.monotonic_ns(), "version": kg.pick().version})
    elif what == "/heal":
        broken.clear()
        await _answer(send, {"at": time.monotonic_ns()})
    else:
        await _answer(send, {"pid": os.getpid()})


async def _priced(value: Priced) -> dict[str, Any]:
    if WORK_SECONDS:
        await asyncio.sleep(WORK_SECONDS)
    return {"price": kg.observe(value.price(2.0)), "parts": value.stamps}


async def _answer(send: Send, document: dict[str, Any]) -> None:
    body = json.dumps(document).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _live(receive: Callable[[], Awaitable[Any]], send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


app = kg.Asgi(_plain, subject="x-rider-id")
