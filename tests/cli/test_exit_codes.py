"""Every error ends in the exit code that says what kind of failure it is; no command asks a question."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import knowngood.cli
from knowngood.cli.exit_code import ExitCode, exit_code_of
from knowngood_sdk import errors

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "exit-codes.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidError, 1),
        (errors.NotFoundError, 1),
        (errors.ConflictError, 1),
        (errors.TransientError, 1),
        (errors.PermanentError, 1),
        (errors.RefusedError, 5),
        (errors.NotAuthenticatedError, 4),
        (errors.NotAuthorizedError, 5),
        (errors.NotReadyError, 9),
        (errors.OutcomeUnknownError, 7),
    ],
)
def test_an_error_has_its_exit_code_and_the_page_says_so(error: type[errors.KnownGoodError], code: int) -> None:
    assert exit_code_of(error("")) == code
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| {code} |"))
    assert f"`{error.code}`" in row


def test_the_numbers_never_change() -> None:
    assert {code.name: code.value for code in ExitCode} == {
        "DONE": 0,
        "ERROR": 1,
        "USAGE": 2,
        "WAITING": 3,
        "NOT_AUTHENTICATED": 4,
        "REFUSED": 5,
        "NOT_VERIFIED": 6,
        "PARTIAL": 7,
        "TIMED_OUT": 8,
        "NOT_READY": 9,
        "STOPPED": 130,
    }


def test_no_command_asks_a_question() -> None:
    asking = {"prompt", "confirm", "confirmation_option", "password_option", "input", "getpass", "edit"}
    found = [
        f"{path.name}:{node.lineno}"
        for path in Path(knowngood.cli.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and (node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")) in asking
    ]
    assert found == []


def test_an_interrupt_while_a_string_is_executed_ends_with_the_documented_code_too(tmp_path: Path) -> None:
    program = """
import click
import knowngood.cli.tree

def interrupted(*_, **__):
    try:
        exec("raise KeyboardInterrupt")
    except KeyboardInterrupt as error:
        raise click.exceptions.Abort from error

knowngood.cli.tree.cli.main = interrupted
knowngood.cli.main([])
"""
    (tmp_path / "interrupted.py").write_text(program)
    command = [sys.executable, "-m", "interrupted"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, "stopped" in ended.stderr) == (130, True), ended.stderr


SLOW = """
import signal, sys

class Interrupting:
    def find_spec(self, name, *_):
        if name == "{module}":
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
from knowngood.cli import main
main(["{command}", "pricing"])
"""


@pytest.mark.parametrize(
    ("module", "command", "said"),
    [
        pytest.param("click", "rollback", "stopped; nothing was begun", id="before a command is known"),
        pytest.param("knowngood.cli.status", "status", "stopped", id="a command that only looks"),
        pytest.param(
            "knowngood.ports.verbs",
            "rollback",
            "stopped; what was under way is on record. Look: kg status",
            id="a command that does something",
        ),
    ],
)
def test_an_interrupt_while_the_program_is_loaded_ends_in_one_line(
    tmp_path: Path, module: str, command: str, said: str
) -> None:
    program = SLOW.format(module=module, command=command)
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stderr.strip()) == (130, said)
