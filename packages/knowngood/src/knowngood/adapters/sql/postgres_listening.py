"""Postgres listening: a thread with a connection of its own, on which the server tells that something changed."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from select import select
from threading import Thread

import psycopg

from knowngood.adapters.sql.patient import PatientConnection
from knowngood_sdk.errors import KnownGoodError

__all__ = ["CHANNEL", "listening"]

CHANNEL = "knowngood"
_QUIET = timedelta(seconds=5)
"""After so long without a word the server is asked whether it is there; one that was cut off says nothing of it."""
_BETWEEN_TRIES = timedelta(milliseconds=500)
_log = logging.getLogger(__name__)


@contextmanager
def listening(connect: Callable[[], PatientConnection], look: Callable[[], None]) -> Iterator[None]:
    """Call ``look`` in a thread after each notification, and after each new connection, while the block runs."""
    over, tell = os.pipe()
    thread = Thread(target=_listen, args=(connect, look, over), name="knowngood-listen", daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.write(tell, b"x")
        thread.join()
        os.close(over)
        os.close(tell)


def _listen(connect: Callable[[], PatientConnection], look: Callable[[], None], over: int) -> None:
    away = False
    while not select([over], [], [], _BETWEEN_TRIES.total_seconds() if away else 0)[0]:
        try:
            with closing(connect()) as connection:
                connection.autocommit = True
                connection.add_notify_handler(lambda _: None)  # looking finds everything; none is to be kept
                connection.execute(f"LISTEN {CHANNEL}".encode())
                look()
                if away:
                    _log.info("the store is back, and tells of changes again")
                away = False
                _until_it_fails(connection, look, over)
        except (psycopg.Error, KnownGoodError) as error:
            if not away:
                _log.warning("the store tells of no changes at the moment: %s", error)
            away = True


def _until_it_fails(connection: PatientConnection, look: Callable[[], None], over: int) -> None:
    while True:
        ready, _, _ = select([over, connection.fileno()], [], [], _QUIET.total_seconds())
        if over in ready:
            return
        connection.execute("SELECT 1")  # takes in what was sent, or finds that nobody is there
        if ready:
            look()
