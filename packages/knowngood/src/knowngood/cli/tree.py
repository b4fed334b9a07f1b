"""
Tree: the commands of the command line, and how a run of one ends.

Commands are imported only when they are called, so that ``kg status`` does not pay for a database layer. Every error
that knowngood raises ends here, as a message with what to do next and an exit code; nothing else is caught.
"""

import importlib
import io
import signal
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from types import FrameType
from typing import Any

import click

from knowngood.cli.console import colours, fail, misused, say, with_the_system
from knowngood.cli.exit_code import ExitCode
from knowngood.cli.group import Group
from knowngood_sdk.errors import KnownGoodError

__all__ = ["cli", "run"]

_COMMANDS = {
    "init": "Write a commented system file to start from.",
    "apply": "Check a system file and make it the system's rules.",
    "deploy": "Put a new system version into service, with the way back armed first.",
    "status": "Show what serves where, and where a trip leads to.",
    "history": "List what was deployed, decided and done.",
    "diff": "Show what differs between two system versions.",
    "plan": "Show how the system would be rolled back now, and what was refused.",
    "rollback": "Put the whole system back to a version that was known to be good.",
    "resume": "Let a rollback go on that waited for a person.",
    "readmit": "Say that a sick replica is well again.",
    "reissue": "Mint again what is served, so that replicas outside come in.",
    "quarantine": "List versions in quarantine, bar one, or release one by name.",
    "watch": "Run the control loop: judge, decide, roll back, verify.",
    "serve": "Run the control plane for a team: the API, and the control loop of every system.",
    "token": "Make, list, rotate and revoke the tokens by which a server knows who asks.",
    "key": "Make, list and remove the keys by which agents know that a route is the control plane's.",
    "agent": "Run the agent of one replica.",
    "ledger": "Read the record of all that was decided and done, or verify it.",
    "migrate": "Bring the store to the schema of this program.",
    "backup": "Copy the store into one file, while it is in use.",
    "restore": "Put a copy of the store back.",
    "demo": "Replay the 6 PM incident on real data.",
}


_READING = (["status"], ["history"], ["diff"], ["plan"], ["ledger"])
"""Commands under which nothing is under way."""


class _LazyGroup(Group):
    """A group whose commands live in modules of their name and are imported when they are called."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command = importlib.import_module(f"knowngood.cli.{name}").command
        assert isinstance(command, click.Command)  # noqa: S101 - a module of this package
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KnownGoodError as error:
            error.hint = with_the_system(error.hint, ctx)
            raise

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  kg init pricing && kg apply pricing.yaml
  kg deploy pricing
  kg rollback pricing
""",
)
@click.version_option(package_name="knowngood", prog_name="knowngood")
def cli() -> None:
    """Put a whole AI system back to a state that was known to be good."""


def run(arguments: Sequence[str] | None, while_loading: Callable[[int, FrameType | None], None]) -> None:
    """Run one command and exit with its code; until now Ctrl-C was taken by ``while_loading``, if by anything."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    output = "json" if _wants_json(given) else "text"
    if signal.getsignal(signal.SIGINT) is while_loading:
        signal.signal(signal.SIGINT, _stop_once)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that has no sign for "done" must not break off a rollback that is under way.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    code = _code_of(given, output)
    if signal.getsignal(signal.SIGINT) is _stop_once:
        # It is done, and its code says how: a Ctrl-C that comes now has nothing left to stop.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)


def _code_of(given: Sequence[str], output: str) -> int:
    """Run one command, say what went wrong, and return its exit code."""
    try:
        result: Any = cli.main(list(given), standalone_mode=False, color=colours())
    except KnownGoodError as error:
        return fail(error, output)
    except click.exceptions.Abort:
        say("stopped" if given[:1] in _READING else "stopped; what was under way is on record. Look: kg status")
        result = ExitCode.STOPPED
    except click.ClickException as error:
        return misused(error, output)
    code = result if isinstance(result, int) else ExitCode.DONE
    if code == ExitCode.STOPPED:
        _forget_interrupt()
    return code


def _forget_interrupt() -> None:
    """
    Let this process end with its own exit code after an interrupt that was handled.

    CPython remembers one that came while a string was being executed, as imports of data classes do, and ends as if
    SIGINT had killed it; executing a string once more makes it forget.
    """
    exec("")  # noqa: S102


def _stop_once(_number: int, _frame: FrameType | None) -> None:
    """Stop at the first Ctrl-C, and let no second one break off the clearing up that follows."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _wants_json(arguments: Sequence[str]) -> bool:
    pairs = pairwise([*arguments, ""])
    return any(argument == "--output=json" or (argument == "--output" and value == "json") for argument, value in pairs)
