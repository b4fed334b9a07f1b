"""Level 1 on every held-out Thursday: the product's rule, held against the truth, and every verdict told apart."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from knowngood.demo.every_evening import changes_of, document_of, judge_every_evening, judge_of, lines_of
from knowngood.demo.seen import Seen
from knowngood.demo.workplace import rules
from knowngood.demo.world.evenings import EveningResult
from knowngood.demo.world.features import CHANGES
from knowngood.demo.world.hours import thursday_evenings
from knowngood.domain.system import Tolerance
from knowngood_sdk.errors import NotFoundError, RefusedError

RULE = Tolerance(divergence=0.15, requests=100)


@pytest.mark.requirement("A2")
def test_celsius_is_judged_on_every_thursday_and_held_against_the_truth(year: pd.DataFrame) -> None:
    told: list[EveningResult] = []
    recent = year.loc[year.index >= "2011-07-01"]  # that trains in no time
    results = judge_every_evening(recent, changes_of("celsius", recent), RULE, seed=1, tell=told.append)
    assert told == results
    assert [result.evening for result in results] == thursday_evenings()
    for result in results:
        assert result.combination is not None
        assert result.allowed is (result.n >= RULE.requests and result.combination.divergence <= RULE.divergence)


@pytest.mark.parametrize(
    ("divergence", "n", "allowed"),
    [
        pytest.param(0.15, 100, True, id="at the tolerance, on the least evidence"),
        pytest.param(0.1501, 100, False, id="just beyond it"),
        pytest.param(0.0, 99, False, id="too little evidence"),
        pytest.param(float("nan"), 0, False, id="no evidence"),
    ],
)
def test_the_rule_is_the_one_that_the_system_file_fixed(divergence: float, n: int, *, allowed: bool) -> None:
    assert judge_of(rules().unproven)(divergence, n).allowed is allowed


def test_table_and_document_tell_false_allows_and_false_refusals_apart(play: Callable[..., Seen]) -> None:
    result = play().evening_result
    results = [
        result,
        replace(result, acceptable=True),
        replace(result, allowed=True),
        replace(result, combination=None, n=0),
    ]
    table = "\n".join(lines_of(results, RULE))
    for words in ("right refusal", "false refusal", "false allow", "cannot run", "at least 100"):
        assert words in table
    document = json.loads(json.dumps(document_of(results, RULE, seed=4), allow_nan=False))
    assert document["verdicts"]["utc"] == {
        "right allow": 0,
        "right refusal": 2,
        "false allow": 1,
        "false refusal": 1,
    }
    assert (document["seed"], len(document["evenings"])) == (4, 4)


def test_all_changes_are_judged_unless_one_is_named(year: pd.DataFrame, tmp_path: Path) -> None:
    assert list(changes_of(None, year)) == list(CHANGES)
    own = tmp_path / "own.py"
    own.write_text("def features(hours):\n    return hours[['hr', 'lag_1h']] * 1.0\n", encoding="utf-8")
    assert list(changes_of(str(own), year)) == [str(own)]


def test_a_change_that_is_none_or_not_row_by_row_is_refused(year: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no feature change is called 'kelvin'"):
        changes_of("kelvin", year)
    with pytest.raises(NotFoundError, match="there is no file"):
        changes_of(str(tmp_path / "none.py"), year)
    ranked = tmp_path / "ranked.py"
    ranked.write_text("def features(hours):\n    return hours[['temp']].rank()\n", encoding="utf-8")
    with pytest.raises(RefusedError, match="not row by row"):
        changes_of(str(ranked), year)
