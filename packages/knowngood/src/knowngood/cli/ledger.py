"""``kg ledger``: read the record, or verify it."""

import click

from knowngood.cli.console import answer, directory_option, mark, output_option, system_argument
from knowngood.cli.exit_code import ExitCode
from knowngood.cli.group import Group


@click.group(name="ledger", cls=Group, epilog="Example:  kg ledger verify pricing")
def command() -> None:
    """Read the record of all that was decided and done, or verify it."""


@command.command(epilog="Example:  kg ledger show pricing --output json")
@system_argument
@directory_option
@output_option
def show(system: str, directory: str, output: str) -> None:
    """Print every entry of SYSTEM's ledger."""
    from knowngood.app import open_plane

    entries = [entry.to_json() for entry in open_plane(directory).store.ledger(system)]
    answer(
        {"system": system, "entries": entries},
        output,
        lambda: (f"{e['sequence']:>5}  {e['at']}  {e['actor']}  {e['kind']}  {e['hash'][7:19]}" for e in entries),
    )


@command.command(epilog="Example:  kg ledger verify pricing")
@system_argument
@directory_option
@output_option
def verify(system: str, directory: str, output: str) -> int:
    """
    Check SYSTEM's ledger entry by entry, and against the anchors that its replicas keep outside of the store.

    A chain shows what was edited, removed or moved; that its end was cut off only the anchors can show.
    """
    from knowngood.app import open_plane
    from knowngood.control.audit import audit

    result = audit(open_plane(directory), system)

    def text() -> list[str]:
        if result.ok:
            anchors = (
                f"{result.anchors} anchor(s) outside of the store agree" if result.anchors else "no anchor outside"
            )
            return [f"{mark('good')} {result.count} entries, whole; {anchors}"]
        return [f"{mark('bad')} {result.problem}"]

    answer(result.to_json(), output, text)
    return ExitCode.DONE if result.ok else ExitCode.ERROR
