"""
The edge: where requests come in from outside.

Here each request is pinned to one system version. It believes no pin from outside, and tells the pin to the feature
service, so that features and model of one answer are always of one version.
"""

import json
import os

import httpx
from fastapi import FastAPI, HTTPException

from knowngood_sdk import System

FEATURES = os.environ.get("FEATURES_URL", "http://127.0.0.1:8018")

kg = System("pricing", replica="edge", outputs=(0, 500))
app = FastAPI()
app.add_middleware(kg.Asgi, subject="x-rider-id")
client = httpx.AsyncClient(base_url=FEATURES, timeout=5)


@kg.loader
def load(version):
    with open(version.model.path) as file:
        return json.load(file)


@kg.fallback
def fallback():
    return None


@app.post("/price")
async def price(ride: dict) -> dict:
    model = kg.slot()
    if model is None:
        return {"price": 9.5}
    answer = await client.post("/features", json=ride, headers=dict(kg.headers))
    if answer.status_code == 409:
        # The pinned version is gone there. Nothing has been done yet, so the whole request may begin again.
        raise HTTPException(503, "try again", headers={"retry-after": "0"})
    answer.raise_for_status()
    made = answer.json()
    return {
        "price": kg.observe(model["factor"] * made["value"]),
        "features_by": made["by"],
        "model_by": kg.version,
    }
