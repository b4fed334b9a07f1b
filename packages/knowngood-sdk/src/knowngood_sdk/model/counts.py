"""
Counts: what a replica says about each system version, as numbers that merge exactly.

Every number is cumulative since a worker started, so that a report that arrives twice or late does no harm, and the
difference of two reports is a window. Histograms use one fixed grid of bins for all values everywhere, so that no
two reporters can disagree about an edge.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any

from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.fields import entry, integer, integer_value, mapping, number_value, texts

__all__ = ["SKETCH_SIZE", "Paired", "Sums", "VersionCounts", "bin_bounds", "distinct", "log_bin", "merge_sketches"]

SUBBINS = 8
"""Bins for each doubling of a value: neighbouring edges are at most 12.5 % apart."""
SKETCH_SIZE = 256
"""Smallest hashes kept for the count of distinct subjects: a standard error of about 6 %."""
_ZERO_BIN = 0
_OFFSET = 1100 * SUBBINS
_HASH_SPACE = 2**64
_LARGEST = math.nextafter(math.inf, 0)
_HASH = re.compile(r"[0-9a-f]{16}")
_BIN = re.compile(r"0|-?[1-9][0-9]{0,4}")


def log_bin(value: float) -> int:
    """
    Return the bin of a finite number: 0 for zero, positive bins for positive numbers, negative for negative ones.

    Bins are linear inside each power of two (the grid of HDR histograms), from the exponent and the first bits of the
    mantissa, so that the grid needs no configuration.
    """
    if value == 0:
        return _ZERO_BIN
    mantissa, exponent = math.frexp(abs(value))
    index = _OFFSET + exponent * SUBBINS + int((mantissa - 0.5) * 2 * SUBBINS)
    return index if value > 0 else -index


def bin_bounds(index: int) -> tuple[float, float]:
    """
    Return the (lowest, highest) value of a bin; the end away from zero is exclusive.

    The last bin of the grid ends in infinity.
    """
    if index == _ZERO_BIN:
        return (0.0, 0.0)
    low, high = _edge(abs(index)), _edge(abs(index) + 1)
    return (low, high) if index > 0 else (-high, -low)


def _edge(index: int) -> float:
    exponent, part = divmod(index - _OFFSET, SUBBINS)
    try:
        return math.ldexp(0.5 + part / (2 * SUBBINS), exponent)
    except OverflowError:
        return math.inf


@dataclass(frozen=True, slots=True)
class Sums:
    """Moments of some numbers: how many, their sum, the sum of their squares."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    @property
    def mean(self) -> float:
        """Arithmetic mean; NaN when there is nothing."""
        return self.total / self.n if self.n else math.nan

    @property
    def variance(self) -> float:
        """Unbiased variance, never below 0; NaN for fewer than two numbers; infinite where it cannot be represented."""
        if self.n < 2:  # noqa: PLR2004 - a variance takes two
            return math.nan
        spread = self.squares - self.total * self.total / self.n
        return max(0.0, spread) / (self.n - 1) if math.isfinite(spread) else math.inf

    def plus(self, other: "Sums", sign: int = 1) -> "Sums":
        """Return these and (or, with sign -1, without) the others."""
        return Sums(self.n + sign * other.n, self.total + sign * other.total, self.squares + sign * other.squares)


