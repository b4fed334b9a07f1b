"""``kg diff``: what differs between two system versions."""

import click

from knowngood.cli.completion import versions
from knowngood.cli.console import GIVEN, answer, columns, directory_option, output_option, system_argument


@click.command(epilog="Example:  kg diff pricing 3f1c9a0b7d2e live")
@system_argument
@click.argument("before", required=False, type=GIVEN, shell_complete=versions)
@click.argument("after", required=False, type=GIVEN, shell_complete=versions)
@directory_option
@output_option
def command(system: str, before: str | None, after: str | None, directory: str, output: str) -> None:
    """
    Show what differs between two versions of SYSTEM.

    A version is given by the first digits of its digest, or as live, candidate or way-back. Without any: what is live
    and the candidate while one is tried, else the way back and what is live.
    """
    from knowngood.app import open_plane
    from knowngood.control.lookup import compared, version_named
    from knowngood.domain.compatibility import label_of
    from knowngood.domain.level import diff

    plane = open_plane(directory)
    names = (before, after or "live") if before else compared(plane, system)
    left, right = (version_named(plane, system, name) for name in names)
    found = diff(left, right)
    document = {"before": left.content_digest, "after": right.content_digest, **found.to_json()}

    def text() -> list[str]:
        rows = [
            (change.component, *(label_of(side) if side else "-" for side in (change.before, change.after)))
            for change in found.changes
        ]
        if not rows:
            return [f"{left.label} and {right.label} are the same content"]
        return [*columns(rows, ("component", left.label, right.label)), f"going back is level {found.level}"]

    answer(document, output, text)
