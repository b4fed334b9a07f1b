"""The team's folder: a Git repository, files that knowngood can capture, and a system file that grants in the open."""

import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from knowngood.adapters.yaml import read_system_file
from knowngood.demo.fallback import FALLBACK_PRICE
from knowngood.demo.workplace import Workplace, change_text, rules
from knowngood.demo.world.features import CHANGES
from knowngood.demo.world.pricing import Pricing
from knowngood.domain.system import Grant
from knowngood_sdk.errors import InvalidError, NotFoundError
from knowngood_sdk.serving.fingerprint import fingerprint
from knowngood_sdk.serving.golden import check_golden, read_golden


@pytest.fixture
def workplace(tmp_path: Path, first: Pricing, year: pd.DataFrame) -> Workplace:
    made = Workplace(tmp_path)
    made.begin()
    made.write(first, year, "Version 1")
    return made


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_what_is_written_is_committed_and_clean(workplace: Workplace) -> None:
    assert git(workplace.folder, "status", "--porcelain", "--untracked-files=no") == ""
    assert "features/features.py" in git(workplace.folder, "ls-files").split()
    assert git(workplace.folder, "log", "--format=%s").splitlines() == ["Version 1"]


def test_model_requires_the_very_features_that_stand_beside_it(workplace: Workplace) -> None:
    contract = json.loads((workplace.folder / "contract.json").read_text(encoding="utf-8"))
    assert contract == {"requires": {"features": fingerprint(workplace.folder / "features")}}


def test_a_model_on_others_features_still_requires_those_it_was_trained_on(workplace: Workplace) -> None:
    trained_on = fingerprint(workplace.folder / "features")
    workplace.write_features("def features(hours):\n    return hours[['hr']]\n", "another")
    contract = json.loads((workplace.folder / "contract.json").read_text(encoding="utf-8"))
    assert contract == {"requires": {"features": trained_on}}
    assert fingerprint(workplace.folder / "features") != trained_on
    assert git(workplace.folder, "log", "--format=%s").splitlines()[0] == "another"


def test_golden_requests_are_in_the_products_form_and_right(workplace: Workplace, first: Pricing) -> None:
    def answer(pricing: Pricing, request: dict[str, float]) -> dict[str, float]:
        quote = pricing.quote(request)
        return {"demand": quote.demand, "price": quote.price}

    lines = read_golden(workplace.folder / "golden.jsonl")
    assert len(lines) >= 12
    check_golden(lines, answer, first)


@pytest.mark.requirement("J5")
def test_system_file_grants_rollback_in_the_open_and_only_there(workplace: Workplace) -> None:
    written = read_system_file(workplace.folder / "pricing.yaml")
    assert written == rules()
    assert {trigger.grant for trigger in written.triggers.values()} == {Grant.ROLLBACK}
    assert written.fallback == {"price": FALLBACK_PRICE}


def test_a_change_is_known_by_name_or_read_from_a_file(tmp_path: Path) -> None:
    for name in CHANGES:
        assert "def features(hours" in change_text(name)
    own = tmp_path / "own.py"
    own.write_text("features = None", encoding="utf-8")
    assert change_text(str(own)) == "features = None"


def test_a_change_that_is_nowhere_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"there is no file none\.py"):
        change_text("none.py")
    damaged = tmp_path / "damaged.py"
    damaged.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidError, match="is not UTF-8 text"):
        change_text(str(damaged))
