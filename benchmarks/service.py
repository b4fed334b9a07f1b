"""
Service: the small AI product that is measured, as a team would write it, with its own stamps in every answer.

Its parts are files; each stamps the digest of what was really read, so that a mixture of two versions can be seen from
outside. The price takes next to no time, so that what is measured is the product and not the model.
"""

import json
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.host import SYSTEM, until
from knowngood_sdk.serving.fingerprint import fingerprint
from knowngood_sdk.serving.system import System, Version

__all__ = ["Loaded", "Priced", "broken", "kg", "wait_served"]

_SERVED_SECONDS = 60.0
kg = System(SYSTEM)
broken: set[str] = set()
"""Versions whose every price raises in this process, as a model does that meets features which it does not know."""


class Loaded:
    """One part of a version, with the digest of the bytes that it was read from."""

    __slots__ = ("stamp", "weight")

    def __init__(self, path: str) -> None:
        self.stamp = fingerprint(path)
        self.weight = float(json.loads(Path(path).read_text(encoding="utf-8"))["weight"])


class Priced:
    """
    What serves one version.

    Attributes:
        version: Content digest.
        model: Its model; ``features`` and ``config`` are its other parts.
    """

    __slots__ = ("config", "features", "model", "version")

    def __init__(self, version: str, model: Loaded, features: Loaded, config: Loaded) -> None:
        self.version = version
        self.model = model
        self.features = features
        self.config = config

    def predict(self, x: float) -> float:
        """Return a price."""
        return x * self.model.weight

    def price(self, x: float) -> float:
        """Return a price that every part has a share in; a version in ``broken`` raises."""
        if self.version in broken:
            raise RuntimeError("the model met features that it does not know")
        return x * self.model.weight * self.features.weight * self.config.weight

    @property
    def stamps(self) -> dict[str, str]:
        """Part -> the digest of what was read."""
        return {"model": self.model.stamp, "features": self.features.stamp, "config": self.config.stamp}


class Fixed:
    """The static fallback; its answers belong to no version, and so count as mixed."""

    version = ""
    stamps: ClassVar[dict[str, str]] = {}

    def price(self, _x: float) -> float:
        """Return the same price for everybody."""
        return 2.0


@kg.loader
def load(version: Version) -> Priced:
    """Compose a version of its parts."""
    return Priced(version.digest, *(version.handle(part, _loaded) for part in ("model", "features", "config")))


@kg.fallback
def fallback() -> Fixed:
    """Return what answers where no version can; a control plane wants it before the first deployment."""
    return Fixed()


@kg.golden
def answer(value: Priced, request: dict[str, Any]) -> dict[str, float]:
    """Answer a golden request."""
    return {"price": value.price(request["x"])}


def wait_served() -> None:
    """Start the worker of this process, and return when it serves a version."""
    kg.start()
    until(lambda: kg.ready and bool(kg.version), f"a version serves ({'; '.join(kg.troubles)})", _SERVED_SECONDS)


def _loaded(part: Any) -> Loaded:
    return Loaded(part.path)
