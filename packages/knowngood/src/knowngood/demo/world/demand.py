"""
Demand model: rides an hour from features, as one artifact that carries the names of the columns it reads.

Gradient boosting of small trees: a single row takes a few tenths of a millisecond and no thread pool, where a random
forest pays for joblib on every call and histogram boosting starts an OpenMP team that fights with other workers.
"""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt
import pandas as pd

from knowngood_sdk.errors import InvalidError, NotFoundError, RefusedError

__all__ = ["DemandModel"]

_KEYS = {"estimator", "columns", "label", "requires_features"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandModel:
    """
    A trained estimator and what it needs.

    Attributes:
        estimator: A fitted scikit-learn regressor.
        columns: Names of the feature columns that it reads, in its order.
        label: What it was trained to predict, in words.
        requires_features: Fingerprint of the feature code that it was trained on.
        stamp: What answers are marked with; the digest of the artifact where no other was given.
    """

    estimator: Any
    columns: tuple[str, ...]
    label: str
    requires_features: str
    stamp: str

    @classmethod
    def load(cls, path: Path, *, stamp: str = "") -> "DemandModel":
        """
        Load an artifact. It is a pickle: load only what you wrote or whose digest you checked.

        Raises:
            NotFoundError: There is no such file.
            InvalidError: The bytes are no artifact of a demand model.
        """
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise NotFoundError(f"there is no file {path}", hint="Give the path of a model's artifact") from error
        return cls.from_bytes(data, name=str(path), stamp=stamp)

    @classmethod
    def from_bytes(cls, data: bytes, *, name: str, stamp: str = "") -> "DemandModel":
        """Load an artifact from its bytes; errors as for ``load``."""
        try:
            parts = joblib.load(io.BytesIO(data))
        except Exception as error:
            # A damaged pickle raises whatever its opcodes run into: there is no narrower class to catch.
            raise InvalidError(
                f"{name} cannot be unpickled: {type(error).__name__}: {error}", hint="Restore or train it again"
            ) from error
        if not isinstance(parts, dict) or set(parts) != _KEYS:
            raise InvalidError(f"{name} is a pickle, but not of a demand model", hint="Restore or train it again")
        return cls(**parts, stamp=stamp or _digest(data))

    @classmethod
    def of(cls, estimator: Any, *, columns: tuple[str, ...], label: str, requires_features: str) -> "DemandModel":
        """Return the model of a fitted estimator, stamped with the digest of its artifact."""
        model = cls(estimator=estimator, columns=columns, label=label, requires_features=requires_features, stamp="")
        object.__setattr__(model, "stamp", _digest(model.to_bytes()))
        return model

    def to_bytes(self) -> bytes:
        """Return the artifact."""
        buffer = io.BytesIO()
        joblib.dump({name: getattr(self, name) for name in sorted(_KEYS)}, buffer)
        return buffer.getvalue()

    def predict(self, columns: pd.DataFrame) -> npt.NDArray[np.float64]:
        """
        Return the expected rides an hour, not below 0.

        Args:
            columns: Features, one row an hour, at least the columns that the model reads.

        Raises:
            RefusedError: A column that it reads is not among them.
        """
        missing = [name for name in self.columns if name not in columns]
        if missing:
            raise RefusedError(
                f"the model reads {', '.join(missing)}, which these features do not have",
                hint="Run it on the features that it was trained on",
                missing=missing,
            )
        ordered = columns if tuple(columns.columns) == self.columns else columns[list(self.columns)]
        predicted = self.estimator.predict(ordered.to_numpy(dtype="float64"))
        rides: npt.NDArray[np.float64] = np.maximum(predicted, 0.0)
        return rides


def _digest(data: bytes) -> str:
    """Return the digest of bytes as manifests write it."""
    return "sha256:" + hashlib.sha256(data).hexdigest()
