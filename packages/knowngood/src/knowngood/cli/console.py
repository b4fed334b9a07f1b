"""
Console: how commands speak.

Text for people, or one JSON document for programs, goes to standard output; progress and errors for people go to
standard error. With ``--output json`` an error is the document.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click

from knowngood.cli.completion import systems
from knowngood.cli.exit_code import ExitCode, exit_code_of
from knowngood_sdk.errors import KnownGoodError

__all__ = [
    "answer",
    "colours",
    "columns",
    "directory_option",
    "fail",
    "mark",
    "misused",
    "output_option",
    "say",
    "system_argument",
]

system_argument = click.argument("system", shell_complete=systems)
output_option = click.option(
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How the answer is written.",
)
directory_option = click.option(
    "--dir",
    "directory",
    envvar="KNOWNGOOD_DIR",
    default=".knowngood",
    show_default=True,
    type=click.Path(file_okay=False, readable=False),  # whether it can be read is told with what to do
    help="Working folder; also KNOWNGOOD_DIR.",
)

_MARKS = {"good": ("✔", "green"), "bad": ("✖", "red"), "waiting": ("◷", "yellow"), "warning": ("⚠", "yellow")}


def mark(kind: str) -> str:
    """Return the sign of an outcome (good, bad, waiting, warning); the colour only repeats what the sign says."""
    sign, colour = _MARKS[kind]
    return click.style(sign, fg=colour)


def say(message: str) -> None:
    """Write progress or an explanation where it does not disturb an answer that is piped on."""
    click.echo(message, err=True, color=colours())


def answer(document: Mapping[str, Any], output: str, text: Callable[[], Iterable[str]]) -> None:
    """
    Write the answer of a command.

    Args:
        document: The whole answer, JSON-able.
        output: ``json`` or ``text``.
        text: Makes the lines for a person; called only for ``text``.
    """
    if output == "json":
        click.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))
        return
    for line in text():
        click.echo(line)


def columns(rows: Sequence[Sequence[str]], headings: Sequence[str]) -> Iterable[str]:
    """Align rows of text under their headings, two spaces apart."""
    table = [headings, *rows]
    widths = [max(len(click.unstyle(row[i])) for row in table) for i in range(len(headings))]
    for row in table:
        cells = (cell + " " * (width - len(click.unstyle(cell))) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def fail(error: KnownGoodError, output: str) -> ExitCode:
    """Tell a person, or a program, what went wrong and what to do; return the exit code."""
    if output == "json":
        _tell_program(error.code, error.message, error.hint, error.details)
    else:
        say(f"{mark('bad')} {error.message}")
        if error.hint:
            say(f"  {error.hint}")
    return exit_code_of(error)


def misused(error: click.ClickException, output: str) -> ExitCode:
    """Tell how a command is to be written; return the exit code."""
    if output == "json":
        context = getattr(error, "ctx", None)
        _tell_program("usage", error.format_message(), f"{context.command_path if context else 'kg'} --help", {})
    else:
        error.show()
    return ExitCode.USAGE


def colours() -> bool | None:
    """Return False where colours are unwanted (NO_COLOR), else None: as the stream can show them."""
    return False if os.environ.get("NO_COLOR") else None


def _tell_program(code: str, message: str, hint: str, details: Mapping[str, Any]) -> None:
    problem = {"code": code, "message": message, "hint": hint, "details": details}
    click.echo(json.dumps({"error": problem}, indent=2, ensure_ascii=False, default=str))
