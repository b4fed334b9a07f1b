"""Writing to local disk so that a kill at any point leaves the old content or the new, and errors in our own words."""

import errno
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from knowngood.domain.component import Availability
from knowngood_sdk.errors import ComponentError, PermanentError, TransientError

__all__ = ["Deadline", "failed", "incoming_name", "private_folder", "sync_folder", "translated", "write_atomically"]

_FOR_A_PERSON = {
    errno.EACCES: "Give this user access to it",
    errno.EPERM: "Give this user access to it",
    errno.EROFS: "Mount it for writing",
    errno.ENOSPC: "Free some space on the disk",
    errno.EDQUOT: "Free some space, or raise the quota",
    errno.ENAMETOOLONG: "Use a shorter name",
    errno.EFBIG: "Raise the limit on the size of a file",
    errno.EEXIST: "Something that is no folder stands in its place; move it away",
    errno.ENOTDIR: "Something that is no folder stands in its place; move it away",
    errno.EISDIR: "A folder stands in its place; move it away",
}


class Deadline:
    """The end of the time that a call may take, by the monotonic clock."""

    def __init__(self, within: timedelta) -> None:
        self._within = within
        self._ends = time.monotonic() + within.total_seconds()

    @property
    def remaining_seconds(self) -> float:
        """Seconds that are left, 0.0 when none are."""
        return max(0.0, self._ends - time.monotonic())

    def check(self, doing: str) -> None:
        """
        Do nothing while there is time.

        Raises:
            TransientError: There is none left.
        """
        if time.monotonic() >= self._ends:
            raise TransientError(
                f"{doing} takes longer than {self._within.total_seconds():g} s", hint="Try again with more time"
            )


def failed(message: str, availability: Availability, hint: str) -> PermanentError:
    """Return the error for a version that is gone or damaged."""
    return PermanentError(message, hint=hint, availability=availability.value)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """
    Turn an error of the operating system into one of ours.

    Raises:
        PermanentError: A person must look (no space, no access).
        TransientError: The same call may succeed.
    """
    try:
        yield
    except OSError as error:
        raise _translation(doing, error) from error


def _translation(doing: str, error: OSError) -> ComponentError:
    reason = error.strerror or str(error)
    place = f" ({error.filename})" if error.filename else ""
    if isinstance(error, FileNotFoundError):
        return failed(
            f"{doing} failed, something was removed meanwhile{place}",
            Availability.GONE,
            "Restore it, or choose another version",
        )
    message = f"{doing} failed: {reason}{place}"
    if error.errno in _FOR_A_PERSON:
        return PermanentError(message, hint=_FOR_A_PERSON[error.errno])
    return TransientError(message, hint="Try again")


def incoming_name() -> str:
    """Return a name for what is being written; it starts with ``.incoming-`` and is never read by its name."""
    return f".incoming-{secrets.token_hex(8)}"


def private_folder(path: Path) -> Path:
    """Make a folder that only its owner can enter, with all above it that are missing; return it."""
    if not path.is_dir():
        private_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
    return path


def sync_folder(path: Path) -> None:
    """Make what was renamed in a folder survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Write a file as a whole, durably: readers see the old content or the new one."""
    incoming = private_folder(path.parent) / incoming_name()
    try:
        with incoming.open("xb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        incoming.replace(path)
    except BaseException:
        incoming.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
