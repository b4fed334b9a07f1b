"""
Local limits: when a worker leaves a version on its own evidence (rule 9), and when it only says so.

The figures are those of immediate triggers alone. Whether a worker may act on one is its owner's to grant: a trigger
that is not granted ``rollback`` in the system file is only reported.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from knowngood_sdk.errors import InvalidError
from knowngood_sdk.serving.recent import NEVER_NS, Recent

__all__ = ["SHORT_NS", "WINDOW_NS", "Breach", "LocalLimits"]

WINDOW_NS = 1_000_000_000
SHORT_NS = 200_000_000
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(us|ms|s|m|h|d)")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """
    A limit was passed.

    Attributes:
        trigger: ``errors``, ``latency`` or ``nonsense``.
        why: The figures, for people.
    """

    trigger: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalLimits:
    """
    When a version is sick beyond doubt, as one worker sees it.

    Attributes:
        errors: Highest acceptable share of failed requests within a second, a ratio.
        sharp_errors: Share that is enough within 200 ms.
        streak: Failures in a row that are enough.
        slow: Highest acceptable share of slow requests within a second, a ratio.
        slow_seconds: A request that takes longer is slow; None while nothing was promised.
        nonsense: Highest acceptable share of nonsense among the outputs of a second, a ratio.
        evidence: Requests or outputs that a window needs to say anything, a count.
        granted: Triggers on which a worker may act; a breach of another is only reported.
    """

    errors: float = 0.05
    sharp_errors: float = 0.5
    streak: int = 10
    slow: float = 0.05
    slow_seconds: float | None = None
    nonsense: float = 0.05
    evidence: int = 20
    granted: frozenset[str] = frozenset()

    @property
    def slow_ns(self) -> int:
        """A request that takes longer is slow; longer than any while nothing was promised."""
        return NEVER_NS if self.slow_seconds is None else int(self.slow_seconds * 1e9)

    def judge(self, recent: Recent, now: int) -> Breach | None:
        """
        Judge the last second of a version.

        Args:
            recent: What it did.
            now: The instant, of ``perf_counter_ns``.
        """
        if recent.failures >= self.streak:
            return Breach(trigger="errors", why=f"{recent.failures} requests in a row failed")
        short, second = recent.span(now, SHORT_NS), recent.span(now, WINDOW_NS)
        if short.requests >= self.evidence and short.errors >= self.sharp_errors * short.requests:
            return Breach(trigger="errors", why=f"{short.errors} of {short.requests} requests failed within 200 ms")
        if second.requests >= self.evidence and second.errors > self.errors * second.requests:
            return Breach(trigger="errors", why=f"{second.errors} of {second.requests} requests failed within a second")
        if second.requests >= self.evidence and second.slow > self.slow * second.requests:
            limit = f"{self.slow_seconds:.3g} s"
            return Breach(trigger="latency", why=f"{second.slow} of {second.requests} requests took over {limit}")
        if second.outputs >= self.evidence and second.nonsense > self.nonsense * second.outputs:
            return Breach(trigger="nonsense", why=f"{second.nonsense} of {second.outputs} outputs made no sense")
        return None

    def declared(self, settings: Mapping[str, Any]) -> "LocalLimits":
        """
        Return these limits with what an applied system file declares; keys that are absent keep what stands here.

        Raises:
            InvalidError: A value there is not of its kind; the file is checked when it is applied, so it was edited.
        """
        triggers = _mapping(settings.get("triggers", {}), "triggers")
        errors, latency, nonsense = (
            _mapping(triggers.get(name, {}), f"triggers.{name}") for name in ("errors", "latency", "nonsense")
        )
        asked = {"errors": errors, "latency": latency, "nonsense": nonsense}
        promised = _mapping(settings.get("sla", {}), "sla").get("latency_p99")
        slow_seconds = self.slow_seconds
        if promised is not None:
            slow_seconds = _seconds(promised) * _number(latency.get("over", 5.0), "triggers.latency.over")
        return replace(
            self,
            errors=_number(errors.get("over", self.errors), "triggers.errors.over"),
            slow_seconds=slow_seconds,
            nonsense=_number(nonsense.get("over", self.nonsense), "triggers.nonsense.over"),
            evidence=int(_number(errors.get("min_requests", self.evidence), "triggers.errors.min_requests")),
            granted=self.granted | {name for name, options in asked.items() if options.get("do") == _ROLLBACK},
        )


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidError(f"{what} must be an object, not {value!r:.80}", hint="Apply the system file again")
    return value


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise InvalidError(f"{what} must be a number above 0, not {value!r}", hint="Apply the system file again")
    return float(value)


def _seconds(value: Any) -> float:
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise InvalidError(f"sla.latency_p99 must be a duration, not {value!r}", hint="Apply the system file again")
    return float(found[1]) * _SECONDS[found[2]]