@dataclass(frozen=True, slots=True)
class Paired:
    """
    Two versions on the same real requests.

    Attributes:
        reference: Outputs of the version that is known.
        other: Outputs of the version that is compared with it.
        relative: Relative differences ``(other - reference) / |reference|``.
        absolute: Their absolute values.
        failed: Requests that the reference answered and the other could not.
    """

    reference: Sums = field(default_factory=Sums)
    other: Sums = field(default_factory=Sums)
    relative: Sums = field(default_factory=Sums)
    absolute: Sums = field(default_factory=Sums)
    failed: int = 0

    @property
    def n(self) -> int:
        """Requests that both answered."""
        return self.reference.n

    @property
    def divergence(self) -> float:
        """Mean absolute relative difference; NaN when there is no pair."""
        return self.absolute.mean

    def plus(self, other: "Paired", sign: int = 1) -> "Paired":
        """Return these and (or, with sign -1, without) the others."""
        return Paired(
            reference=self.reference.plus(other.reference, sign),
            other=self.other.plus(other.other, sign),
            relative=self.relative.plus(other.relative, sign),
            absolute=self.absolute.plus(other.absolute, sign),
            failed=self.failed + sign * other.failed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionCounts:
    """
    Everything counted for one system version.

    Attributes:
        requests: Answered requests, failed ones included.
        errors: Requests that failed through the version's own fault.
        client_errors: Requests that failed through the caller's (HTTP 4xx); not evidence about the version.
        rescued: Failed calls that the standby answered within the request; counted in ``errors`` too.
        nonsense: Outputs that were NaN, infinite, of a wrong type, or out of the declared range.
        latency: Bin of the latency in seconds -> requests.
        latencies: Moments of the latency in seconds.
        predictions: Moments of the observed outputs.
        prediction_bins: Bin of the output -> outputs.
        outcomes: Business outcome -> moments, attributed to the version that served the subject.
        shadow: Compared version -> paired outputs; this version is the reference.
        subjects: The smallest subject hashes seen, ascending; their spread tells how many distinct subjects there were.
    """

    requests: int = 0
    errors: int = 0
    client_errors: int = 0
    rescued: int = 0
    nonsense: int = 0
    latency: Mapping[int, int] = field(default_factory=dict)
    latencies: Sums = field(default_factory=Sums)
    predictions: Sums = field(default_factory=Sums)
    prediction_bins: Mapping[int, int] = field(default_factory=dict)
    outcomes: Mapping[str, Sums] = field(default_factory=dict)
    shadow: Mapping[str, Paired] = field(default_factory=dict)
    subjects: tuple[int, ...] = ()

    def plus(self, other: "VersionCounts") -> "VersionCounts":
        """Return the merged counts of two reporters."""
        return self._combine(other, 1)

    def minus(self, earlier: "VersionCounts") -> "VersionCounts":
        """Return what came since an earlier report; the subjects stay cumulative, for a sketch has no difference."""
        return self._combine(earlier, -1)

    def _combine(self, other: "VersionCounts", sign: int) -> "VersionCounts":
        return VersionCounts(
            requests=self.requests + sign * other.requests,
            errors=self.errors + sign * other.errors,
            client_errors=self.client_errors + sign * other.client_errors,
            rescued=self.rescued + sign * other.rescued,
            nonsense=self.nonsense + sign * other.nonsense,
            latency=_add(self.latency, other.latency, sign),
            latencies=self.latencies.plus(other.latencies, sign),
            predictions=self.predictions.plus(other.predictions, sign),
            prediction_bins=_add(self.prediction_bins, other.prediction_bins, sign),
            outcomes={
                name: self.outcomes.get(name, Sums()).plus(other.outcomes.get(name, Sums()), sign)
                for name in self.outcomes.keys() | other.outcomes.keys()
            },
            shadow={
                version: self.shadow.get(version, Paired()).plus(other.shadow.get(version, Paired()), sign)
                for version in self.shadow.keys() | other.shadow.keys()
            },
            subjects=merge_sketches([self.subjects, other.subjects]) if sign > 0 else self.subjects,
        )

    def latency_quantile(self, q: float) -> float:
        """Return an upper bound of the q-quantile of the latency in seconds (q in (0, 1]); NaN without requests."""
        total = sum(self.latency.values())
        seen = 0
        for index in sorted(self.latency):
            seen += self.latency[index]
            if 0 < seen >= q * total:
                return bin_bounds(index)[1]
        return math.nan

    def to_json(self) -> dict[str, Any]:
        """Return the compact JSON form; fields that are zero or empty are left out."""
        document: dict[str, Any] = {}
        for name in ("requests", "errors", "client_errors", "rescued", "nonsense"):
            if getattr(self, name):
                document[name] = getattr(self, name)
        for name in ("latency", "prediction_bins"):
            if getattr(self, name):
                document[name] = {str(index): count for index, count in getattr(self, name).items() if count}
        for name in ("latencies", "predictions"):
            if getattr(self, name).n:
                document[name] = _sums_json(getattr(self, name))
        if self.outcomes:
            document["outcomes"] = {name: _sums_json(sums) for name, sums in self.outcomes.items()}
        if self.shadow:
            document["shadow"] = {version: _paired_json(paired) for version, paired in self.shadow.items()}
        if self.subjects:
            document["subjects"] = [f"{value:016x}" for value in self.subjects]
        return document

    @classmethod
    def from_json(cls, document: Any) -> "VersionCounts":
        """Read what ``to_json`` wrote; raises InvalidError for anything else."""
        if not isinstance(document, Mapping):
            raise InvalidError(f"counts must be an object, not {type(document).__name__}")
        unknown = sorted(map(str, document.keys() - _NAMES))
        if unknown:
            raise InvalidError(f"counts have unknown fields: {', '.join(unknown)}")
        try:
            outcomes, shadow = _optional(document, "outcomes"), _optional(document, "shadow")
            return cls(
                requests=_count(document, "requests"),
                errors=_count(document, "errors"),
                client_errors=_count(document, "client_errors"),
                rescued=_count(document, "rescued"),
                nonsense=_count(document, "nonsense"),
                latency=_bins(document, "latency"),
                latencies=_moments(document["latencies"], "latencies") if "latencies" in document else Sums(),
                predictions=_moments(document["predictions"], "predictions") if "predictions" in document else Sums(),
                prediction_bins=_bins(document, "prediction_bins"),
                outcomes={name: _moments(moments, name) for name, moments in outcomes.items()},
                shadow={version: _paired(shadow, version) for version in shadow},
                subjects=_sketch(document) if "subjects" in document else (),
            )
        except (TypeError, ValueError) as error:
            raise InvalidError(f"counts are malformed: {error}") from error


# Not looked up anew for each of a thousand replicas' twenty metrics each second.
_MOMENTS = len(fields(Sums))
_NAMES = frozenset(item.name for item in fields(VersionCounts))
_LAST_BIN = log_bin(_LARGEST)


def merge_sketches(sketches: Iterable[Iterable[int]]) -> tuple[int, ...]:
    """Return the smallest hashes of several sketches: what one sketch over all subjects would hold."""
    return tuple(sorted({value for sketch in sketches for value in sketch})[:SKETCH_SIZE])


def distinct(sketch: tuple[int, ...]) -> int:
    """
    Estimate how many distinct subjects a sketch of 64-bit hashes has seen.

    Exact while fewer than ``SKETCH_SIZE`` were seen; then the k-minimum-values estimate (Bar-Yossef et al., 2002).
    """
    if len(sketch) < SKETCH_SIZE:
        return len(sketch)
    return round((SKETCH_SIZE - 1) * _HASH_SPACE / (sketch[-1] + 1))


def _add(left: Mapping[int, int], right: Mapping[int, int], sign: int) -> dict[int, int]:
    merged = dict(left)
    for index, count in right.items():
        merged[index] = merged.get(index, 0) + sign * count
    return {index: count for index, count in merged.items() if count}


def _sums_json(sums: Sums) -> list[float]:
    # The squares of outputs beyond 1e154 overflow; JSON has no infinity, and the rest of the report is still good.
    return [sums.n, *(min(max(value, -_LARGEST), _LARGEST) for value in (sums.total, sums.squares))]


def _sums(item: Any, name: str) -> Sums:
    return _moments(entry(item, name), name)


def _moments(moments: Any, name: str) -> Sums:
    if not isinstance(moments, list) or len(moments) != _MOMENTS:
        raise TypeError(f"{name} must be [n, sum, sum of squares]")
    n, total, squares = moments
    if type(n) is int and type(total) is float and type(squares) is float and n >= 0 and math.isfinite(total + squares):
        return Sums(n, total, squares)
    # Numbers of another type, and what is none: to be told which it is.
    return Sums(integer_value(n, name), number_value(total, name), number_value(squares, name))


def _paired_json(paired: Paired) -> dict[str, Any]:
    return {
        "reference": _sums_json(paired.reference),
        "other": _sums_json(paired.other),
        "relative": _sums_json(paired.relative),
        "absolute": _sums_json(paired.absolute),
        "failed": paired.failed,
    }


def _paired(item: Any, version: str) -> Paired:
    pair = entry(item, version)
    return Paired(
        reference=_sums(pair, "reference"),
        other=_sums(pair, "other"),
        relative=_sums(pair, "relative"),
        absolute=_sums(pair, "absolute"),
        failed=integer(pair, "failed"),
    )


def _count(document: Mapping[str, Any], name: str) -> int:
    return integer(document, name) if name in document else 0


def _optional(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return mapping(document, name) if name in document else {}


def _bins(document: Mapping[str, Any], name: str) -> dict[int, int]:
    bins = {}
    for index, count in _optional(document, name).items():
        number = _bin(index)
        if number is None:
            raise ValueError(f"{name} has no bin {index:.80}; the grid ends at {_LAST_BIN}")
        bins[number] = count if type(count) is int and count >= 0 else integer_value(count, index)
    return bins


@lru_cache(maxsize=4096)
def _bin(index: str) -> int | None:
    """Return the number of a bin; None where the grid has none of that name. Reporters use the same few all day."""
    return int(index) if _BIN.fullmatch(index) and abs(int(index)) <= _LAST_BIN else None


def _sketch(document: Mapping[str, Any]) -> tuple[int, ...]:
    hashes = texts(document, "subjects")
    in_order = all(_HASH.fullmatch(value) for value in hashes) and list(hashes) == sorted(set(hashes))
    if not in_order or len(hashes) > SKETCH_SIZE:
        raise ValueError(f"subjects must be up to {SKETCH_SIZE} hashes of 16 hex digits, rising")
    return tuple(int(value, 16) for value in hashes)
