"""
The feature service: inside, called by the edge.

It serves every request by the version that the edge has pinned it to, whatever is flipped meanwhile, for it believes
the pins of its own network.
"""

import runpy

from fastapi import FastAPI

from knowngood_sdk import System

kg = System("pricing", replica="features")
app = FastAPI()
app.add_middleware(kg.Asgi, inside=["127.0.0.0/8"])


@kg.loader
def load(version):
    return runpy.run_path(f"{version.features.path}/features.py")["features"]


@kg.fallback
def fallback():
    return lambda _ride: 0.0


@app.post("/features")
def features(ride: dict) -> dict:
    return {"value": kg.slot()(ride), "by": kg.version}
