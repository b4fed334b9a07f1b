"""
Artifacts: a version as files, with golden requests and the model's contract.

``model.joblib``, ``contract.json``, ``features.py``, ``surge.json``, ``golden.jsonl``. The demo commits the feature
code to its Git repository and hands the others to the product; where they come to lie is not this module's business.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pandas as pd

from knowngood.demo.world.demand import DemandModel
from knowngood.demo.world.hours import hour_row, sample_inputs
from knowngood.demo.world.pricing import Pricing
from knowngood.demo.world.surge import FIRST_CURVE, SurgeCurve
from knowngood_sdk.errors import InvalidError

__all__ = [
    "GOLDEN_TOLERANCE",
    "Golden",
    "VersionFiles",
    "golden_requests",
    "model_contract",
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

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form: one line of ``golden.jsonl``."""
        return {"request": dict(self.request), "expected": dict(self.expected), "tolerance": self.tolerance}

    @classmethod
    def from_json(cls, document: Any) -> "Golden":
        """Read what ``to_json`` wrote; raises InvalidError for anything else."""
        if not isinstance(document, Mapping) or set(document) != {"request", "expected", "tolerance"}:
            raise InvalidError(f"a golden request has request, expected and tolerance, not {document!r:.80}")
        return cls(**document)

    def differences(self, answer: Mapping[str, Any]) -> list[str]:
        """Return what differs in an answer, in words; an empty list where it is right."""
        return [
            f"{name} is {answer.get(name)}, expected {value}"
            for name, value in self.expected.items()
            if not math.isclose(float(answer.get(name, math.nan)), value, rel_tol=self.tolerance, abs_tol=1e-9)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionFiles:
    """Paths of a version's files."""

    model: Path
    contract: Path
    features: Path
    surge: Path
    golden: Path

    @classmethod
    def within(cls, folder: Path) -> "VersionFiles":
        """Return the paths in a folder, whether the files exist or not."""
        return cls(
            model=folder / "model.joblib",
            contract=folder / "contract.json",
            features=folder / "features.py",
            surge=folder / "surge.json",
            golden=folder / "golden.jsonl",
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


def model_contract(model: DemandModel) -> dict[str, Any]:
    """Return what a model requires and promises, JSON-able: the fingerprint of its feature code, columns, label."""
    return {
        "requires": {"features": model.requires_features},
        "columns": list(model.columns),
        "label": model.label,
    }


def placebo_curve(number: int) -> SurgeCurve:
    """Return version 1's curve with another note: another digest, the same prices."""
    return replace(FIRST_CURVE, note=f"{FIRST_CURVE.note} (placebo {number})", stamp="")


def write_version(folder: Path, pricing: Pricing, golden: Sequence[Golden]) -> VersionFiles:
    """
    Write a version's files into a folder, which is made if need be; files of the same name are replaced.

    Args:
        folder: Where to.
        pricing: The version.
        golden: Its golden requests.
    """
    files = VersionFiles.within(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files.model.write_bytes(pricing.model.to_bytes())
    files.contract.write_text(json.dumps(model_contract(pricing.model), indent=2) + "\n", encoding="utf-8")
    files.features.write_text(pricing.features.text, encoding="utf-8")
    files.surge.write_text(pricing.curve.document(), encoding="utf-8")
    files.golden.write_text("".join(json.dumps(one.to_json()) + "\n" for one in golden), encoding="utf-8")
    return files
