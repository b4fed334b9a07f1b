"""A manifest names one system version by its content, and the record of it by its whole; nothing else passes."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.canonical import canonical_bytes, digest_of, parse_canonical
from knowngood_sdk.model.manifest import Component, Intent, Manifest, Ref, Role, Switching, check_name

ONE, OTHER = digest_of("one"), digest_of("other")
MODEL = Component(
    role=Role.MODEL,
    kind="files",
    ref=Ref(digest=ONE, native="v41", facets={"path": "models/41"}),
    provides={"output": "a"},
    requires={"features": "b"},
)
CONFIG = Component(
    role=Role.CONFIG, kind="git", ref=Ref(digest=OTHER), switching=Switching.POINTER, shared_by=("eta", "fraud")
)
LIVE = Manifest(
    system="pricing",
    components={"model": MODEL, "config": CONFIG},
    intent=Intent(text="fewer surges", expects={"price": (-0.05, 0.1)}),
    parent=digest_of("parent"),
)


def without(document: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != name}


def texts() -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def text_maps() -> st.SearchStrategy[dict[str, str]]:
    return st.dictionaries(texts(), texts(), max_size=2)


def names() -> st.SearchStrategy[str]:
    return st.from_regex(r"[a-z][a-z0-9_-]{0,62}", fullmatch=True)


def digests() -> st.SearchStrategy[str]:
    return st.integers(0, 3).map(digest_of)


def components() -> st.SearchStrategy[Component]:
    return st.builds(
        Component,
        role=st.sampled_from(Role),
        kind=texts(),
        ref=st.builds(Ref, digest=digests(), native=texts(), facets=text_maps()),
        switching=st.sampled_from(Switching),
        provides=text_maps(),
        requires=text_maps(),
        shared_by=st.lists(names(), max_size=2).map(tuple),
    )


def intents() -> st.SearchStrategy[Intent]:
    finite = st.floats(allow_nan=False, allow_infinity=False)
    bounds = st.tuples(finite, finite).map(lambda pair: (min(pair), max(pair)))
    return st.builds(Intent, text=texts(), expects=st.dictionaries(texts(), bounds, max_size=2))


def manifests() -> st.SearchStrategy[Manifest]:
    return st.builds(
        Manifest,
        system=names(),
        components=st.dictionaries(names(), components(), min_size=1, max_size=2),
        intent=intents(),
        parent=st.none() | digests(),
    )


@pytest.mark.parametrize("name", ["a", "z9", "a-b_c", "a" * 63])
def test_a_name_is_a_lower_case_letter_and_what_may_follow_it(name: str) -> None:
    assert check_name(name, "replica") == name


@pytest.mark.parametrize("name", ["", "A", "aB", "9a", "-a", "_a", "a b", "a.b", "a/b", "\u00e9", "a\n", "a" * 64])
def test_what_is_no_name_is_refused_as_what_it_should_have_been(name: str) -> None:
    with pytest.raises(InvalidError) as refused:
        check_name(name, "replica")
    assert refused.value.message == f"{name!r} is not a replica name"
    assert (
        refused.value.hint == "Use a lower-case letter, then lower-case letters, digits, - or _; 63 characters at most"
    )


def test_a_manifest_names_its_system_and_its_components() -> None:
    with pytest.raises(InvalidError, match="'Pricing' is not a system name"):
        replace(LIVE, system="Pricing")
    with pytest.raises(InvalidError, match="'the model' is not a component name"):
        replace(LIVE, components={"model": MODEL, "the model": MODEL})


def test_a_manifest_without_a_component_is_no_system_version() -> None:
    with pytest.raises(InvalidError) as refused:
        Manifest(system="pricing", components={})
    assert str(refused.value) == "the manifest of pricing has no component. A system version needs at least one"


def test_a_ref_and_a_parent_are_digests() -> None:
    with pytest.raises(InvalidError, match="'v41' is not a digest"):
        Ref(digest="v41")
    with pytest.raises(InvalidError, match="'' is not a digest"):
        replace(LIVE, parent="")
    assert replace(LIVE, parent=None).parent is None


@pytest.mark.parametrize("bounds", [(0.0, 0.0), (-0.5, 0.5), (-1e308, 1e308)])
def test_an_effect_is_expected_between_two_numbers(bounds: tuple[float, float]) -> None:
    assert Intent(expects={"price": bounds}).expects == {"price": bounds}


@pytest.mark.parametrize(
    "bounds", [(0.1, 0.0), (-math.inf, 0.0), (0.0, math.inf), (math.nan, 0.0), (0.0, math.nan), (math.inf, math.inf)]
)
def test_an_effect_that_cannot_be_expected_is_refused(bounds: tuple[float, float]) -> None:
    with pytest.raises(InvalidError) as refused:
        Intent(expects={"orders": (0.0, 0.1), "price": bounds})
    assert refused.value.message == f"intent expects price between {bounds[0]} and {bounds[1]}"
    assert refused.value.hint == "Give two finite numbers, the lower bound first"


def test_a_manifest_does_not_change_with_what_it_was_made_of() -> None:
    facets, provides, requires = {"path": "a"}, {"output": "a"}, {"features": "b"}
    expects, parts = {"price": (0.0, 0.1)}, {"model": MODEL}
    ref = Ref(digest=ONE, facets=facets)
    component = Component(role=Role.MODEL, kind="files", ref=ref, provides=provides, requires=requires)
    manifest = Manifest(system="pricing", components=parts, intent=Intent(expects=expects))
    for source in (facets, provides, requires, expects, parts):
        source.clear()
    assert (ref.facets, component.provides) == ({"path": "a"}, {"output": "a"})
    assert component.requires == {"features": "b"}
    assert manifest.intent.expects == {"price": (0.0, 0.1)}
    assert manifest.components == {"model": MODEL}
    for frozen in (ref.facets, component.provides, component.requires, manifest.intent.expects, manifest.components):
        with pytest.raises(TypeError):
            frozen["new"] = None  # type: ignore[index]  # that is what is tried


def test_facets_and_contracts_are_texts() -> None:
    wrong: Any = {"path": 3}
    with pytest.raises(InvalidError, match=r"facets\.path must be text, not 3"):
        Ref(digest=ONE, facets=wrong)
    with pytest.raises(InvalidError, match=r"provides\.path must be text, not 3"):
        replace(MODEL, provides=wrong)
    with pytest.raises(InvalidError, match=r"requires\.path must be text, not 3"):
        replace(MODEL, requires=wrong)


def test_the_content_digest_is_taken_over_roles_digests_and_contracts_of_one_system() -> None:
    assert LIVE.content_digest == digest_of(
        {
            "system": "pricing",
            "components": {
                "model": {"role": "model", "digest": ONE, "provides": {"output": "a"}, "requires": {"features": "b"}},
                "config": {"role": "config", "digest": OTHER, "provides": {}, "requires": {}},
            },
        }
    )
    assert LIVE.digest == digest_of(LIVE.to_json())


def with_model(**changes: Any) -> Manifest:
    return LIVE.with_component("model", replace(MODEL, **changes))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(replace(LIVE, intent=Intent(text="more surges")), id="what it is meant to do"),
        pytest.param(replace(LIVE, intent=Intent(text="fewer surges")), id="what it is expected to do"),
        pytest.param(replace(LIVE, parent=None), id="what was live before"),
        pytest.param(replace(LIVE, parent=ONE), id="what else was live before"),
        pytest.param(with_model(ref=replace(MODEL.ref, native="v42")), id="its owner's version"),
        pytest.param(with_model(ref=replace(MODEL.ref, facets={})), id="a facet"),
        pytest.param(with_model(kind="git"), id="who handles it"),
        pytest.param(with_model(switching=Switching.IN_PLACE), id="how it switches"),
        pytest.param(with_model(shared_by=("eta",)), id="who else reads it"),
    ],
)
def test_a_hint_or_an_intent_makes_another_record_of_the_same_version(other: Manifest) -> None:
    assert other.content_digest == LIVE.content_digest
    assert other.digest != LIVE.digest


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(replace(LIVE, system="eta"), id="the system"),
        pytest.param(replace(LIVE, components={"model": MODEL}), id="a component less"),
        pytest.param(replace(LIVE, components={**LIVE.components, "more": MODEL}), id="a component more"),
        pytest.param(replace(LIVE, components={"net": MODEL, "config": CONFIG}), id="the name of a component"),
        pytest.param(replace(LIVE, components={"model": CONFIG, "config": MODEL}), id="which is which"),
        pytest.param(with_model(role=Role.PROMPT), id="the role"),
        pytest.param(with_model(ref=replace(MODEL.ref, digest=OTHER)), id="the bytes"),
        pytest.param(with_model(provides={"output": "c"}), id="a contract that it provides"),
        pytest.param(with_model(provides={}), id="no contract that it provides"),
        pytest.param(with_model(requires={"features": "c"}), id="a contract that it requires"),
        pytest.param(with_model(provides=MODEL.requires, requires=MODEL.provides), id="who asks whom"),
    ],
)
def test_other_content_is_another_version(other: Manifest) -> None:
    assert other.content_digest != LIVE.content_digest
    assert other.digest != LIVE.digest


def test_the_order_of_components_does_not_matter() -> None:
    turned = replace(LIVE, components=dict(reversed(list(LIVE.components.items()))))
    assert (turned, turned.content_digest, turned.digest) == (LIVE, LIVE.content_digest, LIVE.digest)


def test_people_see_the_beginning_of_the_content_digest() -> None:
    assert LIVE.label == LIVE.content_digest.removeprefix("sha256:")[:12]


@given(manifests(), names(), components())
def test_one_component_is_exchanged_and_all_else_stays(manifest: Manifest, name: str, component: Component) -> None:
    other = manifest.with_component(name, component)
    assert other == replace(manifest, components={**manifest.components, name: component})
    assert other.with_component(name, component) == other
    assert name in manifest.components or len(other.components) == len(manifest.components) + 1


def test_a_manifest_is_written_with_all_that_it_holds() -> None:
    assert LIVE.to_json() == {
        "system": "pricing",
        "components": {
            "model": {
                "role": "model",
                "kind": "files",
                "switching": "addressed",
                "ref": {"digest": ONE, "native": "v41", "facets": {"path": "models/41"}},
                "provides": {"output": "a"},
                "requires": {"features": "b"},
                "shared_by": [],
            },
            "config": {
                "role": "config",
                "kind": "git",
                "switching": "pointer",
                "ref": {"digest": OTHER, "native": "", "facets": {}},
                "provides": {},
                "requires": {},
                "shared_by": ["eta", "fraud"],
            },
        },
        "intent": {"text": "fewer surges", "expects": {"price": [-0.05, 0.1]}},
        "parent": digest_of("parent"),
    }


@given(manifests())
def test_a_manifest_is_read_as_it_was_written(manifest: Manifest) -> None:
    again = Manifest.from_json(parse_canonical(canonical_bytes(manifest.to_json())))
    assert again == manifest
    assert (again.content_digest, again.digest) == (manifest.content_digest, manifest.digest)


def test_what_may_be_left_out_has_its_value() -> None:
    shortest = {"system": "pricing", "components": {"m": {"role": "model", "kind": "files", "ref": {"digest": ONE}}}}
    assert Manifest.from_json(shortest) == Manifest(
        system="pricing", components={"m": Component(role=Role.MODEL, kind="files", ref=Ref(digest=ONE))}
    )
    assert Manifest.from_json({**shortest, "intent": {}, "parent": None}) == Manifest.from_json(shortest)
    assert MODEL.switching is Switching.ADDRESSED


READERS: list[tuple[str, Callable[[Any], Any], dict[str, Any], list[str]]] = [
    ("ref", Ref.from_json, MODEL.ref.to_json(), ["digest"]),
    ("component", Component.from_json, MODEL.to_json(), ["kind", "ref", "role"]),
    ("intent", Intent.from_json, LIVE.intent.to_json(), []),
    ("manifest", Manifest.from_json, LIVE.to_json(), ["components", "system"]),
]


@pytest.mark.parametrize(("what", "read", "document", "required"), READERS, ids=[reader[0] for reader in READERS])
def test_what_it_needs_must_be_there_and_nothing_that_it_does_not_know(
    what: str, read: Callable[[Any], Any], document: dict[str, Any], required: list[str]
) -> None:
    for name in document:
        if name in required:
            with pytest.raises(InvalidError, match=f"^{what} lacks {name}$"):
                read(without(document, name))
        else:
            read(without(document, name))
    if required:
        with pytest.raises(InvalidError, match=f"^{what} lacks {', '.join(required)}$"):
            read({})
    with pytest.raises(InvalidError, match=f"^{what} has unknown fields: 3, wheels, wings$"):
        read({**document, "wings": 2, "wheels": 4, 3: 5})


@pytest.mark.parametrize(("what", "read"), [reader[:2] for reader in READERS], ids=[reader[0] for reader in READERS])
@pytest.mark.parametrize(("document", "kind"), [(None, "NoneType"), ([], "list"), ("{}", "str"), (1, "int")])
def test_what_is_no_object_is_refused(what: str, read: Callable[[Any], Any], document: object, kind: str) -> None:
    with pytest.raises(InvalidError, match=f"^{what} must be an object, not {kind}$"):
        read(document)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"digest": 3}, "ref.digest must be text, not 3"),
        ({"digest": "3"}, "'3' is not a digest"),
        ({"native": None}, "ref.native must be text, not None"),
        ({"facets": []}, "ref.facets must be an object of texts, not list"),
        ({"facets": None}, "ref.facets must be an object of texts, not NoneType"),
        ({"facets": {"path": 3}}, "ref.facets.path must be text, not 3"),
        ({"facets": {3: "path"}}, "ref.facets must be text, not 3"),
    ],
)
def test_a_ref_that_is_malformed_is_refused_by_its_field(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidError) as refused:
        Ref.from_json({**MODEL.ref.to_json(), **changes})
    assert refused.value.message == message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"role": "boss"}, "component.role is 'boss'"),
        ({"role": None}, "component.role is None"),
        ({"role": ["model"]}, "component.role is a list"),
        ({"kind": 3}, "component.kind must be text, not 3"),
        ({"switching": "slowly"}, "component.switching is 'slowly'"),
        ({"ref": ONE}, "ref must be an object, not str"),
        ({"ref": {}}, "ref lacks digest"),
        ({"provides": ["output"]}, "component.provides must be an object of texts, not list"),
        ({"provides": {"output": None}}, "component.provides.output must be text, not None"),
        ({"requires": "features"}, "component.requires must be an object of texts, not str"),
        ({"requires": {"features": 1}}, "component.requires.features must be text, not 1"),
        ({"shared_by": "eta"}, "component.shared_by must be a list of system names, not 'eta'"),
        ({"shared_by": {"eta": 1}}, "component.shared_by must be a list of system names, not an object"),
        ({"shared_by": ["eta", 3]}, "component.shared_by must be text, not 3"),
    ],
)
def test_a_component_that_is_malformed_is_refused_by_its_field(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidError) as refused:
        Component.from_json({**MODEL.to_json(), **changes})
    assert refused.value.message == message


@pytest.mark.parametrize(
    ("field", "hint"),
    [
        ("role", "Use one of: model, features, config, infra, data, prompt, state"),
        ("switching", "Use one of: addressed, pointer, in-place"),
    ],
)
def test_an_unknown_word_is_answered_with_those_that_are_known(field: str, hint: str) -> None:
    with pytest.raises(InvalidError) as refused:
        Component.from_json({**MODEL.to_json(), field: "other"})
    assert refused.value.hint == hint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": None}, "intent.text must be text, not None"),
        ({"expects": None}, "intent.expects must map metrics to [lowest, highest], not None"),
        ({"expects": [1, 2]}, "intent.expects must map metrics to [lowest, highest], not a list"),
        ({"expects": {"price": 1}}, "intent.expects.price must be [lowest, highest], not 1"),
        ({"expects": {"price": [1]}}, "intent.expects.price must be [lowest, highest], not a list"),
        ({"expects": {"price": [1, 2, 3]}}, "intent.expects.price must be [lowest, highest], not a list"),
        ({"expects": {"price": "12"}}, "intent.expects.price must be [lowest, highest], not '12'"),
        ({"expects": {"price": [1, "2"]}}, "intent.expects.price must be [lowest, highest], not a list"),
        ({"expects": {"price": [False, True]}}, "intent.expects.price must be [lowest, highest], not a list"),
        ({"expects": {"price": [0, math.inf]}}, "intent.expects.price must be [lowest, highest], not a list"),
        ({"expects": {"price": [0.2, 0.1]}}, "intent expects price between 0.2 and 0.1"),
        ({"expects": {3: [0.1, 0.2]}}, "intent.expects must be text, not 3"),
    ],
)
def test_an_intent_that_is_malformed_is_refused_by_its_field(changes: dict[Any, Any], message: str) -> None:
    with pytest.raises(InvalidError) as refused:
        Intent.from_json({**LIVE.intent.to_json(), **changes})
    assert refused.value.message == message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"system": None}, "manifest.system must be text, not None"),
        ({"system": ""}, "'' is not a system name"),
        ({"components": []}, "manifest.components must be an object, not list"),
        ({"components": {}}, "the manifest of pricing has no component"),
        ({"components": {"model": 3}}, "component must be an object, not int"),
        ({"components": {"Model": MODEL.to_json()}}, "'Model' is not a component name"),
        ({"components": {3: MODEL.to_json()}}, "manifest.components must be text, not 3"),
        ({"intent": None}, "intent must be an object, not NoneType"),
        ({"intent": {"why": ""}}, "intent has unknown fields: why"),
        ({"parent": 3}, "manifest.parent must be text, not 3"),
        ({"parent": "3"}, "'3' is not a digest"),
    ],
)
def test_a_manifest_that_is_malformed_is_refused_by_its_field(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidError) as refused:
        Manifest.from_json({**LIVE.to_json(), **changes})
    assert refused.value.message == message
