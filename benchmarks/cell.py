"""Cell: one number that the processes of a benchmark share."""

import mmap
from pathlib import Path

__all__ = ["NUMBER_BITS", "Cell"]

_CELL_BYTES = 8
NUMBER_BITS = 8
"""Bits of the number in what ``leave`` says."""


class Cell:
    """
    One number that processes of a benchmark share, in a mapped file; 0 until it is set.

    Attributes:
        view: ``view[0]`` is the number.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_CELL_BYTES))
        with path.open("r+b") as file:
            self.view = memoryview(mmap.mmap(file.fileno(), _CELL_BYTES)).cast("Q")
        self._said = 0

    def set(self, number: int) -> None:
        """Set it."""
        self.view[0] = number

    def leave(self, number: int) -> None:
        """Say that nobody may serve the version of this number any more; each saying differs from those before."""
        self._said += 1
        self.view[0] = self._said << NUMBER_BITS | number

    def clear(self) -> None:
        """Say that any version may serve."""
        self.view[0] = 0
