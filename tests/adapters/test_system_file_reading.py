"""The system file out of YAML: each refusal names file, line, key, value and remedy."""

from pathlib import Path

import pytest

from knowngood.adapters.yaml import read_system_file, write_commented_example
from knowngood.domain.system import EMBEDDED_KINDS, Grant, Kinds, SystemFile, SystemKind
from knowngood_sdk.errors import InvalidError, NotFoundError, PermanentError

SMALLEST = """\
system: pricing
kind: realtime
components:
  model: {files: model.joblib}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "system.yaml"


def test_the_example_that_init_writes_is_a_whole_system(path: Path) -> None:
    path.write_text(write_commented_example())
    system = read_system_file(path)
    assert system.kind is SystemKind.REALTIME
    assert {spec.kind for spec in system.components.values()} == set(EMBEDDED_KINDS)
    assert system.fallback == {"price": 9.5}
    assert {spec.grant for spec in system.triggers.values()} == {Grant.OBSERVE}, "it starts by observing"
    assert SystemFile.from_json(system.to_json()) == system


def test_every_part_of_the_example_is_commented() -> None:
    lines = write_commented_example().splitlines()
    parts = [number for number, line in enumerate(lines) if line[:1].isalpha()]
    for number in parts:
        assert any(line.startswith("#") for line in lines[max(0, number - 2) : number]), lines[number]


def test_the_smallest_file_is_enough(path: Path) -> None:
    path.write_text(SMALLEST)
    assert read_system_file(path).components["model"].target == "model.joblib"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param(
            "kind: realtime",
            "knid: realtime",
            r"system\.yaml, line 2 \(knid: realtime\): unknown key knid\. Did you mean 'kind'\?",
            id="an unknown key",
        ),
        pytest.param(
            "system: pricing",
            "system: 1.10",
            r"line 1 \(system: 1\.10\): system must be text, not the number 1\.1\. Put it in quotes",
            id="a number for a text",
        ),
        pytest.param(
            "system: pricing", "system: true", "system must be text, not the truth value True", id="a truth value"
        ),
        pytest.param("kind: realtime", "kind: no", r"line 2 .*kind is 'no'\. Known: batch, llm, realtime", id="no"),
        pytest.param(
            "model.joblib",
            "12",
            r"line 4 .*components\.model\.files must be text, not the number 12",
            id="a number for a path",
        ),
        pytest.param(
            "{files: model.joblib}",
            "{file: model.joblib}",
            r"line 4 .*components\.model names no component kind; 'file' is none\. Did you mean 'files'\?",
            id="an unknown component kind",
        ),
        pytest.param(
            "  model: {", "  model: {rol: model, ", r"components\.model\.rol\. Did you mean 'role'", id="a slip"
        ),
        pytest.param("system: pricing\n", "", r"line 1 .*the key 'system' is missing", id="a missing key"),
        pytest.param("realtime", "realtime\nkind: llm", r"line 3: the key 'kind' stands on line 2", id="a key twice"),
        pytest.param("realtime", "realtime\nsla: {latency_p99: 80}", r"line 3 .*80ms", id="a number without its unit"),
        pytest.param(
            "realtime", "realtime\nstandby:\n  keep: forever", r"line 4 \(keep: forever\)", id="a deep value's own line"
        ),
    ],
)
def test_a_wrong_file_is_refused_with_line_key_value_and_remedy(path: Path, old: str, new: str, message: str) -> None:
    assert old in SMALLEST
    path.write_text(SMALLEST.replace(old, new))
    with pytest.raises(InvalidError, match=message):
        read_system_file(path)


@pytest.mark.parametrize("content", ["", "# nothing\n", "[]", "pricing", "12"])
def test_what_is_no_mapping_at_all_is_refused(path: Path, content: str) -> None:
    path.write_text(content)
    with pytest.raises(InvalidError, match="the system file must be a mapping"):
        read_system_file(path)


def test_a_missing_file_says_how_to_write_one(path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no system file .*system\.yaml.*kg init"):
        read_system_file(path)
    with pytest.raises(NotFoundError):
        read_system_file(path.parent)


def test_a_place_that_cannot_be_read_is_no_missing_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PermanentError, match="cannot be read"):
        read_system_file(tmp_path / "file" / "system.yaml")


def test_a_strangers_component_kind_is_read_when_it_is_installed(path: Path) -> None:
    path.write_text(SMALLEST.replace("files: model.joblib", "registry: pricing, alias: champion"))
    with pytest.raises(InvalidError, match="names no component kind; 'registry' is none"):
        read_system_file(path)
    system = read_system_file(path, kinds=Kinds(components={**EMBEDDED_KINDS, "registry": ("alias",)}))
    assert (system.components["model"].kind, dict(system.components["model"].options)) == (
        "registry",
        {"alias": "champion"},
    )
