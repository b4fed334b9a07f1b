"""Number: types of options that are numbers, each with the bounds in which it means something."""

import math
from typing import Any

import click

__all__ = ["COUNT", "SECONDS", "WHOLE_SECONDS"]

_YEAR = 365 * 86_400


class _Seconds(click.FloatRange):
    """Seconds that a clock can wait for; ``nan``, which click takes for a number, is beyond no bound."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds = float(super().convert(value, param, ctx))
        if not math.isfinite(seconds):
            self.fail(f"{value} is no number of seconds", param, ctx)
        return seconds


SECONDS = _Seconds(min=0.01, max=_YEAR)
"""How long something takes or is waited for, in parts of a second if need be."""
WHOLE_SECONDS = click.IntRange(min=1, max=_YEAR)
"""A time limit."""
COUNT = click.IntRange(min=1, max=1_000_000_000)
"""How many."""
