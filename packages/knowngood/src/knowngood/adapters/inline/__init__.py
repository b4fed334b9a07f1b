"""Documents that are small enough for the manifest to carry them."""

from knowngood.adapters.inline.component import InlineComponent

__all__ = ["InlineComponent"]
