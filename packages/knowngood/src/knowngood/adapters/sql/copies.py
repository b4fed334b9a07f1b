"""
Copies: a store in one file, and back; the same file for both databases.

A copy is a SQLite store of its own, whole as of one moment, whatever is written meanwhile. It can be put back into a
file or onto a server, so it is also the way from the one to the other. Beside it stands its SHA-256, in the form that
``sha256sum --check`` reads.
"""

import errno
import hashlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.exc import DBAPIError

from knowngood.adapters.sql import records
from knowngood.adapters.sql.database import Database, ServerDatabase
from knowngood.adapters.sql.migrate import migrate, revision
from knowngood.adapters.sql.schema import REVISIONS, compatibility, leases, metadata
from knowngood.adapters.sql.schema import ledger as ledger_table
from knowngood.adapters.sql.sqlite import SqliteDatabase
from knowngood.domain.ledger import EMPTY, Anchor, verify
from knowngood_sdk.errors import ConflictError, InvalidError, NotFoundError, PermanentError

__all__ = ["Copied", "back_up", "restore"]

_ROWS = 500
"""Rows that are read and written at a time."""
_FENCES = 1_000_000
"""How far the fences of leases are put forward: a holder from after the copy must stay behind the next one."""
_NO_ROOM = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_TRUNCATE")
_NO_ROOM_ERRNO = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """
    What was copied.

    Attributes:
        file: The copy.
        store: The store.
        sha256: SHA-256 of the file, 64 hex digits.
        schema: Revision of its tables.
        ledgers: System -> how far its ledger goes in the copy.
        problems: System -> what is wrong with its ledger, for people; looked for after restoring.
        checked: Whether a SHA-256 stood beside the file to hold it against.
    """

    file: str
    store: str
    sha256: str
    schema: str
    ledgers: Mapping[str, Anchor] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    checked: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        ledgers = {name: {"count": anchor.length, "head": anchor.head} for name, anchor in self.ledgers.items()}
        return {**asdict(self), "ledgers": ledgers}


def back_up(database: Database, file: Path) -> Copied:
    """
    Copy a store into a file, while it is in use.

    Raises:
        ConflictError: The file exists.
        NotFoundError: There is no store.
        PermanentError: The file cannot be written.
        TransientError: The store cannot be reached.
    """
    if file.exists():
        raise ConflictError(f"{file} exists already", hint="Give another name: a copy never takes the place of another")
    if not database.exists() or revision(database) is None:
        raise NotFoundError(f"there is no store {database.name}", hint="Name it with --dir or --store")
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with _writing_to(file):
            if isinstance(database, SqliteDatabase):
                _copy_file(database, part)
            else:
                _copy_rows_out(cast(ServerDatabase, database), part)
            _settle(part)
            digest = _sha256(part)
            _write_beside(file, digest)
            part.rename(file)
            _sync(file.parent)
    finally:
        for name in (part, *(part.with_name(part.name + end) for end in ("-wal", "-shm", "-journal", ".lock"))):
            name.unlink(missing_ok=True)
    copy = SqliteDatabase(file)
    with closing(copy):
        return Copied(
            file=str(file), store=database.name, sha256=digest, schema=str(revision(copy)), ledgers=_ledgers(copy)
        )


def restore(file: Path, database: Database) -> Copied:
    """
    Put a copy in place of a store, and check every ledger that it holds.

    Leases are put back as nobody's. What was written after the copy is not in it: replicas remember how far the ledgers
    went, and deployments go on above every generation that replicas know.

    Raises:
        NotFoundError: There is no such file.
        InvalidError: It is not what its SHA-256 says, or of a newer knowngood.
        ConflictError: The store is in use, or holds what the copy does not.
        PermanentError: The file is no copy, or the store cannot be written.
    """
    if not file.exists():
        raise NotFoundError(f"there is no file {file}", hint="Name a copy that kg backup wrote")
    digest, checked = _sha256(file), _beside(file)
    if checked is not None and checked != digest:
        raise InvalidError(
            f"{file} is not what was written: its SHA-256 is {digest[:12]}…, and {_name_beside(file)} says"
            f" {checked[:12]}…",
            hint="Take another copy; this one was damaged or changed",
        )
    with tempfile.TemporaryDirectory(prefix="knowngood-restore-") as folder:
        draft = SqliteDatabase(Path(folder, "store.db"))
        with closing(draft):
            _draft(file, draft)
            if isinstance(database, SqliteDatabase):
                _put_back_file(draft, database)
            else:
                _put_back_rows(draft, cast(ServerDatabase, database))
    ledgers, problems = _ledgers(database), _problems(database)
    return Copied(
        file=str(file),
        store=database.name,
        sha256=digest,
        schema=REVISIONS[-1],
        ledgers=ledgers,
        problems=problems,
        checked=checked is not None,
    )


def _copy_file(database: SqliteDatabase, part: Path) -> None:
    # Whoever can read a store can write as its owner: a copy is for the owner alone too.
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    with database.translated(), closing(database.connect()) as source, closing(sqlite3.connect(part)) as target:
        source.backup(target)


def _copy_rows_out(database: ServerDatabase, part: Path) -> None:
    copy = SqliteDatabase(part)
    with closing(copy):
        migrate(copy)
        with database.copying() as source, copy.writing() as target:
            _copy_rows(source, target)


def _copy_rows(source: Connection, target: Connection) -> None:
    """Copy all rows of our tables, those first that others refer to."""
    for table in metadata.sorted_tables:
        if table is compatibility:
            continue
        rows = source.execution_options(yield_per=_ROWS).execute(select(table)).mappings()
        for batch in rows.partitions():
            target.execute(insert(table), [dict(row) for row in batch])


