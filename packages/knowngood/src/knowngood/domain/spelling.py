"""Spelling: which known word somebody may have meant."""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["did_you_mean"]


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
    close = get_close_matches(word, words, n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}? {listed}" if close else listed
