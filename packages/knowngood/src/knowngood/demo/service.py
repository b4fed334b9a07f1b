"""
The pricing service of the demo: an ordinary FastAPI application under knowngood.

Run it as a team would: ``uvicorn knowngood.demo.service:app``. It is told where its replica lives by KNOWNGOOD_DIR and
KNOWNGOOD_REPLICA, and knows nothing of deployments, triggers or rollbacks.
"""

import json
import os
from pathlib import Path
from typing import Any

import sklearn.ensemble  # noqa: F401 - the models' classes are imported with the server, not with the first model
from fastapi import FastAPI, Request, Response

from knowngood.demo.fallback import FALLBACK_PRICE
from knowngood.demo.world.demand import DemandModel
from knowngood.demo.world.feature_code import FeatureCode, check_features
from knowngood.demo.world.hours import load_hours, sample_inputs
from knowngood.demo.world.pricing import OUTPUTS, Pricing, Quote
from knowngood.demo.world.surge import SurgeCurve
from knowngood_sdk.serving.fingerprint import fingerprint
from knowngood_sdk.serving.system import System, Version

__all__ = ["app", "kg"]

kg = System("pricing", outputs=OUTPUTS["demand"])


class FixedPrice:
    """The static fallback: one price for everybody, stamped as what it is."""

    def quote(self, _row: dict[str, Any]) -> Quote:
        """Return the fixed price."""
        return Quote(demand=0.0, multiplier=1.0, price=FALLBACK_PRICE, model="", features="", config="")


@kg.loader
def load(version: Version) -> Pricing:
    """Compose a system version; each part stamps the digest of what was really read, not of what was asked for."""
    model = version.handle("model", lambda part: DemandModel.load(Path(part.path), stamp=fingerprint(part.path)))
    features = version.handle("features", lambda part: _features(Path(part.path)))
    curve = version.handle("config", lambda part: _curve(Path(part.path)))
    return Pricing(model, features, curve)


@kg.fallback
def fallback() -> FixedPrice:
    """Return what answers when no version can."""
    return FixedPrice()


@kg.golden
def answer(pricing: Pricing, request: dict[str, Any]) -> dict[str, float]:
    """Answer a golden request."""
    quote = pricing.quote(request)
    return {"demand": quote.demand, "price": quote.price}


@kg.score
def score(pricing: Pricing, request: dict[str, Any]) -> float:
    """
    Return the number by which two versions are compared on a real request: demand, not the price made of it.

    Demand is what a model answers for and what becomes known afterwards. A price says less: where the surge curve is
    level, very different demands ask the same price, and a model that is far off looks fine. What this leaves out is a
    curve that is wrong by itself: that shows in conversion alone.
    """
    return pricing.quote(request).demand


app = FastAPI()
app.add_middleware(kg.Asgi, subject="x-rider-id", uncounted=["/healthz", "/readyz"])


@app.post("/price")
async def price(request: Request) -> dict[str, Any]:
    """Quote a ride."""
    row = json.loads(await request.body())
    quote: Quote = kg.slot().quote(row)
    kg.observe(quote.demand, request=row)
    return quote.to_json()


@app.post("/answer")
async def rider_answer(request: Request) -> dict[str, str]:
    """Hear whether a rider took the price: what the business lives on, attributed to the version that quoted it."""
    heard = json.loads(await request.body())
    kg.outcome("conversion", float(bool(heard["took"])), version=heard["version"])
    return {}


@app.post("/rides")
async def rides(request: Request) -> dict[str, str]:
    """
    Hear how many rides an hour really had, once it is over.

    It is one value an hour, too few to judge a deployment by within minutes: no trigger of the demo rests on it.
    """
    heard = json.loads(await request.body())
    kg.outcome("demand_over_rides", float(heard["demand"]) / max(float(heard["rides"]), 1.0), version=heard["version"])
    return {}


@app.get("/healthz")
async def health() -> dict[str, int]:
    """Answer that this process is alive."""
    return {"pid": os.getpid()}


@app.get("/readyz")
async def ready(response: Response) -> dict[str, bool]:
    """Answer whether a balancer should send requests here."""
    response.status_code = 200 if kg.in_rotation else 503
    return {"ready": kg.in_rotation}


def _features(folder: Path) -> FeatureCode:
    """Load feature code and hold it to its contract before it can serve: a worker asks for single rows."""
    code = FeatureCode.load(folder / "features.py", stamp=fingerprint(folder))
    check_features(code, sample_inputs(load_hours()))
    return code


def _curve(path: Path) -> SurgeCurve:
    return SurgeCurve.load(path, stamp=fingerprint(path))
