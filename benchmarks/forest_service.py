"""Forest service: the compared model under our own SDK, as a team would write it. Run by uvicorn."""

import os
from typing import Any

from fastapi import FastAPI

from benchmarks.forest import Forest
from benchmarks.host import SYSTEM
from knowngood_sdk.serving.system import System, Version

__all__ = ["app"]

kg = System(SYSTEM)
app = FastAPI()
app.add_middleware(kg.Asgi, subject="x-rider-id")  # pins each request to one system version


@kg.loader
def load(version: Version) -> Forest:
    """Compose a version of its one part."""
    return version.handle("model", lambda part: Forest(part.path))


@kg.golden
def golden(forest: Forest, request: dict[str, Any]) -> dict[str, Any]:
    """Answer a golden request."""
    return forest.answer(request["x"])


@app.post("/price")
def price(ride: dict[str, float]) -> dict[str, Any]:
    """Answer a request."""
    forest: Forest = kg.slot()
    return forest.answer(ride["x"])


@app.get("/healthz")
def healthy() -> dict[str, int]:
    """Say that the server listens."""
    return {"pid": os.getpid()}
