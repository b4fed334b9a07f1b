"""Spelling: how a value that somebody wrote is named in a message, and which known word they may have meant."""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["counted", "described", "did_you_mean"]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """
    Return what to do about an unknown word.

    Args:
        word: What was written.
        known: The words that would have been right.

    Returns:
        ``Did you mean 'x'? Known: x, y`` where one is close, else ``Known: x, y``.
    """
    words = sorted(known)
    if not words:
        return "There is none"
    listed = f"Known: {', '.join(words)}"
    close = get_close_matches(word, words, n=1, cutoff=0.6)
    return f"Did you mean {str(close[0])!r}? {listed}" if close else listed


def counted(number: int, thing: str) -> str:
    """Return a number and what it counts: ``1 request``, ``2 requests``."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def described(value: object) -> str:
    """Return what a value is, so that a message tells ``5`` from ``"5"``."""
    if value is None or value == "":
        return "empty"
    if isinstance(value, bool):
        return f"the truth value {value!r}"
    if isinstance(value, str):
        return f"the text {value!r}"
    if isinstance(value, int | float):
        return f"the number {value!r}"
    return "a mapping" if isinstance(value, dict) else f"a {type(value).__name__}"
