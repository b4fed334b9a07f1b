"""
Wording: what people wrote, as text that can be kept.

A terminal that does not speak UTF-8, and JSON with half an escaped character, bring text that Python holds and that has
no bytes: no file, no socket and no store takes it. A reason is never worth a failure, so what is no character of it
becomes U+FFFD. A name is another matter: one that was changed is another name, so those are refused instead.
"""

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["has_bytes", "readable", "readable_in"]

_LONE = re.compile("[\ud800-\udfff]")
"""Halves of characters; Python holds whole ones as one, so each that is found stands alone."""


def has_bytes(text: str) -> bool:
    """Return whether a text can be written at all: in UTF-8, that is."""
    return text.isascii() or _LONE.search(text) is None


def readable(text: str) -> str:
    """Return a text with U+FFFD for each byte and each half of a character that is none."""
    return text if text.isascii() else _LONE.sub("\ufffd", text)


def readable_in(value: Any) -> Any:
    """Return a JSON value with ``readable`` for every text in it, keys too."""
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, Mapping):
        return {readable_in(key): readable_in(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [readable_in(one) for one in value]
    return value
