"""``kg restore``: put a copy of the store back."""

import logging
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path

import click

from knowngood.cli.console import answer, directory_option, mark, output_option
from knowngood.cli.exit_code import ExitCode
from knowngood.cli.store_place import store_at, store_option
from knowngood_sdk.errors import KnownGoodError

_log = logging.getLogger(__name__)


@click.command(epilog="Example:  kg restore /backups/knowngood-monday.db --store postgresql://kg@db.internal/knowngood")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@directory_option
@store_option
@output_option
def command(file: Path, directory: str, store: str, output: str) -> int:
    """
    Put the copy in FILE, which kg backup wrote, in place of the store, and check every ledger in it.

    Refused while the store is in use, and where it holds what the copy does not; on a server the database must be
    empty. A copy can go from a file to a server and back.
    """
    from knowngood.adapters.sql.copies import restore
    from knowngood.adapters.sql.opening import find_database

    with closing(find_database(store_at(directory, store, make=True))) as database:
        restored = restore(file, database)
    behind = {} if store else _behind(directory, restored.ledgers)

    def text() -> Iterator[str]:
        yield f"{mark('good')} restored {file} to {restored.store}: {len(restored.ledgers)} system(s)"
        for system, anchor in sorted(restored.ledgers.items()):
            wrong = restored.problems.get(system)
            yield f"  {mark('bad' if wrong else 'good')} {system}: {wrong or f'{anchor.length} ledger entries, whole'}"
        for sentence in behind.values():
            yield f"{mark('warning')} {sentence}"
        for system in behind:
            yield f"    until a deployment stands above them nothing can be planned by it: kg status {system}"
        if not restored.checked:
            yield f"{mark('warning')} no {file}.sha256 stood beside it: nothing says that it is what was written"
        yield "Replicas remember how far the ledgers went: kg ledger verify SYSTEM tells what is missing since the copy"
        yield f"{mark('warning')} tokens that were revoked after the copy was made are valid again: revoke them anew"

    answer({**restored.to_json(), "behind": behind}, output, text)
    return ExitCode.ERROR if restored.problems else ExitCode.DONE


def _behind(directory: str, systems: Collection[str]) -> dict[str, str]:
    """Return the systems whose replicas on this host are ahead of the copy, with how far; those who read are told."""
    from knowngood.app import open_plane
    from knowngood.control.lag import known_route, lag_of
    from knowngood.control.publish import publish_record, published

    found: dict[str, str] = {}
    try:
        plane = open_plane(directory)
        for system in sorted(systems):
            known = known_route(plane, system)
            lag = lag_of(system, plane.store.read(system), known)
            if lag:
                found[system] = lag
            if lag or published(plane, system).recorded is not None:
                publish_record(plane, system)
    except KnownGoodError as error:
        # The copy is back; whatever works on it next says the same.
        _log.warning("whether replicas are ahead of the copy cannot be told: %s", error)
    return found
