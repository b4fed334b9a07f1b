"""
Tally: what the workers of a replica counted, as files, and what of it one control plane has.

Counts are cumulative: the newest of each worker says all, so that what could not be sent is not kept, and what arrives
late or twice does no harm.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from knowngood_sdk.errors import KnownGoodError
from knowngood_sdk.model.wire import CountsReport
from knowngood_sdk.serving.disk import read_json
from knowngood_sdk.serving.folder import ReplicaFolder

__all__ = ["Tally"]

_AT_ONCE = 64
"""Workers whose counts go in one message, at most."""

_Identity = tuple[int, int, int]


class Tally:
    """
    The counts in one replica folder, for one receiver. Not safe for threads.

    Args:
        folder: The replica folder.
    """

    def __init__(self, folder: ReplicaFolder) -> None:
        self._folder = folder
        self._arrived: dict[Path, _Identity] = {}
        self._sent: dict[Path, _Identity] = {}

    def since(self) -> Sequence[Mapping[str, Any]]:
        """Return the counts that the receiver does not have, in their JSON form; some of them if there are many."""
        found: list[Mapping[str, Any]] = []
        self._sent = {}
        # The folded file last: whoever has it counts no worker twice.
        for path in [*sorted(self._folder.counts.glob("*.json")), self._folder.departed_file]:
            identity = _identity(path)
            if identity is None or self._arrived.get(path) == identity:
                continue
            try:
                document = read_json(path)
                # One that cannot be read must not keep those of the others away; whoever looks here is told.
                CountsReport.from_json(document)
            except KnownGoodError:
                continue
            found.append(document)
            self._sent[path] = identity
            if len(found) >= _AT_ONCE:
                break
        return found

    def arrived(self) -> None:
        """Remember that what ``since`` returned last has arrived."""
        self._arrived.update(self._sent)


def _identity(path: Path) -> _Identity | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_ino, found.st_mtime_ns, found.st_size)
