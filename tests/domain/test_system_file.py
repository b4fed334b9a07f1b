"""The system file's values: defaults that are safe, and refusals that name key, value and remedy."""

import json
import re
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood.domain.spelling import counted, did_you_mean
from knowngood.domain.state import StateClass
from knowngood.domain.system import (
    ComponentSpec,
    Grant,
    Kinds,
    Sla,
    Standby,
    SystemFile,
    SystemKind,
    Tolerance,
    TriggerKind,
    TriggerSpec,
    Verify,
)
from knowngood.domain.trigger import from_spec
from knowngood_sdk.errors import InvalidError, NotFoundError
from knowngood_sdk.model.canonical import canonical_bytes
from knowngood_sdk.model.manifest import Role, Switching

SMALLEST: dict[str, Any] = {
    "system": "pricing",
    "kind": "realtime",
    "components": {"model": {"files": "model.joblib"}},
}


def read(**changes: Any) -> SystemFile:
    return SystemFile.from_json({**SMALLEST, **changes})


def refusal(**changes: Any) -> InvalidError:
    with pytest.raises(InvalidError) as caught:
        read(**changes)
    assert caught.value.hint, "every refusal says what to do"
    return caught.value


@pytest.mark.requirement("J5", "N4")
def test_what_is_not_declared_is_safe() -> None:
    system = read(triggers={"errors": {}})
    assert system.triggers["errors"].grant is Grant.OBSERVE
    assert system.standby == Standby(keep=timedelta(hours=72), memory=None)
    assert system.unproven == Tolerance(divergence=0.15, requests=100)
    assert (system.sla, system.golden, system.fallback) == (Sla(), None, None)
    assert read().triggers == {}


def test_a_full_declaration_is_read_into_typed_values() -> None:
    system = read(
        kind="llm",
        sla={"latency_p99": "80ms"},
        components={
            "model": {"files": "m.joblib", "contract": "m.json"},
            "code": {"git": "features/", "role": "features", "switching": "pointer", "shared_by": ["eta", "fraud"]},
        },
        standby={"keep": "48h", "memory": "4GiB"},
        golden="golden.jsonl",
        fallback={"price": 9.5, "why": None},
        unproven={"divergence": "20%", "requests": 500},
        verify={"requests": 50, "within": "2m"},
        health=["http://127.0.0.1:8000/health"],
        triggers={"errors": {"over": "5%", "windows": 3, "do": "rollback"}, "bookings": {"drop": "10%", "do": "hold"}},
    )
    assert system.kind is SystemKind.LLM
    assert system.sla.latency_p99 == timedelta(milliseconds=80)
    assert system.components["code"] == ComponentSpec(
        name="code",
        role=Role.FEATURES,
        kind="git",
        target="features/",
        switching=Switching.POINTER,
        shared_by=("eta", "fraud"),
    )
    assert system.standby == Standby(keep=timedelta(hours=48), memory=4 * 2**30)
    assert (system.golden, system.fallback) == ("golden.jsonl", {"price": 9.5, "why": None})
    assert system.unproven == Tolerance(divergence=0.2, requests=500)
    assert system.verify == Verify(requests=50, within=timedelta(minutes=2))
    assert system.health == ("http://127.0.0.1:8000/health",)
    assert system.components["model"].contract == "m.json"
    assert system.triggers == {
        "errors": TriggerSpec(
            kind=TriggerKind.ERRORS, metric="errors", options={"over": 0.05, "windows": 3}, grant=Grant.ROLLBACK
        ),
        "bookings": TriggerSpec(kind=TriggerKind.BUSINESS, metric="bookings", options={"drop": 0.1}, grant=Grant.HOLD),
    }


