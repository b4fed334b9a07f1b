"""``kg ledger``: read the record, or verify it."""

import click

from knowngood.cli.console import answer, mark, output_option, system_argument
from knowngood.cli.exit_code import ExitCode
from knowngood.cli.group import Group
from knowngood.cli.place import Place, place_options


@click.group(name="ledger", cls=Group, epilog="Example:  kg ledger verify pricing")
def command() -> None:
    """Read the record of all that was decided and done, or verify it."""


@command.command(epilog="Example:  kg ledger show pricing --output json")
@system_argument
@place_options
@output_option
def show(system: str, place: Place, output: str) -> None:
    """Print every entry of SYSTEM's ledger."""
    document = place.verbs().ledger(system)
    answer(
        document,
        output,
        lambda: (
            f"{e['sequence']:>5}  {e['at']}  {e['actor']}  {e['kind']}  {e['hash'][7:19]}" for e in document["entries"]
        ),
    )


@command.command(epilog="Example:  kg ledger verify pricing")
@system_argument
@place_options
@output_option
def verify(system: str, place: Place, output: str) -> int:
    """
    Check SYSTEM's ledger entry by entry, and against the anchors that its replicas keep outside of the store.

    A chain shows what was edited, removed or moved; that its end was cut off only the anchors can show.
    """
    found = place.verbs().verify(system)

    def text() -> list[str]:
        if found["ok"]:
            many = found["anchors"]
            anchors = f"{many} anchor(s) outside of the store agree" if many else "no anchor outside"
            return [f"{mark('good')} {found['count']} entries, whole; {anchors}"]
        return [f"{mark('bad')} {found['problem']}"]

    answer(found, output, text)
    return ExitCode.DONE if found["ok"] else ExitCode.ERROR
