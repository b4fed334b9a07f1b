"""Presence: a file for each start of a process, with the kernel's lock on it for as long as the process lives."""

import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from knowngood_sdk.errors import ConflictError, TransientError
from knowngood_sdk.serving.folder import hold, is_held

__all__ = ["FolderPresence", "server_of"]

_SUFFIX = ".lock"


class FolderPresence:
    """
    The port's ``Presence`` in a folder of one host.

    Args:
        folder: Where the files are; made here. It must not be shared with another host, whose locks nobody sees.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, int] = {}

    def enter(self, incarnation: str) -> None:
        """See the port."""
        if incarnation in self._held:
            return
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise TransientError(f"{self._folder} cannot be made: {error.strerror}") from error
        descriptor = hold(self._path(incarnation))
        if descriptor is None:
            raise ConflictError(f"process {incarnation} runs already", hint="Give each start a name of its own")
        self._held[incarnation] = descriptor

    def answers_at(self, incarnation: str, address: str) -> None:
        """Note where a process that has entered answers; a disk that is full costs no more than this note."""
        with suppress(OSError):
            os.ftruncate(self._held[incarnation], 0)
            os.pwrite(self._held[incarnation], address.encode(), 0)

    def ended(self) -> Collection[str]:
        """See the port."""
        try:
            noted = sorted(path.name.removesuffix(_SUFFIX) for path in self._folder.glob(f"*{_SUFFIX}"))
        except OSError as error:
            raise TransientError(f"{self._folder} cannot be read: {error.strerror}") from error
        return [name for name in noted if name not in self._held and not is_held(self._path(name))]

    def forget(self, incarnation: str) -> None:
        """See the port."""
        path = self._path(incarnation)
        descriptor = self._held.pop(incarnation, None)
        if descriptor is None and is_held(path):
            return
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise TransientError(f"{path} cannot be removed: {error.strerror}") from error
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _path(self, incarnation: str) -> Path:
        return self._folder / f"{incarnation}{_SUFFIX}"


def server_of(directory: Path) -> str | None:
    """
    Return where the server of a working folder answers.

    Returns:
        Its address; empty where one has run and none runs now, or it has not said; None where none ever has.
    """
    folder = directory / "servers"
    try:
        living = [path for path in sorted(folder.glob(f"*{_SUFFIX}")) if is_held(path)]
        addresses = [path.read_text(encoding="utf-8", errors="replace") for path in living]
    except OSError:
        return ""  # it is known no better than where none runs
    return next(filter(None, addresses), "") if folder.is_dir() else None
