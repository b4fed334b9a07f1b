"""Running time: how long this process has run, its imports among it."""

import os
import time
from pathlib import Path
from typing import Final

__all__ = ["running_seconds"]

_STAT: Final = Path("/proc/self/stat")
_START_FIELD: Final = 19
"""Where the start stands after the name, in ticks since the machine was started (proc(5), field 22)."""
_IMPORTED_AT: Final = time.monotonic()


def running_seconds() -> float:
    """Return the seconds since this process was started; since this module was, where the system does not tell."""
    try:
        started = int(_STAT.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[_START_FIELD])
    except OSError:
        return time.monotonic() - _IMPORTED_AT
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")
