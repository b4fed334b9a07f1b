"""
Forest flavour: the compared model under MLflow, in the peers' environment alone.

Run as ``python -m benchmarks.forest_flavour FILE FOLDER`` it saves a forest as MLflow's model; MLflow imports it to
load what was saved.
"""

import sys
from typing import Any

from benchmarks.forest import Forest

__all__ = ["Flavour"]


class Flavour:
    """A model as MLflow calls it."""

    def __init__(self, forest: Forest) -> None:
        self._forest = forest

    def predict(self, frame: Any, params: Any = None) -> dict[str, Any]:  # noqa: ARG002 - what MLflow calls it with
        """Answer a frame of one number with a price and the version that made it."""
        return self._forest.answer(float(frame.iloc[0, 0]))


def _load_pyfunc(path: str) -> Flavour:
    return Flavour(Forest(path))


if __name__ == "__main__":
    from mlflow import pyfunc

    pyfunc.save_model(
        path=sys.argv[2], loader_module="benchmarks.forest_flavour", data_path=sys.argv[1], pip_requirements=[]
    )
