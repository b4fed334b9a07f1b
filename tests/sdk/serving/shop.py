"""The server of the process tests, ``uvicorn tests.sdk.serving.shop:app``; answers carry the stamps of each part."""

import os
from typing import Any

from fastapi import FastAPI

from tests.sdk.serving.steward import Fixed, Priced, system

kg = system(os.environ["KNOWNGOOD_DIR"])  # type: ignore[arg-type]
app = FastAPI()
app.add_middleware(kg.Asgi, subject="x-rider-id")


def stamped(priced: Priced | Fixed) -> dict[str, Any]:
    """What an answer was made of."""
    if isinstance(priced, Fixed):
        return {"version": "", "factor": 0.0, "surge": 0.0, "pid": os.getpid()}
    return {
        "version": priced.version,
        "factor": priced.model["factor"],
        "surge": kg.slot().surge,
        "pid": os.getpid(),
    }


@app.get("/async")
async def in_the_loop() -> dict[str, Any]:
    return stamped(kg.slot())


@app.get("/sync")
def in_a_thread() -> dict[str, Any]:
    return stamped(kg.slot())
