"""
Anchor: the longest ledger that this replica heard of, kept outside of the store.

The store's ledger is a chain of hashes; whoever cuts off its end, or puts an older copy of the store back, makes it
shorter or other than what the replicas remember.
"""

from collections.abc import Mapping
from pathlib import Path

from knowngood_sdk.errors import InvalidError, KnownGoodError
from knowngood_sdk.model.canonical import canonical_bytes, short
from knowngood_sdk.model.wire import FORMAT
from knowngood_sdk.serving.disk import read_json, write_whole

__all__ = ["Anchor"]


class Anchor:
    """
    The anchor file of one replica folder.

    Args:
        path: The file; made when the first ledger is heard of.

    Attributes:
        kept: Count of entries and head of the ledger; durable.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.kept: tuple[int, str] = (0, "")
        self._lasting = ""
        self._passing = ""
        try:
            self.kept = self._read()
        except KnownGoodError as error:
            self._lasting = f"the anchor of the ledger is lost: {error}"

    @property
    def warning(self) -> str:
        """What speaks against the ledger or the file, for people, or an empty text."""
        return self._lasting or self._passing

    def hear(self, heard: tuple[int, str]) -> None:
        """
        Take in what a document says of the ledger; never refuses the document, and never goes back.

        Raises:
            TransientError: A longer ledger could not be kept on disk; the one before is kept.
        """
        count, head = heard
        if count > self.kept[0]:
            document = {"format": FORMAT, "count": count, "head": head}
            write_whole(self._path, canonical_bytes(document))
            self.kept = heard
            self._passing = ""
        elif count == self.kept[0] and head != self.kept[1]:
            self._lasting = (
                f"two ledgers have {count} entries: this replica knew head {short(self.kept[1])}, "
                f"then heard of {short(head)}; verify it with kg ledger verify"
            )
        elif 0 < count < self.kept[0]:
            self._passing = (
                f"the ledger was heard to have {count} entries and had {self.kept[0]} before; "
                "an older message, or its end was cut off; kg ledger verify tells"
            )

    def _read(self) -> tuple[int, str]:
        document = read_json(self._path)
        if document is None:
            return (0, "")
        if not isinstance(document, Mapping) or not isinstance(document.get("count"), int):
            raise InvalidError(f"{self._path} is malformed")
        return (document["count"], str(document.get("head", "")))
