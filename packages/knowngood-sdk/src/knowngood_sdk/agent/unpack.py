"""
Unpack: a tar stream becomes a folder, or nothing.

A narrow reader of its own: regular files only, no links, no devices, no path that leads out, no header that makes
memory grow, and an end to bytes and files. What it takes is what ``knowngood.adapters.hub.pack`` writes.
"""

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

from knowngood_sdk.errors import InvalidError, KnownGoodError
from knowngood_sdk.serving.disk import NO_LINK, make_folder, sync_folder, writing

__all__ = ["MAX_BYTES", "MAX_FILES", "unpack"]

MAX_BYTES = 64 << 30
MAX_FILES = 100_000

_BLOCK = 512
_MAX_EXTENSION = 64 * 1024
_CODING = ("utf-8", "surrogateescape")
_READ_ONLY = 0o444
_RUNNABLE = 0o555
_ANY_EXECUTE = 0o100


def unpack(chunks: Iterator[bytes], folder: Path, *, max_bytes: int = MAX_BYTES, max_files: int = MAX_FILES) -> None:
    """
    Write the files of a tar stream into a new folder, durably.

    Args:
        chunks: The bytes, in pieces of any size.
        folder: Where to; not there yet. What was written before an error stays for the caller to remove.
        max_bytes: Of all files together.
        max_files: How many there may be.

    Raises:
        InvalidError: It is no such stream, ends early, or is larger than allowed.
        TransientError: The disk does not take it.
    """
    source = _Source(chunks)
    make_folder(folder)
    left, files, extension = max_bytes, 0, {}
    while (header := source.exactly(_BLOCK)) != bytes(_BLOCK):
        member = _member(header)
        if member.type == tarfile.XHDTYPE:
            extension = _extension(source, member.size)
            continue
        path, size = extension.get("path", member.name), _size(extension, member)
        extension = {}
        left, files = left - size, files + 1
        if member.type not in {tarfile.REGTYPE, tarfile.AREGTYPE}:
            raise InvalidError(f"{path!r:.200} in the stream is no regular file")
        if left < 0 or files > max_files:
            raise InvalidError(f"the stream holds more than {max_bytes} bytes or {max_files} files")
        _write(source, folder, _inside(path), size, executable=bool(member.mode & _ANY_EXECUTE))
    for where in sorted({path.parent for path in folder.rglob("*")} | {folder}):
        with writing(where):
            sync_folder(where)


class _Source:
    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._held = b""

    def some(self, count: int) -> bytes:
        """Return at least one byte, and at most so many."""
        while not self._held:
            self._held = next(self._chunks, b"")
            if not self._held:
                raise InvalidError("the stream ended early", hint="Fetch it again")
        taken, self._held = self._held[:count], self._held[count:]
        return taken

    def exactly(self, count: int) -> bytes:
        pieces = []
        while count:
            pieces.append(self.some(count))
            count -= len(pieces[-1])
        return b"".join(pieces)


def _member(header: bytes) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(header, *_CODING)
    except tarfile.TarError as error:
        raise InvalidError(f"the stream is no tar: {error}") from error


def _extension(source: _Source, size: int) -> dict[str, str]:
    """Read the extended header of the file that follows: lines ``length name=value``."""
    if size > _MAX_EXTENSION:
        raise InvalidError(f"a header in the stream has {size} bytes")
    data = source.exactly(size)
    source.exactly(-size % _BLOCK)
    found = {}
    try:
        while data:
            length, name, value = _record(data)
            found[name] = value
            data = data[length:]
    except ValueError as error:
        raise InvalidError(f"a header in the stream is malformed: {error}") from error
    return found


def _record(data: bytes) -> tuple[int, str, str]:
    blank = data.index(b" ")
    length = int(data[:blank])
    if not blank < length <= len(data):
        raise ValueError(f"a record has {length} bytes")
    name, _, value = data[blank + 1 : length - 1].decode().partition("=")
    return length, name, value


def _size(extension: dict[str, str], member: tarfile.TarInfo) -> int:
    text = extension.get("size", str(member.size))
    if not text.isdecimal():
        raise InvalidError(f"{member.name!r:.200} in the stream has the size {text!r:.40}")
    return int(text)


def _inside(path: str) -> str:
    """Return a path that stays in the folder, as those of every version do."""
    if "\0" in path or any(part in {"", ".", "..", ".git"} for part in path.split("/")):
        raise InvalidError(f"{path!r:.200} in the stream leads out of its folder")
    return path


def _write(source: _Source, folder: Path, path: str, size: int, *, executable: bool) -> None:
    place = folder / path
    make_folder(place.parent)
    with writing(place):
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            left = size
            while left:
                chunk = _taken(source, left)
                file.write(chunk)
                left -= len(chunk)
            os.fchmod(descriptor, _RUNNABLE if executable else _READ_ONLY)
            file.flush()
            os.fsync(descriptor)
    source.exactly(-size % _BLOCK)


def _taken(source: _Source, count: int) -> bytes:
    try:
        return source.some(count)
    except KnownGoodError:
        raise
    except OSError as error:  # of the network: it must not be taken for one of the disk
        raise InvalidError(f"the stream broke: {error}") from error
