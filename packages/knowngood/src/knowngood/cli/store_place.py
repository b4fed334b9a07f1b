"""Place: which store a command about the store itself is for."""

from pathlib import Path

import click

from knowngood_sdk.errors import NotFoundError

__all__ = ["store_at", "store_option"]

store_option = click.option(
    "--store",
    envvar="KNOWNGOOD_STORE",
    default="",
    help="A file, or postgresql://USER@HOST/DATABASE; store.db in the working folder otherwise. Also KNOWNGOOD_STORE.",
)


def store_at(directory: str, store: str, *, make: bool = False) -> Path | str:
    """
    Return what names the store.

    Args:
        directory: The working folder.
        store: What the command line, or the environment, says; empty for the store in the folder.
        make: Whether the folder is made where there is none.

    Raises:
        NotFoundError: There is no such folder.
    """
    if store:
        return store
    folder = Path(directory).absolute()
    if make:
        from knowngood.app import make_folder

        make_folder(folder)
    elif not folder.is_dir():
        raise NotFoundError(
            f"there is no working folder {folder}",
            hint="Name it with --dir or KNOWNGOOD_DIR, or the store with --store",
        )
    return folder / "store.db"
