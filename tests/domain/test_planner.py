"""The planner restores as little as is consistent, takes nothing on trust, and says why it refused the rest."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood.domain.compatibility import Override, mismatches
from knowngood.domain.evidence import Grade, Standing
from knowngood.domain.level import Level, diff
from knowngood.domain.plan import Alternative, Choice, Estimates, Plan, Verb
from knowngood.domain.planner import SLOW_MINUTES, Recorded, Shadowed, Situation, plan
from knowngood.domain.system import Tolerance
from knowngood_sdk.errors import InvalidError
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


# ------------------------------------------------------------------------------- the evening at which it all began


@pytest.mark.requirement("A1", "A2", "B2")
def test_the_old_model_on_new_features_is_refused_without_evidence_and_the_whole_goes_back() -> None:
    made = plan(Situation(live=V2, history=HISTORY, ready=ready(V1, V2), estimates=MEASURED))
    assert verdicts(made) == [("system", 2, "preferred"), ("model", 1, "refused")]
    assert made.chosen is made.alternatives[0]
    assert made.chosen.target == V1
    assert made.chosen.grade == Grade.KNOWN_GOOD
    assert made.chosen.ready
    assert made.chosen.steps[0].verb == Verb.TRAFFIC
    assert made.chosen.reason == "it was recorded as a whole and is known-good"
    refused = find(made, OLD_MODEL)
    assert refused.reason == ("model 41 was trained on features 16, live is 17; it was never measured on real requests")
    assert (refused.divergence, refused.n, refused.tolerance, refused.proven) == (None, 0, 0.15, False)
    assert (refused.steps, refused.estimate_seconds, refused.ready) == ((), None, False)
    assert made.level == Level.SYSTEM
    assert made.live == V2.content_digest
    assert not made.unsafe
    assert made.options == ()


@pytest.mark.requirement("A2")
def test_the_old_model_far_off_on_new_features_is_refused_with_its_figures() -> None:
    made = plan(Situation(live=V2, history=HISTORY, ready=ready(V1), shadow=shadow(FAR)))
    refused = find(made, OLD_MODEL)
    assert refused.choice == Choice.REFUSED
    assert refused.reason == (
        "model 41 was trained on features 16, live is 17; "
        "its outputs diverge by 62.0% on 240 real requests, beyond the tolerance of 15.0%"
    )
    assert (refused.divergence, refused.bad_divergence, refused.n) == (0.62, 0.35, 240)


@pytest.mark.requirement("A2", "B1", "B2", "G2")
def test_level_two_armed_proven_and_as_fast_is_preferred_over_an_allowed_level_one() -> None:
    made = plan(
        Situation(live=V2, history=HISTORY, ready=ready(V1, OLD_MODEL), shadow=shadow(CLOSE), estimates=MEASURED)
    )
    assert verdicts(made) == [("system", 2, "preferred"), ("model", 1, "allowed")]
    assert made.chosen is not None
    assert made.chosen.reason == (
        "it was recorded as a whole and is known-good; it stands armed, is proven, and is as fast as level 1"
    )
    allowed = find(made, OLD_MODEL)
    assert allowed.reason == (
        "model 41 was trained on features 16, live is 17; "
        "its outputs diverge by 3.0% on 240 real requests, within the tolerance of 15.0%; "
        f"level 2 is preferred: {made.chosen.reason}"
    )
    assert allowed.ready
    assert allowed.grade is None


@pytest.mark.requirement("B1")
def test_an_allowed_level_one_is_taken_where_level_two_has_to_be_loaded_first() -> None:
    made = plan(Situation(live=V2, history=HISTORY, ready=ready(OLD_MODEL), shadow=shadow(CLOSE), estimates=MEASURED))
    assert verdicts(made) == [("model", 1, "preferred"), ("system", 2, "allowed")]
    assert made.risks == ("config, features changed since: the old model may not behave as it did",)
    assert made.authority is not None
    assert made.authority.approvals == ()


@pytest.mark.requirement("B1")
def test_an_allowed_level_one_is_taken_where_nothing_stands_ready() -> None:
    made = plan(Situation(live=V2, history=HISTORY, shadow=shadow(CLOSE), estimates=MEASURED))
    assert verdicts(made) == [("model", 1, "preferred"), ("system", 2, "allowed")]


@pytest.mark.requirement("B1")
@pytest.mark.parametrize("estimates", [MEASURED, Estimates()])
def test_level_two_that_must_restore_in_place_before_the_flip_is_not_as_fast(estimates: Estimates) -> None:
    live = manifest(model=model("2"), config=part(Role.CONFIG, "2", switching=IN_PLACE))
    before = manifest(model=model("1"), config=part(Role.CONFIG, "1", switching=IN_PLACE))
    mixed = live.with_component("model", before.components["model"])
    made = plan(
        Situation(
            live=live,
            history=(recorded(before),),
            ready=ready(before, mixed),
            shadow=shadow(CLOSE, mixed),
            estimates=estimates,
        )
    )
    assert verdicts(made) == [("model", 1, "preferred"), ("system", 2, "allowed")]


@pytest.mark.requirement("B1", "B3")
def test_a_deep_level_that_is_armed_does_not_go_before_a_level_one_that_has_to_be_loaded() -> None:
    live = manifest(model=model("2"), features=features("2", shared_by=("eta",)))
    before = manifest(model=model("1"), features=features("1", shared_by=("eta",)))
    mixed = live.with_component("model", before.components["model"])
    made = plan(Situation(live=live, history=(recorded(before),), ready=ready(before), shadow=shadow(CLOSE, mixed)))
    assert verdicts(made) == [("model", 1, "preferred"), ("system", 3, "allowed")]


@pytest.mark.requirement("B1")
def test_level_two_that_is_armed_goes_before_a_level_one_that_is_not() -> None:
    made = plan(Situation(live=V2, history=HISTORY, ready=ready(V1), shadow=shadow(CLOSE), estimates=MEASURED))
    assert verdicts(made) == [("system", 2, "preferred"), ("model", 1, "allowed")]


@pytest.mark.requirement("B1")
def test_where_only_the_model_changed_going_back_to_it_is_proven_and_level_one() -> None:
    live = V1.with_component("model", model("42", "16"))
    made = plan(Situation(live=live, history=(recorded(live, Grade.ARMED), recorded(V1)), ready=ready(V1)))
    assert verdicts(made) == [("system", 1, "preferred")]
    assert made.level == Level.MODEL
    assert made.risks == ("none: nothing but the model changed since",)


def test_a_proven_level_one_is_taken_before_a_level_two_that_is_no_faster() -> None:
    base = manifest(model=model("1"), config=config("1"))
    live = manifest(model=model("2"), config=config("2"))
    mixed = manifest(model=model("1"), config=config("2"))
    entries = (recorded(base), recorded(mixed))
    both = plan(Situation(live=live, history=entries, ready=ready(base, mixed), estimates=MEASURED))
    assert verdicts(both) == [("model", 1, "preferred"), ("system", 2, "allowed")]
    assert both.chosen is not None
    assert both.chosen.proven
    faster = plan(Situation(live=live, history=entries, ready=ready(base), estimates=MEASURED))
    assert verdicts(faster) == [("system", 2, "preferred"), ("model", 1, "allowed")]
    cold = plan(Situation(live=live, history=entries, estimates=MEASURED))
    assert verdicts(cold) == [("model", 1, "preferred"), ("system", 2, "allowed")]


@pytest.mark.requirement("A2")
def test_a_person_may_allow_a_combination_by_name_and_it_is_on_the_plan() -> None:
    leave = Override(by="anna", reason="v1 is slow", combination=OLD_MODEL.content_digest, at="2026-11-23T18:00:00Z")
    made = plan(
        Situation(
            live=V2,
            history=HISTORY,
            shadow=shadow(FAR),
            overrides={OLD_MODEL.content_digest: leave},
            asked=Level.MODEL,
            estimates=MEASURED,
        )
    )
    assert made.chosen is not None
    assert made.chosen.target.content_digest == OLD_MODEL.content_digest
    assert made.chosen.override == leave
    assert made.flags == ("allowed by anna, against the evidence: v1 is slow",)


def test_a_leave_for_another_combination_allows_nothing() -> None:
    leave = Override(by="anna", reason="why", combination=V0.content_digest, at="2026-11-23T18:00:00Z")
    made = plan(Situation(live=V2, history=HISTORY, overrides={V0.content_digest: leave}))
    assert find(made, OLD_MODEL).choice == Choice.REFUSED


def test_the_rule_for_combinations_is_the_teams() -> None:
    strict = Tolerance(divergence=0.02, requests=100)
    more = Tolerance(divergence=0.15, requests=241)
    assert find(plan(Situation(live=V2, history=HISTORY, shadow=shadow(CLOSE))), OLD_MODEL).allowed
    for rule in (strict, more):
        made = plan(Situation(live=V2, history=HISTORY, shadow=shadow(CLOSE), rule=rule))
        assert not find(made, OLD_MODEL).allowed
        assert find(made, OLD_MODEL).tolerance == rule.divergence


def test_a_combination_that_fails_on_real_requests_is_refused() -> None:
    failing = Shadowed(divergence=0.01, n=240, failed=10)
    made = plan(Situation(live=V2, history=HISTORY, shadow=shadow(failing)))
    assert find(made, OLD_MODEL).reason.endswith("it gave no answer to 10 of 250 real requests")


# ------------------------------------------------------------------------------------------------ what is a target


@pytest.mark.requirement("A2", "D2")
@pytest.mark.parametrize(
    ("newest", "reason"),
    [
        pytest.param(recorded(V1, Grade.RECORDED), "it is only recorded; a target is at least verified", id="recorded"),
        pytest.param(recorded(V1, Grade.ARMED), "it is only armed; a target is at least verified", id="armed"),
        pytest.param(recorded(V1, quarantined=True), "it is in quarantine", id="in quarantine"),
        pytest.param(recorded(V1, Grade.ARMED, quarantined=True), "it is in quarantine", id="both"),
    ],
)
def test_what_is_not_verified_or_in_quarantine_is_passed_over(newest: Recorded, reason: str) -> None:
    made = plan(Situation(live=V2, history=(recorded(V2, Grade.ARMED), newest, recorded(V0)), estimates=MEASURED))
    assert made.chosen is not None
    assert made.chosen.target == V0
    assert find(made, V1).choice == Choice.REFUSED
    assert find(made, V1).reason == reason
    assert find(made, V1).steps == ()


@pytest.mark.parametrize("grade", [Grade.VERIFIED, Grade.KNOWN_GOOD])
def test_the_newest_verified_version_is_the_target_and_the_plan_says_its_grade(grade: Grade) -> None:
    made = plan(Situation(live=V2, history=(recorded(V1, grade), recorded(V0))))
    assert made.chosen is not None
    assert (made.chosen.target, made.chosen.grade) == (V1, grade)
    assert V0 not in [item.target for item in made.alternatives], "older versions are not looked at"
    assert made.to_json()["grade"] == grade.value


@pytest.mark.requirement("G1", "G2")
def test_a_version_that_stands_ready_comes_before_a_newer_one_that_has_to_be_loaded() -> None:
    made = plan(Situation(live=V2, history=(recorded(V1), recorded(V0)), ready=ready(V0), estimates=MEASURED))
    assert made.chosen is not None
    assert made.chosen.target == V0
    assert find(made, V1).choice == Choice.ALLOWED
    assert find(made, V1).reason == (
        "it was recorded as a whole and is known-good; "
        "level 2 is preferred: it was recorded as a whole and is known-good"
    )


def test_the_live_version_and_repetitions_are_no_way_back() -> None:
    again = Manifest(system="pricing", components=dict(V2.components), parent=V1.digest)
    made = plan(Situation(live=V2, history=(recorded(again), recorded(V1, Grade.ARMED), recorded(V1), recorded(V0))))
    assert [item.target for item in made.alternatives if item.scope == "system"] == [V0, V1]


def test_known_issues_of_the_target_are_flagged() -> None:
    made = plan(
        Situation(live=V2, history=(recorded(V1, issues=("leaks", "slow")),), estimates=MEASURED, ready=ready(V1))
    )
    assert made.flags == ("known issue of the target: leaks", "known issue of the target: slow")
    assert made.chosen is not None
    assert made.chosen.known_issues == ("leaks", "slow")


# ------------------------------------------------------------------------------------------ suspicion and a wish


@pytest.mark.requirement("B3")
def test_a_suspected_component_drags_along_what_its_contracts_need() -> None:
    both = V2.with_component("model", V1.components["model"]).with_component("features", V1.components["features"])
    made = plan(
        Situation(live=V2, history=HISTORY, suspected="features", shadow=shadow(CLOSE, both), estimates=MEASURED)
    )
    assert verdicts(made) == [("system", 2, "preferred"), ("features+model", 2, "allowed"), ("model", 1, "refused")]
    assert mismatches(find(made, both).target) == ()
    assert find(made, both).target.parent == V2.digest
    assert made.chosen is not None
    assert made.chosen.reason == "it was recorded as a whole and is known-good"


def test_a_suspected_component_that_fits_goes_back_alone() -> None:
    alone = V2.with_component("config", V1.components["config"])
    made = plan(Situation(live=V2, history=HISTORY, suspected="config", shadow=shadow(CLOSE, alone)))
    assert find(made, alone).scope == "config"
    assert find(made, alone).allowed
    assert find(made, alone).reason.startswith(
        "these components were never recorded together; its outputs diverge by 3.0%"
    )


def test_what_leaves_the_suspect_as_it_is_is_not_taken() -> None:
    made = plan(Situation(live=V2, history=HISTORY, suspected="config", shadow=shadow(CLOSE), estimates=MEASURED))
    assert made.chosen is not None
    assert made.chosen.target == V1
    assert find(made, OLD_MODEL).reason.endswith("; it leaves config as it is")


def test_the_target_is_the_newest_that_differs_where_the_fault_is_suspected() -> None:
    live = V1.with_component("model", model("42", "16"))
    made = plan(Situation(live=live, history=(recorded(V1), recorded(V0)), suspected="features"))
    assert made.chosen is not None
    assert made.chosen.target == V0
    assert find(made, V1).reason == "it was recorded as a whole and is known-good; it leaves features as it is"


def test_a_suspect_that_no_version_has_otherwise_leaves_nothing_safe() -> None:
    live = V1.with_component("model", model("42", "16"))
    made = plan(Situation(live=live, history=(recorded(V1),), suspected="config"))
    assert made.unsafe
    assert made.options == (
        "look elsewhere: no version on record has another config",
        "deploy a fix: its content is new, so no quarantine stands against it",
        "answer with the declared static fallback until then",
    )


def test_without_a_target_only_what_restores_the_suspect_is_offered() -> None:
    live = V1.with_component("model", model("42", "16"))
    made = plan(Situation(live=live, history=(recorded(V1), recorded(V0, quarantined=True)), suspected="features"))
    assert [item.target for item in made.alternatives] == [V1, V0]
    assert made.options[0] == f"release {V0.label} from quarantine by name, if leaving it was a mistake"
    assert len(made.options) == 3


def test_a_suspect_must_exist() -> None:
    with pytest.raises(InvalidError, match="has no component 'weather'") as caught:
        Situation(live=V2, history=(), suspected="weather")
    assert caught.value.hint == "It has config, features, model"


@pytest.mark.parametrize(
    ("asked", "target", "scope"),
    [
        pytest.param(Level.MODEL, OLD_MODEL, "model", id="the model"),
        pytest.param(Level.SYSTEM, V1, "system", id="the system version"),
    ],
)
def test_a_level_that_is_asked_for_is_taken_where_it_is_allowed(asked: Level, target: Manifest, scope: str) -> None:
    made = plan(
        Situation(
            live=V2, history=HISTORY, ready=ready(V1, OLD_MODEL), shadow=shadow(CLOSE), asked=asked, estimates=MEASURED
        )
    )
    assert made.chosen is not None
    assert (made.chosen.target.content_digest, made.chosen.scope) == (target.content_digest, scope)
    assert made.flags == ()
    other = next(item for item in made.alternatives if item is not made.chosen)
    assert other.reason.endswith(f"; it is level {other.level}, and level {asked} was asked for")


@pytest.mark.requirement("A2")
def test_a_level_that_is_asked_for_and_refused_leaves_nothing_and_says_what_is_open() -> None:
    made = plan(Situation(live=V2, history=HISTORY, asked=Level.MODEL))
    assert made.unsafe
    assert made.chosen is None
    assert verdicts(made) == [("system", 2, "allowed"), ("model", 1, "refused")]
    assert made.options[:2] == (
        f"ask for level 2, or for none: {V1.label} may be taken",
        f"allow the combination {OLD_MODEL.label} by name, with a reason: {find(made, OLD_MODEL).reason}",
    )


def test_asking_for_the_system_where_only_the_model_changed_is_level_one_and_says_so() -> None:
    live = V1.with_component("model", model("42", "16"))
    made = plan(Situation(live=live, history=(recorded(V1),), asked=Level.SYSTEM, ready=ready(V1), estimates=MEASURED))
    assert made.level == Level.MODEL
    assert made.flags == ("level 2 was asked for; what changes makes it level 1",)


@pytest.mark.requirement("B3", "J3")
def test_a_wish_for_level_one_does_not_make_shared_components_level_one() -> None:
    shared = manifest(model=part(Role.MODEL, "2", shared_by=("eta",)), config=config("2"))
    before = manifest(model=part(Role.MODEL, "1", shared_by=("eta",)), config=config("1"))
    mixed = shared.with_component("model", before.components["model"])
    made = plan(
        Situation(
            live=shared, history=(recorded(before),), shadow=shadow(CLOSE, mixed), asked=Level.MODEL, realtime=False
        )
    )
    assert made.chosen is not None
    assert (made.chosen.scope, made.level) == ("model", Level.FEATURES)
    assert made.flags[0] == "level 1 was asked for; what changes makes it level 3"
    assert made.consumers == ("eta",)
    assert made.authority is not None
    assert made.authority.approvals == ("data-engineering-lead",)


@pytest.mark.requirement("B3")
def test_asking_for_features_takes_them_with_the_model_that_was_trained_on_them() -> None:
    both = V2.with_component("model", V1.components["model"]).with_component("features", V1.components["features"])
    made = plan(
        Situation(live=V2, history=HISTORY, asked=Level.FEATURES, shadow=shadow(CLOSE, both), estimates=MEASURED)
    )
    assert made.chosen is not None
    assert made.chosen.scope == "features+model"
    assert made.flags == ("level 3 was asked for; what changes makes it level 2",)
    assert find(made, V1).reason.endswith("; it is level 2, and level 3 was asked for")


@pytest.mark.requirement("B4")
def test_asking_for_data_takes_the_data_alone() -> None:
    live = manifest(model=model("2"), data=part(Role.DATA, "2", switching=IN_PLACE))
    before = manifest(model=model("1"), data=part(Role.DATA, "1", switching=IN_PLACE))
    mixed = live.with_component("data", before.components["data"])
    made = plan(Situation(live=live, history=(recorded(before),), asked=Level.DATA, shadow=shadow(CLOSE, mixed)))
    assert made.chosen is not None
    assert made.level == Level.DATA
    assert verdicts(made) == [("system", 4, "preferred"), ("data", 4, "allowed"), ("model", 1, "refused")]
    assert made.risks == ("the current, perhaps bad, model goes on serving during the retraining",)


# ------------------------------------------------------------------------------------------------ deep levels


def deep(*, realtime: bool, evidence: Shadowed | None, asked: Level | None = None) -> Plan:
    live = manifest(model=model("42"), features=features("17", switching=IN_PLACE, shared_by=("eta", "fraud")))
    before = manifest(model=model("41"), features=features("16", switching=IN_PLACE, shared_by=("eta", "fraud")))
    mixed = live.with_component("model", before.components["model"])
    return plan(
        Situation(
            live=live,
            history=(recorded(before),),
            shadow=shadow(evidence, mixed) if evidence else {},
            suspected="features",
            asked=asked,
            realtime=realtime,
            estimates=MEASURED,
        )
    )


@pytest.mark.requirement("G4", "B3")
def test_a_deep_level_in_a_real_time_system_is_flagged_with_what_stops_the_harm_first() -> None:
    made = deep(realtime=True, evidence=CLOSE)
    assert made.level == Level.FEATURES
    assert made.stop_first is not None
    assert (made.stop_first.scope, made.stop_first.level) == ("model", Level.MODEL)
    assert made.flags[0] == (
        "level 3 is unsuited to a real-time system; to stop the harm first, "
        f"go to {made.stop_first.target.label} (level 1)"
    )
    assert made.risks == ("stale or wrong features are served while features are computed again",)
    assert made.consumers == ("eta", "fraud")


@pytest.mark.requirement("G4")
def test_where_nothing_shallow_is_open_the_static_fallback_stops_the_harm() -> None:
    made = deep(realtime=True, evidence=None)
    assert made.stop_first is None
    assert made.flags[0] == (
        "level 3 is unsuited to a real-time system; to stop the harm first, "
        "answer with the static fallback: no level 1 or 2 is open"
    )


@pytest.mark.requirement("G4")
def test_a_batch_system_may_go_deep_at_once() -> None:
    made = deep(realtime=False, evidence=CLOSE)
    assert made.level == Level.FEATURES
    assert made.stop_first is None
    assert not any("unsuited" in flag for flag in made.flags)


def test_the_fastest_shallow_alternative_stops_the_harm() -> None:
    live = manifest(a=part(Role.MODEL, "2"), f=features("17", shared_by=("eta",)))
    newer = manifest(a=part(Role.MODEL, "1"), f=features("17", shared_by=("eta",)))
    older = manifest(a=part(Role.MODEL, "0"), f=features("16", shared_by=("eta",)))
    made = plan(Situation(live=live, history=(recorded(newer), recorded(older)), suspected="f", estimates=MEASURED))
    assert made.chosen is not None
    assert made.chosen.target == older
    assert made.stop_first is not None
    assert made.stop_first.target == newer


@pytest.mark.parametrize("stop", ["2", "3"])
def test_what_stops_the_harm_first_may_be_level_two_where_that_is_faster(stop: str) -> None:
    def version(number: str, of_features: str) -> Manifest:
        return manifest(
            a=part(Role.MODEL, number), c=part(Role.CONFIG, number), f=features(of_features, shared_by=("eta",))
        )

    live = version("4", "17")
    shallow = live.with_component("a", part(Role.MODEL, "3"))
    wider = version("2", "17")
    made = plan(
        Situation(
            live=live,
            history=(recorded(shallow), recorded(wider), recorded(version("1", "16"))),
            ready=ready(wider if stop == "2" else shallow),
            suspected="f",
            estimates=MEASURED,
        )
    )
    assert made.level == Level.FEATURES
    assert made.stop_first is not None
    assert made.stop_first.target == (wider if stop == "2" else shallow)
    assert made.stop_first.level == (Level.SYSTEM if stop == "2" else Level.MODEL)


@pytest.mark.parametrize("model_seconds", [{"a": 100.0}, {}])
def test_of_what_has_to_be_loaded_the_one_known_to_be_fastest_stops_the_harm(model_seconds: dict[str, float]) -> None:
    live = manifest(a=model("2"), c=config("2"), f=features("17", shared_by=("eta",)))
    slow = live.with_component("a", model("1"))
    fast = live.with_component("c", config("1"))
    deep_one = manifest(a=model("2"), c=config("2"), f=features("16", shared_by=("eta",)))
    made = plan(
        Situation(
            live=live,
            history=(recorded(slow), recorded(fast), recorded(deep_one)),
            suspected="f",
            estimates=Estimates(restore={"c": 1.0, "f": 1.0, **model_seconds}, load=20.0, flip=0.05),
        )
    )
    assert made.stop_first is not None
    assert made.stop_first.target.content_digest == fast.content_digest


@pytest.mark.requirement("B2")
def test_the_risk_of_a_system_version_is_stated() -> None:
    made = plan(Situation(live=V2, history=HISTORY, ready=ready(V1)))
    assert made.risks == ("more parts move than in a model-only rollback, to a state that was known good",)


@pytest.mark.requirement("M3")
@pytest.mark.parametrize(
    ("load", "flags"),
    [
        pytest.param(None, ("how long it takes was never measured",), id="unknown"),
        pytest.param(SLOW_MINUTES * 60 - 2.05, (), id="ten minutes"),
        pytest.param(3598.0, ("it takes 60 minutes, more than 10",), id="an hour"),
    ],
)
def test_a_slow_or_unknown_way_back_is_flagged(load: float | None, flags: tuple[str, ...]) -> None:
    estimates = Estimates(restore=MEASURED.restore, load=load, flip=0.05)
    made = plan(Situation(live=V2, history=(recorded(V1),), estimates=estimates))
    assert made.flags == flags


# --------------------------------------------------------------------------------------------------- nothing safe


def test_without_a_verified_version_nothing_is_safe_and_a_person_hears_what_they_could_do() -> None:
    entries = (recorded(V2, Grade.ARMED), recorded(V1, Grade.VERIFIED, quarantined=True), recorded(V0, Grade.ARMED))
    made = plan(Situation(live=V2, history=entries))
    assert made.unsafe
    assert made.live == V2.content_digest
    assert [item.choice for item in made.alternatives] == [Choice.REFUSED, Choice.REFUSED]
    assert made.options == (
        f"release {V1.label} from quarantine by name, if leaving it was a mistake",
        f"deploy {V0.label} as an emergency, by name: it is only armed; a target is at least verified",
        "deploy a fix: its content is new, so no quarantine stands against it",
        "answer with the declared static fallback until then",
    )
    assert (made.risks, made.flags, made.stop_first) == ((), (), None)


def test_without_any_history_nothing_is_safe() -> None:
    made = plan(Situation(live=V2, history=()))
    assert made.unsafe
    assert made.alternatives == ()
    assert made.options == (
        "deploy a fix: its content is new, so no quarantine stands against it",
        "answer with the declared static fallback until then",
    )


def test_what_was_left_while_only_armed_is_released_or_deployed_by_name() -> None:
    made = plan(Situation(live=V2, history=(recorded(V1, Grade.ARMED, quarantined=True),)))
    assert made.options[0] == f"deploy {V1.label} as an emergency, by name: it is in quarantine"


# --------------------------------------------------------------------------------------- combinations on record


@pytest.mark.parametrize(
    ("standing", "allowed", "proven"),
    [
        pytest.param(recorded(OLD_MODEL), True, True, id="it was verified as a whole"),
        pytest.param(
            recorded(OLD_MODEL, quarantined=True), False, True, id="it is in quarantine, whatever was measured"
        ),
        pytest.param(recorded(OLD_MODEL, Grade.ARMED), True, False, id="it was only armed, so the measurement decides"),
    ],
)
def test_a_combination_that_is_on_record_is_judged_by_its_standing(
    standing: Recorded, *, allowed: bool, proven: bool
) -> None:
    made = plan(Situation(live=V2, history=(recorded(V1), standing), shadow=shadow(CLOSE)))
    found = find(made, OLD_MODEL)
    assert (found.scope, found.allowed, found.proven) == ("model", allowed, proven)
    assert found.grade == standing.standing.grade


def test_a_combination_that_was_recorded_but_not_verified_keeps_its_issues_and_its_evidence() -> None:
    entry = recorded(OLD_MODEL, Grade.ARMED, issues=("slow",))
    made = plan(Situation(live=V2, history=(recorded(V1), entry), shadow=shadow(CLOSE)))
    found = find(made, OLD_MODEL)
    assert found.known_issues == ("slow",)
    assert found.grade == Grade.ARMED
    assert found.reason.startswith("its outputs diverge by 3.0% on 240 real requests, within the tolerance")


def test_components_that_come_or_go_move_only_with_the_whole() -> None:
    live = manifest(model=model("2"), prompt=part(Role.PROMPT, "1"))
    before = manifest(model=model("1"), config=config("1"))
    made = plan(Situation(live=live, history=(recorded(before),), suspected="prompt"))
    assert [item.scope for item in made.alternatives] == ["system", "model"]
    assert made.alternatives[1].changes.components == ("model",)
    only = plan(Situation(live=manifest(a=model("2")), history=(recorded(manifest(b=model("1"))),), suspected="a"))
    assert [item.scope for item in only.alternatives] == ["system"]


def test_several_models_go_back_together() -> None:
    live = manifest(a=model("2"), b=part(Role.MODEL, "b2"), config=config("2"))
    before = manifest(a=model("1"), b=part(Role.MODEL, "b1"), config=config("1"))
    made = plan(Situation(live=live, history=(recorded(before),)))
    assert verdicts(made) == [("system", 2, "preferred"), ("a+b", 2, "refused")]


# ------------------------------------------------------------------------------------------------------ properties


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    versions = st.sampled_from(["1", "2", "3"])
    switching = st.sampled_from(list(Switching))

    def one() -> Manifest:
        trained_on = draw(versions)
        return manifest(
            model=model(draw(versions), trained_on),
            features=features(draw(st.sampled_from([trained_on, trained_on, "1"])), switching=way, shared_by=others),
            config=config(draw(versions)),
            data=part(Role.DATA, draw(st.sampled_from(["1", "1", "2"]))),
        )

    way, others = draw(switching), draw(st.sampled_from([(), ("eta",)]))
    live = one()
    entries = tuple(
        recorded(one(), draw(st.sampled_from(list(Grade))), quarantined=draw(st.sampled_from([False, False, True])))
        for _ in range(draw(st.integers(0, 4)))
    )
    combinations = [
        live.with_component(name, entry.manifest.components[name]) for entry in entries for name in ("model", "config")
    ]
    measured = st.builds(Shadowed, divergence=st.sampled_from([0.01, 0.5, math.nan]), n=st.sampled_from([0, 50, 500]))
    return Situation(
        live=live,
        history=entries,
        ready=frozenset(
            item.content_digest
            for item in [*combinations, *(entry.manifest for entry in entries)]
            if draw(st.booleans())
        ),
        shadow={item.content_digest: draw(measured) for item in combinations},
        suspected=draw(st.sampled_from([None, None, "model", "features", "config"])),
        asked=draw(st.sampled_from([None, None, None, *Level])),
        realtime=draw(st.booleans()),
        estimates=draw(st.sampled_from([MEASURED, Estimates()])),
    )


def standing_of(situation: Situation, digest: str) -> Standing | None:
    return next((e.standing for e in situation.history if e.manifest.content_digest == digest), None)


@pytest.mark.requirement("A1", "A2")
@given(situations())
def test_a_chosen_target_was_verified_as_a_whole_or_measured_on_real_requests(situation: Situation) -> None:
    made = plan(situation)
    if made.chosen is None:
        assert made.unsafe
        assert made.options
        return
    digest = made.chosen.target.content_digest
    standing = standing_of(situation, digest)
    assert digest != situation.live.content_digest
    if made.chosen.proven:
        assert standing is not None
        assert standing.eligible
    else:
        assert standing is None or not standing.quarantined
        measured = situation.shadow[digest]
        assert measured.n >= 100
        assert measured.divergence <= 0.15


@given(situations())
def test_every_alternative_is_ordered_explained_and_of_the_level_of_its_changes(situation: Situation) -> None:
    made = plan(situation)
    choices = [list(Choice).index(item.choice) for item in made.alternatives]
    assert choices == sorted(choices)
    assert choices.count(0) == (0 if made.unsafe else 1)
    targets = [item.target.content_digest for item in made.alternatives]
    assert len(targets) == len(set(targets))
    for item in made.alternatives:
        assert item.reason
        assert item.level == diff(situation.live, item.target).level
        assert bool(item.steps) is item.allowed
        assert not item.allowed or item.ready == (item.target.content_digest in situation.ready)
    if made.chosen is not None:
        assert made.risks
        assert situation.suspected is None or situation.suspected in made.chosen.changes.components


@pytest.mark.requirement("G4")
@given(situations())
def test_a_deep_plan_for_a_real_time_system_always_says_how_to_stop_the_harm_first(situation: Situation) -> None:
    made = plan(situation)
    deep_and_urgent = made.level is not None and made.level > Level.SYSTEM and situation.realtime
    assert any("unsuited to a real-time system" in flag for flag in made.flags) is deep_and_urgent
    if made.stop_first is not None:
        assert deep_and_urgent
        assert made.stop_first.allowed
        assert made.stop_first.level <= Level.SYSTEM


@given(situations())
def test_nothing_shallower_is_passed_over_without_a_reason(situation: Situation) -> None:
    made = plan(situation)
    if made.chosen is None or situation.asked is not None:
        return
    for item in made.alternatives:
        if not item.allowed or item.level >= made.chosen.level:
            continue
        armed = made.chosen.level == Level.SYSTEM and made.chosen.ready and made.chosen.proven
        spared = situation.suspected is not None and situation.suspected not in item.changes.components
        newer_and_cold = item.scope == "system"
        assert armed or spared or newer_and_cold


@given(situations())
def test_a_plan_has_a_json_form_without_numbers_that_json_lacks(situation: Situation) -> None:
    digest_of(plan(situation).to_json())
