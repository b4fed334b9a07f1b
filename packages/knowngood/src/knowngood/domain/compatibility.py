"""
Compatibility: which components may serve together.

A combination that was recorded as one manifest is *proven*: its grade says how far. Any other is *unproven*, whether or
not its contracts fit, and only measured answers to real requests, or a person by name, can allow it. No evidence means
no.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from knowngood.domain.spelling import counted
from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.canonical import short
from knowngood_sdk.model.manifest import Component, Manifest, Role

__all__ = [
    "MAX_FAILED_SHARE",
    "CombinationVerdict",
    "Contract",
    "Mismatch",
    "Override",
    "Proof",
    "judge_combination",
    "label_of",
    "mismatches",
    "moved_models",
    "proof_of",
]

MAX_FAILED_SHARE = 0.01
"""Share of the shadow requests that a combination may leave without an answer and still be allowed."""
_SHA_LENGTH = 20
"""From so many hexadecimal digits on a native version is a hash, and is shortened for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """
    What a component offers and what it was made for.

    Attributes:
        provides: Fingerprints that it offers, by contract name.
        requires: Fingerprints that it was made for, by contract name.
    """

    provides: Mapping[str, str] = field(default_factory=dict)
    requires: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("provides", "requires"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """
    A contract that does not hold inside a manifest.

    Attributes:
        component: Name of the component that requires it.
        contract: Name of the contract.
        required: Fingerprint that the component was made for.
        provider: Name of the component that provides another one; None when none provides this contract.
        provided: What that one provides; None when none does.
    """

    component: str
    contract: str
    required: str
    provider: str | None
    provided: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """
    Whether a combination was ever recorded as one.

    Attributes:
        proven: Whether it was.
        reasons: Why it is not, in sentences; empty when it was.
    """

    proven: bool
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """
    A person's leave to use one unproven combination; it goes on record with whatever it allowed.

    Attributes:
        by: Who, by name.
        reason: Why, in their words.
        combination: Content digest of the combination; it allows no other.
        at: When, as ISO 8601 in UTC.

    Raises:
        InvalidError: The name or the reason is empty.
    """

    by: str
    reason: str
    combination: str
    at: str

    def __post_init__(self) -> None:
        if not self.by.strip() or not self.reason.strip():
            raise InvalidError("an override needs a name and a reason", hint="Say who takes it upon them, and why")

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"by": self.by, "reason": self.reason, "combination": self.combination, "at": self.at}


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinationVerdict:
    """
    Whether an unproven combination may be used.

    Attributes:
        allowed: Whether it may.
        reason: Why, with the figures.
        divergence: Mean absolute relative divergence from the known version's outputs, a ratio; None when not measured.
        n: Real requests that it was measured on.
        tolerance: Highest divergence that is allowed.
        override: The leave that allowed it against the figures; None when the figures decided.
    """

    allowed: bool
    reason: str
    divergence: float | None
    n: int
    tolerance: float
    override: Override | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "allowed": self.allowed,
            "reason": self.reason,
            "divergence": self.divergence,
            "n": self.n,
            "tolerance": self.tolerance,
            "override": self.override.to_json() if self.override else None,
        }


def mismatches(manifest: Manifest) -> tuple[Mismatch, ...]:
    """
    Return every required fingerprint that no other component of the manifest provides, in the order of names.

    A contract that two components provide differently is a mismatch too: nobody could say which one is read.
    """
    found = []
    for name, component in sorted(manifest.components.items()):
        for contract, required in sorted(component.requires.items()):
            offers = {
                other: offer.provides[contract]
                for other, offer in sorted(manifest.components.items())
                if other != name and contract in offer.provides
            }
            strange = [other for other, provided in offers.items() if provided != required]
            if strange or not offers:
                provider = strange[0] if strange else None
                provided = offers[provider] if provider else None
                found.append(
                    Mismatch(component=name, contract=contract, required=required, provider=provider, provided=provided)
                )
    return tuple(found)


def moved_models(combination: Manifest, recorded: Iterable[Manifest]) -> tuple[str, ...]:
    """
    Return the models without a contract that are on record, and never with the features that they would get now.

    Of a model that says nothing of its features its own history is all that is known. A new one passes: nobody can say
    what it was trained on.
    """
    known = list(recorded)
    moved = []
    for name, component in sorted(combination.components.items()):
        if component.role is not Role.MODEL or component.requires:
            continue
        hosts = [m for m in known if name in m.components and m.components[name].ref.digest == component.ref.digest]
        if hosts and all(_features(host) != _features(combination) for host in hosts):
            moved.append(name)
    return tuple(moved)


