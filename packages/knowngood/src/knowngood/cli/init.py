"""``kg init``: a commented system file to start from."""

from pathlib import Path

import click

from knowngood.cli.console import GIVEN, answer, output_option
from knowngood_sdk.errors import ConflictError, PermanentError
from knowngood_sdk.model.manifest import check_name


@click.command(epilog="Example:  kg init pricing")
@click.argument("system", default="pricing", type=GIVEN)
@click.option(
    "--file", "path", type=click.Path(dir_okay=False, path_type=Path), help="Where to; SYSTEM.yaml otherwise."
)
@output_option
def command(system: str, path: Path | None, output: str) -> None:
    """Write a commented system file for a real-time SYSTEM."""
    from knowngood.adapters.yaml import write_commented_example

    check_name(system, "system")
    target = path or Path(f"{system}.yaml")
    text = write_commented_example(system)
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise ConflictError(
            f"{target} exists already", hint="Give another name with --file, or edit that one"
        ) from error
    except OSError as error:
        raise PermanentError(
            f"{target} cannot be written: {error.strerror}",
            hint="Name a file in a folder that is there and that this user may write in: --file FILE",
        ) from error
    answer(
        {"system": system, "file": str(target)},
        output,
        lambda: [f"wrote {target}", f"next: edit it, then kg apply {target}"],
    )
