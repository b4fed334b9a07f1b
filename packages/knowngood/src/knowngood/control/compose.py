"""Compose: combinations that were never recorded together, and what it takes to use one (A2, invariant 2)."""

from collections.abc import Mapping

from knowngood.control.plane import Plane
from knowngood.control.telemetry import merged_counts
from knowngood.domain.compatibility import (
    CombinationVerdict,
    Override,
    judge_combination,
    mismatches,
    moved_models,
    proof_of,
)
from knowngood.domain.evidence import standing_of
from knowngood.domain.system import SystemFile
from knowngood_sdk.errors import RefusedError
from knowngood_sdk.model.counts import Paired, VersionCounts
from knowngood_sdk.model.manifest import Manifest, Role

__all__ = ["best_pairs", "combinations", "judged", "known_versions", "require_proven"]


def combinations(candidate: Manifest, served: Manifest) -> tuple[Manifest, ...]:
    """
    Return what a model-only rollback of the candidate would serve: the served models, all else as it is.

    Empty when that is the served version itself, for then level 1 is no combination but a known version.
    """
    models = {name: part for name, part in served.components.items() if part.role is Role.MODEL}
    combined = candidate
    for name in models.keys() & candidate.components.keys():
        combined = combined.with_component(name, models[name])
    known = {candidate.content_digest, served.content_digest}
    return () if combined.content_digest in known else (combined,)


def known_versions(plane: Plane, system: str) -> frozenset[str]:
    """Return the versions that others may be held against: verified, and not in quarantine."""
    evidence, facts = plane.store.evidence(system), plane.store.read(system).facts
    now, keep = plane.clock.now(), plane.system_file(system).standby.keep
    return frozenset(
        version
        for version in {fact.version for fact in evidence}
        if standing_of(version, evidence, facts, now=now, cool_down=keep).eligible
    )


def best_pairs(
    counts: Mapping[str, VersionCounts], version: str, known: frozenset[str]
) -> tuple[Paired, Mapping[str, Paired]]:
    """
    Return what was measured of a version on the same real requests as a known one, where it was measured most.

    Returns:
        The pairs, and everything that was measured beside the same known version; nothing where there is none.
    """
    beside = [of.shadow for name, of in counts.items() if name in known and version in of.shadow]
    best = max(beside, key=lambda shadow: shadow[version].n, default={version: Paired()})
    return best[version], best


def judged(spec: SystemFile, pairs: Paired, override: Override | None = None) -> CombinationVerdict:
    """Judge a combination by the rule that the system file fixed beforehand."""
    return judge_combination(
        pairs.divergence,
        pairs.n,
        tolerance=spec.unproven.divergence,
        min_requests=spec.unproven.requests,
        failed=pairs.failed,
        override=override,
    )


def require_proven(plane: Plane, manifest: Manifest, override: Override | None) -> None:
    """
    Let a deployment pass whose contracts hold, or that was measured, or that a person takes upon them by name.

    A model that is deployed together with the features that it was trained on fits by its contract; one on other
    features has to have been measured in shadow. A model without a contract fits what it was recorded with before.

    Raises:
        RefusedError: A contract does not hold, and there is neither evidence nor an override.
    """
    recorded = plane.store.manifests(manifest.system)
    if not mismatches(manifest) and not moved_models(manifest, recorded):
        return
    counts = merged_counts(plane, manifest.system)
    pairs, _ = best_pairs(counts, manifest.content_digest, known_versions(plane, manifest.system))
    verdict = judged(plane.system_file(manifest.system), pairs, override)
    if verdict.allowed:
        return
    others = [other for other in recorded if other.content_digest != manifest.content_digest]
    reasons = "; ".join(proof_of(manifest, others).reasons)
    raise RefusedError(
        f"this combination is unproven: {reasons}; {verdict.reason}",
        hint="Deploy a model with the features that it was trained on, or take it upon you by name: --override REASON",
        combination=manifest.content_digest,
        divergence=verdict.divergence,
        n=verdict.n,
    )
