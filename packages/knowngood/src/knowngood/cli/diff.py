"""``kg diff``: what differs between two system versions."""

from collections.abc import Iterable

import click

from knowngood.cli.completion import versions
from knowngood.cli.console import GIVEN, answer, columns, output_option, system_argument
from knowngood.cli.place import Place, place_options


@click.command(epilog="Example:  kg diff pricing 3f1c9a0b7d2e live")
@system_argument
@click.argument("before", required=False, type=GIVEN, shell_complete=versions)
@click.argument("after", required=False, type=GIVEN, shell_complete=versions)
@place_options
@output_option
def command(system: str, before: str | None, after: str | None, place: Place, output: str) -> None:
    """
    Show what differs between two versions of SYSTEM.

    A version is given by the first digits of its digest, or as live, candidate or way-back. Without any: what is live
    and the candidate while one is tried, else the way back and what is live.
    """
    from knowngood_sdk.model.canonical import short

    found = place.verbs().diff(system, before, after)
    left, right = short(found["before"]), short(found["after"])

    def text() -> Iterable[str]:
        rows = [
            (change["component"], *(side["label"] if side else "-" for side in (change["before"], change["after"])))
            for change in found["changes"]
        ]
        if not rows:
            return [f"{left} and {right} are the same content"]
        return [*columns(rows, ("component", left, right)), f"going back is level {found['level']}"]

    answer(found, output, text)
