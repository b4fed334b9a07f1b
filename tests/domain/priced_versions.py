"""Versions of a pricing system for the tests of the planner: models trained on features, configuration, evidence."""

from knowngood.domain.evidence import Grade, Standing
from knowngood.domain.plan import Alternative, Estimates, Plan
from knowngood.domain.planner import Recorded, Shadowed
from knowngood_sdk.model.canonical import digest_of
from knowngood_sdk.model.manifest import Component, Manifest, Ref, Role, Switching

POINTER, IN_PLACE = Switching.POINTER, Switching.IN_PLACE


def part(
    role: Role,
    version: str,
    *,
    switching: Switching = Switching.ADDRESSED,
    shared_by: tuple[str, ...] = (),
    provides: dict[str, str] | None = None,
    requires: dict[str, str] | None = None,
) -> Component:
    return Component(
        role=role,
        kind="files",
        switching=switching,
        ref=Ref(digest=digest_of([role.value, version]), native=version),
        shared_by=shared_by,
        provides=provides or {},
        requires=requires or {},
    )


def features(version: str, *, switching: Switching = Switching.ADDRESSED, shared_by: tuple[str, ...] = ()) -> Component:
    return part(Role.FEATURES, version, switching=switching, shared_by=shared_by, provides={"features": f"f{version}"})


def model(version: str, trained_on: str = "") -> Component:
    return part(Role.MODEL, version, requires={"features": f"f{trained_on}"} if trained_on else {})


def config(version: str) -> Component:
    return part(Role.CONFIG, version)


def manifest(**components: Component) -> Manifest:
    return Manifest(system="pricing", components=components)


def recorded(
    of: Manifest, grade: Grade = Grade.KNOWN_GOOD, *, quarantined: bool = False, issues: tuple[str, ...] = ()
) -> Recorded:
    standing = Standing(version=of.content_digest, grade=grade, quarantined=quarantined)
    return Recorded(manifest=of, standing=standing, known_issues=issues)


V0 = manifest(model=model("40", "15"), features=features("15"), config=config("1"))
V1 = manifest(model=model("41", "16"), features=features("16"), config=config("1"))
V2 = manifest(model=model("42", "17"), features=features("17"), config=config("2"))
OLD_MODEL = V2.with_component("model", V1.components["model"])
"""What a model-only rollback of V2 would serve: the old model on the new features."""
MEASURED = Estimates(restore={"model": 2.0, "features": 2.0, "config": 1.0}, load=20.0, flip=0.05)
CLOSE = Shadowed(divergence=0.03, n=240, bad_divergence=0.35)
FAR = Shadowed(divergence=0.62, n=240, bad_divergence=0.35)


def ready(*manifests: Manifest) -> frozenset[str]:
    return frozenset(item.content_digest for item in manifests)


def shadow(found: Shadowed, of: Manifest = OLD_MODEL) -> dict[str, Shadowed]:
    return {of.content_digest: found}


def verdicts(made: Plan) -> list[tuple[str, int, str]]:
    return [(item.scope, int(item.level), item.choice.value) for item in made.alternatives]


def find(made: Plan, target: Manifest) -> Alternative:
    return next(item for item in made.alternatives if item.target.content_digest == target.content_digest)


HISTORY = (recorded(V2, Grade.ARMED), recorded(V1), recorded(V0))
