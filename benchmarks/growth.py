"""Growth: what processes hold of memory and of open files, from what the kernel says."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Held", "held"]

_KIB = 1024


@dataclass(frozen=True, slots=True)
class Held:
    """
    What some processes hold together.

    Attributes:
        megabytes: Resident memory, in 1024² bytes.
        files: Open file descriptors.
    """

    megabytes: float
    files: int


def held(pids: Iterable[int]) -> Held:
    """Return what processes hold, with all that they started."""
    every = [pid for one in pids for pid in _family(one)]
    return Held(sum(_resident(pid) for pid in every), sum(len(list(_of(pid, "fd").iterdir())) for pid in every))


def _family(pid: int) -> list[int]:
    children = " ".join(path.read_text(encoding="ascii") for path in _of(pid, "task").glob("*/children"))
    return [pid, *(found for child in children.split() for found in _family(int(child)))]


def _resident(pid: int) -> float:
    lines = _of(pid, "status").read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / _KIB


def _of(pid: int, what: str) -> Path:
    return Path("/proc") / str(pid) / what
