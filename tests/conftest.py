"""What every test folder shares: a requirement mark must name ids that exist."""

import re
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).parents[1] / "docs" / "requirements.md"


def known_requirements() -> set[str]:
    return set(re.findall(r"^\| ([A-Z]\d+m?) \|", REQUIREMENTS.read_text(encoding="utf-8"), flags=re.MULTILINE))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    known = known_requirements()
    for item in items:
        named = {str(id_) for mark in item.iter_markers("requirement") for id_ in mark.args}
        if unknown := sorted(named - known):
            message = f"{item.nodeid} names requirements that docs/requirements.md does not have: {unknown}"
            raise pytest.UsageError(message)
