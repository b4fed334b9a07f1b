"""Machine: what the figures were measured on, so that a reader knows what they are worth elsewhere."""

import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.figure import percentile
from knowngood_sdk.serving.disk import write_whole

__all__ = ["describe", "sync_milliseconds"]

_SYNCS = 40


def describe(folder: Path) -> dict[str, Any]:
    """
    Describe the machine and how busy it is.

    Args:
        folder: Where the benchmarks keep their files; what a durable write takes is measured there.
    """
    writes = sync_milliseconds(folder)
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "switch_interval_ms": sys.getswitchinterval() * 1000,
        "system": f"{platform.system()} {platform.release()}",
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "durable_write_ms": {"p50": round(percentile(writes, 50), 3), "max": round(percentile(writes, 100), 3)},
    }


def sync_milliseconds(folder: Path) -> list[float]:
    """Return how long writing a small file durably took, several times: the floor under every acknowledgement."""
    took = []
    for _ in range(_SYNCS):
        began = time.perf_counter()
        write_whole(folder / "probe", bytes(1000))
        took.append((time.perf_counter() - began) * 1000)
    return took


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
