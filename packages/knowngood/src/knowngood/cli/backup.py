"""``kg backup``: copy the store into one file, while it is in use."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import click

from knowngood.cli.console import answer, directory_option, mark, output_option
from knowngood.cli.store_place import store_at, store_option


@click.command(epilog="Example:  kg backup /backups/knowngood-monday.db")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@directory_option
@store_option
@output_option
def command(file: Path, directory: str, store: str, output: str) -> None:
    """
    Copy the store into FILE, as of one moment, while it is in use.

    The copy is whole: what is on record, routes, rules, and what tokens are known by. Its SHA-256 is kept beside it, in
    FILE.sha256. Components are not in it, they stay where they are.
    """
    from knowngood.adapters.sql.copies import back_up
    from knowngood.adapters.sql.opening import find_database

    with closing(find_database(store_at(directory, store))) as database:
        copied = back_up(database, file)

    def text() -> Iterator[str]:
        yield f"{mark('good')} copied {copied.store} to {file}: {len(copied.ledgers)} system(s), schema {copied.schema}"
        for system, anchor in sorted(copied.ledgers.items()):
            yield f"  {system}: {anchor.length} ledger entries"
        yield f"  sha256 {copied.sha256}, also in {file}.sha256"

    answer(copied.to_json(), output, text)
