"""
Manifest: one system version, with the exact version of every component, their contracts and the intent.

It has two digests. The *content digest* covers components and contracts: it is what is served, what a route names and
what a quarantine forbids. The *manifest digest* covers the whole, with intent and parent: it names the record of who
wanted what and why. Two deployments of the same content share the first and differ in the second.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeVar

from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.canonical import check_digest, digest_of, short
from knowngood_sdk.model.fields import number_value, shown

__all__ = ["Component", "Intent", "Manifest", "Ref", "Role", "Switching", "check_name"]

_E = TypeVar("_E", bound=StrEnum)
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


class Role(StrEnum):
    """What a component is to its system; the level of a rollback follows from the roles that it changes."""

    MODEL = "model"
    FEATURES = "features"
    CONFIG = "config"
    INFRA = "infra"
    DATA = "data"
    PROMPT = "prompt"
    STATE = "state"


class Switching(StrEnum):
    """How a component changes version: the flip alone, a pointer with compare-and-swap, or a change in place."""

    ADDRESSED = "addressed"
    POINTER = "pointer"
    IN_PLACE = "in-place"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    """
    One state of one component.

    Attributes:
        digest: Identity of the content, ours: ``sha256:`` and 64 hex digits. Only this is ever compared.
        native: The owner's own version (a Git sha, a registry version); a hint, for it may be renumbered.
        facets: Further named facts (a path, a schema id, an inlined document).
    """

    digest: str
    native: str = ""
    facets: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_digest(self.digest)
        object.__setattr__(self, "facets", _frozen_text(self.facets, "facets"))

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form, of plain dicts and strings."""
        return {"digest": self.digest, "native": self.native, "facets": dict(self.facets)}

    @classmethod
    def from_json(cls, document: Any) -> "Ref":
        """Read what ``to_json`` wrote; raises InvalidError for anything else."""
        fields = _object(document, "ref", required={"digest"}, optional={"native", "facets"})
        return cls(
            digest=_text(fields["digest"], "ref.digest"),
            native=_text(fields.get("native", ""), "ref.native"),
            facets=_text_map(fields.get("facets", {}), "ref.facets"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """
    A component as one manifest records it.

    Attributes:
        role: What it is to the system.
        kind: Name of the adapter that handles it (``files``, ``git``, ``inline``).
        switching: How it changes version.
        ref: The recorded state.
        provides: Contract fingerprints that it offers, by contract name.
        requires: Contract fingerprints that it was made for, by contract name.
        shared_by: Other systems that read the same state; one that is shared makes a plan level 3 or 4.
    """

    role: Role
    kind: str
    ref: Ref
    switching: Switching = Switching.ADDRESSED
    provides: Mapping[str, str] = field(default_factory=dict)
    requires: Mapping[str, str] = field(default_factory=dict)
    shared_by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "provides", _frozen_text(self.provides, "provides"))
        object.__setattr__(self, "requires", _frozen_text(self.requires, "requires"))

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form, of plain dicts, lists and strings."""
        return {
            "role": self.role.value,
            "kind": self.kind,
            "switching": self.switching.value,
            "ref": self.ref.to_json(),
            "provides": dict(self.provides),
            "requires": dict(self.requires),
            "shared_by": list(self.shared_by),
        }

    @classmethod
    def from_json(cls, document: Any) -> "Component":
        """Read what ``to_json`` wrote; raises InvalidError for anything else."""
        fields = _object(
            document,
            "component",
            required={"role", "kind", "ref"},
            optional={"switching", "provides", "requires", "shared_by"},
        )
        shared = fields.get("shared_by", [])
        if not isinstance(shared, list):
            raise InvalidError(f"component.shared_by must be a list of system names, not {shown(shared)}")
        return cls(
            role=_member(Role, fields["role"], "component.role"),
            kind=_text(fields["kind"], "component.kind"),
            switching=_member(Switching, fields.get("switching", "addressed"), "component.switching"),
            ref=Ref.from_json(fields["ref"]),
            provides=_text_map(fields.get("provides", {}), "component.provides"),
            requires=_text_map(fields.get("requires", {}), "component.requires"),
            shared_by=tuple(_text(name, "component.shared_by") for name in shared),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """
    What a deployment is meant to do.

    Attributes:
        text: In the deployer's words.
        expects: Declared effects: metric -> (lowest, highest) relative change, as ratios (0.05 is five percent up).
    """

    text: str = ""
    expects: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for metric, (lowest, highest) in self.expects.items():
            if not -math.inf < lowest <= highest < math.inf:
                raise InvalidError(
                    f"intent expects {metric} between {lowest} and {highest}",
                    hint="Give two finite numbers, the lower bound first",
                )
        object.__setattr__(self, "expects", MappingProxyType(dict(self.expects)))

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"text": self.text, "expects": {metric: list(bounds) for metric, bounds in self.expects.items()}}

    @classmethod
    def from_json(cls, document: Any) -> "Intent":
        """Read what ``to_json`` wrote; raises InvalidError for anything else."""
        fields = _object(document, "intent", required=set(), optional={"text", "expects"})
        expects: dict[str, tuple[float, float]] = {}
        bounds_by_metric = fields.get("expects", {})
        if not isinstance(bounds_by_metric, Mapping):
            raise InvalidError(f"intent.expects must map metrics to [lowest, highest], not {shown(bounds_by_metric)}")
        for metric, bounds in bounds_by_metric.items():
            try:
                lowest, highest = (number_value(bound, metric) for bound in bounds)
            except (TypeError, ValueError) as error:
                raise InvalidError(f"intent.expects.{metric} must be [lowest, highest], not {shown(bounds)}") from error
            expects[_text(metric, "intent.expects")] = (lowest, highest)
        return cls(text=_text(fields.get("text", ""), "intent.text"), expects=expects)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """
    One system version.

    Attributes:
        system: Name of the system.
        components: Component name -> what is recorded of it; never empty.
        intent: What this deployment is meant to do.
        parent: Manifest digest of what was live when it was recorded, or None for the first.
    """

    system: str
    components: Mapping[str, Component]
    intent: Intent = field(default_factory=Intent)
    parent: str | None = None

    def __post_init__(self) -> None:
        check_name(self.system, "system")
        if not self.components:
            raise InvalidError(
                f"the manifest of {self.system} has no component", hint="A system version needs at least one"
            )
        for name in self.components:
            check_name(name, "component")
        if self.parent is not None:
            check_digest(self.parent)
        object.__setattr__(self, "components", MappingProxyType(dict(self.components)))

    @cached_property
    def content_digest(self) -> str:
        """
        Digest of system, components and contracts: the system version, as routes, trips and quarantines name it.

        Hints (native versions, facets) are left out: the same bytes under another commit are the same content.
        """
        return digest_of(
            {
                "system": self.system,
                "components": {
                    name: {
                        "role": component.role.value,
                        "digest": component.ref.digest,
                        "provides": dict(component.provides),
                        "requires": dict(component.requires),
                    }
                    for name, component in self.components.items()
                },
            }
        )

    @cached_property
    def digest(self) -> str:
        """Digest of the whole manifest, with intent and parent."""
        return digest_of(self.to_json())

    @property
    def label(self) -> str:
        """The content digest, shortened for people."""
        return short(self.content_digest)

    def with_component(self, name: str, component: Component) -> "Manifest":
        """Return a manifest in which one component is another; a combination that may never have been recorded."""
        return Manifest(
            system=self.system,
            components={**self.components, name: component},
            intent=self.intent,
            parent=self.parent,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "system": self.system,
            "components": self._components_json(),
            "intent": self.intent.to_json(),
            "parent": self.parent,
        }

    @classmethod
    def from_json(cls, document: Any) -> "Manifest":
        """Read what ``to_json`` wrote; raises InvalidError, naming the field, for anything else."""
        fields = _object(document, "manifest", required={"system", "components"}, optional={"intent", "parent"})
        components = fields["components"]
        if not isinstance(components, Mapping):
            raise InvalidError(f"manifest.components must be an object, not {type(components).__name__}")
        parent = fields.get("parent")
        return cls(
            system=_text(fields["system"], "manifest.system"),
            components={
                _text(name, "manifest.components"): Component.from_json(item) for name, item in components.items()
            },
            intent=Intent.from_json(fields.get("intent", {})),
            parent=None if parent is None else _text(parent, "manifest.parent"),
        )

    def _components_json(self) -> dict[str, Any]:
        return {name: component.to_json() for name, component in self.components.items()}


def check_name(name: str, what: str) -> str:
    """
    Return the name when it can be the name of a system, component or replica.

    Raises:
        InvalidError: It is not a lower-case letter followed by up to 62 letters, digits, dashes or underscores.
    """
    if not _NAME.fullmatch(name):
        raise InvalidError(
            f"{name!r} is not a {what} name",
            hint="Use a lower-case letter, then lower-case letters, digits, - or _; 63 characters at most",
        )
    return name


def _object(document: Any, what: str, *, required: set[str], optional: set[str]) -> Mapping[str, Any]:
    if not isinstance(document, Mapping):
        raise InvalidError(f"{what} must be an object, not {type(document).__name__}")
    missing = sorted(required - set(document))
    if missing:
        raise InvalidError(f"{what} lacks {', '.join(missing)}")
    unknown = sorted(map(str, set(document) - required - optional))
    if unknown:
        raise InvalidError(f"{what} has unknown fields: {', '.join(unknown)}")
    return document


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise InvalidError(f"{what} must be text, not {shown(value)}")
    return value


_NOTHING: Mapping[str, str] = MappingProxyType({})


def _text_map(value: Any, what: str) -> Mapping[str, str]:
    if value is _NOTHING or (type(value) is dict and not value):
        return _NOTHING  # as nearly all contracts are
    if not isinstance(value, Mapping):
        raise InvalidError(f"{what} must be an object of texts, not {type(value).__name__}")
    return {_text(key, what): _text(item, f"{what}.{key}") for key, item in value.items()}


def _member(enum: type[_E], value: Any, what: str) -> _E:
    try:
        return enum(value)
    except ValueError as error:
        raise InvalidError(f"{what} is {shown(value)}", hint=f"Use one of: {', '.join(enum)}") from error


def _frozen_text(mapping: Mapping[str, str], what: str) -> Mapping[str, str]:
    texts = _text_map(mapping, what)
    return texts if texts is _NOTHING else MappingProxyType(dict(texts))
