"""
Forest: the model that the compared servers serve, of the standard library alone, so that each can load it.

It is a file of JSON, as boosted trees are kept; reading it is what loading takes. An answer names the version that the
file names, so that what was served can be seen from outside whatever served it.
"""

import json
import random
from pathlib import Path
from typing import Any

__all__ = ["Forest", "plant"]

_DEPTH = 8
_WALKED = 50

Tree = float | list[Any]
"""A leaf's share of the price, or a threshold with the tree below it and the one from it on."""


class Forest:
    """
    Trees that price a ride together.

    Args:
        path: A file as ``plant`` writes it.

    Attributes:
        version: What the file calls itself.
    """

    def __init__(self, path: str | Path) -> None:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
        self.version: str = document["version"]
        self._trees: list[Tree] = document["trees"]

    def price(self, x: float) -> float:
        """Return a price; so few trees are asked that answering takes next to no time beside loading."""
        return sum(_leaf(tree, x) for tree in self._trees[:_WALKED])

    def answer(self, x: float) -> dict[str, Any]:
        """Return a price with the version that made it."""
        return {"price": self.price(x), "version": self.version}


def plant(path: Path, version: str, trees: int, chance: random.Random) -> None:
    """
    Write a forest.

    Args:
        path: Where.
        version: What it calls itself.
        trees: How many; each takes some 6 kB.
        chance: What it is drawn from.
    """
    document = {"version": version, "trees": [_grown(_DEPTH, chance) for _ in range(trees)]}
    path.write_text(json.dumps(document), encoding="utf-8")


def _grown(depth: int, chance: random.Random) -> Tree:
    if not depth:
        return round(chance.random(), 6)
    return [round(chance.uniform(0, 10), 6), _grown(depth - 1, chance), _grown(depth - 1, chance)]


def _leaf(tree: Tree, x: float) -> float:
    while isinstance(tree, list):
        threshold, below, above = tree
        tree = below if x < threshold else above
    return tree
