"""Reading: values that people type on the command line."""

from collections.abc import Sequence

from knowngood.domain import quantity
from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.route import FULL

__all__ = ["basis_points", "expected_effects"]


def basis_points(text: str) -> int:
    """
    Return a share of the traffic (``10%``, ``0.1``) in basis points.

    Raises:
        InvalidError: It is no share above 0 and up to 100 %.
    """
    points = round(quantity.ratio(text, "--canary") * FULL)
    if not 0 < points <= FULL:
        raise InvalidError(f"--canary is {text}", hint="Give a share above 0% and up to 100%")
    return points


def expected_effects(pairs: Sequence[str]) -> dict[str, tuple[float, float]]:
    """
    Return declared effects, ``METRIC=LOW..HIGH`` each, as relative changes.

    Raises:
        InvalidError: One is not of that form.
    """
    effects = {}
    for pair in pairs:
        metric, _, bounds = pair.partition("=")
        low, dots, high = bounds.partition("..")
        if not (metric and dots):
            raise InvalidError(f"--expect {pair} has not the form METRIC=LOW..HIGH", hint="prediction_mean=0%..10%")
        effects[metric] = (_change(low), _change(high))
    return effects


def _change(text: str) -> float:
    """Read a relative change, which may be negative."""
    magnitude = quantity.ratio(text.lstrip("+-"), "--expect")
    return -magnitude if text.startswith("-") else magnitude
