"""Golden inputs: what a right answer is, and what a refusal says."""

import json
from pathlib import Path
from typing import Any

import pytest

from knowngood_sdk.errors import InvalidError, NotReadyError, TransientError
from knowngood_sdk.serving.golden import GoldenLine, check_golden, difference, read_golden


class NumberLike:
    """As a scalar of an array library."""

    def __float__(self) -> float:
        return 2.0


@pytest.mark.parametrize(
    ("expected", "got", "tolerance"),
    [
        pytest.param(100.0, 100.9, 0.01, id="within the tolerance"),
        pytest.param(-100.0, -100.9, 0.01, id="of a negative number"),
        pytest.param(0.0, 0.009, 0.01, id="absolute at zero"),
        pytest.param(1, 1.0, 0.0, id="exact"),
        pytest.param(2.0, NumberLike(), 0.0, id="a scalar of an array library"),
        pytest.param({"price": 2.0}, {"price": 2.0, "new": 1}, 0.0, id="a field more"),
        pytest.param([1.0, 2.0], (1.0, 2.0), 0.0, id="any sequence"),
        pytest.param({"a": [{"b": None}]}, {"a": [{"b": None}]}, 0.0, id="nested"),
        pytest.param("surge", "surge", 0.0, id="text"),
    ],
)
def test_right_answers(expected: Any, got: Any, tolerance: float) -> None:
    assert difference(expected, got, tolerance) == ""


@pytest.mark.parametrize(
    ("expected", "got", "said"),
    [
        pytest.param(100.0, 102.0, "the output should be 100.0 and is 102.0", id="too far"),
        pytest.param(100.0, float("nan"), "is nan", id="NaN"),
        pytest.param(1.0, True, "is True", id="a truth value is no number"),
        pytest.param(1.0, "1.0", "is '1.0'", id="text is no number"),
        pytest.param(1.0, None, "is None", id="nothing"),
        pytest.param({"price": 1.0}, {}, "the output.price is missing", id="a field is missing"),
        pytest.param({"a": {"b": 1.0}}, {"a": {"b": 3.0}}, "the output.a.b should be 1.0 and is 3.0", id="deep"),
        pytest.param({"a": 1.0}, 1.0, "should be an object", id="no object"),
        pytest.param([1.0], [1.0, 2.0], "should be 1 values", id="longer"),
        pytest.param([1.0], 1.0, "should be 1 values", id="no list"),
        pytest.param(True, 1.0, "should be True", id="a number is no truth value"),
    ],
)
def test_wrong_answers_say_where_what_was_expected_and_what_came(expected: Any, got: Any, said: str) -> None:
    assert said in difference(expected, got, 0.01)


@pytest.mark.requirement("N1")
def test_a_mismatch_names_its_line() -> None:
    lines = [GoldenLine(number=1, input=1.0, output=1.0), GoldenLine(number=2, input=2.0, output=2.0)]
    with pytest.raises(NotReadyError, match=r"golden line 2: the output should be 2.0 and is 1.0"):
        check_golden(lines, lambda _value, _ride: 1.0, None)


def test_an_answer_that_raises_names_its_line() -> None:
    with pytest.raises(NotReadyError, match="golden line 1 raised ZeroDivisionError"):
        check_golden([GoldenLine(number=1, input=0, output=1)], lambda _value, ride: 1 / ride, None)


def test_a_file_is_read_with_its_tolerances_and_without_empty_lines(tmp_path: Path) -> None:
    path = tmp_path / "golden.jsonl"
    path.write_text('{"input": 1, "output": 2}\n\n{"input": {"a": 1}, "output": [2], "tolerance": 0.1}\n')
    first, second = read_golden(path)
    assert (first.number, first.tolerance) == (1, 1e-6)
    assert (second.number, second.tolerance, second.output) == (3, 0.1, [2])


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="no line"),
        pytest.param("{", id="no JSON"),
        pytest.param("[1, 2]", id="no object"),
        pytest.param('{"input": 1}', id="no output"),
        pytest.param('{"input": 1, "output": 1, "tolerence": 0.1}', id="a key that is misspelt"),
        pytest.param('{"input": 1, "output": 1, "tolerance": "1%"}', id="a tolerance that is text"),
        pytest.param('{"input": 1, "output": 1, "tolerance": -1}', id="a negative tolerance"),
        pytest.param(json.dumps({"input": 1, "output": 1, "tolerance": float("nan")}), id="a tolerance that is NaN"),
    ],
)
def test_a_malformed_file_names_the_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "golden.jsonl"
    path.write_text(text)
    with pytest.raises(InvalidError, match=r"golden\.jsonl"):
        read_golden(path)


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(TransientError, match=r"golden\.jsonl"):
        read_golden(tmp_path / "golden.jsonl")
