"""``kg apply``: make a system file the system's rules."""

from pathlib import Path

import click

from knowngood.cli.console import answer, directory_option, mark, output_option


@click.command(epilog="Example:  kg apply pricing.yaml")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@directory_option
@output_option
def command(file: Path, directory: str, output: str) -> None:
    """Check the system FILE and make it the system's rules."""
    from knowngood.adapters.yaml import read_system_file
    from knowngood.app import actor, installed_kinds, open_plane
    from knowngood.control.apply import apply

    spec = read_system_file(file, kinds=installed_kinds())
    applied = apply(open_plane(directory, make=True), spec, root=str(file.resolve().parent), actor=actor())
    document = {"system": spec.system, "changed": applied.changed, "file": str(file), "grants": applied.grants}

    def text() -> list[str]:
        state = "applied" if applied.changed else "unchanged"
        grants = (f"  {name}: {grant}" for name, grant in applied.grants.items())
        return [
            f"{mark('good')} {spec.system} {state}",
            "triggers, and what automation may do when one breaches:",
            *grants,
        ]

    answer(document, output, text)
