"""The planner restores as little as is consistent, takes nothing on trust, and says why it refused the rest."""

import pytest

from knowngood.domain.compatibility import Override
from knowngood.domain.evidence import Grade
from knowngood.domain.level import Level
from knowngood.domain.plan import Choice, Estimates, Verb
from knowngood.domain.planner import Recorded, Shadowed, Situation, plan
from knowngood.domain.system import Tolerance
from knowngood_sdk.model.manifest import Manifest, Role
from tests.domain.priced_versions import (
    CLOSE,
    FAR,
    HISTORY,
    IN_PLACE,
    MEASURED,
    OLD_MODEL,
    V0,
    V1,
    V2,
    config,
    features,
    find,
    manifest,
    model,
    part,
    ready,
    recorded,
    shadow,
    verdicts,
)

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
