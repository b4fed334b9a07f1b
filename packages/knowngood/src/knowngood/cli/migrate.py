"""``kg migrate``: bring the store to the schema of this program."""

from contextlib import closing

import click

from knowngood.cli.console import answer, directory_option, mark, output_option
from knowngood.cli.store_place import store_at, store_option


@click.command(epilog="Example:  kg migrate --store postgresql://kg@db.internal/knowngood")
@directory_option
@store_option
@output_option
def command(directory: str, store: str, output: str) -> None:
    """
    Create the store's tables, or bring them to the schema of this program.

    Every command does so by itself when it has to; this one does nothing else, so that it can be done beforehand. The
    program before goes on with the new tables, unless the changelog says otherwise.
    """
    from knowngood.adapters.sql.migrate import migrate, revision
    from knowngood.adapters.sql.opening import find_database

    with closing(find_database(store_at(directory, store))) as database:
        before = revision(database) if database.exists() else None
        migrate(database)
        after = revision(database)
    moved = (
        f"migrated from schema {before or 'nothing'} to {after}" if before != after else f"has schema {after} already"
    )
    answer(
        {"store": database.name, "before": before, "after": after},
        output,
        lambda: [f"{mark('good')} the store {database.name} {moved}"],
    )
