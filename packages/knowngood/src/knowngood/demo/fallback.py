"""Fallback: what a ride costs when no version can answer; the system file declares it, and the service answers it."""

from typing import Final

__all__ = ["FALLBACK_PRICE"]

FALLBACK_PRICE: Final = 2.0
"""Dollars."""
