"""
Journal: the trips of a replica and where it stood, one line each, durable before they are acknowledged.

It repairs what the shared word and the last-known-good file may have lost in a crash. Trips are facts, and within a
generation a replica never goes back, so a line that is there twice, or is long past, says nothing new. Several
processes append without a lock. A line that a crash cut off is passed over and reported; it was never acknowledged.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from knowngood_sdk.errors import InvalidError, TransientError
from knowngood_sdk.model.canonical import canonical_bytes
from knowngood_sdk.model.route import Facts, FleetRoute, LocalTrip, Stand, Trip
from knowngood_sdk.model.wire import trip_from_json, trip_to_json
from knowngood_sdk.model.wording import has_bytes, readable
from knowngood_sdk.serving.disk import NO_LINK, OWNER_FILE, sync_folder, writing

__all__ = ["Entry", "Journal", "LocalRecord", "Tail", "Written"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRecord:
    """
    A local trip as the journal keeps it.

    Attributes:
        trip: The fact.
        at: When, as ISO 8601 in UTC.
        why: The evidence, for people; as in ``Trip``, what is no character of it is replaced.
    """

    trip: LocalTrip
    at: str
    why: str

    def __post_init__(self) -> None:
        if not has_bytes(self.why):
            object.__setattr__(self, "why", readable(self.why))


Entry = Trip | LocalRecord | Stand
"""What a line says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """
    What was read from a journal.

    Attributes:
        trips: Fleet trips, oldest first.
        local: Local trips, oldest first.
        stands: Where the replica stood, oldest first.
        offset: Where to go on reading, in bytes.
        damaged: What could not be read, a sentence for each line.
    """

    trips: tuple[Trip, ...] = ()
    local: tuple[LocalRecord, ...] = ()
    stands: tuple[Stand, ...] = ()
    offset: int = 0
    damaged: tuple[str, ...] = ()

    @property
    def facts(self) -> Facts:
        """The fleet trips as facts."""
        return Facts({trip.uid: trip for trip in self.trips})

    @property
    def local_trips(self) -> frozenset[LocalTrip]:
        """The local trips as facts."""
        return frozenset(record.trip for record in self.local)


@dataclass(frozen=True, slots=True)
class Written:
    """
    Where lines were added.

    Attributes:
        start: Where the first of them begins, in bytes.
        end: Where the last of them ends.
        file: Number, time of change and size of the file afterwards.
    """

    start: int
    end: int
    file: tuple[int, int, int]


class Journal:
    """
    The journal file of one replica folder.

    Args:
        path: The file; made with the first line.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._named: tuple[int, int] | None = None

    def append(self, *entries: Entry) -> Written:
        """
        Add a line for each entry; durable when this returns, at the cost of one sync, and of another the first time.

        Returns:
            Where they stand.

        Raises:
            TransientError: It cannot be written (disk full, read-only); what came before is unharmed.
        """
        lines = b"".join(map(_line, entries))
        with writing(self._path):
            descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | NO_LINK, OWNER_FILE)
            try:
                size = os.lseek(descriptor, 0, os.SEEK_END)
                self._write(descriptor, lines if _ends_a_line(descriptor, size) else b"\n" + lines)
                # Another process may have been cut off since that look: then the line is glued to its piece.
                end = os.lseek(descriptor, 0, os.SEEK_CUR)
                if not _ends_a_line(descriptor, end - len(lines)):
                    self._write(descriptor, b"\n" + lines)
                    end = os.lseek(descriptor, 0, os.SEEK_CUR)
                os.fsync(descriptor)
                found = os.fstat(descriptor)
            finally:
                os.close(descriptor)
            if not size:
                self._named = None  # a new file, though it may have the number of an old one
            self._make_name_durable(found)
        return Written(end - len(lines), end, (found.st_ino, found.st_mtime_ns, found.st_size))

    def settle(self) -> None:
        """Make the name of the file durable, if there is one, so that the first line to come waits for one sync."""
        with writing(self._path):
            if self._path.exists():
                self._make_name_durable(self._path.stat())

    def read(self, offset: int = 0) -> Tail:
        """
        Read the lines from an offset that an earlier reading gave, or all.

        An unfinished last line stays behind the offset, for it may still be finished.

        Raises:
            TransientError: The file cannot be read.
        """
        try:
            with self._path.open("rb") as file:
                # A file shorter than what was read before is another file: facts may be read twice, never missed.
                start = offset if offset <= os.fstat(file.fileno()).st_size else 0
                file.seek(start)
                data = file.read()
        except FileNotFoundError:
            return Tail()
        except OSError as error:
            raise TransientError(f"{self._path} cannot be read: {error.strerror}", hint="Check its owner") from error
        lines = data.split(b"\n")
        torn = lines[-1]
        position = start
        entries: list[Entry] = []
        damaged: list[str] = []
        for line in lines:
            try:
                entries += [_entry(line)] if line else []
            except InvalidError as error:
                where = "its torn end, never acknowledged," if line is torn else "the line"
                damaged.append(f"{self._path}: {where} at byte {position} is passed over: {error}")
            position += len(line) + 1
        return Tail(
            trips=tuple(entry for entry in entries if isinstance(entry, Trip)),
            local=tuple(entry for entry in entries if isinstance(entry, LocalRecord)),
            stands=tuple(entry for entry in entries if isinstance(entry, Stand)),
            offset=start + len(data) - len(torn),
            damaged=tuple(damaged),
        )

    def _make_name_durable(self, found: os.stat_result) -> None:
        # Not by whoever made the file alone: it may have died in between, and lines of others stand in it by now.
        if self._named != (found.st_dev, found.st_ino):
            sync_folder(self._path.parent)
            self._named = (found.st_dev, found.st_ino)

    @staticmethod
    def _write(descriptor: int, data: bytes) -> None:
        written = os.write(descriptor, data)
        if written != len(data):
            raise OSError(f"{written} of {len(data)} bytes were written")


def _ends_a_line(descriptor: int, offset: int) -> bool:
    return offset == 0 or os.pread(descriptor, 1, offset - 1) == b"\n"


def _line(entry: Entry) -> bytes:
    value: dict[str, Any]
    if isinstance(entry, Trip):
        value = {"fleet": trip_to_json(entry)}
    elif isinstance(entry, Stand):
        route = entry.fleet
        value = {"stood": [route.generation, route.step, route.split, entry.latched], "candidate": entry.candidate}
    else:
        trip = entry.trip
        value = {"local": [trip.replica, trip.generation, trip.version], "at": entry.at, "why": entry.why}
    data = canonical_bytes(value)
    return b'{"check":"%b","entry":%b}\n' % (_check(data).encode(), data)


def _entry(line: bytes) -> Entry:
    try:
        document = json.loads(line)
        value = document["entry"]
        if document["check"] != _check(canonical_bytes(value)):
            raise InvalidError("it and its check do not agree")
        if "fleet" in value:
            return trip_from_json(value["fleet"])
        if "stood" in value:
            generation, step, split, latched = (int(number) for number in value["stood"])
            return Stand(str(value["candidate"]), FleetRoute(generation, step, split), latched)
        replica, generation, version = value["local"]
        trip = LocalTrip(str(replica), int(generation), str(version))
        return LocalRecord(trip=trip, at=str(value["at"]), why=str(value["why"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidError(f"malformed: {type(error).__name__} {error}") from error


def _check(data: bytes) -> str:
    return xxhash.xxh3_64_hexdigest(data)
