"""``kg apply``: make a system file the system's rules."""

from pathlib import Path

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

    content = content_of(file)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise InvalidError(f"{file} is not UTF-8: byte {error.start}", hint="Save it as UTF-8") from error
    applied = place.verbs().apply(SystemText(text=text, file=str(file), root=str(file.resolve().parent)))

    def lines() -> list[str]:
        state = "applied" if applied["changed"] else "unchanged"
        changes = sorted(applied["changes"], key=lambda change: not change["weakens"])
        grants = (f"  {name}: {grant}" for name, grant in applied["grants"].items())
        return [
            f"{mark('good')} {applied['system']} {state}",
            *(f"  {mark('warning')} {one['what']}" if one["weakens"] else f"  {one['what']}" for one in changes),
            "triggers, and what automation may do when one breaches:",
            *grants,
            *(
                f"{mark('warning')} not there yet, and needed by a deployment: {what}, {path}"
                for what, path in applied["missing"].items()
            ),
        ]

    answer(applied, output, lines)