@pytest.mark.requirement("C1", "C2", "C3", "C4", "C5", "C10")
@pytest.mark.parametrize(
    ("name", "options", "kind", "values"),
    [
        ("errors", {"over": "5%", "min_requests": 20}, TriggerKind.ERRORS, {"over": 0.05, "min_requests": 20}),
        ("latency", {"over": "5x", "windows": 2}, TriggerKind.LATENCY, {"over": 5.0, "windows": 2}),
        ("health", {"failures": 3}, TriggerKind.HEALTH, {"failures": 3}),
        (
            "nonsense",
            {"low": -1, "high": 2.5, "over": "1%", "constant": False},
            TriggerKind.NONSENSE,
            {"low": -1, "high": 2.5, "over": 0.01, "constant": 0.0},
        ),
        ("prediction_mean", {"shift": "150%"}, TriggerKind.PREDICTION_MEAN, {"shift": 1.5}),
        ("conversion", {"drop": "10%", "min_requests": 50}, TriggerKind.BUSINESS, {"drop": 0.1, "min_requests": 50}),
    ],
)
def test_each_trigger_has_its_own_options_and_a_judge_takes_them(
    name: str, options: dict[str, Any], kind: TriggerKind, values: dict[str, float]
) -> None:
    system = read(sla={"latency_p99": "80ms"}, triggers={name: options})
    assert system.triggers[name] == TriggerSpec(kind=kind, metric=name, options=values)
    assert from_spec(system.triggers[name], system.sla).name == name


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        pytest.param({"triger": {}}, ["triger"], "unknown key triger", id="an unknown key"),
        pytest.param({"components": {}}, ["components"], "components is empty", id="no component"),
        pytest.param({"components": None}, ["components"], "components must be a mapping .* not empty", id="nothing"),
        pytest.param({"components": ["model"]}, ["components"], "not a list", id="a list of components"),
        pytest.param(
            {"components": {"model": "m.joblib"}}, ["components", "model"], "not the text 'm.joblib'", id="a text"
        ),
        pytest.param(
            {"components": {"model": {"files": "a", "git": "b"}}},
            ["components", "model"],
            "components.model is declared as files and git",
            id="two kinds",
        ),
        pytest.param({"components": {"model": {}}}, ["components", "model"], "names no component kind", id="no kind"),
        pytest.param(
            {"components": {"model": {"mlflow": "pricing"}}},
            ["components", "model", "mlflow"],
            "'mlflow' is none",
            id="a kind that is not installed",
        ),
        pytest.param(
            {"components": {"surge": {"inline": "s.yaml"}}}, ["components", "surge"], "surge has no role", id="no role"
        ),
        pytest.param(
            {"components": {"model": {"files": "m", "role": "modell"}}},
            ["components", "model", "role"],
            "role is 'modell'",
            id="an unknown role",
        ),
        pytest.param(
            {"components": {"Model": {"files": "m"}}},
            ["components", "Model"],
            "'Model' is not a component name",
            id="case",
        ),
        pytest.param(
            {"components": {"../x": {"files": "m"}}},
            ["components", "../x"],
            "is not a component name",
            id="hostile name",
        ),
        pytest.param({"system": "a/b"}, ["system"], "'a/b' is not a system name", id="hostile system"),
        pytest.param({"system": ""}, ["system"], "system must be text, not empty", id="an empty text"),
        pytest.param({"system": 12}, ["system"], "system must be text, not the number 12", id="a number for a text"),
        pytest.param({"kind": True}, ["kind"], "kind must be text, not the truth value True", id="a truth value"),
        pytest.param({"kind": ["realtime"]}, ["kind"], "kind must be text, not a list", id="a list for a text"),
        pytest.param(
            {"components": {"model": {"files": "m", "shared_by": "eta"}}},
            ["components", "model", "shared_by"],
            "must be a list of names, not the text 'eta'",
            id="one name for a list",
        ),
        pytest.param(
            {"components": {"model": {"files": "m", "shared_by": ["eta", 3]}}},
            ["components", "model", "shared_by", "1"],
            "must be text, not the number 3",
            id="a number in a list",
        ),
        pytest.param({"sla": {"latency_p99": 80}}, ["sla", "latency_p99"], "not the number 80", id="no unit"),
        pytest.param({"sla": {"latency_p95": "8ms"}}, ["sla", "latency_p95"], "unknown key", id="an unknown promise"),
        pytest.param({"standby": {"keep": "-1h"}}, ["standby", "keep"], "must be a duration", id="negative"),
        pytest.param({"unproven": {"requests": 0}}, ["unproven", "requests"], "must be a count", id="no evidence"),
        pytest.param({"golden": 1}, ["golden"], "golden must be text", id="a number for a path"),
        pytest.param(
            {"fallback": 9.5},
            ["fallback"],
            "fallback must be a mapping of keys to values, not the number 9.5",
            id="no object",
        ),
        pytest.param({"fallback": {"p": float("nan")}}, ["fallback"], "nan has no JSON form", id="no JSON"),
        pytest.param({"fallback": {3: 1}}, ["fallback"], "has the key 3, which is not text", id="no JSON key"),
        pytest.param(
            {"triggers": {"erors": {}}}, ["triggers", "erors"], "is no known trigger", id="a slip in a trigger"
        ),
        pytest.param(
            {"triggers": {"errors": None}}, ["triggers", "errors"], "not empty", id="a trigger without braces"
        ),
        pytest.param(
            {"triggers": {"errors": {"over": "100%"}}}, ["triggers", "errors", "over"], "nothing can exceed", id="100 %"
        ),
        pytest.param(
            {"triggers": {"errors": {"over": 5}}}, ["triggers", "errors", "over"], "nothing can exceed", id="5 for 5 %"
        ),
        pytest.param(
            {"triggers": {"errors": {"do": "rolback"}}}, ["triggers", "errors", "do"], "is 'rolback'", id="a slip"
        ),
        pytest.param(
            {"triggers": {"errors": {"drop": "5%"}}},
            ["triggers", "errors", "drop"],
            "unknown key",
            id="another's option",
        ),
        pytest.param(
            {"triggers": {"nonsense": {"low": 5, "high": 1}}},
            ["triggers", "nonsense"],
            "low 5 above high 1",
            id="swapped",
        ),
        pytest.param(
            {"triggers": {"nonsense": {"low": "0"}}},
            ["triggers", "nonsense", "low"],
            "must be a number",
            id="a text for a number",
        ),
        pytest.param(
            {"triggers": {"latency": {}}},
            ["triggers", "latency"],
            "sla.latency_p99, which is not declared",
            id="no sla",
        ),
    ],
)
def test_a_wrong_value_is_refused_with_its_key(changes: dict[str, Any], path: list[str], message: str) -> None:
    error = refusal(**changes)
    assert error.details["path"] == path
    assert re.search(message, error.message)


