"""``kg resume``: a rollback that waited for a person goes on."""

import click

from knowngood.cli.completion import versions
from knowngood.cli.console import GIVEN, answer, directory_option, mark, output_option, say, system_argument


@click.command(epilog="Example:  kg resume pricing")
@system_argument
@click.argument("version", type=GIVEN, required=False, shell_complete=versions)
@click.option("--no-wait", is_flag=True, help="Do not wait until the metrics are back at their baseline.")
@click.option("--timeout", default=180, show_default=True, help="Seconds to wait.")
@directory_option
@output_option
def command(*, system: str, version: str | None, no_wait: bool, timeout: int, directory: str, output: str) -> int:
    """
    Let SYSTEM's rollbacks go on that wait for a person, or only that which left VERSION.

    Each goes on from the step that could not be done; what it waited for is in kg status and in the record.
    """
    from datetime import timedelta

    from knowngood.app import actor, open_plane
    from knowngood.cli.rollback import code_of, lines_of
    from knowngood.control.resume import resume_stuck, stuck
    from knowngood.control.rollback import follow

    plane = open_plane(directory)
    for saga in stuck(plane, system, version):
        say(f"{mark('waiting')} it waited for: {saga.needs}")
    sagas = resume_stuck(plane, system, actor(), version=version)
    if not no_wait:
        sagas = tuple(follow(plane, saga, timedelta(seconds=timeout)) for saga in sagas)
    codes = [code_of(saga, waited=not no_wait, reached=True) for saga in sagas]
    answer(
        {"system": system, "rollbacks": [saga.to_json() for saga in sagas]},
        output,
        lambda: [line for saga, code in zip(sagas, codes, strict=True) for line in lines_of(saga, code)],
    )
    return max(codes)
