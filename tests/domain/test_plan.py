"""A plan's steps come in an order that is safe, and its estimate is what was measured, or nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood.domain.authority import AUTHORITY
from knowngood.domain.compatibility import Override
from knowngood.domain.evidence import Grade
from knowngood.domain.level import Change, Diff, Level, diff
from knowngood.domain.plan import Alternative, Choice, Estimates, Plan, Step, Verb, duration_of, steps_of
from knowngood_sdk.model.canonical import digest_of
from knowngood_sdk.model.manifest import Component, Manifest, Ref, Role, Switching

ADDRESSED, POINTER, IN_PLACE = Switching.ADDRESSED, Switching.POINTER, Switching.IN_PLACE


def part(role: Role, version: str, switching: Switching = ADDRESSED, shared_by: tuple[str, ...] = ()) -> Component:
    return Component(
        role=role,
        kind="files",
        switching=switching,
        ref=Ref(digest=digest_of([role.value, version]), native=version),
        shared_by=shared_by,
    )


def manifest(**components: Component) -> Manifest:
    return Manifest(system="pricing", components=components)


def changes(*parts: tuple[str, Role, Switching]) -> Diff:
    return Diff(
        changes=tuple(
            Change(component=name, before=part(role, "2", switching), after=part(role, "1", switching))
            for name, role, switching in parts
        )
    )


ALL_ROLES = changes(*((role.value, role, POINTER) for role in sorted(Role)))
MIXED = changes(
    ("config", Role.CONFIG, POINTER), ("features", Role.FEATURES, POINTER), ("model", Role.MODEL, ADDRESSED)
)


def told(steps: tuple[Step, ...]) -> list[tuple[int, str, str]]:
    return [(step.stage, step.verb.value, step.component) for step in steps]


@pytest.mark.requirement("B2", "G3")
def test_what_stands_ready_is_flipped_to_first() -> None:
    steps = steps_of(changes(("model", Role.MODEL, ADDRESSED)), ready=True, estimates=Estimates())
    assert told(steps) == [(1, "traffic", ""), (2, "effective", "model")]


def test_what_hangs_on_a_pointer_follows_the_flip() -> None:
    assert told(steps_of(MIXED, ready=True, estimates=Estimates())) == [
        (1, "traffic", ""),
        (2, "probe", "features"),
        (2, "probe", "config"),
        (3, "prepare", "features"),
        (3, "prepare", "config"),
        (4, "switch", "features"),
        (5, "switch", "config"),
        (6, "effective", "features"),
        (6, "effective", "model"),
        (6, "effective", "config"),
    ]


@pytest.mark.requirement("B2")
def test_what_is_cold_is_probed_prepared_side_by_side_loaded_and_switched_with_the_traffic_last() -> None:
    assert told(steps_of(MIXED, ready=False, estimates=Estimates())) == [
        (1, "probe", "features"),
        (1, "probe", "model"),
        (1, "probe", "config"),
        (2, "prepare", "features"),
        (2, "prepare", "model"),
        (2, "prepare", "config"),
        (3, "load", ""),
        (4, "switch", "features"),
        (5, "switch", "config"),
        (6, "traffic", ""),
        (7, "effective", "features"),
        (7, "effective", "model"),
        (7, "effective", "config"),
    ]


@pytest.mark.requirement("B3")
@pytest.mark.parametrize("ready", [True, False])
def test_what_is_restored_in_place_is_loaded_after_it_and_before_the_traffic(*, ready: bool) -> None:
    steps = steps_of(changes(("features", Role.FEATURES, IN_PLACE)), ready=ready, estimates=Estimates())
    assert told(steps) == [
        (1, "probe", "features"),
        (2, "prepare", "features"),
        (3, "switch", "features"),
        (4, "load", ""),
        (5, "traffic", ""),
        (6, "effective", "features"),
    ]


def test_components_are_switched_in_the_order_of_dependence() -> None:
    steps = steps_of(ALL_ROLES, ready=False, estimates=Estimates())
    switched = [step.component for step in steps if step.verb is Verb.SWITCH]
    assert switched == ["data", "state", "features", "model", "prompt", "config", "infra"]


def test_components_of_one_role_are_switched_in_the_order_of_names() -> None:
    pair = changes(("b", Role.MODEL, POINTER), ("a", Role.MODEL, POINTER))
    assert [
        step.component for step in steps_of(pair, ready=False, estimates=Estimates()) if step.verb is Verb.SWITCH
    ] == [
        "a",
        "b",
    ]


def test_either_side_of_a_change_says_how_it_switches_and_when() -> None:
    change = Change(component="it", before=part(Role.DATA, "2", IN_PLACE), after=part(Role.CONFIG, "1"))
    first = Change(component="f", before=part(Role.FEATURES, "2", POINTER), after=part(Role.FEATURES, "1"))
    steps = steps_of(Diff(changes=(first, change)), ready=True, estimates=Estimates())
    assert [step.component for step in steps if step.verb is Verb.SWITCH] == ["it", "f"]
    assert [step.verb for step in steps][-2:] != [Verb.TRAFFIC, Verb.EFFECTIVE]
    assert told(steps)[0] == (1, "probe", "it")


def test_a_component_that_goes_away_has_no_step() -> None:
    gone = Change(component="gone", before=part(Role.CONFIG, "1", POINTER), after=None)
    assert told(steps_of(Diff(changes=(gone,)), ready=True, estimates=Estimates())) == [(1, "traffic", "")]


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.sampled_from(list(Role)), st.sampled_from(list(Switching))),
        min_size=1,
        unique_by=lambda item: item[0],
    ),
    st.booleans(),
)
def test_every_plan_prepares_before_it_switches_and_asks_the_data_path_last(
    parts: list[tuple[str, Role, Switching]],
    ready: bool,  # noqa: FBT001 - drawn by hypothesis
) -> None:
    steps = steps_of(changes(*parts), ready=ready, estimates=Estimates())
    stages = {verb: [step.stage for step in steps if step.verb is verb] for verb in Verb}
    assert [step.stage for step in steps] == sorted(step.stage for step in steps)
    assert {step.stage for step in steps} == set(range(1, max(step.stage for step in steps) + 1))
    assert len(stages[Verb.TRAFFIC]) == 1
    assert min(stages[Verb.EFFECTIVE]) == steps[-1].stage
    assert {step.component for step in steps if step.verb is Verb.EFFECTIVE} == {name for name, _, _ in parts}
    for name, _, switching in parts:
        mine = [step.verb for step in steps if step.component == name]
        if switching is ADDRESSED:
            assert Verb.SWITCH not in mine
        else:
            assert mine.index(Verb.PROBE) < mine.index(Verb.PREPARE) < mine.index(Verb.SWITCH)
    flip_first = ready and all(switching is not IN_PLACE for _, _, switching in parts)
    assert (stages[Verb.TRAFFIC] == [1]) is flip_first
    if not flip_first:
        assert stages[Verb.TRAFFIC][0] > max([*stages[Verb.SWITCH], *stages[Verb.LOAD], *stages[Verb.PREPARE]])


# -------------------------------------------------------------------------------------------------------- estimates

MEASURED = Estimates(restore={"features": 3.0, "model": 5.0, "config": 1.0}, load=20.0, flip=0.05)


def test_steps_carry_what_was_measured_of_them() -> None:
    measured = {
        (step.verb.value, step.component): step.estimate_seconds
        for step in steps_of(MIXED, ready=False, estimates=MEASURED)
        if step.estimate_seconds is not None
    }
    assert measured == {
        ("prepare", "features"): 3.0,
        ("prepare", "model"): 5.0,
        ("prepare", "config"): 1.0,
        ("load", ""): 20.0,
        ("traffic", ""): 0.05,
    }


@pytest.mark.requirement("M3")
@pytest.mark.parametrize(
    ("ready", "estimates", "seconds"),
    [
        pytest.param(False, MEASURED, 25.05, id="side by side the slowest counts, then one after the other"),
        pytest.param(True, MEASURED, 3.05, id="ready, so the flip and what follows it"),
        pytest.param(False, Estimates(restore=MEASURED.restore, load=20.0), None, id="the flip was never measured"),
        pytest.param(False, Estimates(restore=MEASURED.restore, flip=0.05), None, id="loading was never measured"),
        pytest.param(True, Estimates(restore=MEASURED.restore, flip=0.05), 3.05, id="loading is not needed"),
        pytest.param(False, Estimates(restore={"model": 1.0}, load=1.0, flip=1.0), None, id="a component is unknown"),
        pytest.param(False, Estimates(), None, id="nothing was measured"),
    ],
)
def test_an_estimate_is_the_sum_of_what_was_measured_or_nothing(
    estimates: Estimates, seconds: float | None, *, ready: bool
) -> None:
    found = duration_of(steps_of(MIXED, ready=ready, estimates=estimates))
    assert found == (None if seconds is None else pytest.approx(seconds))


def test_no_step_takes_no_time() -> None:
    assert duration_of(()) == 0


def alternative(
    live: Manifest,
    target: Manifest,
    *,
    ready: bool = True,
    choice: Choice = Choice.PREFERRED,
    estimates: Estimates = MEASURED,
) -> Alternative:
    steps = steps_of(diff(live, target), ready=ready, estimates=estimates)
    return Alternative(
        scope="system",
        target=target,
        changes=diff(live, target),
        choice=choice,
        reason="because",
        proven=True,
        grade=Grade.VERIFIED,
        ready=ready,
        steps=steps,
        estimate_seconds=duration_of(steps),
    )


LIVE = manifest(model=part(Role.MODEL, "2"), features=part(Role.FEATURES, "2", POINTER), config=part(Role.CONFIG, "2"))
BEFORE = manifest(
    model=part(Role.MODEL, "1"), features=part(Role.FEATURES, "1", POINTER), config=part(Role.CONFIG, "2")
)


def test_the_harm_stops_with_the_flip_whatever_follows_it() -> None:
    assert alternative(LIVE, BEFORE).stops_harm_seconds == pytest.approx(0.05)
    assert alternative(LIVE, BEFORE).estimate_seconds == pytest.approx(3.05)
    assert alternative(LIVE, BEFORE, ready=False).stops_harm_seconds == pytest.approx(25.05)
    assert alternative(LIVE, BEFORE, estimates=Estimates()).stops_harm_seconds is None


def test_only_what_is_not_refused_may_be_taken() -> None:
    assert [alternative(LIVE, BEFORE, choice=choice).allowed for choice in Choice] == [True, True, False]


@pytest.mark.requirement("B1")
def test_an_alternative_has_the_level_of_its_changes() -> None:
    assert alternative(LIVE, BEFORE).level == Level.SYSTEM
    assert alternative(LIVE, LIVE.with_component("model", BEFORE.components["model"])).level == Level.MODEL


def test_an_alternative_has_a_json_form() -> None:
    leave = Override(by="anna", reason="why", combination=BEFORE.content_digest, at="2026-11-23T18:00:00Z")
    combination = Alternative(
        scope="model",
        target=BEFORE,
        changes=diff(LIVE, BEFORE),
        choice=Choice.REFUSED,
        reason="too far off",
        proven=False,
        divergence=0.6,
        bad_divergence=0.35,
        tolerance=0.15,
        n=240,
        override=leave,
        known_issues=("slow",),
    )
    assert combination.to_json() == {
        "scope": "model",
        "level": 2,
        "target": BEFORE.content_digest,
        "verdict": "refused",
        "reason": "too far off",
        "proven": False,
        "grade": None,
        "ready": False,
        "changes": ["features", "model"],
        "steps": [],
        "estimate_seconds": None,
        "stops_harm_seconds": None,
        "divergence": 0.6,
        "bad_divergence": 0.35,
        "tolerance": 0.15,
        "n": 240,
        "override": leave.to_json(),
        "known_issues": ["slow"],
    }
    document = alternative(LIVE, BEFORE).to_json()
    assert document["grade"] == "verified"
    assert document["override"] is None
    assert document["stops_harm_seconds"] == pytest.approx(0.05)
    assert document["steps"][0] == {"stage": 1, "verb": "traffic", "component": "", "estimate_seconds": 0.05}


@pytest.mark.requirement("J2")
def test_a_plan_has_a_json_form() -> None:
    chosen = alternative(LIVE, BEFORE)
    plan = Plan(
        live=LIVE.content_digest,
        chosen=chosen,
        alternatives=(chosen,),
        risks=("a",),
        flags=("b",),
        stop_first=chosen,
        options=("c",),
    )
    assert not plan.unsafe
    assert plan.to_json() == {
        "outcome": "planned",
        "live": LIVE.content_digest,
        "target": BEFORE.content_digest,
        "level": 2,
        "grade": "verified",
        "chosen": chosen.to_json(),
        "alternatives": [chosen.to_json()],
        "authority": AUTHORITY[Level.SYSTEM].to_json(),
        "consumers": [],
        "risks": ["a"],
        "flags": ["b"],
        "stop_first": BEFORE.content_digest,
        "options": ["c"],
    }
    assert str(plan) == f"level 2 from {LIVE.label} to {BEFORE.label}: because"


def test_a_plan_without_a_target_has_a_json_form() -> None:
    plan = Plan(live=LIVE.content_digest, chosen=None, alternatives=(), options=("deploy a fix",))
    assert plan.unsafe
    assert plan.to_json() == {
        "outcome": "unsafe",
        "live": LIVE.content_digest,
        "target": None,
        "level": None,
        "grade": None,
        "chosen": None,
        "alternatives": [],
        "authority": None,
        "consumers": [],
        "risks": [],
        "flags": [],
        "stop_first": None,
        "options": ["deploy a fix"],
    }
    assert str(plan) == f"no safe target for {LIVE.label}"


def test_a_plan_for_a_combination_has_no_grade() -> None:
    chosen = Alternative(
        scope="model", target=BEFORE, changes=diff(LIVE, BEFORE), choice=Choice.PREFERRED, reason="", proven=False
    )
    assert Plan(live=LIVE.content_digest, chosen=chosen, alternatives=(chosen,)).to_json()["grade"] is None


@pytest.mark.requirement("J3")
def test_a_plan_names_the_systems_that_it_reaches() -> None:
    live = manifest(features=part(Role.FEATURES, "2", shared_by=("eta", "fraud")))
    before = manifest(features=part(Role.FEATURES, "1", shared_by=("eta",)))
    chosen = alternative(live, before)
    plan = Plan(live=live.content_digest, chosen=chosen, alternatives=(chosen,))
    assert plan.consumers == ("eta", "fraud")
    assert plan.level == Level.FEATURES
    assert plan.authority == AUTHORITY[Level.FEATURES]


def test_estimates_cannot_be_edited() -> None:
    restore = {"model": 1.0}
    estimates = Estimates(restore=restore)
    restore["model"] = 2.0
    assert estimates.restore == {"model": 1.0}
