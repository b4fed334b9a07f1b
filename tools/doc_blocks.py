"""
Read and run the commands of a documentation page, so that a page that has stopped being true fails a test.

All fenced blocks of one page run in order, in one folder and one shell, as a reader would type them:

- ```console``` holds commands after ``$ ``, with what they print below them. What is printed must match the page, where
  a line ``...`` stands for any lines and ``...`` inside a line for any text; a command with nothing below it may print
  anything. A comment ``# exit 3`` at the end of a command says which exit code it has; otherwise it must be 0.
- ```python``` is run as a script.

A comment on the line before a block says otherwise:

- ``<!-- file: app.py -->`` the block, whatever its language, is written to that file in the folder.
- ``<!-- not run: why -->`` the block is left out; the reason is for people and must not be empty.
- ``<!-- in: checkout -->`` anywhere on the page: the folder is a copy of the repository instead of an empty one.
- ``<!-- after: tutorial.md -->`` anywhere on the page: it goes on where that page, named relative to this one, ended.
"""

import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "Block",
    "Command",
    "PageError",
    "commands",
    "goes_on_after",
    "mismatch",
    "read_page",
    "shell_script",
    "wants_checkout",
]

_FENCE = re.compile(
    r"^(?:<!-- (?P<marker>file|not run): (?P<value>.*?) -->\n)?```(?P<language>\w+)\n(?P<body>.*?)^```$",
    flags=re.MULTILINE | re.DOTALL,
)
_AFTER = re.compile(r"^<!-- after: (?P<page>\S+) -->$", flags=re.MULTILINE)
_EXIT = re.compile(r"\s+# exit (?P<code>\d+)$")
_RUN = {"console", "python"}


class PageError(Exception):
    """A page cannot be run as it is written; the message names the line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """
    One fenced block of a page that is run or written to a file.

    Attributes:
        language: What stands after the fence.
        body: The text between the fences, with its last newline.
        line: Line of the opening fence on the page, from 1.
        file: Where to write it, relative to the folder; None for a block that is run.
    """

    language: str
    body: str
    line: int
    file: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """
    One command of a page and what the page promises about it.

    Attributes:
        text: What the shell runs.
        line: Line of its block's opening fence on the page, from 1.
        exit_code: The exit code that it must have.
        output: Lines that it must print; empty means that nothing is promised.
    """

    text: str
    line: int
    exit_code: int
    output: Sequence[str]


def wants_checkout(page: str) -> bool:
    """Say whether the page runs in a copy of the repository."""
    return "<!-- in: checkout -->" in page


def goes_on_after(page: str) -> str | None:
    """Return the page that this one goes on after, as it names it, or None where it begins by itself."""
    found = _AFTER.search(page)
    return found["page"] if found else None


def read_page(page: str) -> list[Block]:
    """
    Return the blocks of a page that are run or written, in order.

    Raises:
        PageError: A block is left out without a reason.
    """
    blocks = []
    for match in _FENCE.finditer(page):
        line = page.count("\n", 0, match.start("language")) + 1
        marker, value, language = match["marker"], match["value"], match["language"]
        if marker == "not run":
            if not value.strip():
                raise PageError(f"line {line}: say why the block is not run")
            continue
        if marker == "file" or language in _RUN:
            file = value if marker == "file" else None
            blocks.append(Block(language=language, body=match["body"], line=line, file=file))
    return blocks


def commands(blocks: Sequence[Block]) -> Iterator[Command]:
    """
    Yield every command that running the blocks takes, in order: files are written by commands too.

    Raises:
        PageError: A console block starts with something that is no command.
    """
    for block in blocks:
        if block.file is not None:
            target = shlex.quote(block.file)
            text = f'mkdir -p "$(dirname {target})" && printf %s {shlex.quote(block.body)} > {target}'
            yield Command(text=text, line=block.line, exit_code=0, output=[])
        elif block.language == "python":
            yield Command(text=f"python -c {shlex.quote(block.body)}", line=block.line, exit_code=0, output=[])
        else:
            yield from _console_commands(block)


def _console_commands(block: Block) -> Iterator[Command]:
    groups: list[list[str]] = []
    for row in block.body.splitlines():
        if row.startswith("$ "):
            groups.append([row[2:]])
        elif groups and row.startswith("> "):
            groups[-1][0] += "\n" + row[2:]
        elif groups:
            groups[-1].append(row)
        elif row.strip():
            raise PageError(f"line {block.line}: a console block starts with a command after '$ ', not with {row!r}")
    for text, *output in groups:
        exit_code = _EXIT.search(text)
        yield Command(
            text=_EXIT.sub("", text),
            line=block.line,
            exit_code=int(exit_code["code"]) if exit_code else 0,
            output=output if any(row.strip() for row in output) else [],
        )


def shell_script(page_commands: Sequence[Command], *, results: Path) -> str:
    """
    Return a bash script that runs the commands in one shell and stops at the first surprise.

    The output of command n goes to the file ``n`` in ``results``, its exit code to ``n.exit``; a command in the
    background (``&``) goes on until the shell's process group is ended by the caller.
    """
    lines = ["exec </dev/null"]
    for number, command in enumerate(page_commands):
        target = shlex.quote(str(results / str(number)))
        lines += [
            f"{{\n{command.text}\n}} >{target} 2>&1",
            "code=$?",
            f"echo $code >{target}.exit",
            f"[ $code -eq {command.exit_code} ] || exit 1",
        ]
    return "\n".join([*lines, ""])


def mismatch(expected: Sequence[str], printed: Sequence[str]) -> str | None:
    """Return what differs between a page's output and what was printed, or None where they agree."""
    if not expected:
        return None
    parts = []
    for row in expected:
        if row.strip() == "...":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(".*?".join(re.escape(piece.rstrip()) for piece in row.split("...")) + r"[ \t]*\n")
    text = "".join(f"{row.rstrip()}\n" for row in printed)
    if re.fullmatch("".join(parts) + r"\s*", text):
        return None
    return "the page says\n" + "\n".join(expected) + "\nbut it printed\n" + "\n".join(printed)


def main() -> None:
    """Print the commands of the pages named on the command line."""
    for name in sys.argv[1:]:
        for command in commands(read_page(Path(name).read_text(encoding="utf-8"))):
            print(f"{name}:{command.line}: {command.text}")


if __name__ == "__main__":
    main()
