"""
Golden inputs: requests whose right answers are on record, so that a version can show that it works before it serves.

One JSON object a line: ``{"input": …, "output": …, "tolerance": 0.001}``. Numbers may differ by the tolerance, relative
to what is expected (``1e-6`` when none is given); objects are compared field by field, and a version may answer more
fields than are expected.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knowngood_sdk.errors import InvalidError, NotReadyError, TransientError

__all__ = ["Answer", "GoldenLine", "check_golden", "difference", "read_golden"]

Answer = Callable[[Any, Any], Any]
"""The user's ``answer(value, input) -> output``."""

DEFAULT_TOLERANCE = 1e-6
_KEYS = {"input", "output", "tolerance"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenLine:
    """
    One golden input.

    Attributes:
        number: Its line in the file, from 1.
        input: What is asked.
        output: What must be answered.
        tolerance: Deviation of a number that is still right, relative to the expected one; a ratio >= 0.
    """

    number: int
    input: Any
    output: Any
    tolerance: float = DEFAULT_TOLERANCE


def read_golden(path: Path) -> tuple[GoldenLine, ...]:
    """
    Read the golden inputs of a file; empty lines are passed over.

    Raises:
        InvalidError: A line is malformed, or the file has none.
        TransientError: The file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidError(f"{path} is not UTF-8: {error}") from error
    except OSError as error:
        raise TransientError(f"the golden inputs {path} cannot be read: {error.strerror}") from error
    lines = [_line(path, number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if not lines:
        raise InvalidError(f"{path} has no golden input", hint='Write lines like {"input": {}, "output": 1.5}')
    return tuple(lines)


def check_golden(lines: Sequence[GoldenLine], answer: Answer, value: Any) -> None:
    """
    Ask a version every golden input and compare.

    Raises:
        NotReadyError: An answer differs, or could not be given; names the line.
    """
    for line in lines:
        try:
            found = difference(line.output, answer(value, line.input), line.tolerance)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # A stranger's code: also one that wants to end the program says only that this version cannot serve.
            raise NotReadyError(f"golden line {line.number} raised {type(error).__name__}: {error}") from error
        if found:
            raise NotReadyError(f"golden line {line.number}: {found}")


def difference(expected: Any, got: Any, tolerance: float) -> str:
    """Return where an output differs from the expected one, or an empty text."""
    return _difference(expected, got, tolerance, "the output")


def _difference(expected: Any, got: Any, tolerance: float, where: str) -> str:
    if isinstance(expected, Mapping):
        if not isinstance(got, Mapping):
            return f"{where} should be an object and is {_shown(got)}"
        pairs = ((f"{where}.{key}", value, key) for key, value in expected.items())
        found = (
            _difference(value, got[key], tolerance, name) if key in got else f"{name} is missing"
            for name, value, key in pairs
        )
    elif isinstance(expected, list):
        given = _listed(got)
        if given is None or len(given) != len(expected):
            return f"{where} should be {len(expected)} values and is {_shown(got)}"
        found = (
            _difference(value, given[index], tolerance, f"{where}[{index}]") for index, value in enumerate(expected)
        )
    elif isinstance(expected, bool | str) or expected is None:
        same = got == expected and type(got) not in {int, float}
        return "" if same else f"{where} should be {_shown(expected)} and is {_shown(got)}"
    else:
        return "" if _close(expected, got, tolerance) else f"{where} should be {expected!r} and is {_shown(got)}"
    return next((text for text in found if text), "")


def _close(expected: float, got: Any, tolerance: float) -> bool:
    if isinstance(got, bool | str | bytes):
        return False
    try:
        number = float(got)
    except (TypeError, ValueError, OverflowError):
        return False
    # Relative to what is expected; where that is zero the tolerance is absolute, for nothing is relative to zero.
    return abs(number - expected) <= tolerance * (abs(expected) or 1.0)


def _listed(got: Any) -> list[Any] | None:
    if isinstance(got, str | bytes | Mapping):
        return None
    try:
        return list(got)
    except TypeError:
        return None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"  # noqa: PLR2004 - as wide as a line of a terminal


def _line(path: Path, number: int, line: str) -> GoldenLine:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"{path}, line {number} is not JSON: {error}") from error
    if not isinstance(document, dict) or not {"input", "output"} <= set(document) or set(document) - _KEYS:
        raise InvalidError(
            f"{path}, line {number} is no golden input: {line[:80]}",
            hint='Write {"input": …, "output": …} and, if wanted, "tolerance"',
        )
    tolerance = document.get("tolerance", DEFAULT_TOLERANCE)
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not tolerance >= 0:
        raise InvalidError(f"{path}, line {number} has tolerance {tolerance!r}", hint="Write a ratio such as 0.001")
    return GoldenLine(number=number, input=document["input"], output=document["output"], tolerance=tolerance)
