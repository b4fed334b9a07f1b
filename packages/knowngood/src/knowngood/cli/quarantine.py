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
    from knowngood.control.release_quarantine import acts_in_force, shown_as
    from knowngood_sdk.model.canonical import short
    from knowngood_sdk.model.wire import trip_to_json

    trips = acts_in_force(open_plane(directory).store.read(system).facts)
    shown = {version: shown_as(t for t in trips if t.version == version) for version in {t.version for t in trips}}
    rows = [(short(t.version), t.at, t.source, shown[t.version], shortened(t.why, _LONGEST)) for t in trips]
    answer(
        {"system": system, "trips": [trip_to_json(trip) for trip in trips], "shown": dict(sorted(shown.items()))},
        output,
        lambda: columns(rows, ("version", "at", "source", "shown", "why")) if rows else ["nothing is in quarantine"],
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
@click.option(
    "--shown",
    type=GIVEN,
    metavar="ACTS",
    help="The acts that you have seen, as kg quarantine list names them together.",
)
@directory_option
@output_option
def release(*, system: str, version: str, reason: str, shown: str | None, directory: str, output: str) -> None:
    """
    Release VERSION of SYSTEM by name. Moves nothing: the next deployment may use it again.

    Released are the acts that you were shown. One alone needs no --shown; where several hold the version, or another
    came since, they are told and nothing is released.
    """
    from knowngood.app import actor, open_plane
    from knowngood.control.release_quarantine import release_quarantine
    from knowngood_sdk.model.canonical import short

    plane = open_plane(directory)
    released = release_quarantine(plane, system, version, shown=shown, reason=reason, actor=actor())
    answer(
        {"system": system, "version": released.version, "trips": sorted(act.uid for act in released.acts)},
        output,
        lambda: [
            f"{mark('good')} {short(released.version)} released; nothing moved. It may be deployed again.",
            *(f"  it was held since {act.at} by a {act.source}: {act.why}" for act in released.acts),
        ],
    )
