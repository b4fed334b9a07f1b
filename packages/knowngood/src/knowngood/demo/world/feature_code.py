"""
Feature code: a file with ``features(hours)``, ours or a stranger's, loaded from its text and held to its contract.

The contract: pandas in (one row an hour, the columns of ``hours.INPUT_COLUMNS``, indexed by local hour), numeric
columns out, finite, row by row. Row by row means that a frame and its single rows give the same: a service asks for one
row, the model was trained on thousands, and code that looks at its neighbours would give the two different features.
Model servers run the same check when they load a version.
"""

import hashlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from knowngood_sdk.errors import InvalidError, NotFoundError, RefusedError

__all__ = ["FeatureCode", "check_features"]

_RELATIVE_TOLERANCE = 1e-9
"""Single rows and a whole frame may differ by rounding (vectorised sums), not by more."""


class FeatureCode:
    """
    The ``features`` function of one file.

    Attributes:
        name: Where the text came from, for messages.
        text: The text, as it is committed.
        fingerprint: ``sha256:`` and 64 hex digits of the text: what a model that was trained on it requires.
        stamp: What answers are marked with; the fingerprint where no other was given.
    """

    def __init__(self, text: str, *, name: str, stamp: str = "") -> None:
        self.name = name
        self.text = text
        self.fingerprint = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
        self.stamp = stamp or self.fingerprint
        self._function = _function_of(text, name, self.fingerprint)

    @classmethod
    def load(cls, path: Path, *, stamp: str = "") -> "FeatureCode":
        """
        Load a file.

        Raises:
            NotFoundError: There is no such file.
            InvalidError: It is not UTF-8 text, does not run, or has no function ``features``.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (FileNotFoundError, IsADirectoryError) as error:
            raise NotFoundError(f"there is no file {path}", hint="Give the path of a Python file") from error
        except UnicodeDecodeError as error:
            raise InvalidError(f"{path} is not UTF-8 text: {error}", hint="Give a Python file") from error
        return cls(text, name=str(path), stamp=stamp)

    def __call__(self, hours: pd.DataFrame) -> pd.DataFrame:
        """Return the features of hours; the code gets a copy, so that it may write to its argument."""
        return self._function(hours.copy())


class _Text(importlib.abc.ExecutionLoader):
    """Runs a module from its text: a file's own loader would write bytecode into trees that must not change."""

    def __init__(self, text: str, name: str) -> None:
        self._text = text
        self._name = name

    def get_source(self, fullname: str) -> str:
        """Return the text, whatever the module is called."""
        del fullname
        return self._text

    def get_filename(self, fullname: str) -> str:
        """Return where the text came from, for tracebacks."""
        del fullname
        return self._name


def _function_of(text: str, name: str, fingerprint: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Run the text as a module of its own, named by its fingerprint, and return its ``features``."""
    loader = _Text(text, name)
    spec = ModuleSpec(f"features_{fingerprint.removeprefix('sha256:')}", loader, origin=name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickles look their module up by name
    try:
        loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[spec.name]
        raise InvalidError(
            f"{name} does not run: {type(error).__name__}: {error}",
            hint="Mend it until `python FILE.py` runs, with nothing but pandas, numpy and the standard library",
        ) from error
    function = getattr(module, "features", None)
    if not callable(function):
        raise InvalidError(f"{name} has no function features", hint="Define features(hours), a frame in, a frame out")
    return cast("Callable[[pd.DataFrame], pd.DataFrame]", function)


def check_features(code: FeatureCode, sample: pd.DataFrame) -> pd.DataFrame:
    """
    Hold feature code to its contract on sample hours.

    Args:
        code: The code to check.
        sample: Inputs of some hours, shape ``(n, len(INPUT_COLUMNS))`` with n >= 2; each row is also asked for alone.

    Returns:
        The features of the sample, shape ``(n, k)``.

    Raises:
        RefusedError: The code breaks the contract; the message says how, and at which hour and column.
    """
    together: pd.DataFrame = _result(code, sample)
    _check_form(code, sample, together)
    for at in range(len(sample)):
        single_row = sample.iloc[[at]]
        alone = _result(code, single_row)
        _check_form(code, single_row, alone)
        _check_same_row(code, alone, together.iloc[[at]])
    return together


def _result(code: FeatureCode, hours: pd.DataFrame) -> Any:
    """Call the code, which may return anything; what it raises becomes a refusal that names it."""
    try:
        return code(hours)
    except KeyError as error:
        raise RefusedError(
            f"{code.name}: features(hours) asks for {error}, which it does not get or does not make",
            hint=f"The columns are {', '.join(map(str, hours.columns))}; outcomes of the hour are not known yet",
        ) from error
    except Exception as error:
        raise RefusedError(
            f"{code.name}: features(hours) raised {type(error).__name__}: {error} on {_rows(len(hours))}",
            hint="It must work on a whole frame and on a single row",
        ) from error


def _check_form(code: FeatureCode, hours: pd.DataFrame, columns: Any) -> None:
    """Refuse a result that is not a frame of finite numbers with one row for each hour."""
    if not isinstance(columns, pd.DataFrame):
        raise RefusedError(
            f"{code.name}: features(hours) returned {type(columns).__name__}", hint="Return a pandas DataFrame"
        )
    if not columns.index.equals(hours.index):
        raise RefusedError(
            f"{code.name}: {_rows(len(hours))} in, {_rows(len(columns))} out, or with another index",
            hint="Return one row for each hour, under the hour's own index",
        )
    if columns.shape[1] == 0 or not columns.columns.is_unique:
        raise RefusedError(
            f"{code.name}: the columns are {[str(name) for name in columns.columns]}",
            hint="Return at least one column, each under a name of its own",
        )
    for name in columns.columns:
        if not isinstance(name, str):
            raise RefusedError(f"{code.name}: a column is called {name!r}", hint="Name columns by strings")
        values = columns[name]
        if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_complex_dtype(values):
            raise RefusedError(
                f"{code.name}: column {name!r} is of type {values.dtype}, not numeric", hint="Return numbers only"
            )
        finite = np.isfinite(values.to_numpy(dtype="float64", na_value=np.nan))
        if not finite.all():
            raise RefusedError(
                f"{code.name}: column {name!r} is not finite at {hours.index[int(np.argmin(finite))]}",
                hint="No input is missing, so no feature may be: fill or leave out what cannot be computed",
            )


def _check_same_row(code: FeatureCode, alone: pd.DataFrame, together: pd.DataFrame) -> None:
    """Refuse a row that comes out differently alone than among others."""
    if list(alone.columns) != list(together.columns):
        raise RefusedError(
            f"{code.name} is not row by row: a single hour gives the columns {list(alone.columns)}, "
            f"a frame {list(together.columns)}",
            hint="Return the same columns whatever the rows",
        )
    ours = alone.to_numpy(dtype="float64")[0]
    theirs = together.to_numpy(dtype="float64")[0]
    same = np.isclose(ours, theirs, rtol=_RELATIVE_TOLERANCE, atol=_RELATIVE_TOLERANCE)
    if same.all():
        return
    worst = int(np.argmin(same))
    raise RefusedError(
        f"{code.name} is not row by row: {alone.columns[worst]!r} of {alone.index[0]} is {ours[worst]:g} alone "
        f"and {theirs[worst]:g} among other hours",
        hint="Compute each row from its own columns only, without shift, rolling, mean, rank or anything random",
    )


def _rows(count: int) -> str:
    """Return a count of rows in words."""
    return "1 row" if count == 1 else f"{count} rows"
