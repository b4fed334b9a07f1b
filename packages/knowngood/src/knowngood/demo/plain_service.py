"""
The same pricing service without the product: one process, one model, loaded when it starts.

Rolling it back means what it means for most teams: put the previous files in place and start the server again.
"""

import json
import os
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request

from knowngood.demo.world.demand import DemandModel
from knowngood.demo.world.feature_code import FeatureCode
from knowngood.demo.world.pricing import Pricing
from knowngood.demo.world.surge import SurgeCurve

__all__ = ["app"]

_FOLDER = Path(os.environ.get("PRICING_FOLDER", "."))
_PRICING = Pricing(
    DemandModel.load(_FOLDER / "model.joblib"),
    FeatureCode.load(_FOLDER / "features.py"),
    SurgeCurve.load(_FOLDER / "surge.json"),
)

app = FastAPI()


@app.post("/price")
async def price(request: Request) -> dict[str, Any]:
    """Quote a ride."""
    return _PRICING.quote(json.loads(await request.body())).to_json()


@app.post("/answer")
async def answer() -> dict[str, str]:
    """Hear whether a rider took the price."""
    return {}


@app.get("/healthz")
async def health() -> dict[str, int]:
    """Answer that this process is alive."""
    return {"pid": os.getpid()}
