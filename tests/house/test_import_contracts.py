"""The rings hold, and the contracts that hold them are able to fail."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS = """
[tool.importlinter]
root_packages = ["sample"]
include_external_packages = true
contract_types = [
    "purity: tools.import_contracts.PurityContract",
    "vendors_at_home: tools.import_contracts.VendorsAtHomeContract",
]

[[tool.importlinter.contracts]]
name = "pure"
type = "purity"
packages = ["sample.rules"]
allowed = ["math", "sample.words"]

[[tool.importlinter.contracts]]
name = "at home"
type = "vendors_at_home"
homes = ["yaml: sample.files"]
"""


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    environment = {"PYTHONPATH": f"{folder}:{ROOT}", "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def sample(folder: Path, **modules: str) -> Path:
    """Write a package whose rules are pure and whose only third-party library lives in one module."""
    sources = {"__init__": "", "rules": "import math", "words": "", "files": "import yaml\nimport os"} | modules
    (folder / "sample").mkdir()
    for name, source in sources.items():
        (folder / "sample" / f"{name}.py").write_text(source, encoding="utf-8")
    (folder / "pyproject.toml").write_text(CONTRACTS, encoding="utf-8")
    return folder


def test_every_contract_of_the_repository_holds() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout


def test_sample_package_keeps_the_contracts(tmp_path: Path) -> None:
    result = lint_imports(sample(tmp_path))
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("modules", "complaint"),
    [
        pytest.param({"rules": "import random"}, "sample.rules imports random, which is not on", id="standard library"),
        pytest.param({"rules": "import yaml"}, "sample.rules imports yaml, whose home is sample.files", id="not home"),
        pytest.param({"rules": "from sample import files"}, "sample.rules imports sample.files", id="an outer ring"),
        pytest.param({"files": "import click"}, "sample.files imports click, which has no home", id="homeless library"),
    ],
)
def test_contracts_name_the_import_that_breaks_them(tmp_path: Path, modules: dict[str, str], complaint: str) -> None:
    result = lint_imports(sample(tmp_path, **modules))
    assert result.returncode == 1
    assert complaint in result.stdout


def test_purity_of_a_package_that_is_gone_is_not_taken_for_granted(tmp_path: Path) -> None:
    folder = sample(tmp_path)
    (folder / "sample" / "rules.py").unlink()
    result = lint_imports(folder)
    assert result.returncode == 1
    assert "sample.rules does not exist" in result.stdout
