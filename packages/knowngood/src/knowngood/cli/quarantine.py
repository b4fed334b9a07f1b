"""``kg quarantine``: versions that may not be activated, and their release by name."""

import click

from knowngood.cli.completion import versions
from knowngood.cli.console import (
    GIVEN,
    answer,
    columns,
    mark,
    output_option,
    shortened,
    system_argument,
)
from knowngood.cli.group import Group
from knowngood.cli.place import Place, place_options

_LONGEST = 80
"""Characters of a reason that are shown to a person; the whole one is in the JSON."""


@click.group(name="quarantine", cls=Group, epilog="Example:  kg quarantine list pricing")
def command() -> None:
    """List versions in quarantine, or release one by name."""


@command.command(name="list", epilog="Example:  kg quarantine list pricing")
@system_argument
@place_options
@output_option
def list_(system: str, place: Place, output: str) -> None:
    """List SYSTEM's versions in quarantine with every act that put them there, newest last."""
    from knowngood_sdk.model.canonical import short

    held = place.verbs().quarantined(system)
    rows = [
        (short(trip["version"]), trip["at"], trip["source"], trip["uid"], shortened(trip["why"], _LONGEST))
        for trip in held["trips"]
    ]
    answer(
        held,
        output,
        lambda: columns(rows, ("version", "at", "source", "uid", "why")) if rows else ["nothing is in quarantine"],
    )


@command.command(epilog="Example:  kg quarantine release pricing 3f1c9a0b7d2e --reason 'false alarm: holiday'")
@system_argument
@click.argument("version", type=GIVEN, shell_complete=versions)
@click.option("--reason", required=True, type=GIVEN, help="Why it may be used again; goes on record under your name.")
@place_options
@output_option
def release(system: str, version: str, reason: str, place: Place, output: str) -> None:
    """Release VERSION of SYSTEM by name. Moves nothing: the next deployment may use it again."""
    from knowngood_sdk.model.canonical import short

    released = place.verbs().release(system, version, reason)
    answer(
        released,
        output,
        lambda: [f"{mark('good')} {short(released['version'])} released; nothing moved. It may be deployed again."],
    )
