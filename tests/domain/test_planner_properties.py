"""Whatever the history, evidence and wish: a plan is safe, explained, and says how to stop the harm."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood.domain.evidence import Grade, Standing
from knowngood.domain.level import Level, diff
from knowngood.domain.plan import Choice, Estimates
from knowngood.domain.planner import Shadowed, Situation, plan
from knowngood_sdk.model.canonical import digest_of
from knowngood_sdk.model.manifest import Manifest, Role, Switching
from tests.domain.priced_versions import MEASURED, config, features, manifest, model, part, recorded

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
