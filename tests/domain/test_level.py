"""A level follows from what a change touches, whatever anybody typed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood.domain.level import Change, Diff, Level, diff
from knowngood_sdk.model.canonical import digest_of
from knowngood_sdk.model.manifest import Component, Intent, Manifest, Ref, Role, Switching


def part(
    role: Role,
    version: str = "1",
    *,
    switching: Switching = Switching.ADDRESSED,
    shared_by: tuple[str, ...] = (),
    provides: dict[str, str] | None = None,
    requires: dict[str, str] | None = None,
) -> Component:
    return Component(
        role=role,
        kind="files",
        ref=Ref(digest=digest_of([role.value, version]), native=version),
        switching=switching,
        shared_by=shared_by,
        provides=provides or {},
        requires=requires or {},
    )


def manifest(**components: Component) -> Manifest:
    return Manifest(system="pricing", components=components)


def changed(role: Role, switching: Switching = Switching.ADDRESSED, shared_by: tuple[str, ...] = ()) -> Change:
    return Change(
        component="it",
        before=part(role, "1", switching=switching, shared_by=shared_by),
        after=part(role, "2", switching=switching, shared_by=shared_by),
    )


ADDRESSED, POINTER, IN_PLACE = Switching.ADDRESSED, Switching.POINTER, Switching.IN_PLACE


@pytest.mark.requirement("B1", "B2", "B3", "B4")
@pytest.mark.parametrize(
    ("change", "level"),
    [
        pytest.param(changed(Role.MODEL), Level.MODEL, id="a model"),
        pytest.param(changed(Role.MODEL, POINTER), Level.MODEL, id="a model behind a pointer"),
        pytest.param(changed(Role.MODEL, IN_PLACE), Level.MODEL, id="a model in place"),
        pytest.param(changed(Role.MODEL, ADDRESSED, ("eta",)), Level.FEATURES, id="a model that others use"),
        pytest.param(changed(Role.CONFIG), Level.SYSTEM, id="configuration"),
        pytest.param(changed(Role.CONFIG, IN_PLACE), Level.SYSTEM, id="configuration in place"),
        pytest.param(changed(Role.INFRA, IN_PLACE), Level.SYSTEM, id="infrastructure in place"),
        pytest.param(changed(Role.PROMPT), Level.SYSTEM, id="a prompt"),
        pytest.param(changed(Role.STATE), Level.SYSTEM, id="state of its own"),
        pytest.param(changed(Role.STATE, IN_PLACE), Level.FEATURES, id="state in place"),
        pytest.param(changed(Role.FEATURES), Level.SYSTEM, id="features that each consumer addresses"),
        pytest.param(changed(Role.FEATURES, POINTER), Level.SYSTEM, id="features behind a pointer of its own"),
        pytest.param(changed(Role.FEATURES, IN_PLACE), Level.FEATURES, id="features in place"),
        pytest.param(changed(Role.FEATURES, ADDRESSED, ("eta",)), Level.FEATURES, id="features that others read"),
        pytest.param(changed(Role.DATA), Level.DATA, id="data"),
        pytest.param(changed(Role.DATA, IN_PLACE, ("eta",)), Level.DATA, id="shared data in place"),
    ],
)
def test_a_change_has_the_level_of_what_it_touches(change: Change, level: Level) -> None:
    assert change.level == level
    assert Diff(changes=(change,)).level == level


@pytest.mark.parametrize(
    ("before", "after", "level"),
    [
        pytest.param(None, part(Role.MODEL), Level.MODEL, id="added"),
        pytest.param(part(Role.MODEL), None, Level.MODEL, id="removed"),
        pytest.param(part(Role.MODEL), part(Role.CONFIG), Level.SYSTEM, id="its role changed"),
        pytest.param(part(Role.DATA), part(Role.MODEL), Level.DATA, id="it was data"),
        pytest.param(part(Role.MODEL), part(Role.DATA), Level.DATA, id="it becomes data"),
        pytest.param(
            part(Role.FEATURES), part(Role.FEATURES, "2", switching=IN_PLACE), Level.FEATURES, id="it will be in place"
        ),
        pytest.param(
            part(Role.FEATURES, switching=IN_PLACE), part(Role.FEATURES, "2"), Level.FEATURES, id="it was in place"
        ),
        pytest.param(
            part(Role.FEATURES, shared_by=("eta",)), part(Role.FEATURES, "2"), Level.FEATURES, id="it was shared"
        ),
    ],
)
def test_either_side_of_a_change_counts(before: Component | None, after: Component | None, level: Level) -> None:
    assert Change(component="it", before=before, after=after).level == level


@pytest.mark.requirement("B1", "B2")
def test_several_changes_are_a_system_version() -> None:
    assert Diff(changes=(changed(Role.MODEL), changed(Role.MODEL))).level == Level.SYSTEM
    assert Diff(changes=(changed(Role.MODEL), changed(Role.CONFIG))).level == Level.SYSTEM
    assert Diff(changes=(changed(Role.CONFIG), changed(Role.FEATURES, IN_PLACE))).level == Level.FEATURES
    assert Diff(changes=(changed(Role.DATA), changed(Role.FEATURES, IN_PLACE))).level == Level.DATA
    assert Diff(changes=()).level is None


def test_a_difference_names_what_changed_in_the_order_of_names() -> None:
    before = manifest(model=part(Role.MODEL), features=part(Role.FEATURES), config=part(Role.CONFIG))
    after = manifest(model=part(Role.MODEL, "2"), features=part(Role.FEATURES), infra=part(Role.INFRA))
    found = diff(before, after)
    assert found.components == ("config", "infra", "model")
    assert [(item.before is None, item.after is None) for item in found.changes] == [
        (False, True),
        (True, False),
        (False, False),
    ]


@pytest.mark.parametrize(
    ("before", "after", "differs"),
    [
        pytest.param(part(Role.MODEL), part(Role.MODEL), False, id="nothing"),
        pytest.param(part(Role.MODEL), part(Role.MODEL, "2"), True, id="the content"),
        pytest.param(part(Role.MODEL), part(Role.MODEL, provides={"a": "1"}), True, id="what it provides"),
        pytest.param(part(Role.MODEL), part(Role.MODEL, requires={"a": "1"}), True, id="what it requires"),
        pytest.param(part(Role.MODEL), part(Role.MODEL, switching=POINTER), False, id="how it switches"),
        pytest.param(part(Role.MODEL), part(Role.MODEL, shared_by=("eta",)), False, id="who else reads it"),
    ],
)
def test_two_manifests_differ_where_their_content_does(before: Component, after: Component, *, differs: bool) -> None:
    assert bool(diff(manifest(it=before), manifest(it=after)).changes) is differs


def test_the_same_bytes_under_another_name_or_intent_are_no_change() -> None:
    ref = Ref(digest=digest_of("x"), native="41", facets={"path": "a"})
    again = Ref(digest=digest_of("x"), native="43", facets={"path": "b"})
    before = manifest(model=Component(role=Role.MODEL, kind="files", ref=ref))
    after = Manifest(
        system="pricing",
        components={"model": Component(role=Role.MODEL, kind="git", ref=again)},
        intent=Intent(text="other"),
        parent=before.digest,
    )
    assert diff(before, after).changes == ()


def roles() -> st.SearchStrategy[Component]:
    return st.builds(
        part,
        st.sampled_from(list(Role)),
        st.sampled_from(["1", "2"]),
        switching=st.sampled_from(list(Switching)),
        shared_by=st.sampled_from([(), ("eta",)]),
    )


def manifests() -> st.SearchStrategy[Manifest]:
    return st.dictionaries(st.sampled_from(["a", "b", "c"]), roles(), min_size=1).map(lambda parts: manifest(**parts))


@given(manifests(), manifests())
def test_going_there_is_as_deep_as_coming_back(one: Manifest, other: Manifest) -> None:
    assert diff(one, other).level == diff(other, one).level
    assert (diff(one, other).level is None) == (one.content_digest == other.content_digest)


@given(manifests(), manifests())
def test_a_whole_is_at_least_as_deep_as_any_of_its_parts(one: Manifest, other: Manifest) -> None:
    found = diff(one, other)
    assert all(found.level is not None and found.level >= change.level for change in found.changes)


def test_a_difference_names_the_other_systems_that_it_reaches() -> None:
    found = diff(
        manifest(f=part(Role.FEATURES, shared_by=("fraud", "eta")), g=part(Role.CONFIG, shared_by=("eta",))),
        manifest(f=part(Role.FEATURES, "2", shared_by=("risk",)), g=part(Role.CONFIG, "2")),
    )
    assert found.shared_by == ("eta", "fraud", "risk")
    assert found.changes[0].shared_by == ("eta", "fraud", "risk")
    assert found.changes[1].shared_by == ("eta",)


def test_a_difference_has_a_json_form() -> None:
    before, after = part(Role.MODEL, "1", shared_by=("eta",)), part(Role.MODEL, "2")
    document = diff(manifest(model=before, x=part(Role.CONFIG)), manifest(model=after)).to_json()
    assert document == {
        "level": 3,
        "shared_by": ["eta"],
        "changes": [
            {
                "component": "model",
                "level": 3,
                "before": {"label": "1", **before.to_json()},
                "after": {"label": "2", **after.to_json()},
                "shared_by": ["eta"],
            },
            {
                "component": "x",
                "level": 2,
                "before": {"label": "1", **part(Role.CONFIG).to_json()},
                "after": None,
                "shared_by": [],
            },
        ],
    }
    assert diff(manifest(model=before), manifest(model=before)).to_json() == {
        "level": None,
        "changes": [],
        "shared_by": [],
    }
