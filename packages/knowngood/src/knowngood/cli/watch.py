"""``kg watch``: the control loop."""

from typing import TYPE_CHECKING

import click

from knowngood.cli.console import colours, directory_option, output_option, system_argument, with_the_system
from knowngood.cli.number import COUNT, SECONDS
from knowngood.cli.place import refuse_a_server

if TYPE_CHECKING:
    from collections.abc import Callable
    from logging import LogRecord


@click.command(epilog="Example:  kg watch pricing --every 1 --hold 300")
@system_argument
@click.option("--every", type=SECONDS, default=1.0, show_default=True, help="Seconds between two looks.")
@click.option(
    "--hold", type=SECONDS, help="Seconds after which a clear canary takes all traffic; a person decides otherwise."
)
@click.option("--ticks", type=COUNT, help="Stop after so many looks.")
@directory_option
@output_option
def command(*, system: str, every: float, hold: float | None, ticks: int | None, directory: str, output: str) -> None:
    """
    Watch SYSTEM: judge, decide, roll back where that was granted, verify.

    It may be killed at any moment and started again: what matters is on record or can be measured again.
    """
    refuse_a_server(
        f"{system} is watched where its working folder is",
        hint="The server watches its systems itself: kg status. Name a folder with --dir, or unset KNOWNGOOD_URL",
    )
    import itertools
    import json
    import logging
    import os
    from datetime import timedelta

    from knowngood.app import open_plane
    from knowngood.control.watch import Watcher
    from knowngood.verbs.record_elsewhere import refuse_another_store
    from knowngood_sdk.errors import KnownGoodError

    refuse_another_store(directory, os.environ.get("KNOWNGOOD_STORE", ""))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(_naming(click.get_current_context()))
    plane = open_plane(directory)
    plane.system_file(system)
    watcher = Watcher(plane, system, hold=timedelta(seconds=hold) if hold is not None else None)
    _tell(f"watching {system} every {every:g} s; Ctrl-C stops it", err=True)
    for count in itertools.count(1):
        try:
            tick = watcher.tick()
        except KnownGoodError as error:
            # Somebody else moved first, a store is locked or full, a file is torn: it is told, and the next look starts
            # from what is true then. A control loop that ends because a look failed watches nothing.
            _tell(f"{plane.now()} {error.code}: {error}", err=True)
        else:
            for note in tick.notes:
                _tell(json.dumps({"at": plane.now(), "note": note}) if output == "json" else f"{plane.now()} {note}")
        if count == ticks:
            return
        plane.clock.pause(timedelta(seconds=every))


def _naming(context: click.Context) -> "Callable[[LogRecord], bool]":
    """Return a filter that writes what to do next with the name of the system, as errors of commands have it."""

    def named(record: "LogRecord") -> bool:
        record.msg, record.args = with_the_system(record.getMessage(), context), ()
        return True

    return named


def _tell(line: str, *, err: bool = False) -> None:
    try:
        click.echo(with_the_system(line, click.get_current_context()), err=err, color=colours())
    except BrokenPipeError:
        raise
    except OSError:
        # What it does is on record; a log on a full disk must not end the control loop.
        return
