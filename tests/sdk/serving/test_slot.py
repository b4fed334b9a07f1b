"""A slot is loaded, warmed and right on its golden inputs, or it says why not; equal parts are held once."""

import functools
import gc
import hashlib
import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from knowngood_sdk.errors import NotReadyError
from knowngood_sdk.model.manifest import Ref
from knowngood_sdk.model.wire import ReleaseDocument
from knowngood_sdk.serving.slot import Handles, Slot, Version, load_slot, static_slot
from tests.sdk.serving.steward import Priced, Steward


@pytest.fixture
def steward(tmp_path: Path) -> Steward:
    return Steward(tmp_path)


def loaded(steward: Steward, version: str, handles: Handles | None = None) -> Slot:
    return load_slot(steward.folder.release(version), Priced, answered, handles or Handles())


def answered(priced: Priced, ride: float) -> float:
    return priced.price(ride)


@pytest.mark.requirement("G2", "N1")
def test_a_version_becomes_a_slot_with_its_cost_on_record(steward: Steward) -> None:
    slot = loaded(steward, steward.release(2.0))
    assert slot.value.price(3.0) == 6.0
    assert slot.load_seconds > 0
    assert slot.memory_bytes >= 0
    assert len(slot.golden) == 1


def test_its_headers_name_the_system_version_and_the_model(steward: Steward) -> None:
    version = steward.release(2.0)
    slot = loaded(steward, version)
    assert slot.source is not None
    model = slot.source.model.digest
    assert slot.headers == ((b"kg-system-version", version.encode()), (b"kg-model-version", model.encode()))
    assert static_slot(1).headers == ((b"kg-system-version", b"static-fallback"),)


def test_a_loader_sees_every_part(steward: Steward) -> None:
    slot = loaded(steward, steward.release(2.0, surge=1.5))
    version = slot.source
    assert version is not None
    assert list(version) == ["model", "config"]
    assert version.config.document == {"surge": 1.5}
    assert json.loads(Path(version.model).read_text()) == {"factor": 2.0}
    assert version["model"] == version.model
    with pytest.raises(AttributeError, match="no component 'features'; it has model, config"):
        _ = version.features


@pytest.mark.requirement("G2")
def test_a_change_of_configuration_loads_no_second_model(steward: Steward) -> None:
    handles = Handles()
    one = loaded(steward, steward.release(2.0, surge=1.0), handles)
    other = loaded(steward, steward.release(2.0, surge=1.5), handles)
    third = loaded(steward, steward.release(3.0, surge=1.5), handles)
    assert one.value.model is other.value.model
    assert third.value.model is not one.value.model


def test_a_part_is_let_go_with_the_last_slot_that_holds_it(steward: Steward) -> None:
    handles = Handles()
    made: list[int] = []

    def load(version: Version) -> Any:
        def make(part: Any) -> dict[str, Any]:
            made.append(1)
            return dict(json.loads(Path(part.path).read_text()))

        return version.handle("model", make)

    release = steward.folder.release(steward.release(2.0, golden=[]))
    slot = load_slot(release, load, None, handles)
    load_slot(release, load, None, handles)
    assert len(made) == 1
    del slot
    gc.collect()
    load_slot(release, load, None, handles)
    assert len(made) == 2


def test_two_ways_to_make_one_part_are_two_handles(steward: Steward) -> None:
    def load(version: Version) -> Any:
        path = version.handle("model", lambda part: part.path)
        return path, version.handle("model", lambda part: len(part.path))

    path, length = load_slot(steward.folder.release(steward.release(2.0, golden=[])), load, None, Handles()).value
    assert len(path) == length


class Surging:
    """Loads models whose method uses what it was made with."""

    def __init__(self, surge: float) -> None:
        self.surge = surge

    def make(self, _part: Any) -> list[float]:
        return [self.surge]


def with_a_closure(version: Version) -> Any:
    config = version.config.document
    return version.handle("model", lambda _part: [config["surge"]])


def with_a_closure_over_the_version(version: Version) -> Any:
    return version.handle("model", lambda _part: [version.config.document["surge"]])


def with_a_default(version: Version) -> Any:
    def make(_part: Any, surge: float = version.config.document["surge"]) -> list[float]:
        return [surge]

    return version.handle("model", make)


def with_a_named_default(version: Version) -> Any:
    def make(_part: Any, *, surge: float = version.config.document["surge"]) -> list[float]:
        return [surge]

    return version.handle("model", make)


def with_a_partial(version: Version) -> Any:
    return version.handle("model", functools.partial(lambda surge, _part: [surge], version.config.document["surge"]))


def with_a_method(version: Version) -> Any:
    return version.handle("model", Surging(version.config.document["surge"]).make)


@pytest.mark.requirement("A1")
@pytest.mark.parametrize(
    "load",
    [
        with_a_closure,
        with_a_closure_over_the_version,
        with_a_default,
        with_a_named_default,
        with_a_partial,
        with_a_method,
    ],
)
def test_a_part_that_is_made_of_more_than_its_bytes_is_no_other_versions(
    steward: Steward, load: Callable[[Version], Any]
) -> None:
    handles = Handles()
    slots = [
        load_slot(steward.folder.release(steward.release(2.0, surge=surge, golden=[])), load, None, handles)
        for surge in (1.0, 1.5)
    ]
    assert [slot.value for slot in slots] == [[1.0], [1.5]]


def test_a_name_that_has_no_value_yet_stands_in_nobodys_way(steward: Steward) -> None:
    def load(version: Version) -> Any:
        made = version.handle("model", lambda part: part.digest or later)
        later = made
        return made

    release = steward.folder.release(steward.release(2.0, golden=[]))
    assert load_slot(release, load, None, Handles()).value == release.manifest.components["model"].ref.digest


