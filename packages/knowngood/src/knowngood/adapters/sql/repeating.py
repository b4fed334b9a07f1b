"""Repeating: transactions that may be done twice, so that nobody has to know whether one was."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from knowngood.adapters.sql.database import Database
from knowngood_sdk.errors import OutcomeUnknownError, TransientError

__all__ = ["writing_again"]


@contextmanager
def writing_again(database: Database, what: str = "") -> Iterator[Connection]:
    """Give a connection as ``Database.writing`` does; where the answer to a commit was lost, it is to be done again."""
    try:
        with database.writing(what) as connection:
            yield connection
    except OutcomeUnknownError as error:
        raise TransientError(error.message, hint="Try again: doing it twice does no harm") from error
