"""Context: what every benchmark is given, and how it tells how far it is."""

import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.host import Host

__all__ = ["Context"]

_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """
    What a benchmark is given.

    Attributes:
        folder: Where it may write.
        seed: Of everything that is drawn.
        scale: Share of the full number of repetitions, in ``(0, 1]``.
        began: When the whole run began, of ``monotonic``.
        quiet: Whether progress is kept to itself.
    """

    folder: Path
    seed: int
    scale: float
    began: float
    quiet: bool = False

    def times(self, full: int, least: int = 2) -> int:
        """Return how often to repeat what the full run repeats so often."""
        return max(least, round(full * self.scale))

    @contextmanager
    def host(self, name: str, *, in_memory: bool = False) -> Iterator[Host]:
        """
        Give a host of its own, and end its processes at the end.

        Args:
            name: Name of its folder.
            in_memory: Whether that folder is in memory, where a durable write costs nothing; see ``memory``.
        """
        with ExitStack() as stack:
            folder = self.folder
            if in_memory:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="knowngood-bench-", dir=_MEMORY)))
            yield stack.enter_context(Host(folder / name, random.Random(f"{self.seed} {name}")))

    @property
    def memory(self) -> bool:
        """Whether this machine has a file system in memory."""
        return os.access(_MEMORY, os.W_OK)

    def tell(self, what: str) -> None:
        """Tell how far the run is, on standard error."""
        if not self.quiet:
            print(f"[{time.monotonic() - self.began:4.0f} s] {what}", file=sys.stderr, flush=True)
