"""The pages of docs/reference about the command line, made from its commands and exit codes."""

from collections.abc import Iterator

import click

from knowngood.cli.exit_code import ExitCode, exit_code_of
from knowngood.cli.tree import cli
from knowngood_sdk.errors import KnownGoodError

__all__ = ["MADE", "commands_page", "exit_codes_page"]

MADE = "<!-- Made by `make docs` from the code: change it there. -->"

_WIDTH = 100

_COMMANDS_INTRODUCTION = """
`kg` and `knowngood` are the same command.

- The answer goes to standard output: text, or with `--output json` one JSON document (`kg watch`: one a line). Progress
  and errors for people go to standard error. With `--output json` an error is the document: `{"error": {"code",
  "message", "hint", "details"}}`, with the codes of [errors](errors.md). Scripts go by the [exit code](exit-codes.md).
- Nothing asks a question, so nothing waits for an answer where there is no terminal.
- Ctrl-C stops at once and leaves nothing half done: a deployment under way is given up, a rollback under way goes on
  with `kg watch`, or when `kg rollback` is called again.
- Every outcome has a sign of its own; colours only repeat it, and `NO_COLOR=1` switches them off.

| variable | meaning |
| --- | --- |
| `KNOWNGOOD_DIR` | the [working folder](folder.md), where `--dir` does not name one; `.knowngood` otherwise |
| `KNOWNGOOD_URL` | a [server](../how-to/run-it-for-a-team.md) to ask instead of the folder, where `--dir` names none |
| `KNOWNGOOD_TOKEN`, `KNOWNGOOD_TOKEN_FILE` | the token for it, or a file that holds one |
| `KNOWNGOOD_CA` | certificates (PEM) by which the server is trusted, where the system's do not do |
| `KNOWNGOOD_CONFIG` | the [configuration](configuration.md) of a server, where `--config` does not name one |
| `KNOWNGOOD_STORE` | where the record is: for servers and commands about the store; others ask the server then |
| `KNOWNGOOD_REPLICA` | name of the replica, for `kg agent` and for servers; `r1` otherwise |
| `KNOWNGOOD_ACTOR` | who acts, as it goes on record; else the user of the process, and who became it by `sudo` |
| `KNOWNGOOD_TRUST` | file with the root of the keys that routes must be signed by, for `kg agent` |
| `KNOWNGOOD_FAULT` | for drills and tests: the name of a point where the process kills itself |
| `NO_COLOR` | no colours |

Completion of commands, options, systems and versions: put the line for your shell into its start-up file.

```bash
eval "$(_KG_COMPLETE=bash_source kg)"    # ~/.bashrc
eval "$(_KG_COMPLETE=zsh_source kg)"     # ~/.zshrc
_KG_COMPLETE=fish_source kg | source     # ~/.config/fish/completions/kg.fish
```
"""

_EXIT_CODES_INTRODUCTION = """
Every command ends with one of these, so that a script need not read text. The number never changes its meaning.
"""


def commands_page() -> str:
    """Return the page of commands: what each prints for ``--help``."""
    head = ["# Commands", "", MADE, _COMMANDS_INTRODUCTION]
    sections = (f"## {words}\n\n```text\n{shown}\n```\n" for words, shown in _helps("kg", cli))
    return "\n".join([*head, *sections])


def exit_codes_page() -> str:
    """Return the page of exit codes, with the errors that lead to each."""
    rows = [f"| {code.value} | {code.meaning} | {_errors_of(code)} |" for code in ExitCode]
    head = ["# Exit codes", "", MADE, _EXIT_CODES_INTRODUCTION, "| code | meaning | errors |", "| --- | --- | --- |"]
    return "\n".join([*head, *rows, ""])


def _helps(words: str, command: click.Command, parent: click.Context | None = None) -> Iterator[tuple[str, str]]:
    name = words.rpartition(" ")[2]
    widths = {"terminal_width": _WIDTH, "max_content_width": _WIDTH}
    context = click.Context(command, info_name=name, parent=parent, **{**command.context_settings, **widths})
    yield words, command.get_help(context).rstrip()
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            if found is not None:
                yield from _helps(f"{words} {below}", found, context)


def _errors_of(code: ExitCode) -> str:
    def walk(error: type[KnownGoodError]) -> Iterator[type[KnownGoodError]]:
        yield error
        for child in error.__subclasses__():
            yield from walk(child)

    return ", ".join(f"`{error.code}`" for error in walk(KnownGoodError) if exit_code_of(error("")) is code)