def _features(manifest: Manifest) -> frozenset[tuple[str, str]]:
    found = manifest.components.items()
    return frozenset((name, component.ref.digest) for name, component in found if component.role is Role.FEATURES)


def proof_of(combination: Manifest, recorded: Iterable[Manifest]) -> Proof:
    """
    Tell whether a combination was recorded as one, and if not, what speaks against it.

    Args:
        combination: Components that are to serve together.
        recorded: Every manifest on record; their components also give the fingerprints their names.
    """
    known = list(recorded)
    if combination.content_digest in {manifest.content_digest for manifest in known}:
        return Proof(proven=True)
    reasons = tuple(_sentence(combination, mismatch, known) for mismatch in mismatches(combination))
    reasons += tuple(
        f"{name} {label_of(combination.components[name])} has no contract, and was never recorded with these features"
        for name in moved_models(combination, known)
    )
    return Proof(proven=False, reasons=reasons or ("these components were never recorded together",))


def judge_combination(
    divergence: float,
    n: int,
    *,
    tolerance: float = 0.15,
    min_requests: int = 100,
    failed: int = 0,
    override: Override | None = None,
) -> CombinationVerdict:
    """
    Judge an unproven combination by the rule that was fixed beforehand.

    Args:
        divergence: Mean absolute relative divergence of its outputs from the known version's on the same real
            requests; NaN when nothing was measured.
        n: Requests that both answered.
        tolerance: Highest divergence that is allowed, a ratio.
        min_requests: Fewest requests that count as evidence.
        failed: Requests that the known version answered and the combination could not.
        override: A person's leave, already checked to be for this combination; it allows what the figures do not.

    Returns:
        The verdict. Without evidence it is no.
    """
    measured = divergence if math.isfinite(divergence) else None
    allowed = False
    if n + failed == 0:
        reason = "it was never measured on real requests"
    elif failed > MAX_FAILED_SHARE * (n + failed):
        reason = f"it gave no answer to {failed} of {counted(n + failed, 'real request')}"
    elif measured is None:
        reason = f"its outputs on {counted(n, 'real request')} cannot be compared"
    elif n < min_requests:
        reason = f"it was measured on {counted(n, 'real request')}; {min_requests} are needed"
    else:
        allowed = measured <= tolerance
        side = "within" if allowed else "beyond"
        on = counted(n, "real request")
        reason = f"its outputs diverge by {measured:.1%} on {on}, {side} the tolerance of {tolerance:.1%}"
    if override is not None and not allowed:
        reason = f"{override.by} allowed it although {reason}: {override.reason}"
        allowed = True
    else:
        override = None
    return CombinationVerdict(
        allowed=allowed, reason=reason, divergence=measured, n=n, tolerance=tolerance, override=override
    )


def label_of(component: Component) -> str:
    """Return a component's version for people: its owner's own, or the short digest."""
    native = component.ref.native
    if not native:
        return short(component.ref.digest)
    return short(native) if _is_hash(native) else native


def _sentence(combination: Manifest, mismatch: Mismatch, known: Iterable[Manifest]) -> str:
    component = combination.components[mismatch.component]
    made = "was trained on" if component.role is Role.MODEL else "was made for"
    wanted = f"{mismatch.contract} {_name_of(mismatch, known)}"
    if mismatch.provider is None:
        found = "and nothing provides it"
    else:
        found = f"live is {_name(combination.components[mismatch.provider])}"
    return f"{mismatch.component} {_name(component)} {made} {wanted}, {found}"


def _name_of(mismatch: Mismatch, known: Iterable[Manifest]) -> str:
    """Return the version of the recorded component that provides what is required, or the fingerprint itself."""
    for manifest in known:
        for component in manifest.components.values():
            if component.provides.get(mismatch.contract) == mismatch.required:
                return _name(component)
    return short(mismatch.required)


def _name(component: Component) -> str:
    """
    Return what a component is called where it is told apart from another, whatever manifest it is met in.

    The same content may be committed more than once, so a commit names it in one manifest and not in the next: there
    it is the digest of the content. A version that its owner chose stays as it is.
    """
    return short(component.ref.digest) if _is_hash(component.ref.native) else label_of(component)


def _is_hash(native: str | None) -> bool:
    return native is not None and len(native) >= _SHA_LENGTH and not set(native) - set("0123456789abcdef")
