"""What is suspected or asked for shapes a plan; it makes none safe, and none shallower than what it changes."""

import pytest

from knowngood.domain.compatibility import mismatches
from knowngood.domain.evidence import Grade
from knowngood.domain.level import Level
from knowngood.domain.plan import Choice, Estimates, Plan
from knowngood.domain.planner import SLOW_MINUTES, Shadowed, Situation, plan
from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.manifest import Manifest, Role
from tests.domain.priced_versions import (
    CLOSE,
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
        "answer with the static fallback: kg rollback pricing --to fallback",
        "deploy a fix, whose content is new: kg deploy pricing",
    )


def test_without_a_target_only_what_restores_the_suspect_is_offered() -> None:
    live = V1.with_component("model", model("42", "16"))
    made = plan(Situation(live=live, history=(recorded(V1), recorded(V0, quarantined=True)), suspected="features"))
    assert [item.target for item in made.alternatives] == [V1, V0]
    assert made.options[-1] == (
        f"release {V0.label} from quarantine, if leaving it was a mistake: "
        f"kg quarantine release pricing {V0.label} --reason REASON"
    )
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
    assert (made.options[0], made.options[-1]) == (
        f"take {V1.label} at its own level: kg rollback pricing --level 2",
        (
            f"take {OLD_MODEL.label} all the same ({find(made, OLD_MODEL).reason}): "
            "kg rollback pricing --level 1 --override REASON"
        ),
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
        "answer with the static fallback: kg rollback pricing --to fallback",
        "deploy a fix, whose content is new: kg deploy pricing",
        (
            f"take {V0.label} as an emergency (it is only armed; a target is at least verified): "
            f"kg rollback pricing --to {V0.label} --override REASON"
        ),
        (
            f"release {V1.label} from quarantine, if leaving it was a mistake: "
            f"kg quarantine release pricing {V1.label} --reason REASON"
        ),
    )
    assert (made.risks, made.flags, made.stop_first) == ((), (), None)


def test_without_any_history_nothing_is_safe() -> None:
    made = plan(Situation(live=V2, history=()))
    assert made.unsafe
    assert made.alternatives == ()
    assert made.options == (
        "answer with the static fallback: kg rollback pricing --to fallback",
        "deploy a fix, whose content is new: kg deploy pricing",
    )


def test_of_a_long_history_the_newest_are_offered_behind_the_static_fallback() -> None:
    unverified = [manifest(model=model(str(number), "16")) for number in range(9, 4, -1)]
    left = [manifest(model=model(str(number), "16")) for number in range(4, 0, -1)]
    history = (
        *(recorded(version, Grade.ARMED) for version in unverified),
        *(recorded(version, quarantined=True) for version in left),
    )
    static, fix, *emergencies = plan(Situation(live=V2, history=history)).options
    assert static.startswith("answer with the static fallback")
    assert fix.startswith("deploy a fix")
    named = [option.removesuffix(" --override REASON").rpartition(" ")[2] for option in emergencies[:3]]
    assert named == [version.label for version in unverified[:3]]
    assert emergencies[3] == "... and 2 more: kg history pricing"
    assert [option.split()[1] for option in emergencies[4:7]] == [version.label for version in left[:3]]
    assert emergencies[7:] == ["... and 1 more: kg quarantine list pricing"]


def test_what_was_left_while_only_armed_has_to_be_released_for_nothing_in_quarantine_is_deployed() -> None:
    made = plan(Situation(live=V2, history=(recorded(V1, Grade.ARMED, quarantined=True),)))
    assert made.options[-1].endswith(f": kg quarantine release pricing {V1.label} --reason REASON")


def test_the_static_fallback_is_offered_behind_the_versions_that_would_serve_before_it() -> None:
    made = plan(Situation(live=V2, history=(recorded(V1, Grade.ARMED),), behind=(V1.content_digest,)))
    assert made.options[0].endswith(f": kg rollback pricing --to {V1.label}, then kg rollback pricing --to fallback")


def test_a_static_fallback_that_is_not_declared_is_not_offered() -> None:
    made = plan(Situation(live=V2, history=(), static_fallback=False))
    assert made.options == ("deploy a fix, whose content is new: kg deploy pricing",)
