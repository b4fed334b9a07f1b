"""
Narrator: tells the story as it happens, and shows how far it is.

The story goes to standard output; progress goes to standard error, as a bar on a terminal, as plain lines elsewhere.
"""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

__all__ = ["Narrator"]


class Narrator:
    """
    Speaks while it is entered.

    Args:
        story: Whether the story is wanted; without it only progress is shown.
    """

    def __init__(self, *, story: bool) -> None:
        self._story = story
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        if self._console.is_terminal:
            self._bar = Progress(
                SpinnerColumn(),
                BarColumn(bar_width=24),
                TimeElapsedColumn(),
                TextColumn("{task.description}"),
                console=self._console,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
        self._task = self._bar.add_task("", total=1.0) if self._bar else None
        self._last = ""
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, *lines: str) -> None:
        """Tell some lines of the story."""
        if not self._story:
            return
        if self._bar is not None:
            self._bar.stop()
        for line in lines:
            print(line, flush=True)  # noqa: T201 - the story is the answer of the command
        if self._bar is not None:
            self._bar.start()

    def doing(self, what: str, done: float | None = None, *, detail: str = "") -> None:
        """
        Show what is being done.

        Args:
            what: In a few words.
            done: Share of the whole demo that is over, in [0, 1]; None leaves the bar where it is.
            detail: What changes all the time, for the bar alone.
        """
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=f"{detail}: {what}" if detail else what)
            if done is not None:
                self._bar.update(self._task, completed=done)
        elif what != self._last:
            seconds = time.monotonic() - self._started
            print(f"... {seconds:5.1f} s  {what}", file=sys.stderr, flush=True)  # noqa: T201 - progress
        self._last = what
