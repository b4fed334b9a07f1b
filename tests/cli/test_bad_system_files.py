"""A system file that is wrong is refused with file, line, value and remedy, and what was applied before stays."""

import pytest

from tests.acceptance.stage import Stage
from tests.cli.conftest import SMALL

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{after}: &{after} [{','.join([f'*{before}'] * 9)}]\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        pytest.param(
            SMALL + "sla: {latency_p99: 80ms\n", ["pricing.yaml, line 8", "Correct the YAML there"], id="malformed"
        ),
        pytest.param(SMALL + "\tsla: 1\n", ["pricing.yaml, line 7", "Correct the YAML there"], id="a tab"),
        pytest.param(
            SMALL + "kind: batch\n",
            ["line 7", "the key 'kind' stands on line 2 already", "Keep one of them"],
            id="a duplicate key",
        ),
        pytest.param(BOMB, ["line 1", "aliases and anchors (a) are not read"], id="an alias bomb"),
        pytest.param(
            SMALL + "fallbak: {price: 3}\n",
            ["line 7 (fallbak: {price: 3})", "unknown key fallbak", "Did you mean 'fallback'?"],
            id="an unknown key, with the nearest known one",
        ),
        pytest.param(
            SMALL.replace("system: pricing", "system: 7"), ["line 1 (system: 7)", "7"], id="a number for a name"
        ),
        pytest.param(
            SMALL.replace("{files: model.json}", "{files: 41}"),
            ["line 4", "components.model.files", "41"],
            id="a number for a path",
        ),
        pytest.param(
            SMALL + "triggers: {errors: {over: much}}\n", ["line 7", "triggers.errors.over", "much"], id="no number"
        ),
        pytest.param(
            SMALL.replace("files: model.json", "mlflow: pricing"),
            ["line 4", "components.model", "mlflow"],
            id="a component of a kind that is not installed",
        ),
    ],
)
def test_refused(shared: Stage, written: str, said: list[str]) -> None:
    before = shared.files()
    (shared.folder / "pricing.yaml").write_text(written)
    done = shared.kg("apply", "pricing.yaml")
    assert done.code == 1
    assert done.out == ""
    assert "Traceback" not in done.err
    for words in said:
        assert words in done.err
    assert shared.files() == before


def test_a_refusal_as_json_names_line_and_key(shared: Stage) -> None:
    (shared.folder / "pricing.yaml").write_text(SMALL + "fallbak: {price: 3}\n")
    error = shared.kg("apply", "pricing.yaml", "--output", "json").error
    assert error["code"] == "invalid"
    assert error["details"]["line"] == 7
    assert error["details"]["path"] == ["fallbak"]


def test_a_file_that_is_not_there_says_how_to_write_one(stage: Stage) -> None:
    done = stage.kg("apply", "pricing.yaml")
    assert (done.code, done.out) == (1, "")
    assert "there is no system file pricing.yaml" in done.err
    assert "kg init" in done.err
    assert not stage.home.exists()


def test_applying_the_same_again_changes_nothing(shared: Stage) -> None:
    before = shared.files()
    (shared.folder / "pricing.yaml").write_text(SMALL)
    assert shared.kg("apply", "pricing.yaml", "--output", "json").json["changed"] is False
    assert shared.files() == before
