"""A test that says it covers a requirement names one that exists, and the counts are those of the tests."""

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tools.requirements import requirements, table

ROOT = Path(__file__).parents[2]


def test_page_of_requirements_has_every_id_once() -> None:
    page = (ROOT / "docs" / "requirements.md").read_text(encoding="utf-8")
    ids = requirements(page)
    assert len(ids) == page.count("\n| ") - 2 * page.count("| id |")
    assert {"A1", "B4", "C12", "D3", "E7", "F3", "G4", "H3", "I5", "J5", "K3", "L5m", "M3", "N4"} <= set(ids)


def test_requirement_without_a_test_says_so() -> None:
    lines = list(table({"A1": "all", "A2": "some", "A3": "none"}, Counter({"A1": 12, "A2": 1})))
    assert lines == [
        "A1     12 tests   all",
        "A2       1 test   some",
        "A3      no test   none",
        "2 of 3 requirements have a test",
    ]


def test_unknown_id_stops_the_collection(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path / "tests")
    shutil.copy(ROOT / "docs" / "requirements.md", tmp_path / "docs")
    (tmp_path / "tests" / "test_wishes.py").write_text(
        "import pytest\n\n@pytest.mark.requirement('A1', 'Z9')\ndef test_wish() -> None: ...\n", encoding="utf-8"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = requirement(*ids): ids\n", encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode != 0
    assert "does not have: ['Z9']" in result.stdout + result.stderr
