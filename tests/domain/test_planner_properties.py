"""Whatever the history, evidence and wish: a plan is safe, explained, and says how to stop the harm."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood.domain.evidence import Grade, Standing
from knowngood.domain.level import Level, diff
from knowngood.domain.on_record import OnRecord
from knowngood.domain.plan import Choice, Estimates
from knowngood.domain.planner import Shadowed, Situation, plan
from knowngood_sdk.model.canonical import canonical_bytes, digest_of
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


# ------------------------------------------------------------------------------------------------- a long history


@dataclass(frozen=True)
class Watched:
    """A version of which is noted that its manifest was read."""

    entry: OnRecord
    read: list[str]

    @property
    def version(self) -> str:
        return self.entry.version

    @property
    def manifest(self) -> Manifest:
        self.read.append(self.version)
        return self.entry.manifest

    @property
    def standing(self) -> Standing:
        return self.entry.standing

    @property
    def known_issues(self) -> tuple[str, ...]:
        return self.entry.known_issues

    def may_mention(self, text: str) -> bool:
        return text in canonical_bytes(self.entry.manifest.to_json()).decode()


@st.composite
def longer(draw: st.DrawFn) -> Situation:
    situation = draw(situations())
    versions = st.sampled_from([None, None, *(entry.version for entry in situation.history)])
    return replace(situation, beside=draw(versions), wanted=draw(versions))


def by_the_whole_history(situation: Situation) -> str | None:
    """The version to go back to, by all that are on record, each judged and compared."""
    known: dict[str, OnRecord] = {}
    for entry in situation.history:
        known.setdefault(entry.version, entry)
    known.pop(situation.live.content_digest, None)

    def possible(entry: OnRecord) -> bool:
        suspected = situation.suspected
        return (entry.standing.eligible or (entry.version == situation.beside and not entry.standing.quarantined)) and (
            suspected is None or suspected in diff(situation.live, entry.manifest).components
        )

    def first(some: Sequence[str]) -> str | None:
        return next(iter(some), None)

    safe = [version for version, entry in known.items() if possible(entry)]
    if situation.wanted is not None:
        return first([version for version in safe if version == situation.wanted])
    beside = [version for version in safe if version == situation.beside]
    return first([*beside, *(version for version in safe if version in situation.ready), *safe])


@given(longer())
def test_the_version_to_go_back_to_is_the_one_that_the_whole_history_gives(situation: Situation) -> None:
    made, expected = plan(situation), by_the_whole_history(situation)
    if made.chosen is None:
        assert expected is None or situation.asked is not None
    elif made.chosen.scope == "system":
        assert made.chosen.target.content_digest == expected
    else:
        allowed = [item.target.content_digest for item in made.alternatives if item.allowed and item.scope == "system"]
        assert expected in [*allowed, made.chosen.target.content_digest]


@given(longer())
def test_a_history_that_is_read_only_as_far_as_needed_gives_the_same_plan(situation: Situation) -> None:
    read: list[str] = []
    made = plan(replace(situation, history=tuple(Watched(entry, read) for entry in situation.history)))
    assert made.to_json() == plan(situation).to_json()


def test_of_a_long_history_a_plan_reads_what_it_names_and_no_more() -> None:
    read: list[str] = []
    live, bad = (manifest(model=model(name), config=config(name)) for name in ("live", "bad"))
    old = [manifest(model=model(f"old {n}"), config=config(f"old {n}")) for n in range(100)]
    history = [recorded(live), recorded(bad, quarantined=True), *map(recorded, old)]
    made = plan(Situation(live=live, history=tuple(Watched(entry, read) for entry in history)))
    assert made.chosen is not None
    assert made.chosen.target == old[0]
    assert set(read) <= {live.content_digest, bad.content_digest, old[0].content_digest}
