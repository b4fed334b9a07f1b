"""What all tests share: a requirement mark names ids that exist, and Ctrl-C means what it means to people."""

import re
import signal
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).parents[1] / "docs" / "requirements.md"

# A shell without job control starts what it puts into the background with Ctrl-C ignored, and every process that the
# suite starts would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def known_requirements() -> set[str]:
    return set(re.findall(r"^\| ([A-Z]\d+m?) \|", REQUIREMENTS.read_text(encoding="utf-8"), flags=re.MULTILINE))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    known = known_requirements()
    for item in items:
        named = {str(id_) for mark in item.iter_markers("requirement") for id_ in mark.args}
        if unknown := sorted(named - known):
            message = f"{item.nodeid} names requirements that docs/requirements.md does not have: {unknown}"
            raise pytest.UsageError(message)
