"""Postgres errors: what each means for whoever called, with what to do, in this one place."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from knowngood.adapters.sql.patient import SilentError
from knowngood_sdk.errors import InvalidError, KnownGoodError, OutcomeUnknownError, PermanentError, TransientError

__all__ = ["translated"]


class _Meaning(NamedTuple):
    """What an error means, by the beginning of its SQLSTATE, or a part of its text where it has none."""

    signs: tuple[str, ...]
    error: type[KnownGoodError]
    what: str
    hint: str
    locked: bool = False


_LOOK = "Look whether the server runs and can be reached: psql {name} -c 'select 1'"
_BY_STATE = (
    _Meaning(
        ("55P03", "40001", "40P01"),
        TransientError,
        "the store {name} is locked: another process has been writing to it for {seconds} s",
        "Try again; if it stays locked, see who holds it: select * from pg_stat_activity where state <> 'idle'",
        locked=True,
    ),
    _Meaning(
        ("57014",),
        TransientError,
        "the store {name} took too long for one statement; nothing was changed",
        "Try again; if it stays slow, look at the load of the server",
    ),
    _Meaning(
        ("25P03", "25P04"),
        TransientError,
        "the server of {name} aborted a change in which nothing happened for too long; nothing was changed",
        "Try again: this process was stopped, or cut off, in the middle of it",
    ),
    _Meaning(
        ("53100",),
        PermanentError,
        "the store {name} cannot grow; nothing was changed",
        "Make room on the disk of the server, then try again",
    ),
    _Meaning(
        ("28", "3D", "42501", "25006"),
        PermanentError,
        "the store {name} cannot be opened or written by this user; nothing was changed",
        "Check user, password, the owner of the database, and that it is no standby",
    ),
    _Meaning(
        ("XX001", "XX002"),
        PermanentError,
        "the store {name} is damaged",
        "Keep the server's files for a person to look at, and restore the store from a copy",
    ),
    _Meaning(
        ("58",),
        PermanentError,
        "the disk under the store {name} fails; nothing was changed",
        "Look at the disk of the server; if it was replaced, restore the store from a copy",
    ),
    _Meaning(("22",), InvalidError, "a value cannot be kept in the store {name}", "Leave out what it does not take"),
    _Meaning(("53", "57P03"), TransientError, "the store {name} takes no more connections at the moment", _LOOK),
)
_LOST_STATES = ("08", "57P", "58", "53")
"""What says, while a commit is under way, that nobody knows how it ended."""

# A server that refuses a connection says why in words alone; these are worth no second try.
_BY_TEXT = (
    _Meaning(
        (
            "authentication failed",
            "does not exist",
            "no pg_hba.conf entry",
            "no password supplied",
            "permission denied",
        ),
        PermanentError,
        "the store {name} cannot be opened by this user",
        "Check user, password and name of the database; to create one: createdb NAME",
    ),
    _Meaning(("NUL (0x00)",), InvalidError, "a text with a NUL character cannot be kept in {name}", "Leave it out"),
)
_SILENT = _Meaning((), TransientError, "the store {name} does not answer; nothing was changed", _LOOK)
_AWAY = _Meaning((), TransientError, "the store {name} cannot be reached; nothing was changed", _LOOK)
_BUSY = _Meaning(
    (),
    TransientError,
    "all connections to the store {name} have been in use for {seconds} s",
    "Try again; if it stays so, look at the load of the server",
    locked=True,
)
_COMMIT_LOST = _Meaning(
    (),
    OutcomeUnknownError,
    "the connection to the store {name} was lost while a change was committed",
    "Look at what is on record before acting again: kg history SYSTEM",
)


@contextmanager
def translated(*, name: str, seconds: str, committing: bool) -> Iterator[None]:
    """Turn the driver's errors into ours; a mistake of ours in a statement stays what it is."""
    try:
        yield
    except (DBAPIError, psycopg.Error, PoolTimeoutError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        meaning = _meaning_of(cause, committing=committing)
        if meaning is None:
            raise
        facts = {"name": name, "seconds": seconds}
        said = " ".join(str(cause).split())
        details = {"locked": True} if meaning.locked else {}
        what, hint = meaning.what.format(**facts), meaning.hint.format(**facts)
        raise meaning.error(f"{what} ({said})", hint=hint, **details) from error


def _meaning_of(cause: BaseException | None, *, committing: bool) -> _Meaning | None:
    state = getattr(cause, "sqlstate", None) or ""
    if committing and (_lost(cause) or state.startswith(_LOST_STATES)):
        return _COMMIT_LOST
    if isinstance(cause, PoolTimeoutError):
        return _BUSY
    if isinstance(cause, SilentError):
        return _SILENT
    if state:
        found = next((meaning for meaning in _BY_STATE if state.startswith(meaning.signs)), None)
        return found or (_AWAY if state.startswith(_LOST_STATES) else None)
    found = next((meaning for meaning in _BY_TEXT if any(sign in str(cause) for sign in meaning.signs)), None)
    return found or (_AWAY if isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError) else None)


def _lost(cause: BaseException | None) -> bool:
    """Whether the connection itself failed: an error that the server sent carries a state."""
    return isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError) and not cause.sqlstate
