"""SQLite listening: a thread that looks whether another connection has committed, for a file tells nobody."""

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from threading import Event, Thread

from knowngood_sdk.errors import KnownGoodError

__all__ = ["listening"]

_EVERY = timedelta(milliseconds=50)
_log = logging.getLogger(__name__)


@contextmanager
def listening(connect: Callable[[], sqlite3.Connection], look: Callable[[], None]) -> Iterator[None]:
    """Call ``look`` in a thread after each commit of another connection, while the block runs."""
    over = Event()
    thread = Thread(target=_listen, args=(connect, look, over), name="knowngood-listen", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _listen(connect: Callable[[], sqlite3.Connection], look: Callable[[], None], over: Event) -> None:
    while not over.is_set():
        try:
            with closing(connect()) as connection:
                _until_it_fails(connection, look, over)
        except (sqlite3.Error, KnownGoodError) as error:
            _log.warning("the store cannot be watched for changes at the moment: %s", error)
            over.wait(1)


def _until_it_fails(connection: sqlite3.Connection, look: Callable[[], None], over: Event) -> None:
    before = None
    while not over.wait(0 if before is None else _EVERY.total_seconds()):
        # A number in shared memory: asking for it costs microseconds, however large the file is.
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if version != before:
            before = version
            look()
