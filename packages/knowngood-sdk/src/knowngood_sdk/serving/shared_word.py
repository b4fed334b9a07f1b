"""
Shared word: the replica's position in 8 mapped bytes, which every worker compares on each request.

One store by any process of the replica is seen by all the others at their next request, also while their interpreter
lock is busy. The file is made and checked when it is opened and never resized afterwards; a word of zero, or one whose
check does not hold, says "read the file".
"""

import contextlib
import mmap
import os
import stat
import struct
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

from knowngood_sdk.model.word import pack, unpack
from knowngood_sdk.serving.disk import NO_LINK, OWNER_FILE, locked

__all__ = ["Position", "SharedWord", "peek"]

Position = tuple[int, int, int]
"""(generation, latched step, split in basis points)."""

_SIZE = 8
_ZERO = bytes(_SIZE)
_OTHERS = 0o077
_JOIN_SECONDS = 0.02
_OPEN_SECONDS = 2.0


class SharedWord:
    """
    The mapped word of one replica folder. Safe for threads and for several processes.

    Opening never fails: where the file cannot be had, the word is one of this process alone, and ``warnings`` says so.

    Attributes:
        cell: View of one unsigned 64-bit integer: ``cell[0]`` is the packed word. Readers use nothing else.
        warnings: What was not as it should be when it was opened, for people.
    """

    def __init__(self, path: Path) -> None:
        self.warnings: tuple[str, ...] = ()
        self._path = path
        self._threads = threading.Lock()
        self._descriptor: int | None = None
        self._identity: tuple[int, int] | None = None
        self._writable = True
        memory: mmap.mmap | bytearray = bytearray(_SIZE)
        try:
            memory = self._open()
        except OSError as error:
            self._warn(f"{path} cannot be used ({error.strerror or error}); flips arrive later, through files")
        self.cell = memoryview(memory).cast("Q")
        if self.cell[0] and unpack(self.cell[0]) is None:
            self._warn(f"{path} held {self.cell[0]:016x}, which is no position; it starts from zero")
            if self._writable:
                self.cell[0] = 0

    def read(self) -> Position | None:
        """Return the position, or None when the word says to read the file."""
        return unpack(self.cell[0])

    def join(self, generation: int, latched: int, split: int) -> Position:
        """
        Raise the word to a position at least; idempotent, and never lowers it.

        A higher generation replaces a lower one; within a generation the latched step and the split each rise to their
        maximum. Other processes are kept out for some 20 ms at most; a store lost to one that does not wait is made
        good by whoever knows the higher position and compares next.

        Returns:
            The position in force afterwards.

        Raises:
            InvalidError: The position does not fit the word.
        """
        wanted = pack(generation, latched, split)
        with self._threads, self._locked(_JOIN_SECONDS):
            held = unpack(self.cell[0])
            joined = (generation, latched, split)
            if held is not None and held[0] > generation:
                return held
            if held is not None and held[0] == generation:
                joined = (generation, max(latched, held[1]), max(split, held[2]))
                wanted = pack(*joined)
            if self._writable and self.cell[0] != wanted:
                self.cell[0] = wanted
            return joined

    @property
    def attached(self) -> bool:
        """Whether this is still the file under the path, so that other processes share it; open again when not."""
        try:
            found = self._path.stat(follow_symlinks=False)
        except OSError:
            return False
        return self._identity == (found.st_dev, found.st_ino) and found.st_size == _SIZE

    def _open(self) -> mmap.mmap:
        # One process at a time checks and makes the file; otherwise one could map a file that the next one replaces.
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with locked(folder, _OPEN_SECONDS):
                descriptor = self._sound_file()
        finally:
            os.close(folder)
        weakref.finalize(self, os.close, descriptor)
        found = os.fstat(descriptor)
        memory = mmap.mmap(descriptor, _SIZE, access=mmap.ACCESS_WRITE if self._writable else mmap.ACCESS_READ)
        self._descriptor = descriptor
        self._identity = (found.st_dev, found.st_ino)
        return memory

    def _sound_file(self) -> int:
        """Return a descriptor of a file that is fit to be mapped, made anew if the one there is not."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | NO_LINK)
        except FileNotFoundError:
            return self._make()
        except PermissionError:
            return self._read_only()
        except OSError as error:
            self._warn(f"{self._path} was replaced: {error.strerror}")
            return self._make()
        fault = _fault(os.fstat(descriptor))
        if not fault:
            return descriptor
        os.close(descriptor)
        self._warn(f"{self._path} was replaced: {fault}")
        return self._make()

    def _read_only(self) -> int:
        descriptor = os.open(self._path, os.O_RDONLY | NO_LINK)
        fault = _fault(os.fstat(descriptor))
        if fault:
            os.close(descriptor)
            raise OSError(fault)
        self._writable = False
        self._warn(f"{self._path} is read-only here: local trips reach other workers through the journal only")
        return descriptor

    def _make(self) -> int:
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}.{os.urandom(4).hex()}")
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | NO_LINK, OWNER_FILE)
        try:
            # Written, not truncated to size: on a full disk, a store to a hole in a mapped file kills the process.
            os.write(descriptor, _ZERO)
            os.fsync(descriptor)
            beside.rename(self._path)
        except OSError:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
            raise
        return descriptor

    @contextlib.contextmanager
    def _locked(self, seconds: float) -> Iterator[None]:
        if self._descriptor is None:
            yield
        else:
            with locked(self._descriptor, seconds):
                yield

    def _warn(self, warning: str) -> None:
        self.warnings = (*self.warnings, warning)


def peek(path: Path) -> tuple[Position | None, str]:
    """Return the position in a word file without mapping it, and what is wrong with the file, or an empty text."""
    try:
        descriptor = os.open(path, os.O_RDONLY | NO_LINK)
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return None, f"{path} cannot be read: {error.strerror}"
    try:
        fault = _fault(os.fstat(descriptor))
        data = os.read(descriptor, _SIZE)
    finally:
        os.close(descriptor)
    if fault:
        return None, f"{path} is passed over: {fault}"
    word = int(struct.unpack("=Q", data)[0])
    position = unpack(word)
    return position, f"{path} held {word:016x}, which is no position" if word and position is None else ""


def _fault(found: os.stat_result) -> str:
    if not stat.S_ISREG(found.st_mode):
        return "it is no regular file"
    if found.st_uid != os.geteuid():
        return f"it belongs to user {found.st_uid}"
    if found.st_mode & _OTHERS:
        return f"others than its owner may use it: its mode is {stat.S_IMODE(found.st_mode):04o}"
    if found.st_size != _SIZE:
        return f"it has {found.st_size} bytes instead of {_SIZE}"
    return ""