@pytest.mark.requirement("N1")
def test_a_golden_output_that_differs_says_line_expected_and_got(steward: Steward) -> None:
    version = steward.release(2.0, golden=[{"input": 1.0, "output": 2.0}, {"input": 2.0, "output": 4.5}])
    with pytest.raises(NotReadyError, match=r"golden line 2: the output should be 4.5 and is 4.0"):
        loaded(steward, version)


def test_golden_inputs_that_nothing_answers_block(steward: Steward) -> None:
    release = steward.folder.release(steward.release(2.0))
    with pytest.raises(NotReadyError, match="golden"):
        load_slot(release, Priced, None, Handles())


def test_golden_inputs_that_are_gone_block(steward: Steward) -> None:
    release = steward.folder.release(steward.release(2.0))
    assert release.golden is not None
    Path(release.golden).unlink()
    with pytest.raises(NotReadyError, match="golden"):
        load_slot(release, Priced, answered, Handles())


@pytest.mark.parametrize("error", [ValueError("bad"), MemoryError(), KeyError("factor"), SystemExit(1)])
def test_a_loader_that_raises_is_quoted(steward: Steward, error: BaseException) -> None:
    def load(_version: Version) -> Any:
        raise error

    with pytest.raises(NotReadyError, match=f"the loader raised {type(error).__name__}"):
        load_slot(steward.folder.release(steward.release(2.0)), load, answered, Handles())


def test_a_pickle_that_fails_to_load_is_quoted(steward: Steward) -> None:
    def load(version: Version) -> Any:
        return pickle.loads(Path(version.model).read_bytes())  # noqa: S301 - that is the point

    with pytest.raises(NotReadyError, match="the loader raised UnpicklingError"):
        load_slot(steward.folder.release(steward.release(2.0)), load, answered, Handles())


@pytest.mark.requirement("A1")
def test_bytes_that_do_not_match_the_digest_are_never_handed_to_the_loader(steward: Steward) -> None:
    release = steward.folder.release(steward.release(2.0))
    Path(release.paths["model"]).write_text('{"factor": 3.0}')
    with pytest.raises(NotReadyError, match=r"component model at .* has the digest"):
        load_slot(release, Priced, answered, Handles())


def edited(steward: Steward, version: str, component: str, **facets: str | None) -> ReleaseDocument:
    """A release whose manifest is the recorded one but for some facets, which no content digest covers."""
    path = steward.folder.manifests / f"{version.removeprefix('sha256:')}.json"
    document = json.loads(path.read_text())
    held = document["manifest"]["components"][component]["ref"]["facets"]
    held.update({name: value for name, value in facets.items() if value is not None})
    for name in [name for name, value in facets.items() if value is None]:
        del held[name]
    path.write_text(json.dumps(document))
    return steward.folder.release(version)


@pytest.mark.requirement("A1")
@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"surge": 9.0}', id="another value"),
        pytest.param('{"surge":  1.0}', id="another spelling"),
        pytest.param("{", id="no JSON"),
        pytest.param("", id="empty"),
    ],
)
def test_a_document_that_was_edited_is_never_handed_to_the_loader(steward: Steward, text: str) -> None:
    version = steward.release(2.0, golden=[])
    release = edited(steward, version, "config", document=text)
    recorded = release.manifest.components["config"].ref.digest
    found = hashlib.sha256(text.encode()).hexdigest()
    with pytest.raises(NotReadyError) as refused:
        load_slot(release, Priced, None, Handles())
    assert str(refused.value) == (
        f"the document of component config has the digest {found[:12]}, recorded is {recorded[7:19]}. "
        "It was edited after it was recorded; restore the manifest, or deploy again"
    )


@pytest.mark.requirement("A1")
def test_a_document_beside_the_bytes_of_a_file_is_none_of_that_component(steward: Steward) -> None:
    release = edited(steward, steward.release(2.0, golden=[]), "model", document='{"factor": 9.0}')
    with pytest.raises(NotReadyError, match="the document of component model has the digest"):
        load_slot(release, Priced, None, Handles())


@pytest.mark.requirement("A1")
@pytest.mark.parametrize("form", [None, "table", ""])
def test_no_facet_switches_the_check_of_the_bytes_off(steward: Steward, form: str | None) -> None:
    release = edited(steward, steward.release(2.0), "model", form=form)
    assert load_slot(release, Priced, answered, Handles()).value.price(1.0) == 2.0
    Path(release.paths["model"]).write_text('{"factor": 3.0}')
    with pytest.raises(NotReadyError, match=r"component model at .* has the digest"):
        load_slot(release, Priced, answered, Handles())


def test_a_document_that_is_no_json_is_named(steward: Steward) -> None:
    release = steward.folder.release(steward.release(2.0, golden=[]))
    ref = Ref(digest="sha256:" + hashlib.sha256(b"{").hexdigest(), facets={"document": "{"})
    config = replace(release.manifest.components["config"], ref=ref)
    strange = replace(release, manifest=release.manifest.with_component("config", config))
    with pytest.raises(NotReadyError, match="the document of component config is not JSON"):
        load_slot(strange, Priced, None, Handles())


def test_an_artifact_that_is_gone_is_named(steward: Steward) -> None:
    release = steward.folder.release(steward.release(2.0))
    Path(release.paths["model"]).unlink()
    with pytest.raises(NotReadyError, match="component model cannot be read"):
        load_slot(release, Priced, answered, Handles())
