"""Compose: combinations that were never recorded together, and what it takes to use one (A2, invariant 2)."""

from collections.abc import Mapping

from knowngood.control.plane import Plane
from knowngood.control.telemetry import merged_counts
from knowngood.domain.compatibility import CombinationVerdict, Override, judge_combination, mismatches, proof_of
from knowngood.domain.system import SystemFile
from knowngood_sdk.errors import RefusedError
from knowngood_sdk.model.counts import Paired, VersionCounts
from knowngood_sdk.model.manifest import Manifest, Role

__all__ = ["combinations", "judged", "require_proven", "shadow_pairs"]


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


def shadow_pairs(counts: Mapping[str, VersionCounts], known: str, other: str) -> Paired:
    """Return everything that was ever measured of a version on the same real requests as a known one."""
    return counts.get(known, VersionCounts()).shadow.get(other, Paired())


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
    features has to have been measured in shadow.

    Raises:
        RefusedError: A contract does not hold, and there is neither evidence nor an override.
    """
    if not mismatches(manifest):
        return
    recorded = plane.store.manifests(manifest.system)
    state = plane.store.read(manifest.system)
    known = state.served or ""
    pairs = shadow_pairs(merged_counts(plane, manifest.system), known, manifest.content_digest)
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
