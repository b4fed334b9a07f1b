"""Documents that the manifest carries: their value is their identity, and what could be misread is refused."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from knowngood.adapters.inline import InlineComponent
from knowngood.domain.component import Availability, Depth
from knowngood.domain.system import ComponentSpec
from knowngood.ports.component import Component, ComponentFactory
from knowngood.testing.contracts.component import ComponentContract
from knowngood_sdk.errors import InvalidError, NotFoundError
from knowngood_sdk.model.manifest import Ref, Role

SOON = timedelta(seconds=30)
FACTORY: ComponentFactory = InlineComponent


def component(tmp_path: Path, target: str = "surge.yaml") -> InlineComponent:
    spec = ComponentSpec(name="config", role=Role.CONFIG, kind="inline", target=target)
    return InlineComponent(spec, system="pricing", root=tmp_path, folder=tmp_path / "folder")


def captured(tmp_path: Path, content: str | bytes, target: str = "surge.yaml") -> Ref:
    (tmp_path / target).write_bytes(content.encode() if isinstance(content, str) else content)
    return component(tmp_path, target).capture(SOON)


def loaded(tmp_path: Path, ref: Ref, target: str = "surge.yaml") -> object:
    path = component(tmp_path, target).prepare(ref, SOON).path
    assert path is not None
    return json.loads(Path(path).read_bytes())


class InlineHarness:
    def __init__(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path

    def component(self) -> Component:
        return component(self.tmp_path)

    def write(self, number: int) -> None:
        (self.tmp_path / "surge.yaml").write_text(f"multiplier: {number}\n")

    def lose(self, ref: Ref) -> Ref:
        self.forget(ref)
        return Ref(digest=ref.digest, facets={name: text for name, text in ref.facets.items() if name != "document"})

    def damage(self, ref: Ref) -> Ref:
        self.forget(ref)
        return Ref(digest=ref.digest, facets={**ref.facets, "document": '{"multiplier":99}'})

    def forget(self, ref: Ref) -> None:
        for path in (self.tmp_path / "folder" / "trees" / ref.digest.removeprefix("sha256:")).glob("*"):
            path.unlink()


@pytest.mark.requirement("A1", "N1", "N2", "N4")
class TestInlinedDocument(ComponentContract):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> InlineHarness:
        return InlineHarness(tmp_path)


def test_the_ref_alone_brings_the_document_back(tmp_path: Path) -> None:
    ref = captured(tmp_path, "multiplier: 1.5\nzones: [a, b]\n")
    (tmp_path / "surge.yaml").unlink()
    elsewhere = tmp_path / "another-host"
    elsewhere.mkdir()
    assert loaded(elsewhere, Ref.from_json(ref.to_json())) == {"multiplier": 1.5, "zones": ["a", "b"]}


def test_a_comment_the_order_of_keys_and_the_spelling_make_no_new_version(tmp_path: Path) -> None:
    refs = [
        captured(tmp_path, "a: 1\nb: x\n"),
        captured(tmp_path, "# better\nb: 'x'\na: 1\n"),
        captured(tmp_path, '{"b": "x", "a": 1}', "surge.json"),
    ]
    assert len({ref.digest for ref in refs}) == 1
    assert captured(tmp_path, "a: 1\nb: y\n").digest != refs[0].digest


def test_the_digest_is_the_one_of_the_file_that_loaders_get(tmp_path: Path) -> None:
    ref = captured(tmp_path, "a: 1\n")
    path = component(tmp_path).prepare(ref, SOON).path
    assert path is not None
    assert Path(path).name == "surge.json"
    assert Path(path).read_bytes() == b'{"a":1}'


@pytest.mark.requirement("N1")
def test_a_component_that_does_not_exist_is_named_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"component config names the document .*surge\.yaml"):
        component(tmp_path).capture(SOON)


@pytest.mark.parametrize(
    ("target", "content", "message"),
    [
        pytest.param("surge.yaml", "a: [1\nb: 2", r"surge\.yaml, line 2", id="broken YAML"),
        pytest.param("surge.json", '{"a": 1,\n}', r"surge\.json, line 2", id="broken JSON"),
        pytest.param("surge.yaml", "a: 1\na: 2", "the key 'a' stands on line 1 already", id="a key twice"),
        pytest.param(
            "surge.json", '{"a": 1, "a": 2}', "the key 'a' stands in one object twice", id="a key twice, JSON"
        ),
        pytest.param("surge.yaml", "enabled: no", r'no is text here and bool.*quotes.*"no"', id="no"),
        pytest.param("surge.yaml", "from: 12:30", "12:30 is text here and int", id="a time of day"),
        pytest.param("surge.yaml", "limit: 1_000", "1_000 is text here and int", id="underscores"),
        pytest.param("surge.yaml", "mode: 0644", "0644 is text here and int", id="octal"),
        pytest.param("surge.yaml", "day: 2026-11-22", "2026-11-22 is text here and timestamp", id="a date"),
        pytest.param("surge.yaml", "17: 1.4", 'the key 17 is not text.*"17"', id="a number as a key"),
        pytest.param("surge.yaml", "a: .nan", "no finite number", id="not a number"),
        pytest.param("surge.json", '{"a": NaN}', "no JSON form", id="not a number, JSON"),
        pytest.param("surge.json", '{"a": 1e999}', "no JSON form", id="infinite"),
        pytest.param("surge.yaml", "a: 90071992547409931", "Write it as a string", id="digits that JSON loses"),
        pytest.param("surge.json", "[" * 20_000 + "]" * 20_000, "nested too deeply", id="deep JSON"),
        pytest.param("surge.yaml", "[" * 50 + "]" * 50, "nested more than 32 deep", id="deep YAML"),
        pytest.param("surge.yaml", "a: &x 1\nb: *x", "aliases and anchors", id="an alias"),
        pytest.param("surge.yaml", b"a: \xff", "not UTF-8", id="not UTF-8"),
        pytest.param("surge.json", b'{"a": "\xff"}', "not UTF-8", id="not UTF-8, JSON"),
        pytest.param("surge.json", '{"a": "\\ud800"}', "lone surrogate", id="half a character"),
        pytest.param("surge.yaml", "a: " + "x" * 65_536, "more than 65,536 bytes", id="too large"),
    ],
)
def test_a_document_that_cannot_be_read_in_one_way_alone_is_refused(
    tmp_path: Path, target: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(InvalidError, match=message):
        captured(tmp_path, content, target)
    assert not (tmp_path / "folder").exists()


def test_quoted_it_is_text(tmp_path: Path) -> None:
    ref = captured(tmp_path, 'a: "no"\nb: "12:30"\nc: "1_000"\nd: yes please\n')
    assert loaded(tmp_path, ref) == {"a": "no", "b": "12:30", "c": "1_000", "d": "yes please"}


def test_a_document_that_is_as_large_as_it_may_be_is_kept(tmp_path: Path) -> None:
    text = "x" * (65_536 - len('{"a":""}'))
    ref = captured(tmp_path, json.dumps({"a": text}, separators=(",", ":")), "surge.json")
    assert len(ref.facets["document"]) == 65_536


def test_a_document_that_grows_when_it_is_written_plainly_is_measured_then(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="too large to be inlined"):
        captured(tmp_path, "a: [" + "1e20, " * 10_000 + "1]")


@pytest.mark.parametrize("target", ["surge.toml", "surge", "surge.yaml.bak"])
def test_another_format_is_refused_by_its_suffix(tmp_path: Path, target: str) -> None:
    with pytest.raises(InvalidError, match="neither YAML nor JSON"):
        component(tmp_path, target)


def test_a_document_that_was_edited_in_the_manifest_is_damaged_at_every_depth(tmp_path: Path) -> None:
    ref = captured(tmp_path, "multiplier: 1\n")
    edited = Ref(digest=ref.digest, facets={**ref.facets, "document": '{"multiplier":2}'})
    for depth in Depth:
        assert component(tmp_path).probe(edited, depth).availability is Availability.DAMAGED
