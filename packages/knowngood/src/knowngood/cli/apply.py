"""``kg apply``: make a system file the system's rules."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from knowngood.cli.console import answer, mark, output_option
from knowngood.cli.place import Place, place_options


@click.command(epilog="Example:  kg apply pricing.yaml")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@place_options
@output_option
def command(file: Path, place: Place, output: str) -> None:
    """Check the system FILE and make it the system's rules."""
    from knowngood.adapters.yaml import content_of
    from knowngood.ports.verbs import SystemText
    from knowngood_sdk.errors import InvalidError
    from knowngood_sdk.model.wording import has_bytes, readable

    root = file.resolve().parent
    for path in (file, root):
        if not has_bytes(str(path)):
            raise click.UsageError(f"{readable(str(path))} goes on record, and its name is no UTF-8: rename it")
    content = content_of(file)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise InvalidError(f"{file} is not UTF-8: byte {error.start}", hint="Save it as UTF-8") from error
    applied = place.verbs().apply(SystemText(text=text, file=str(file), root=str(root)))

    def lines() -> list[str]:
        state = "applied" if applied["changed"] else "unchanged"
        changes = sorted(applied["changes"], key=lambda change: not change["weakens"])
        grants = (f"  {name}: {grant}" for name, grant in applied["grants"].items())
        return [
            f"{mark('good')} {applied['system']} {state}",
            *(f"  {mark('warning')} {one['what']}" if one["weakens"] else f"  {one['what']}" for one in changes),
            *_served_elsewhere(applied),
            "triggers, and what automation may do when one breaches:",
            *grants,
            *(
                f"{mark('warning')} not there yet, and needed by a deployment: {what}, {path}"
                for what, path in applied["missing"].items()
            ),
        ]

    answer(applied, output, lines)


def _served_elsewhere(applied: dict[str, Any]) -> Iterator[str]:
    """Warn where replicas serve what this record knows nothing of: it could not take them back."""
    system, generation = applied["system"], applied.get("served_elsewhere")
    if generation:
        yield (
            f"{mark('warning')} replicas stand on generation {generation} of {system} already, and nothing of it is on"
            " this record, which leads nowhere back:"
        )
        yield "    first bring theirs here, with kg backup and kg restore, as docs/how-to/run-it-for-a-team.md shows"
