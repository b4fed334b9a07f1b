"""Reading: values that people type on the command line."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal

import click

from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.route import FULL

__all__ = ["as_typed", "basis_points", "expected_effects"]

_RATIO = re.compile(r"([+-]?[0-9]{1,9}(?:\.[0-9]{1,9})?) ?(%?)")


@contextmanager
def as_typed() -> Iterator[None]:
    """Tell of a value that cannot be read as of any other command that was not written as it must be."""
    try:
        yield
    except InvalidError as error:
        raise click.UsageError(str(error)) from error


def basis_points(text: str) -> int:
    """
    Return a share of the traffic (``10%``, or ``0.1``) in basis points.

    Raises:
        InvalidError: It is no share above 0 and up to 100 %, or finer than a basis point: a share that is rounded up
            could be all of the traffic.
    """
    points = _ratio(text, "--canary") * FULL
    if not 0 < points <= FULL:
        raise InvalidError(f"--canary is {text}", hint="Give a share above 0% and up to 100%")
    if points != int(points):
        raise InvalidError(f"--canary is {text}, finer than traffic is split", hint="Give at most two decimals: 0.01%")
    return int(points)


def expected_effects(pairs: Sequence[str]) -> dict[str, tuple[float, float]]:
    """
    Return declared effects, ``METRIC=LOW..HIGH`` each, as relative changes; a bound may be 0 or negative (``-5%``).

    Raises:
        InvalidError: One is not of that form.
    """
    effects = {}
    for pair in pairs:
        metric, _, bounds = pair.partition("=")
        low, dots, high = bounds.partition("..")
        if not (metric and dots):
            raise InvalidError(f"--expect {pair} has not the form METRIC=LOW..HIGH", hint="prediction_mean=0%..10%")
        effects[metric] = (float(_ratio(low, f"--expect {metric}")), float(_ratio(high, f"--expect {metric}")))
    return effects


def _ratio(text: str, what: str) -> Decimal:
    """Read a percentage, or a fraction below 1; exactly, so that no share is rounded into another."""
    found = _RATIO.fullmatch(text)
    if found is None:
        raise InvalidError(f"{what} has {text!r}, which is no percentage", hint="Write 5%, or the fraction 0.05")
    number = Decimal(found[1])
    if found[2]:
        return number / 100
    if abs(number) >= 1:
        # 1 may be meant as one percent or as everything.
        raise InvalidError(f"{what} has {text!r} without a unit", hint=f"Write {text}%, if that is what you mean")
    return number
