"""ARCHITECTURE.md names, for every invariant, a check that exists."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
INVARIANTS = dict(re.findall(r"^\| (\d+) \| (.*) \|$", PAGE, flags=re.MULTILINE))
TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py(?:::\w+)*)`", PAGE)))
CONTRACTS = sorted(set(re.findall(r"contract `([\w-]+)`", PAGE)))


def test_every_invariant_is_there_with_a_check() -> None:
    assert list(INVARIANTS) == [str(number) for number in range(1, 12)]
    unchecked = [number for number, row in INVARIANTS.items() if "`tests/" not in row and "contract `" not in row]
    assert unchecked == []


@pytest.mark.parametrize("node", TESTS)
def test_named_test_exists(node: str) -> None:
    file, *names = node.split("::")
    scope: ast.AST = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    for name in names:
        found = [
            child
            for child in ast.iter_child_nodes(scope)
            if isinstance(child, ast.FunctionDef | ast.ClassDef) and child.name == name
        ]
        assert found, f"{file} has no {name}"
        scope = found[0]


@pytest.mark.parametrize("contract", CONTRACTS)
def test_named_contract_exists(contract: str) -> None:
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert contract in [entry["id"] for entry in configuration["tool"]["importlinter"]["contracts"]]
