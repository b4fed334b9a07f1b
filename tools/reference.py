"""
Write the pages of docs/reference that are made from the code, or check that they are up to date.

``--write`` writes them; without it the script exits with 1 and names the pages that differ from the code.
"""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from knowngood.cli import cli
from knowngood.cli.exit_code import ExitCode
from knowngood_sdk import errors
from knowngood_sdk.errors import KnownGoodError

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
MADE = "<!-- Made by `make docs` from the code: change it there. -->"


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


COMMANDS_INTRODUCTION = """
`knowngood` and `kg` are the same command. Each command prints text for people, or JSON with `--output json`; nothing
asks when there is no terminal. What a command's exit code says is on the page of [exit codes](exit-codes.md).
"""
EXIT_CODES = {
    ExitCode.DONE: "done, and verified where there was something to verify",
    ExitCode.ERROR: "an error; its code is on the page of [errors](errors.md)",
    ExitCode.USAGE: "the command line is not right",
    ExitCode.WAITING: "waiting: for an approval, or with `--no-wait` for the verification",
    ExitCode.NOT_AUTHENTICATED: "not authenticated",
    ExitCode.REFUSED: "refused by policy: nobody allows it, or the authority for it is missing",
    ExitCode.NOT_VERIFIED: "done, but the verification failed",
    ExitCode.PARTIAL: "partly done, or it is not known whether it was done: look before acting again",
    ExitCode.TIMED_OUT: "timed out",
    ExitCode.NOT_READY: "not ready: there is no tested way back",
}
_WIDTH = 100


def exit_codes_page() -> str:
    """Return the page of exit codes."""
    rows = [f"| {code.value} | {EXIT_CODES[code]} |" for code in ExitCode]
    head = ["# Exit codes", "", MADE, "", "The same for every command.", "", "| code | meaning |", "| --- | --- |"]
    return "\n".join([*head, *rows, ""])


def commands_page() -> str:
    """Return the page of commands: the help of each, as it prints it."""
    return "\n".join(["# Commands", "", MADE, COMMANDS_INTRODUCTION, *_command_sections(cli, "kg", None)])


def _command_sections(command: click.Command, name: str, parent: click.Context | None) -> Iterator[str]:
    settings = command.context_settings | {"max_content_width": _WIDTH, "terminal_width": _WIDTH}
    context = click.Context(command, info_name=name, parent=parent, **settings)
    text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    yield from (f"## `{context.command_path}`", "", "```text", text, "```", "")
    if isinstance(command, click.Group):
        for child_name in command.list_commands(context):
            child = command.get_command(context, child_name)
            if child is not None:
                yield from _command_sections(child, child_name, context)


def pages() -> dict[Path, str]:
    """Return every generated page: its path and what it should hold."""
    return {
        REFERENCE / "commands.md": commands_page(),
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
