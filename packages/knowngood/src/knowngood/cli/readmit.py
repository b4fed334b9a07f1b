"""``kg readmit``: a person says that a sick replica is well again."""

import click

from knowngood.cli.console import GIVEN, REASON, answer, mark, output_option, system_argument
from knowngood.cli.place import Place, place_options


@click.command(epilog="Example:  kg readmit pricing r1 --why 'its memory was changed'")
@system_argument
@click.argument("replica", type=GIVEN)
@click.option("--why", required=True, type=REASON, help="How that is known; goes on record under your name.")
@place_options
@output_option
def command(system: str, replica: str, why: str, place: Place, output: str) -> None:
    """
    Say that REPLICA of SYSTEM, which left a version alone, is well again.

    It returns to its balancer at the next look of kg watch or kg serve. Needed where a start is no proof: the same
    version made it ill before.
    """
    done = place.verbs().readmit(system, replica, why)
    answer(
        done,
        output,
        lambda: [f"{mark('good')} {replica} is well again; it returns to its balancer at the next look"],
    )