@pytest.mark.parametrize("key", sorted(SMALLEST))
def test_what_is_needed_is_asked_for(key: str) -> None:
    with pytest.raises(InvalidError, match=f"the key '{key}' is missing.*Add {key}:"):
        SystemFile.from_json({name: value for name, value in SMALLEST.items() if name != key})


@pytest.mark.parametrize("high", [-5, 0, 5])
def test_one_bound_of_sensible_outputs_is_enough(high: float) -> None:
    assert read(triggers={"nonsense": {"high": high}}).triggers["nonsense"].options == {"high": high}


def test_the_nearest_known_word_is_offered() -> None:
    assert refusal(triggers={"erors": {}}).hint.startswith("Did you mean 'errors'?")
    assert refusal(standbye={}).hint.startswith("Did you mean 'standby'?")
    assert did_you_mean("wat", ["batch", "llm"]) == "Known: batch, llm"
    assert did_you_mean("zzz", ["b", "a"]) == "Known: a, b"
    assert did_you_mean("zzz", []) == "There is none"


def test_one_thing_is_not_several() -> None:
    assert [counted(number, "request") for number in (0, 1, 2)] == ["0 requests", "1 request", "2 requests"]


def test_a_component_that_does_not_exist_is_not_found_and_the_nearest_is_offered() -> None:
    assert read().component("model").target == "model.joblib"
    with pytest.raises(NotFoundError, match=r"system pricing has no component 'modle'\. Did you mean 'model'\?"):
        read().component("modle")


def test_options_of_an_installed_kind_are_read_and_others_refused() -> None:
    document = {**SMALLEST, "components": {"model": {"registry": "pricing", "alias": "champion"}}}
    kinds = Kinds(components={"registry": ("alias", "stage")})
    spec = SystemFile.from_json(document, kinds=kinds).component("model")
    assert (spec.kind, spec.target, dict(spec.options)) == ("registry", "pricing", {"alias": "champion"})
    for wrong in ({"allias": "x"}, {"alias": 3}):
        with pytest.raises(InvalidError, match="alias"):
            SystemFile.from_json({**SMALLEST, "components": {"model": {"registry": "p", **wrong}}}, kinds=kinds)


INSTALLED = Kinds(state={"redis": ("db",)}, effects={"outbox": ("schema",)})


def test_state_and_effects_are_read_with_the_options_of_their_kind() -> None:
    document = {
        **SMALLEST,
        "state": {"cache": {"redis": "{version}:*", "class": "derived", "db": "3"}},
        "effects": {"mails": {"outbox": "mails", "schema": "pricing"}},
    }
    read = SystemFile.from_json(document, kinds=INSTALLED)
    cache, mails = read.state["cache"], read.effects["mails"]
    assert (cache.kind, cache.target, cache.state_class, dict(cache.options)) == (
        "redis",
        "{version}:*",
        StateClass.DERIVED,
        {"db": "3"},
    )
    assert (mails.kind, mails.target, dict(mails.options)) == ("outbox", "mails", {"schema": "pricing"})
    assert SystemFile.from_json(read.to_json(), kinds=INSTALLED) == read


