"""``kg quarantine``: versions that may not be activated, what bars one, and their release by name."""

import click

from knowngood.cli.completion import versions
from knowngood.cli.console import (
    GIVEN,
    answer,
    columns,
    directory_option,
    mark,
    output_option,
    shortened,
    system_argument,
)
from knowngood.cli.group import Group

_LONGEST = 80
"""Characters of a reason that are shown to a person; the whole one is in the JSON."""


@click.group(name="quarantine", cls=Group, epilog="Example:  kg quarantine list pricing")
def command() -> None:
    """List versions in quarantine, bar one that serves nobody, or release one by name."""


@command.command(name="list", epilog="Example:  kg quarantine list pricing")
@system_argument
@directory_option
@output_option
def list_(system: str, directory: str, output: str) -> None:
    """List SYSTEM's versions in quarantine with every act that put them there, newest last."""
    from knowngood.app import open_plane
    from knowngood_sdk.model.canonical import short
    from knowngood_sdk.model.wire import trip_to_json

    facts = open_plane(directory).store.read(system).facts
    held = [trip for uid, trip in facts.trips.items() if uid not in facts.released]
    trips = sorted(held, key=lambda trip: (trip.at, trip.uid))
    rows = [(short(trip.version), trip.at, trip.source, trip.uid, shortened(trip.why, _LONGEST)) for trip in trips]
    answer(
        {"system": system, "trips": [trip_to_json(trip) for trip in trips]},
        output,
        lambda: columns(rows, ("version", "at", "source", "uid", "why")) if rows else ["nothing is in quarantine"],
    )


@command.command(epilog="Example:  kg quarantine add pricing 3f1c9a0b7d2e --reason 'trained on leaked labels'")
@system_argument
@click.argument("version", type=GIVEN, shell_complete=versions)
@click.option("--reason", required=True, type=GIVEN, help="Why it may not be used; goes on record under your name.")
@directory_option
@output_option
def add(system: str, version: str, reason: str, directory: str, output: str) -> None:
    """
    Bar VERSION of SYSTEM, which serves nobody now: no deployment and no rollback brings it into service.

    What serves is left with kg rollback, which bars it too.
    """
    from knowngood.app import actor, open_plane
    from knowngood.control.quarantine import quarantine
    from knowngood_sdk.model.canonical import short

    started = quarantine(open_plane(directory), system, version, reason=reason, actor=actor())
    answer(
        {"system": system, "version": started.version, "rollback": started.id},
        output,
        lambda: [f"{mark('good')} {short(started.version)} is in quarantine; what serves stays as it is"],
    )


@command.command(epilog="Example:  kg quarantine release pricing 3f1c9a0b7d2e --reason 'false alarm: holiday'")
@system_argument
@click.argument("version", type=GIVEN, shell_complete=versions)
@click.option("--reason", required=True, type=GIVEN, help="Why it may be used again; goes on record under your name.")
@directory_option
@output_option
def release(system: str, version: str, reason: str, directory: str, output: str) -> None:
    """Release VERSION of SYSTEM by name. Moves nothing: the next deployment may use it again."""
    from knowngood.app import actor, open_plane
    from knowngood.control.release_quarantine import release_quarantine
    from knowngood_sdk.model.canonical import short

    released = release_quarantine(open_plane(directory), system, version, reason=reason, actor=actor())
    answer(
        {"system": system, "version": released.version, "trips": sorted(released.uids)},
        output,
        lambda: [f"{mark('good')} {short(released.version)} released; nothing moved. It may be deployed again."],
    )
