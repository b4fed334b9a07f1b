"""``kg quarantine``: versions that may not be activated, what bars one, and their release by name."""

import click

from knowngood.cli.completion import versions
from knowngood.cli.console import (
    GIVEN,
    REASON,
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
    """List versions in quarantine, bar one that serves nobody, or release one by name."""


@command.command(name="list", epilog="Example:  kg quarantine list pricing")
@system_argument
@place_options
@output_option
def list_(system: str, place: Place, output: str) -> None:
    """List SYSTEM's versions in quarantine with every act that put them there, newest last."""
    from knowngood_sdk.model.canonical import short

    held = place.verbs().quarantined(system)
    rows = [
        (
            short(trip["version"]),
            trip["at"],
            trip["source"],
            held["shown"][trip["version"]],
            shortened(trip["why"], _LONGEST),
        )
        for trip in held["trips"]
    ]
    answer(
        held,
        output,
        lambda: columns(rows, ("version", "at", "source", "shown", "why")) if rows else ["nothing is in quarantine"],
    )


@command.command(epilog="Example:  kg quarantine add pricing 3f1c9a0b7d2e --reason 'trained on leaked labels'")
@system_argument
@click.argument("version", type=GIVEN, shell_complete=versions)
@click.option("--reason", required=True, type=REASON, help="Why it may not be used; goes on record under your name.")
@place_options
@output_option
def add(system: str, version: str, reason: str, place: Place, output: str) -> None:
    """
    Bar VERSION of SYSTEM, which serves nobody now: no deployment and no rollback brings it into service.

    What serves is left with kg rollback, which bars it too.
    """
    from knowngood_sdk.model.canonical import short

    barred = place.verbs().bar(system, version, reason)
    answer(
        barred,
        output,
        lambda: [f"{mark('good')} {short(barred['version'])} is in quarantine; what serves stays as it is"],
    )


@command.command(epilog="Example:  kg quarantine release pricing 3f1c9a0b7d2e --reason 'false alarm: holiday'")
@system_argument
@click.argument("version", type=GIVEN, shell_complete=versions)
@click.option("--reason", required=True, type=REASON, help="Why it may be used again; goes on record under your name.")
@click.option(
    "--shown",
    type=GIVEN,
    metavar="ACTS",
    help="The acts that you have seen, as kg quarantine list names them together.",
)
@place_options
@output_option
def release(*, system: str, version: str, reason: str, shown: str | None, place: Place, output: str) -> None:
    """
    Release VERSION of SYSTEM by name. Moves nothing: the next deployment may use it again.

    Released are the acts that you were shown. One alone needs no --shown; where several hold the version, or another
    came since, they are told and nothing is released.
    """
    from knowngood_sdk.model.canonical import short

    released = place.verbs().release(system, version, reason, shown)
    answer(
        released,
        output,
        lambda: [
            f"{mark('good')} {short(released['version'])} released; nothing moved. It may be deployed again.",
            *(f"  it was held since {act['at']} by a {act['source']}: {act['why']}" for act in released["acts"]),
        ],
    )
