"""
The feature code that the demo commits to its Git repository: ``v1`` first, then one of the changes.

Each is one file that stands alone: the demo copies its text, and nobody imports it from here. All give the same column
names, so that an old model can be run on new features, right or wrong.
"""

from pathlib import Path
from typing import Final

from knowngood_sdk.errors import NotFoundError

__all__ = ["CHANGES", "FIRST", "source_of"]

FIRST: Final = "v1"
"""The feature code of version 1."""

CHANGES: Final = {
    "utc": "hour and weekday in UTC instead of local time",
    "ratio": "lags as shares of the fleet's capacity instead of rides",
    "celsius": "temperature in degrees Celsius instead of a share of its range",
}
"""The changes that version 2 may bring, each with what it changes."""


def source_of(name: str) -> str:
    """
    Return the text of ``v1`` or of a change.

    Raises:
        NotFoundError: There is no feature code of that name.
    """
    if name != FIRST and name not in CHANGES:
        raise NotFoundError(
            f"no feature change is called {name!r}",
            hint=f"Choose one of {', '.join(CHANGES)}, or give a FILE.py of your own",
        )
    return (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")
