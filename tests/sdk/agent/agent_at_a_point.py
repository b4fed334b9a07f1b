"""
The agent, which meets a signal between two of its writes: ``python -m tests.sdk.agent.agent_at_a_point``.

Environment:
    AGENT_MEETS: Name of the signal that it sends itself, once, such as ``SIGKILL``.
    AGENT_MEETS_IT: ``filing``, before it waits for the disk to take a file of generation 2; or ``filed``, as soon as
        that file is in place.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from knowngood_sdk.agent.__main__ import main

SIGNAL = signal.Signals[os.environ["AGENT_MEETS"]]
POINT = os.environ["AGENT_MEETS_IT"]
fsync, replace = os.fsync, os.replace
met = False


def reach(point: str, path: Path) -> None:
    global met  # noqa: PLW0603 - once in a process
    if point != POINT or met or "state.json" not in path.name:
        return
    if json.loads(path.read_bytes())["state"]["fleet"]["generation"] == 2:
        met = True
        os.kill(os.getpid(), SIGNAL)


def fsync_at_a_point(descriptor: int) -> None:
    reach("filing", Path(f"/proc/self/fd/{descriptor}").readlink())
    fsync(descriptor)


def replace_at_a_point(source: Any, target: Any) -> None:
    replace(source, target)
    reach("filed", Path(target))


if __name__ == "__main__":
    os.fsync = fsync_at_a_point  # type: ignore[assignment]
    os.replace = replace_at_a_point  # type: ignore[assignment]
    sys.exit(main())
