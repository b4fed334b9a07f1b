"""``kg apply``: make a system file the system's rules."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from knowngood.cli.console import answer, directory_option, mark, output_option

if TYPE_CHECKING:
    from knowngood.domain.system import SystemFile


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
    root = file.resolve().parent
    applied = apply(open_plane(directory, make=True), spec, root=str(root), actor=actor())
    missing = _missing(spec, root)
    document = {
        "system": spec.system,
        "changed": applied.changed,
        "file": str(file),
        "grants": applied.grants,
        "changes": [change.to_json() for change in applied.changes],
        "missing": missing,
    }

    def text() -> list[str]:
        state = "applied" if applied.changed else "unchanged"
        changes = sorted(applied.changes, key=lambda change: not change.weakens)
        grants = (f"  {name}: {grant}" for name, grant in applied.grants.items())
        return [
            f"{mark('good')} {spec.system} {state}",
            *(f"  {mark('warning')} {change.what}" if change.weakens else f"  {change.what}" for change in changes),
            "triggers, and what automation may do when one breaches:",
            *grants,
            *(
                f"{mark('warning')} not there yet, and needed by a deployment: {what}, {path}"
                for what, path in missing.items()
            ),
        ]

    answer(document, output, text)


def _missing(spec: "SystemFile", root: Path) -> dict[str, str]:
    """Return what the rules name by a path where nothing is yet; training may still have to write it."""
    from knowngood.domain.system import EMBEDDED_KINDS

    named = {"the golden inputs": spec.golden}
    for name, declared in spec.components.items():
        named[name] = declared.target if declared.kind in EMBEDDED_KINDS else None
        named[f"the contract of {name}"] = declared.contract
    return {what: str(root / path) for what, path in named.items() if path and not os.access(root / path, os.F_OK)}
