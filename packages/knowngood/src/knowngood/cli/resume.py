"""``kg resume``: a rollback that waited for a person goes on."""

import click

from knowngood.cli.completion import versions
from knowngood.cli.console import GIVEN, answer, output_option, show, system_argument
from knowngood.cli.number import WHOLE_SECONDS
from knowngood.cli.place import Place, place_options


@click.command(epilog="Example:  kg resume pricing")
@system_argument
@click.argument("version", type=GIVEN, required=False, shell_complete=versions)
@click.option("--no-wait", is_flag=True, help="Do not wait until the metrics are back at their baseline.")
@click.option("--timeout", type=WHOLE_SECONDS, default=180, show_default=True, help="Seconds to wait.")
@place_options
@output_option
def command(*, system: str, version: str | None, no_wait: bool, timeout: int, place: Place, output: str) -> int:
    """
    Let SYSTEM's rollbacks go on that wait for a person, or only that which left VERSION.

    Each goes on from the step that could not be done; what it waited for is in kg status and in the record.
    """
    from knowngood.cli.exit_code import ExitCode
    from knowngood.cli.rollback import code_of, lines_of

    resumed = place.verbs().resume(system, version, None if no_wait else timeout, show)
    rollbacks = resumed["rollbacks"]
    codes = [
        # What could not be reached before is only being tried again.
        ExitCode.WAITING
        if no_wait and one["state"] == "running"
        else code_of({"unreachable": {}, "unpublished": "", **one}, waited=not no_wait)
        for one in rollbacks
    ]
    answer(
        resumed,
        output,
        lambda: [line for one, code in zip(rollbacks, codes, strict=True) for line in lines_of(one, code)],
    )
    return max(codes)
