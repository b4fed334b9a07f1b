"""
Disk: files that only their owner reads, replaced whole or not at all.

A reader of a file written here sees the text before or the text after, never a part; with ``durable`` that also holds
over a power cut.
"""

import contextlib
import errno
import fcntl
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from knowngood_sdk.errors import InvalidError, TransientError

__all__ = [
    "NO_LINK",
    "OWNER_FILE",
    "OWNER_FOLDER",
    "lock",
    "locked",
    "make_folder",
    "read_json",
    "sync_folder",
    "write_whole",
    "writing",
]

NO_LINK = os.O_CLOEXEC | os.O_NOFOLLOW
"""Flags of every file that is opened for writing: not inherited by other programs, and no link in its place."""

OWNER_FILE = 0o600
OWNER_FOLDER = 0o700
_RETRY_SECONDS = 0.001


def make_folder(path: Path) -> None:
    """
    Make a folder, and those above it that are missing, for the owner alone.

    Raises:
        TransientError: It cannot be made there.
    """
    missing = []
    for folder in (path, *path.parents):
        if folder.is_dir():
            break
        missing.append(folder)
    with writing(path):
        for folder in reversed(missing):
            # Another process may be first.
            folder.mkdir(mode=OWNER_FOLDER, exist_ok=True)


def write_whole(path: Path, data: bytes, *, durable: bool = True, unless: Callable[[], bool] | None = None) -> bool:
    """
    Replace a file: the new bytes are written beside it, then renamed over it.

    Args:
        path: The file; its folder exists.
        data: All of its bytes.
        durable: Whether it must survive a power cut once this returns; costs two syncs.
        unless: Asked when nothing is left to do but the renaming; true leaves the file as it is.

    Returns:
        Whether the file was replaced.

    Raises:
        TransientError: It cannot be written (disk full, read-only, not the owner); the file is as before.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    with writing(path):
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK, OWNER_FILE)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                if durable:
                    file.flush()
                    os.fsync(descriptor)
            if unless is not None and unless():
                beside.unlink()
                return False
            beside.replace(path)
            if durable:
                sync_folder(path.parent)
        except OSError:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
            raise
    return True


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable; raises OSError when the disk cannot."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_json(path: Path, *, limit: int | None = None) -> Any:
    """
    Return the value in a JSON file, or None when there is no file.

    Args:
        path: The file.
        limit: Bytes that it may have at most, where somebody else may have written it; no more of it are read.

    Raises:
        InvalidError: It is not JSON, or longer than the limit.
        TransientError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read() if limit is None else file.read(limit + 1)
        if limit is not None and len(data) > limit:
            raise InvalidError(f"{path} has more than {limit} bytes", hint="It is none of ours; look who wrote it")
        return json.loads(data)
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"{path} is not JSON: {error}", hint="Restore it, or start without it") from error
    except OSError as error:
        raise TransientError(f"{path} cannot be read: {error.strerror}", hint="Check its owner and mode") from error


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Translate what the operating system says about a write to ``path`` into a TransientError."""
    try:
        yield
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        raise TransientError(
            f"{path} cannot be written: {error.strerror or error}",
            hint="Free some space" if full else "Check that its folder belongs to this user and can be written",
            errno=error.errno,
        ) from error


def lock(descriptor: int, seconds: float) -> bool:
    """Take the kernel's lock on an open file for this process alone; False when it is not to be had within the time."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            pause.wait(_RETRY_SECONDS)
        else:
            return True


@contextlib.contextmanager
def locked(descriptor: int, seconds: float) -> Iterator[None]:
    """Hold the kernel's lock, or go on without it after the time: a process that was stopped must not stop others."""
    try:
        held = lock(descriptor, seconds)
    except OSError:
        # Some network file systems have no locks at all.
        held = False
    try:
        yield
    finally:
        if held:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
