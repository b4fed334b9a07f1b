"""
Print for each requirement of docs/requirements.md how many tests are marked with it.

Tests are counted as pytest collects them, each row of a parametrised test by itself. A requirement without a test says
"no test". A test that names an id which docs/requirements.md does not have fails the collection, and so this script.
"""

import io
import re
import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import redirect_stdout
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_ROW = re.compile(r"^\| (?P<id>[A-Z]\d+m?) \| (?P<text>.*?) \|$", flags=re.MULTILINE)


class MarkCounter:
    """A pytest plugin that counts the tests of each requirement while they are collected."""

    def __init__(self) -> None:
        self.tests: Counter[str] = Counter()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Count each test once for each id that any of its marks names."""
        for item in session.items:
            self.tests.update({str(id_) for mark in item.iter_markers("requirement") for id_ in mark.args})


def requirements(page: str) -> dict[str, str]:
    """Return the requirements of a page, id to text, in its order."""
    return {row["id"]: row["text"] for row in _ROW.finditer(page)}


def table(texts: dict[str, str], tests: Counter[str]) -> Iterable[str]:
    """Yield one line for each requirement, and a last one with the sums."""
    for id_, text in texts.items():
        count = f"{tests[id_]} tests" if tests[id_] > 1 else "1 test" if tests[id_] else "no test"
        yield f"{id_:<4} {count:>10}   {text}"
    covered = sum(1 for id_ in texts if tests[id_])
    yield f"{covered} of {len(texts)} requirements have a test"


def main() -> int:
    """Collect the tests and print the table; return pytest's exit code where the collection fails."""
    counter = MarkCounter()
    collected = io.StringIO()
    with redirect_stdout(collected):
        exit_code = pytest.main(["--collect-only", "-qqq", "-p", "no:randomly", f"--rootdir={ROOT}"], plugins=[counter])
    if exit_code != pytest.ExitCode.OK:
        print(collected.getvalue(), file=sys.stderr)
        return int(exit_code)
    for line in table(requirements((ROOT / "docs" / "requirements.md").read_text(encoding="utf-8")), counter.tests):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
