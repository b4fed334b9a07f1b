"""
System: what a team declares about one AI product, in its system file.

The values here are what everything else reads; ``SystemFile.from_json`` is the one place where a declaration is
checked, whether it came from YAML or from the copy that was applied. Every refusal names the key (also as the list
``details["path"]``, so that a reader of files can add the line), the value and what to do.
"""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from functools import partial
from types import MappingProxyType
from typing import Any

from knowngood.domain import quantity
from knowngood.domain.effect import EffectsSpec, read_effects
from knowngood.domain.fields import (
    Fields,
    Path,
    as_json_object,
    as_mapping,
    as_name,
    as_names,
    as_text,
    dotted,
    measured,
    named,
    one_of,
    refused,
)
from knowngood.domain.kind import EMBEDDED_KINDS, Kinds, kind_of, options_of
from knowngood.domain.spelling import described, did_you_mean
from knowngood.domain.state import StateSpec, read_state
from knowngood_sdk.errors import InvalidError, NotFoundError
from knowngood_sdk.model.manifest import Role, Switching

__all__ = [
    "EMBEDDED_KINDS",
    "ComponentSpec",
    "Grant",
    "Kinds",
    "Sla",
    "Standby",
    "SystemFile",
    "SystemKind",
    "Tolerance",
    "TriggerKind",
    "TriggerSpec",
    "Verify",
]


class SystemKind(StrEnum):
    """How a system meets its users; it decides which levels can help in time."""

    REALTIME = "realtime"
    BATCH = "batch"
    LLM = "llm"


class Grant(StrEnum):
    """What automation may do when a trigger breaches."""

    OBSERVE = "observe"  # record it, and stay
    HOLD = "hold"  # stop the deployment where it is, and wait for a person
    ROLLBACK = "rollback"


