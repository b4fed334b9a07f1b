"""
Artifacts: a version as files, and its golden requests.

``model.joblib``, ``features.py``, ``surge.json``. Where they come to lie, and what a team writes beside them, is not
this module's business.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pandas as pd

from knowngood.demo.world.hours import hour_row, sample_inputs
from knowngood.demo.world.pricing import Pricing
from knowngood.demo.world.surge import FIRST_CURVE, SurgeCurve

__all__ = [
    "GOLDEN_TOLERANCE",
    "Golden",
    "VersionFiles",
    "golden_requests",
    "placebo_curve",
    "write_version",
]

GOLDEN_TOLERANCE: Final = 1e-6
"""Relative deviation that a golden output may have: rounding of another processor, nothing more."""

_GOLDEN_HOURS: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """
    A request and the answer that a version must give before it is ready.

    Attributes:
        request: The hour's inputs.
        expected: Outputs by name: ``demand`` in rides an hour, ``price`` in dollars.
        tolerance: Relative deviation allowed, a ratio.
    """

    request: Mapping[str, int | float | str]
    expected: Mapping[str, float]
    tolerance: float = GOLDEN_TOLERANCE

    def line(self) -> str:
        """Return it as a line of the file of golden requests, in the form that knowngood reads."""
        document = {"input": dict(self.request), "output": dict(self.expected), "tolerance": self.tolerance}
        return json.dumps(document) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionFiles:
    """Paths of a version's files."""

    model: Path
    features: Path
    surge: Path

    @classmethod
    def within(cls, folder: Path) -> "VersionFiles":
        """Return the paths in a folder, whether the files exist or not."""
        return cls(
            model=folder / "model.joblib",
            features=folder / "features.py",
            surge=folder / "surge.json",
        )


def golden_requests(pricing: Pricing, hours: pd.DataFrame) -> list[Golden]:
    """Return golden requests of a version: about a dozen hours over the year, each weather among them."""
    sample = sample_inputs(hours, _GOLDEN_HOURS)
    rows = [hour_row(sample, pd.Timestamp(at)) for at in sample.index]
    quotes = [pricing.quote(row) for row in rows]
    return [
        Golden(request=row, expected={"demand": quote.demand, "price": quote.price})
        for row, quote in zip(rows, quotes, strict=True)
    ]


def placebo_curve(number: int) -> SurgeCurve:
    """Return version 1's curve with another note: another digest, the same prices."""
    return replace(FIRST_CURVE, note=f"{FIRST_CURVE.note} (placebo {number})", stamp="")


def write_version(folder: Path, pricing: Pricing) -> VersionFiles:
    """
    Write a version's files into a folder, which is made if need be; files of the same name are replaced.

    Args:
        folder: Where to.
        pricing: The version.
    """
    files = VersionFiles.within(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files.model.write_bytes(pricing.model.to_bytes())
    files.features.write_text(pricing.features.text, encoding="utf-8")
    files.surge.write_text(pricing.curve.document(), encoding="utf-8")
    return files