def _settle(part: Path) -> None:
    """Make one file of it, durable and whole."""
    with closing(sqlite3.connect(part, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        (verdict,) = connection.execute("PRAGMA quick_check").fetchone()
    if verdict != "ok":
        raise PermanentError(
            f"the store is damaged, so its copy is too: {verdict}",
            hint="Keep the store's file for a person to look at, and an older copy",
        )
    with part.open("rb") as written:
        os.fsync(written.fileno())


def _draft(file: Path, draft: SqliteDatabase) -> None:
    """Bring a copy of the copy to this program's schema, with leases that nobody holds."""
    address = f"{file.absolute().as_uri()}?mode=ro"
    with (
        draft.preparing(),
        draft.translated(),
        closing(sqlite3.connect(address, uri=True)) as source,
        closing(draft.connect()) as target,
    ):
        source.backup(target)
    if revision(draft) is None:
        raise PermanentError(f"{file} is no copy of a store: it has no tables", hint="Name a file that kg backup wrote")
    migrate(draft)
    with draft.writing() as connection:
        connection.execute(update(leases).values(holder="", expires=0, fence=leases.c.fence + _FENCES))


def _put_back_file(draft: SqliteDatabase, database: SqliteDatabase) -> None:
    with database.preparing(), database.alone() as target:
        _refuse_newer(draft, target, database.name)
        with closing(draft.connect()) as source:
            # One transaction: a kill leaves what was there.
            source.backup(target)
    migrate(database)
    with database.preparing(), database.migrating():
        pass  # an empty file that was filled has no write-ahead log yet


def _put_back_rows(draft: SqliteDatabase, database: ServerDatabase) -> None:
    migrate(database)
    with draft.reading() as source, database.replacing() as target:
        for table in metadata.sorted_tables:
            if table is not compatibility and target.execute(select(func.count()).select_from(table)).scalar_one():
                raise ConflictError(
                    f"the store {database.name} is not empty: it has rows in {table.name}",
                    hint="Restore into a new database: createdb NAME",
                )
        _copy_rows(source, target)


def _refuse_newer(draft: SqliteDatabase, target: sqlite3.Connection, name: str) -> None:
    """Refuse to lose what is on record and not in the copy."""
    try:
        heads = target.execute(
            "SELECT system, sequence, hash FROM ledger AS l"
            " WHERE sequence = (SELECT max(sequence) FROM ledger WHERE system = l.system)"
        ).fetchall()
        names = {system for (system,) in target.execute("SELECT system FROM systems")}
    except sqlite3.OperationalError:
        return  # it has no tables: nothing is lost
    with draft.reading() as connection:
        lost = names - set(records.systems(connection))
        for system, sequence, head in heads:
            there = select(ledger_table.c.hash).where(
                ledger_table.c.system == system, ledger_table.c.sequence == sequence
            )
            if connection.execute(there).scalar_one_or_none() != head:
                lost.add(system)
    if lost:
        raise ConflictError(
            f"the store {name} holds what the copy does not: entries of {', '.join(sorted(lost))}",
            hint=f"To give that up, move it away first: mv {name} {name}.before",
        )


def _ledgers(database: Database) -> dict[str, Anchor]:
    with database.reading() as connection:
        return {system: records.head(connection, system) for system in records.systems(connection)}


def _problems(database: Database) -> dict[str, str]:
    found = {}
    for system in _ledgers(database):
        with database.reading() as connection:
            verification = verify(records.ledger(connection, system, EMPTY.length, None))
        if not verification.ok:
            found[system] = verification.problem
    return found


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _name_beside(file: Path) -> Path:
    return file.with_name(f"{file.name}.sha256")


def _beside(file: Path) -> str | None:
    """Return the SHA-256 that stands beside a file, or None."""
    with suppress(FileNotFoundError):
        return _name_beside(file).read_text(encoding="utf-8").split(" ")[0].strip()
    return None


def _write_beside(file: Path, digest: str) -> None:
    name = _name_beside(file)
    try:
        with name.open("w", encoding="utf-8") as beside:
            beside.write(f"{digest}  {file.name}\n")
            beside.flush()
            os.fsync(beside.fileno())
    except OSError:
        name.unlink(missing_ok=True)  # half of it would speak against the next copy of this name
        raise


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _writing_to(file: Path) -> Iterator[None]:
    """Say what kept a copy from being written; where it was room, whose disk it is that is full: not the store's."""
    try:
        yield
    except (OSError, sqlite3.Error, PermanentError) as error:
        if _lacks_room(error):
            folder = file.absolute().parent
            raise PermanentError(
                f"there is no room for the copy {file.name} in {folder}; no copy was made",
                hint=f"Make room there, raise the quota, or name a file in another place: df {folder}",
            ) from error
        if not isinstance(error, OSError):
            raise
        raise PermanentError(
            f"the copy {file} cannot be written: {error.strerror}",
            hint=f"See that its folder exists, belongs to you and has room: ls -la {file.parent}",
        ) from error


def _lacks_room(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in _NO_ROOM_ERRNO
    # The store is only read meanwhile, so what cannot grow is the copy, whichever database said so.
    cause = error.__cause__ if isinstance(error, PermanentError) else error
    driver = cause.orig if isinstance(cause, DBAPIError) else cause
    return str(getattr(driver, "sqlite_errorname", "")).startswith(_NO_ROOM)