class TriggerKind(StrEnum):
    """What a trigger measures."""

    ERRORS = "errors"
    LATENCY = "latency"
    HEALTH = "health"
    NONSENSE = "nonsense"
    PREDICTION_MEAN = "prediction_mean"
    BUSINESS = "business"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sla:
    """
    What the system owes its callers.

    Attributes:
        latency_p99: The latency that 99 % of requests stay under; None when nothing was promised.
    """

    latency_p99: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentSpec:
    """
    A component as the system file declares it.

    Attributes:
        name: Its name in the system.
        role: What it is to the system.
        kind: Name of the adapter that handles it.
        target: What the adapter is pointed at (a path, a name), in its own terms.
        options: Further options of the adapter.
        switching: How it changes version.
        shared_by: Other systems that read the same state.
        contract: Path of a JSON document that says what it provides and requires, relative to the file; None when
            there is none. A training script writes it beside the model.
    """

    name: str
    role: Role
    kind: str
    target: str
    options: Mapping[str, str] = field(default_factory=dict)
    switching: Switching = Switching.ADDRESSED
    shared_by: tuple[str, ...] = ()
    contract: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerSpec:
    """
    A trigger as the system file declares it; domain/trigger.py builds the judge from it.

    Attributes:
        kind: What it measures.
        metric: Its name in the file; for a business trigger that of the metric.
        options: What was set, by name, as plain numbers (ratios, factors, counts); the judge has the defaults.
        grant: What automation may do when it breaches.
    """

    kind: TriggerKind
    metric: str
    options: Mapping[str, float] = field(default_factory=dict)
    grant: Grant = Grant.OBSERVE

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Standby:
    """
    How the version to go back to is kept.

    Attributes:
        keep: How long it stays ready after a deployment: the cool-down.
        memory: Most bytes that live and standby may take together on one replica, as its workers measure them; a
            deployment that does not fit is blocked. None for no bound.
    """

    keep: timedelta = timedelta(hours=72)
    memory: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """
    When a combination that was never recorded together may be used.

    Attributes:
        divergence: Highest mean absolute relative divergence from the known version's outputs, a ratio.
        requests: Fewest real requests to measure it on, a count.
    """

    divergence: float = 0.15
    requests: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify:
    """
    When a version that took all traffic counts as verified.

    Attributes:
        requests: Fewest real requests that it must have answered, a count.
        within: How long after a rollback its metrics may take to be back at their baseline.
    """

    requests: int = 200
    within: timedelta = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemFile:
    """
    All that a team declares about a system.

    Attributes:
        system: Its name.
        kind: How it meets its users.
        components: By name; never empty.
        sla: What it owes its callers.
        triggers: By name as in the file.
        golden: Path of the golden inputs and outputs (JSON lines), relative to the file; None when there are none.
        fallback: Static answer when no version can answer, a JSON object; None when none was declared.
        standby: How the version to go back to is kept.
        unproven: When an unproven combination may be used.
        verify: When a version that took all traffic counts as verified.
        health: URLs that are asked for the serving endpoints' health.
        state: What it writes while it serves, by name.
        effects: Where its acts in the world are on record, by name.
    """

    system: str
    kind: SystemKind
    components: Mapping[str, ComponentSpec]
    sla: Sla = field(default_factory=Sla)
    triggers: Mapping[str, TriggerSpec] = field(default_factory=dict)
    golden: str | None = None
    fallback: Mapping[str, Any] | None = None
    standby: Standby = field(default_factory=Standby)
    unproven: Tolerance = field(default_factory=Tolerance)
    verify: Verify = field(default_factory=Verify)
    health: tuple[str, ...] = ()
    state: Mapping[str, StateSpec] = field(default_factory=dict)
    effects: Mapping[str, EffectsSpec] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("components", "triggers", "state", "effects"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        if not self.components:
            raise refused(("components",), "components is empty", "A system needs at least one component")
        latency = next((t for t in self.triggers.values() if t.kind is TriggerKind.LATENCY), None)
        if latency is not None and self.sla.latency_p99 is None:
            raise refused(
                ("triggers", latency.metric),
                f"triggers.{latency.metric} compares with sla.latency_p99, which is not declared",
                "Declare it, for example sla: {latency_p99: 80ms}",
            )

    def component(self, name: str) -> ComponentSpec:
        """
        Return a component by its name.

        Raises:
            NotFoundError: The system has none of this name.
        """
        if name not in self.components:
            raise NotFoundError(
                f"system {self.system} has no component {name!r}", hint=did_you_mean(name, self.components)
            )
        return self.components[name]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form, without what was left to its default; ``from_json`` reads it back as the same value."""
        document: dict[str, Any] = {
            "system": self.system,
            "kind": self.kind.value,
            "components": {name: _component_json(spec) for name, spec in self.components.items()},
            "standby": {"keep": quantity.duration_text(self.standby.keep)},
            "unproven": {"divergence": self.unproven.divergence, "requests": self.unproven.requests},
            "verify": {"requests": self.verify.requests, "within": quantity.duration_text(self.verify.within)},
            "triggers": {name: {**spec.options, "do": spec.grant.value} for name, spec in self.triggers.items()},
        }
        if self.standby.memory is not None:
            document["standby"]["memory"] = quantity.size_text(self.standby.memory)
        if self.sla.latency_p99 is not None:
            document["sla"] = {"latency_p99": quantity.duration_text(self.sla.latency_p99)}
        if self.golden is not None:
            document["golden"] = self.golden
        if self.health:
            document["health"] = list(self.health)
        if self.fallback is not None:
            document["fallback"] = dict(self.fallback)
        for section, declared in (("state", self.state), ("effects", self.effects)):
            if declared:
                document[section] = {name: spec.to_json() for name, spec in declared.items()}
        return document

    @classmethod
    def from_json(cls, document: Any, *, kinds: Kinds = Kinds()) -> "SystemFile":  # noqa: B008 - it is frozen
        """
        Check a declaration.

        Args:
            document: The system file as plain mappings, lists, texts, numbers.
            kinds: Kinds that are installed.

        Raises:
            InvalidError: A key or a value is not as it must be.
        """
        fields = Fields((), document, _KNOWN_KEYS)
        return cls(
            system=fields.required("system", as_name),
            kind=fields.required("kind", one_of(SystemKind)),
            components=fields.required("components", named(partial(_component, kinds.components))),
            sla=fields.optional("sla", _sla, Sla()),
            triggers=fields.optional("triggers", named(_trigger), {}),
            golden=fields.optional("golden", as_text, None),
            fallback=fields.optional("fallback", as_json_object, None),
            standby=fields.optional("standby", _standby, Standby()),
            unproven=fields.optional("unproven", _tolerance, Tolerance()),
            verify=fields.optional("verify", _verify, Verify()),
            health=fields.optional("health", _urls, ()),
            state=fields.optional("state", partial(read_state, kinds=kinds.state), {}),
            effects=fields.optional("effects", partial(read_effects, kinds=kinds.effects), {}),
        )


_KNOWN_KEYS = (
    "system",
    "kind",
    "components",
    "sla",
    "triggers",
    "golden",
    "fallback",
    "standby",
    "unproven",
    "verify",
    "health",
    "state",
    "effects",
)
_COMPONENT_KEYS = ("role", "switching", "shared_by", "contract")


def _component(kinds: Mapping[str, Collection[str]], path: Path, name: str, value: Any) -> ComponentSpec:
    kind = kind_of(path, value, kinds, _COMPONENT_KEYS, "component")
    fields = Fields(path, value, (kind, *_COMPONENT_KEYS, *kinds[kind]))
    if "role" not in fields.values and name not in set(Role):
        raise refused(path, f"{dotted(path)} has no role", f"Add role: one of {', '.join(Role)}")
    return ComponentSpec(
        name=name,
        role=fields.optional("role", one_of(Role), None) or Role(name),
        kind=kind,
        target=fields.required(kind, as_text),
        options=options_of(fields, kinds[kind]),
        switching=fields.optional("switching", one_of(Switching), Switching.ADDRESSED),
        contract=fields.optional("contract", as_text, None),
        shared_by=fields.optional("shared_by", as_names, ()),
    )


def _component_json(spec: ComponentSpec) -> dict[str, Any]:
    document: dict[str, Any] = {
        spec.kind: spec.target,
        "role": spec.role.value,
        "switching": spec.switching.value,
        **spec.options,
    }
    if spec.contract is not None:
        document["contract"] = spec.contract
    if spec.shared_by:
        document["shared_by"] = list(spec.shared_by)
    return document


def _share(value: object, what: str) -> float:
    number = quantity.ratio(value, what)
    if number >= 1:
        raise InvalidError(f"{what} is {value}, which nothing can exceed", hint="Write less than 100%")
    return number


def _number(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidError(f"{what} must be a number, not {described(value)}", hint="Write it without quotes")
    return value


def _truth(value: object, what: str) -> float:
    if not isinstance(value, bool | int) or value not in (0, 1):
        raise InvalidError(f"{what} must be true or false, not {described(value)}", hint="Write true or false")
    return float(value)


_EVIDENCE: Mapping[str, Callable[[object, str], float]] = {
    "windows": quantity.count,
    "min_requests": quantity.count,
}
_TRIGGER_OPTIONS: Mapping[TriggerKind, Mapping[str, Callable[[object, str], float]]] = {
    TriggerKind.ERRORS: {"over": _share, **_EVIDENCE},
    TriggerKind.LATENCY: {"over": quantity.factor, **_EVIDENCE},
    TriggerKind.HEALTH: {"failures": quantity.count},
    TriggerKind.NONSENSE: {"over": _share, "low": _number, "high": _number, "constant": _truth, **_EVIDENCE},
    TriggerKind.PREDICTION_MEAN: {"shift": quantity.ratio, "min_requests": quantity.count},
    TriggerKind.BUSINESS: {"drop": _share, "min_requests": quantity.count},
}


def _trigger(path: Path, name: str, value: Any) -> TriggerSpec:
    reserved = [kind.value for kind in TriggerKind if kind is not TriggerKind.BUSINESS]
    kind = TriggerKind(name) if name in reserved else TriggerKind.BUSINESS
    if kind is TriggerKind.BUSINESS and "drop" not in as_mapping(path, value):
        raise refused(
            path,
            f"{dotted(path)} is no known trigger, and without drop it watches no business metric either",
            f"{did_you_mean(name, reserved)}; or add drop: 10%",
        )
    readers = _TRIGGER_OPTIONS[kind]
    fields = Fields(path, value, (*readers, "do"))
    options = {
        option: fields.required(option, measured(read)) for option, read in readers.items() if option in fields.values
    }
    if options.get("low", -math.inf) > options.get("high", math.inf):
        raise refused(path, f"{dotted(path)} has low {options['low']} above high {options['high']}", "Swap them")
    return TriggerSpec(
        kind=kind, metric=name, options=options, grant=fields.optional("do", one_of(Grant), Grant.OBSERVE)
    )


def _sla(path: Path, value: Any) -> Sla:
    fields = Fields(path, value, ("latency_p99",))
    return Sla(latency_p99=fields.optional("latency_p99", measured(quantity.duration), None))


def _standby(path: Path, value: Any) -> Standby:
    fields = Fields(path, value, ("keep", "memory"))
    return Standby(
        keep=fields.optional("keep", measured(quantity.duration), Standby().keep),
        memory=fields.optional("memory", measured(quantity.size), None),
    )


def _verify(path: Path, value: Any) -> Verify:
    fields = Fields(path, value, ("requests", "within"))
    return Verify(
        requests=fields.optional("requests", measured(quantity.count), Verify().requests),
        within=fields.optional("within", measured(quantity.duration), Verify().within),
    )


def _urls(path: Path, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise refused(
            path, f"{dotted(path)} must be a list of URLs, not {described(value)}", "Write [http://host:port/healthz]"
        )
    urls = tuple(as_text((*path, str(index)), item) for index, item in enumerate(value))
    for url in urls:
        if not url.startswith(("http://", "https://")):
            raise refused(path, f"{dotted(path)} has {url!r}, which is no http or https URL", "Start it with http://")
    return urls


def _tolerance(path: Path, value: Any) -> Tolerance:
    fields = Fields(path, value, ("divergence", "requests"))
    return Tolerance(
        divergence=fields.optional("divergence", measured(quantity.ratio), Tolerance().divergence),
        requests=fields.optional("requests", measured(quantity.count), Tolerance().requests),
    )
