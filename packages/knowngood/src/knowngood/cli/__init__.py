"""
The command line.

This much is imported before Ctrl-C can be taken: so it is little, and what takes a while is imported by ``main``.
"""

import os
import signal
from collections.abc import Sequence
from types import FrameType

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where a shell has it ignored
        signal.signal(signal.SIGINT, _nothing_begun)
    from knowngood.cli.tree import run

    run(arguments, _nothing_begun)


def _nothing_begun(_number: int, _frame: FrameType | None) -> None:
    """End at a Ctrl-C that comes while the program is still being loaded."""
    os.write(2, b"stopped; nothing was begun\n")
    os._exit(130)
