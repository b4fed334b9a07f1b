"""``kg reissue``: what is served is minted again, so that replicas that stayed outside come in."""

import click

from knowngood.cli.console import REASON, answer, mark, output_option, system_argument
from knowngood.cli.place import Place, place_options


@click.command(epilog="Example:  kg reissue pricing --why 'r1 is mended'")
@system_argument
@click.option("--why", required=True, type=REASON, help="The reason; goes on record under your name.")
@place_options
@output_option
def command(system: str, why: str, place: Place, output: str) -> None:
    """
    Mint again what SYSTEM serves, so that replicas that stayed outside come in.

    What serves stays as it is, and so does what is in quarantine. kg watch and kg serve do it by themselves once every
    sick replica is verified; this does not wait for that.
    """
    from knowngood_sdk.model.canonical import short

    done = place.verbs().reissue(system, why)
    answer(
        done,
        output,
        lambda: [
            f"{mark('good')} {short(done['version'])} serves, now on generation {done['generation']}",
            *(f"  {replica} comes in: it {reason}" for replica, reason in sorted(done["brings_in"].items())),
        ],
    )
