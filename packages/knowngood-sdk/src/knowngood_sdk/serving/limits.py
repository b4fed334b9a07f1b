"""
Local limits: when a worker leaves a version on its own evidence (rule 9), and when it only says so.

The figures are those of immediate triggers alone. Whether a worker may act on one is its owner's to grant: a trigger
that is not granted ``rollback`` in the system file is only reported.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.fields import number_value
from knowngood_sdk.serving.recent import NEVER_NS, Bounds, Recent
from knowngood_sdk.serving.trials import Trials

__all__ = ["Breach", "LocalLimits"]

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
    When a version is sick beyond doubt, as one worker sees it: more is bad than a limit allows and chance explains.

    While every call fails, ten calls are enough at limits up to 11 percent. See ``trials`` for the test, which is made
    at each request and promises its false alarms for all of them together.

    Attributes:
        errors: Highest acceptable share of failed requests, a ratio.
        streak: Failures in a row that are enough if chance does not explain them, a count.
        slow: Highest acceptable share of slow requests, a ratio.
        slow_seconds: A request that takes longer is slow; None while nothing was promised.
        nonsense: Highest acceptable share of nonsense among the outputs, a ratio.
        evidence: Requests or outputs in a row that are needed to say anything else, a count.
        granted: Triggers on which a worker may act; a breach of another is only reported.
    """

    errors: float = 0.05
    streak: int = 10
    slow: float = 0.05
    slow_seconds: float | None = None
    nonsense: float = 0.05
    evidence: int = 20
    granted: frozenset[str] = frozenset()

    @property
    def slow_ns(self) -> int:
        """A request that takes longer is slow; longer than any while nothing was promised."""
        return NEVER_NS if self.slow_seconds is None else int(min(self.slow_seconds * 1e9, NEVER_NS))

    @property
    def bounds(self) -> Bounds:
        """What is counted against a version while it serves."""
        return Bounds(errors=self.errors, slow=self.slow, slow_ns=self.slow_ns, nonsense=self.nonsense)

    def judge(self, recent: Recent) -> tuple[Breach, ...]:
        """Return every limit that a version passes as it serves now, errors first."""
        slow = "" if self.slow_seconds is None else f"requests took over {self.slow_seconds:.3g} s"
        found = (
            self._breach("errors", recent.errors, "requests failed", self.streak),
            self._breach("latency", recent.slow, slow, self.evidence),
            self._breach("nonsense", recent.nonsense, "outputs made no sense", self.evidence),
        )
        return tuple(breach for breach in found if breach is not None)

    def _breach(self, trigger: str, trials: Trials, what: str, row: int) -> Breach | None:
        found = trials.beyond_chance(self.evidence, row)
        if found is None:
            return None
        return Breach(trigger=trigger, why=f"{found.bad} of {found.trials} {what}, {trials.limit:.3g} are allowed")

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
            evidence=_count(errors.get("min_requests", self.evidence), "triggers.errors.min_requests"),
            granted=self.granted | {name for name, options in asked.items() if options.get("do") == _ROLLBACK},
        )


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidError(f"{what} must be an object, not {value!r:.80}", hint="Apply the system file again")
    return value


def _number(value: Any, what: str) -> float:
    try:
        number = number_value(value, what)
    except (TypeError, ValueError) as error:
        raise InvalidError(str(error), hint="Apply the system file again") from error
    if number <= 0:
        raise InvalidError(f"{what} must be a number above 0, not {value!r}", hint="Apply the system file again")
    return number


def _count(value: Any, what: str) -> int:
    return math.ceil(_number(value, what))


def _seconds(value: Any) -> float:
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise InvalidError(f"sla.latency_p99 must be a duration, not {value!r}", hint="Apply the system file again")
    return float(found[1]) * _SECONDS[found[2]]
