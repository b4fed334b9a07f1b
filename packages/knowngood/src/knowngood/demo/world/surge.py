"""
Surge curve: the configuration that turns expected demand into a price.

The fare and the fleet are invented: Capital Bikeshare had neither surge prices nor a known hourly capacity in 2011.
"""

import hashlib
import json
import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from knowngood_sdk.errors import InvalidError, NotFoundError

__all__ = ["FIRST_CURVE", "SECOND_CURVE", "SurgeCurve"]

_FIELDS = {"base_fare", "capacity", "points", "note"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SurgeCurve:
    """
    Base fare times a multiplier that is piecewise linear in demand over capacity, level beyond both ends.

    Attributes:
        base_fare: Price of a ride at a multiplier of 1, in dollars, > 0.
        capacity: Rides an hour that the fleet can serve, > 0.
        points: ``(demand / capacity, multiplier)``, at least two; the first rising, the second > 0.
        note: Free text; changes nothing but the digest.
        stamp: What answers are marked with; the digest of the document where no other was given.

    Raises:
        InvalidError: A field is outside its range.
    """

    base_fare: float
    capacity: float
    points: tuple[tuple[float, float], ...]
    note: str = ""
    stamp: str = ""

    def __post_init__(self) -> None:
        for name in ("base_fare", "capacity"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise InvalidError(f"{name} is {getattr(self, name)}", hint="Give a finite number above 0")
        steps = [after - before for (before, _), (after, _) in pairwise(self.points)]
        if not steps or min(steps) <= 0:
            raise InvalidError(
                f"the curve has the points {self.points}", hint="Give at least two, each load above the one before"
            )
        if not all(math.isfinite(value) for point in self.points for value in point):
            raise InvalidError(f"the curve has the points {self.points}", hint="Give finite numbers")
        if min(multiplier for _, multiplier in self.points) <= 0:
            raise InvalidError(f"the curve has the points {self.points}", hint="Give multipliers above 0")
        if not self.stamp:
            object.__setattr__(self, "stamp", "sha256:" + hashlib.sha256(self.document().encode()).hexdigest())

    @classmethod
    def load(cls, path: Path, *, stamp: str = "") -> "SurgeCurve":
        """
        Read a curve from a JSON file.

        Raises:
            NotFoundError: There is no such file.
            InvalidError: It is not JSON, or not a curve.
        """
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise NotFoundError(f"there is no file {path}", hint="Give the path of a surge curve") from error
        except ValueError as error:
            raise InvalidError(f"{path} is not JSON: {error}", hint="Write the curve again") from error
        return cls.from_json(document, stamp=stamp)

    @classmethod
    def from_json(cls, document: Any, *, stamp: str = "") -> "SurgeCurve":
        """Read what ``to_json`` wrote; raises InvalidError for anything else."""
        if not isinstance(document, Mapping) or not _FIELDS - {"note"} <= set(document) <= _FIELDS:
            raise InvalidError(f"a surge curve is an object of {', '.join(sorted(_FIELDS))}, not {document!r:.80}")
        try:
            return cls(
                base_fare=float(document["base_fare"]),
                capacity=float(document["capacity"]),
                points=tuple((float(load), float(multiplier)) for load, multiplier in document["points"]),
                note=str(document.get("note", "")),
                stamp=stamp,
            )
        except (TypeError, ValueError) as error:
            raise InvalidError(f"a surge curve holds numbers: {error}", hint="Write the curve again") from error

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form, of plain dicts, lists, numbers and strings."""
        return {
            "base_fare": self.base_fare,
            "capacity": self.capacity,
            "points": [list(point) for point in self.points],
            "note": self.note,
        }

    def document(self) -> str:
        """Return the text of its file."""
        return json.dumps(self.to_json(), indent=2) + "\n"

    def multiplier(self, demand: float) -> float:
        """Return the multiplier at an expected demand in rides an hour; NaN stays NaN."""
        if math.isnan(demand):
            return demand
        load = demand / self.capacity
        after = bisect_right(self.points, load, key=lambda point: point[0])
        if after == 0:
            return self.points[0][1]
        if after == len(self.points):
            return self.points[-1][1]
        (left, low), (right, high) = self.points[after - 1], self.points[after]
        return low + (high - low) * (load - left) / (right - left)

    def price(self, demand: float) -> float:
        """Return the price of a ride in dollars, to the cent; NaN stays NaN."""
        return round(self.base_fare * self.multiplier(demand), 2)


CAPACITY: Final = 500.0
"""Rides an hour that the invented fleet can serve: 2 to 3 % of the hours that models are trained on exceed it."""

FIRST_CURVE: Final = SurgeCurve(
    base_fare=2.0,
    capacity=CAPACITY,
    points=((0.0, 1.0), (0.3, 1.0), (0.6, 1.4), (1.0, 2.0), (1.5, 2.6)),
    note="surge from 30 % load",
)
"""Curve of version 1. Riders have learned its prices: what they think right is this curve at the hour's real rides."""

SECOND_CURVE: Final = SurgeCurve(
    base_fare=2.0,
    capacity=CAPACITY,
    points=((0.0, 1.0), (0.2, 1.0), (0.6, 1.5), (1.0, 2.2), (1.5, 3.0)),
    note="surge from 20 % load, for attempts compete for bikes earlier than rides do",
)
"""Curve of version 2: earlier and steeper, in the belief that its demand counts attempts."""
