"""
Write the pages of docs/reference that are made from the code, or check that they are up to date.

``--write`` writes them; without it the script exits with 1 and names the pages that differ from the code.
"""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

from knowngood_sdk import errors
from knowngood_sdk.errors import KnownGoodError
from tools.api_pages import api_page, configuration_page
from tools.command_pages import MADE, commands_page, exit_codes_page

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"


def error_classes() -> list[type[KnownGoodError]]:
    """Return every error class of knowngood_sdk.errors, each after its base, in the order of the source."""

    def walk(error: type[KnownGoodError]) -> Iterator[type[KnownGoodError]]:
        yield error
        for child in error.__subclasses__():
            if child.__module__ == errors.__name__:
                yield from walk(child)

    return list(walk(KnownGoodError))


ERRORS_INTRODUCTION = """
Every error that knowngood raises on purpose is a `KnownGoodError` from `knowngood_sdk.errors`. Its `code` is stable:
programs go by the code, people by the message, which says what is wrong, with which value, and what to do next. With
`--output json` a command prints the code, the message, the hint and the details of its error.
"""


def errors_page() -> str:
    """Return the page of errors: for each class its code, its base and what its docstring says."""
    rows = [
        f"| `{error.code}` | `{error.__name__}` | `{error.__bases__[0].__name__}` | {_summary(error)} |"
        for error in error_classes()
    ]
    head = [
        "# Errors",
        "",
        MADE,
        ERRORS_INTRODUCTION,
        "| code | class | a kind of | meaning |",
        "| --- | --- | --- | --- |",
    ]
    return "\n".join([*head, *rows, ""])


def _summary(error: type[KnownGoodError]) -> str:
    """Return the first paragraph of a class's docstring as one line."""
    paragraph = (inspect.getdoc(error) or "").split("\n\n")[0]
    return " ".join(paragraph.split())


def pages() -> dict[Path, str]:
    """Return every generated page: its path and what it should hold."""
    return {
        REFERENCE / "api.md": api_page(),
        REFERENCE / "cli.md": commands_page(),
        REFERENCE / "configuration.md": configuration_page(),
        REFERENCE / "errors.md": errors_page(),
        REFERENCE / "exit-codes.md": exit_codes_page(),
    }


def stale_pages() -> list[Path]:
    """Return the generated pages whose file is missing or holds something else."""
    return [path for path, text in pages().items() if not path.exists() or path.read_text(encoding="utf-8") != text]


def main() -> int:
    """Write the pages, or check them."""
    if "--write" in sys.argv[1:]:
        REFERENCE.mkdir(parents=True, exist_ok=True)
        for path, text in pages().items():
            path.write_text(text, encoding="utf-8")
        return 0
    stale = stale_pages()
    for path in stale:
        print(f"{path.relative_to(ROOT)} differs from the code: run `make docs`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