@pytest.mark.parametrize(
    ("section", "message"),
    [
        pytest.param({"state": {"cache": {"redis": "x"}}}, "the key 'class' is missing in state.cache", id="no class"),
        pytest.param({"state": {"cache": {"redis": "x", "class": "lost"}}}, "state.cache.class is 'lost'", id="class"),
        pytest.param({"state": {"cache": {"class": "derived"}}}, "state.cache names no state kind", id="no kind"),
        pytest.param({"state": {"cache": {"redis": "x", "class": "derived", "ttl": "1"}}}, "state.cache.ttl", id="key"),
        pytest.param(
            {"effects": {"mails": {"kafka": "x"}}}, "names no effects kind; 'kafka' is none", id="strange kind"
        ),
        pytest.param({"effects": {"mails": {"outbox": ""}}}, "effects.mails.outbox must be text", id="no target"),
    ],
)
def test_state_and_effects_that_are_declared_wrongly_are_refused(section: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidError) as caught:
        SystemFile.from_json({**SMALLEST, **section}, kinds=INSTALLED)
    assert message in str(caught.value)


def test_without_an_adapter_there_is_no_kind_of_state_to_choose() -> None:
    with pytest.raises(InvalidError, match="No adapter for state is installed"):
        SystemFile.from_json({**SMALLEST, "state": {"cache": {"redis": "x", "class": "derived"}}})


NAMES = st.from_regex(r"[a-z][a-z0-9_-]{0,10}", fullmatch=True)
RATIOS = st.floats(min_value=0.001, max_value=0.999)
DURATIONS = st.timedeltas(min_value=timedelta(microseconds=1), max_value=timedelta(days=365))


@st.composite
def system_files(draw: st.DrawFn) -> SystemFile:
    components = {
        name: ComponentSpec(
            name=name,
            role=draw(st.sampled_from(Role)),
            kind=draw(st.sampled_from(["files", "git", "inline"])),
            target=draw(st.text(min_size=1, max_size=10)),
            switching=draw(st.sampled_from(Switching)),
            shared_by=tuple(draw(st.lists(NAMES, max_size=2))),
            contract=draw(st.none() | st.just("model.json")),
        )
        for name in draw(st.sets(NAMES, min_size=1, max_size=3))
    }
    triggers = {
        "errors": TriggerSpec(
            kind=TriggerKind.ERRORS,
            metric="errors",
            options={"over": draw(RATIOS), "windows": draw(st.integers(1, 9))},
            grant=draw(st.sampled_from(Grant)),
        ),
        "bookings": TriggerSpec(kind=TriggerKind.BUSINESS, metric="bookings", options={"drop": draw(RATIOS)}),
        "latency": TriggerSpec(kind=TriggerKind.LATENCY, metric="latency", options={"over": draw(RATIOS) * 10}),
    }
    return SystemFile(
        system=draw(NAMES),
        kind=draw(st.sampled_from(SystemKind)),
        components=components,
        sla=Sla(latency_p99=draw(DURATIONS)),
        triggers=triggers,
        golden=draw(st.none() | st.just("golden.jsonl")),
        fallback=draw(
            st.none() | st.dictionaries(st.text(max_size=3), st.integers(-1000, 1000) | st.text(max_size=3), max_size=2)
        ),
        standby=Standby(
            keep=draw(DURATIONS),
            memory=draw(st.none() | st.integers(1, 2**36)),
        ),
        verify=Verify(requests=draw(st.integers(1, 10**6)), within=draw(DURATIONS)),
        health=tuple(draw(st.lists(st.just("https://x/health"), max_size=2))),
        unproven=Tolerance(divergence=draw(RATIOS), requests=draw(st.integers(1, 10**6))),
    )


@given(system_files())
def test_a_system_file_survives_being_written(system: SystemFile) -> None:
    assert SystemFile.from_json(json.loads(canonical_bytes(system.to_json()))) == system


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_document_is_read_or_refused_in_our_own_words(document: Any) -> None:
    for value in (document, {**SMALLEST, "triggers": document}, {**SMALLEST, "components": document}):
        with suppress(InvalidError):
            SystemFile.from_json(value)
