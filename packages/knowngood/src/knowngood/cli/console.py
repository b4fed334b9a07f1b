"""
Console: how commands speak.

Text for people, or one JSON document for programs, goes to standard output; progress and errors for people go to
standard error. With ``--output json`` an error is the document.
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from knowngood.cli.completion import systems
from knowngood.cli.exit_code import ExitCode, exit_code_of
from knowngood_sdk.errors import KnownGoodError, NotFoundError
from knowngood_sdk.model.wording import has_bytes, readable

__all__ = [
    "GIVEN",
    "REASON",
    "WORDS",
    "answer",
    "colours",
    "columns",
    "directory_option",
    "fail",
    "mark",
    "misused",
    "named_system",
    "output_option",
    "say",
    "shortened",
    "show",
    "system_argument",
    "with_the_system",
]


_SYSTEM = f"{__name__}.system"


class _Words(click.types.StringParamType):
    """A text for people, in whatever bytes a terminal sends: what is no UTF-8 is replaced, for no reason is refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return readable(str(super().convert(value, param, ctx)))


class _Reason(_Words):
    """Such a text that is not empty: ``--to "$V"`` with no such variable must not mean that nothing was asked for."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = super().convert(value, param, ctx)
        if not text.strip():
            self.fail("it is empty; is a variable not set?", param, ctx)
        return text


class _Given(_Reason):
    """A text that names something, and is refused with other bytes than UTF-8: what replaced them is another name."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = super().convert(value, param, ctx)
        if not has_bytes(str(value)):
            self.fail(f"{text!r} has bytes that are no UTF-8 (each shown as \ufffd)", param, ctx)
        return text


WORDS = _Words()
"""Type of every option that takes a person's words, and of them none."""
REASON = _Reason()
"""Type of every option that takes a person's words and needs some."""
GIVEN = _Given()
"""Type of every argument and option that names something."""


def _working_folder(_context: click.Context, _parameter: click.Parameter, directory: str) -> str:
    """Refuse a folder that has the working folder in it: taken as one, it would seem to be empty."""
    if not directory.strip():
        raise click.BadParameter("it is empty; is a variable not set?")
    folder, inside = Path(directory), Path(directory, ".knowngood")
    # Not Path.exists: that one raises where this user may not look, and what to do then is told later.
    if os.access(inside / "format", os.F_OK) and not os.access(folder / "format", os.F_OK):
        raise NotFoundError(
            f"{directory} is no working folder, but there is one in it", hint=f"Give that one: --dir {inside}"
        )
    return directory


def named_system(context: click.Context, _parameter: click.Parameter, system: str | None) -> str | None:
    """Keep the system that a command is about, for ``with_the_system``."""
    if system is not None:
        context.find_root().meta[_SYSTEM] = system
    return system


def with_the_system(hint: str, context: click.Context) -> str:
    """Return a hint with SYSTEM as it was named on the command line, so that what to do next can be copied."""
    return hint.replace("SYSTEM", context.find_root().meta.get(_SYSTEM, "SYSTEM"))


system_argument = click.argument("system", type=GIVEN, shell_complete=systems, callback=named_system)
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
    callback=_working_folder,
    type=click.Path(file_okay=False, readable=False),  # whether it can be read is told with what to do
    help="Working folder; also KNOWNGOOD_DIR.",
)

_MARKS = {"good": ("✔", "green"), "bad": ("✖", "red"), "waiting": ("◷", "yellow"), "warning": ("⚠", "yellow")}


def mark(kind: str) -> str:
    """Return the sign of an outcome (good, bad, waiting, warning); the colour only repeats what the sign says."""
    sign, colour = _MARKS[kind]
    return click.style(sign, fg=colour)


def say(message: str) -> None:
    """
    Write progress or an explanation where it does not disturb an answer that is piped on.

    Where nobody can read it, a full disk or a pipe that was closed, what the command does goes on: a line that is lost
    must not give up a rollback.
    """
    with contextlib.suppress(OSError):
        click.echo(message, err=True, color=colours())


def show(sign: str, line: str) -> None:
    """Write a line of progress with its sign, if it has one."""
    say(f"{mark(sign)} {line}" if sign else line)


def answer(
    document: Mapping[str, Any], output: str, text: Callable[[], Iterable[str]], *, one_of_many: bool = False
) -> None:
    """
    Write the answer of a command.

    Args:
        document: The whole answer, JSON-able.
        output: ``json`` or ``text``.
        text: Makes the lines for a person; called only for ``text``.
        one_of_many: Whether others follow; each JSON document is a line then.
    """
    indent = None if one_of_many else 2
    lines = [json.dumps(document, indent=indent, ensure_ascii=False, allow_nan=False)] if output == "json" else text()
    for line in lines:
        _write(line)


def _write(line: str) -> None:
    if sys.stdout is None:  # it was closed before this process began
        say(f"{mark('bad')} the answer cannot be written: standard output is closed")
        say("  What was done stands. Look, with the output elsewhere: kg status")
        sys.exit(ExitCode.ERROR)
    try:
        click.echo(line)
    except BrokenPipeError:
        # Nobody reads on: click ends the command without a word.
        raise
    except OSError as error:
        # What could not be written is dropped, or the interpreter would try again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        say(f"{mark('bad')} the answer cannot be written to standard output: {error.strerror}")
        say("  What was done stands. Look, with the output elsewhere: kg status")
        sys.exit(ExitCode.ERROR)


def columns(rows: Sequence[Sequence[str]], headings: Sequence[str]) -> Iterable[str]:
    """Align rows of text under their headings, two spaces apart."""
    table = [headings, *rows]
    widths = [max(len(click.unstyle(row[i])) for row in table) for i in range(len(headings))]
    for row in table:
        cells = (cell + " " * (width - len(click.unstyle(cell))) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def shortened(text: str, longest: int) -> str:
    """
    Return a text as one line, on a terminal of so many characters at most; one that was cut ends with a sign for it.

    Elsewhere nothing is cut: a pipe has no width, and who searches the output must find what is in it.
    """
    line = " ".join(text.split())
    return line if len(line) <= longest or not sys.stdout.isatty() else f"{line[: longest - 1]}…"


def fail(error: KnownGoodError, output: str) -> ExitCode:
    """Tell a person, or a program, what went wrong and what to do; return the exit code."""
    if output == "json":
        _tell_program(error.code, error.message, error.hint, error.details)
    else:
        say(f"{mark('bad')} {error.message}")
        for line in error.hint.splitlines():
            say(f"  {line}")
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
    _write(json.dumps({"error": problem}, indent=2, ensure_ascii=False, default=str))
