"""
A pricing service in plain ASGI under knowngood: ``uvicorn tests.acceptance.service:app``.

Its three components stamp what they are into every answer, so that a mixture of two versions can be seen from outside.
What a model file says makes the service fail in the ways that tests need: ``broken`` raises in requests, ``unwell``
fails the health check, ``wrong`` gives a golden output that differs, ``load_seconds`` is how long it takes to load, and
``dies`` kills the process that loads it. A model file may also be a pickle.
"""

import asyncio
import json
import os
import pickle
import signal
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import parse_qs

from knowngood_sdk.serving.system import Part, System, Version

__all__ = ["app", "kg"]

FALLBACK = {"price": 2.0, "model": "", "features": "", "config": ""}
kg = System("pricing", outputs=(0, 1000))


@dataclass(frozen=True, slots=True)
class Pricing:
    """One whole version, in memory."""

    model: dict[str, Any]
    features: dict[str, Any]
    config: dict[str, Any]

    def price(self, x: float) -> dict[str, Any]:
        """Price a ride of some length."""
        if self.model.get("broken") and x == 1:  # golden inputs are others
            raise RuntimeError("this model cannot answer")
        factor = self.model["factor"] + (1 if self.model.get("wrong") else 0)
        stamps = {"model": self.model["name"], "features": self.features["NAME"], "config": self.config["name"]}
        return {"price": self.config["start"] + factor * self.features["features"](x), **stamps}


class Fixed:
    """The static fallback."""

    def price(self, _x: float) -> dict[str, Any]:
        """Return the same price for every ride."""
        return FALLBACK


@kg.loader
def load(version: Version) -> Pricing:
    """Compose a version from its parts."""
    model = version.handle("model", _model)
    if model.get("dies"):
        os.kill(os.getpid(), signal.SIGKILL)
    Event().wait(model.get("load_seconds", 0))
    return Pricing(model, version.handle("features", _features), version.config.document)


@kg.fallback
def fallback() -> Fixed:
    """Return what answers when no version can."""
    return Fixed()


@kg.golden
def answer(pricing: Pricing, request: dict[str, float]) -> float:
    """Answer a golden request: what is right is the price over the start price, for whatever version."""
    price: float = pricing.price(request["x"])["price"]
    over: float = (price - pricing.config["start"]) / pricing.model["factor"]
    return over


@kg.score
def score(pricing: Pricing, request: float) -> float:
    """Return the number by which versions are compared on one request."""
    price: float = pricing.price(request)["price"]
    return price


def _model(part: Part) -> dict[str, Any]:
    path = Path(part.path)
    if path.read_bytes().startswith(b"\x80"):
        loaded: dict[str, Any] = pickle.loads(path.read_bytes())  # noqa: S301 - its digest was checked
        return loaded
    read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return read


def _features(part: Part) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec((Path(part.path) / "features.py").read_text(encoding="utf-8"), names)  # noqa: S102 - our own file
    return names


Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def _serve(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["path"] == "/healthz":
        unwell = isinstance(pricing := kg.slot(), Pricing) and pricing.model.get("unwell")
        await _reply(send, 503 if unwell else 200, {"pid": os.getpid()})
        return
    asked = parse_qs(scope["query_string"].decode())
    x = float(asked.get("x", ["1"])[0])
    pricing = kg.slot()
    # Two reads of the version with a pause between them: a flip in between must not show.
    if "pause" in asked:
        await asyncio.sleep(float(asked["pause"][0]))
    quoted = kg.slot().price(x)
    kg.observe(quoted["price"], request=x)
    await _reply(send, 200, {**quoted, "version": kg.version, "pid": os.getpid(), "same": pricing is kg.slot()})


async def _reply(send: Send, status: int, body: Mapping[str, Any]) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


app = kg.Asgi(_serve, subject="x-rider-id", uncounted=["/healthz"])
