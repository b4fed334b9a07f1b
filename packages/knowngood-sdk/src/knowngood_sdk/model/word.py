"""
The shared word: a replica's position in 8 bytes, for every worker process to compare on each request.

Layout, from the highest bit: generation (32), latched step (8), split in basis points (14), check (10). A word of zero
says "read the file". The check tells a torn or foreign file from a position; it is no protection against an attacker,
the folder's permissions are.
"""

from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.route import FULL

__all__ = ["MAX_GENERATION", "MAX_STEP", "pack", "unpack"]

MAX_GENERATION = 2**32 - 1
MAX_STEP = 2**8 - 1
_CHECK_BITS = 10
_CHECK_MASK = 2**_CHECK_BITS - 1
_SPLIT_BITS = 14
_STEP_BITS = 8
# An odd 64-bit constant (the golden ratio) spreads every bit of the value into the upper bits of the product.
_SPREAD = 0x9E3779B97F4A7C15


def pack(generation: int, latched: int, split: int) -> int:
    """
    Return the word of a position.

    Raises:
        InvalidError: A field does not fit.
    """
    if not (0 < generation <= MAX_GENERATION and 0 <= latched <= MAX_STEP and 0 <= split <= FULL):
        raise InvalidError(f"position ({generation}, {latched}, {split}) does not fit the shared word")
    value = ((generation << _STEP_BITS | latched) << _SPLIT_BITS) | split
    return value << _CHECK_BITS | _check(value)


def unpack(word: int) -> tuple[int, int, int] | None:
    """Return ``(generation, latched, split)``, or None when the word is zero or is not one of ours."""
    value = word >> _CHECK_BITS
    if word == 0 or word & _CHECK_MASK != _check(value):
        return None
    split = value & (2**_SPLIT_BITS - 1)
    latched = value >> _SPLIT_BITS & MAX_STEP
    generation = value >> _SPLIT_BITS + _STEP_BITS
    return (generation, latched, split) if generation and split <= FULL else None


def _check(value: int) -> int:
    return (value * _SPREAD & 2**64 - 1) >> (64 - _CHECK_BITS)
