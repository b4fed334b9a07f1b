"""``kg key``: the keys by which a control plane vouches for routes and releases."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from knowngood.cli.console import GIVEN, answer, columns, directory_option, mark, output_option, say
from knowngood.cli.group import Group

if TYPE_CHECKING:
    from knowngood.adapters.signing import KeyFolder
    from knowngood_sdk.model.signed import Root

_KEY_PATH = click.Path(dir_okay=False, path_type=Path)

_root_keys_option = click.option(
    "--root-key",
    "root_keys",
    required=True,
    multiple=True,
    type=_KEY_PATH,
    help="File with a key of the root, from where it is kept; may be repeated.",
)


@click.group(name="key", cls=Group, epilog="Example:  kg key list")
def command() -> None:
    """Make, list and remove the keys by which agents know that a route is the control plane's."""


@command.command(epilog="Example:  kg key create --root-key /media/usb/root.key")
@click.option(
    "--root-key",
    "root_keys",
    required=True,
    multiple=True,
    type=_KEY_PATH,
    help="New file for a key of the root; to be taken away from this host. May be repeated.",
)
@click.option(
    "--threshold", type=click.IntRange(1), default=1, show_default=True, help="How many root keys a change takes."
)
@directory_option
@output_option
def create(root_keys: tuple[Path, ...], threshold: int, directory: str, output: str) -> None:
    """Begin to sign: make the keys of the root, the first signing key, and the root that agents are given."""
    from datetime import UTC, datetime

    from knowngood.adapters.signing import make_key
    from knowngood.control.keys import begin
    from knowngood_sdk.errors import ConflictError, InvalidError

    folder = _folder(directory)
    if folder.roots():
        raise ConflictError("there are keys here already", hint="Look: kg key list; another one: kg key add")
    if threshold > len(root_keys):
        raise InvalidError(
            f"a change cannot take {threshold} of {len(root_keys)} root key(s)", hint="Name more: --root-key FILE"
        )
    keys = [make_key(path) for path in root_keys]
    root = begin(folder, keys, threshold=threshold, now=datetime.now(UTC))
    _tell(folder, root, output)
    if output == "text":
        say(f"  Agents ask for signatures once they have it: KNOWNGOOD_TRUST={folder.roots_file}")
        say(f"  Take {', '.join(map(str, root_keys))} away from this host: who has it says which keys count")


@command.command(name="list", epilog="Example:  kg key list --output json")
@directory_option
@output_option
def list_(directory: str, output: str) -> None:
    """List the keys that count, and which of them signs."""
    from knowngood.control.keys import present_root

    folder = _folder(directory)
    _tell(folder, present_root(folder), output)


@command.command(epilog="Example:  kg key add --root-key /media/usb/root.key")
@_root_keys_option
@directory_option
@output_option
def add(root_keys: tuple[Path, ...], directory: str, output: str) -> None:
    """Make another signing key, which signs from then on. Those before it count until they are removed."""
    from datetime import UTC, datetime

    from knowngood.adapters.signing import read_key
    from knowngood.control.keys import add_key

    folder = _folder(directory)
    root, _ = add_key(folder, [read_key(path) for path in root_keys], now=datetime.now(UTC))
    _tell(folder, root, output)


@command.command(epilog="Example:  kg key remove 3f1c9a0b7d2e --root-key /media/usb/root.key")
@click.argument("key", type=GIVEN)
@_root_keys_option
@directory_option
@output_option
def remove(key: str, root_keys: tuple[Path, ...], directory: str, output: str) -> None:
    """Take KEY (the beginning of its id) out of the root: what it signs counts no more."""
    from datetime import UTC, datetime

    from knowngood.adapters.signing import read_key
    from knowngood.control.keys import remove_key

    folder = _folder(directory)
    root = remove_key(folder, key, [read_key(path) for path in root_keys], now=datetime.now(UTC))
    _tell(folder, root, output)


@command.command(epilog="Example:  kg key root --root-key old.key --new-root-key new.key")
@_root_keys_option
@click.option(
    "--new-root-key", "new", required=True, multiple=True, type=_KEY_PATH, help="New file for a key; may be repeated."
)
@click.option(
    "--threshold", type=click.IntRange(1), default=1, show_default=True, help="How many root keys a change takes."
)
@directory_option
@output_option
def root(root_keys: tuple[Path, ...], new: tuple[Path, ...], threshold: int, directory: str, output: str) -> None:
    """Put other keys in the place of those of the root; the old ones sign that once more."""
    from datetime import UTC, datetime

    from knowngood.adapters.signing import make_key, read_key
    from knowngood.control.keys import replace_root_keys

    folder = _folder(directory)
    old = [read_key(path) for path in root_keys]
    # One that is there already stays in the root.
    keys = [read_key(path) if path.exists() else make_key(path) for path in new]
    made = replace_root_keys(folder, old, keys, threshold=threshold, now=datetime.now(UTC))
    _tell(folder, made, output)


def _folder(directory: str) -> "KeyFolder":
    from knowngood.adapters.signing import KeyFolder
    from knowngood_sdk.errors import NotFoundError
    from knowngood_sdk.serving.folder import check_format

    place = Path(directory).absolute()
    check_format(place)
    if not (place / "format").exists():
        raise NotFoundError(
            f"there is no working folder {place}",
            hint="Name the control plane's with --dir or KNOWNGOOD_DIR; kg serve makes it, and so does kg apply",
        )
    return KeyFolder(place / "keys")


def _tell(folder: "KeyFolder", root: "Root", output: str) -> None:
    from knowngood_sdk.errors import KnownGoodError
    from knowngood_sdk.model.signed import key_id, short_key

    held = folder.held()
    signs, trouble = "", ""
    try:
        signs = key_id(folder.current().public)
    except KnownGoodError as error:
        trouble = str(error)
    document: dict[str, Any] = {
        "root": {
            "version": root.version,
            "keys": sorted(root.root_keys),
            "threshold": root.threshold,
            "made_at": root.made_at,
            "file": str(folder.roots_file),
        },
        "keys": [{"key": key, "here": key in held, "signs": key == signs} for key in sorted(root.signing_keys)],
        "trouble": trouble,
    }
    rows = [
        (short_key(key), "yes" if key in held else "no", "yes" if key == signs else "") for key in root.signing_keys
    ]

    def text() -> list[str]:
        of = f"{root.threshold} of {len(root.root_keys)} root key(s) change it"
        lines = [f"root {root.version}, of {root.made_at}; {of}", *columns(sorted(rows), ("key", "here", "signs"))]
        return [*lines, f"{mark('bad')} {trouble}"] if trouble else lines

    answer(document, output, text)
