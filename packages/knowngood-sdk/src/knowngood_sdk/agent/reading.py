"""Reading: the journal of a replica folder, as far as its keeper has read it."""

from pathlib import Path

from knowngood_sdk.serving.journal import Entry, Journal, Tail

__all__ = ["Identity", "Reading", "identity"]

Identity = tuple[int, int, int]
"""Number, time of change and size of a file: whether it is what it was at the last look."""


class Reading:
    """
    A journal and the place up to which it was read. Not safe for threads.

    What the keeper adds itself it need not read: it knows what its lines say, and nothing waits for their reader but
    whoever counts the milliseconds of a fleet.

    Args:
        journal: The journal.
        path: Its file.
    """

    def __init__(self, journal: Journal, path: Path) -> None:
        self._journal = journal
        self._path = path
        self._number = 0
        self._offset = 0
        self._seen: Identity | None = None

    def changed(self) -> bool:
        """Look at the file; return whether it is another than at the last look."""
        seen = identity(self._path)
        if seen == self._seen:
            return False
        if seen is not None:
            self._is_file(seen)
        self._seen = seen
        return True

    def look_again(self) -> None:
        """Let the next look find a change, for what was found at the last one could not be taken."""
        self._seen = None

    def tail(self) -> Tail:
        """Return what was added since ``has_read``; raises TransientError when it cannot be read."""
        return self._journal.read(self._offset)

    def has_read(self, tail: Tail) -> None:
        """Note that what ``tail`` returned was taken."""
        self._offset = tail.offset

    def append(self, *entries: Entry) -> None:
        """Add lines, as ``Journal.append``; they count as read if nothing of others stands before them unread."""
        written = self._journal.append(*entries)
        self._is_file(written.file)
        if written.start == self._offset:
            self._offset = written.end
            if written.file[2] == written.end:
                self._seen = written.file

    def settle(self) -> None:
        """See ``Journal.settle``."""
        self._journal.settle()

    def _is_file(self, file: Identity) -> None:
        """Begin anew with a file that was put in the place of the one that was read."""
        if file[0] != self._number:
            self._number, self._offset = file[0], 0


def identity(path: Path) -> Identity | None:
    """Return what tells whether a file was changed; None where it is not there, or not to be reached now."""
    try:
        found = path.stat()
    except OSError:
        # Reading it tells the difference.
        return None
    return (found.st_ino, found.st_mtime_ns, found.st_size)
