"""Windows and judgements are values that can be stored and read again."""

import json
import math
from datetime import UTC, datetime

import pytest

from knowngood.domain.confidence import Interval
from knowngood.domain.system import TriggerKind
from knowngood.domain.window import Against, Control, Judgement, Verdict, Window
from knowngood_sdk.errors import InvalidError

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
WINDOW = Window(version="v2", started_at=NOON, length_seconds=1)


def test_a_window_needs_a_time_zone() -> None:
    naive = datetime(2026, 11, 23, 12)  # noqa: DTZ001 - the mistake under test
    with pytest.raises(InvalidError) as caught:
        Window(version="v2", started_at=naive, length_seconds=1)
    assert str(caught.value) == "a window starts at 2026-11-23 12:00:00, in no time zone. Give an aware datetime"


@pytest.mark.parametrize("length", [0.0, -1.0, math.nan])
def test_a_window_has_a_length(length: float) -> None:
    with pytest.raises(InvalidError) as caught:
        Window(version="v2", started_at=NOON, length_seconds=length)
    assert str(caught.value) == f"a window is {length} seconds long. Give a length above 0"


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.1, math.nan])
def test_a_split_leaves_something_to_both(share: float) -> None:
    with pytest.raises(InvalidError) as caught:
        Control(window=WINDOW, against=Against.SAME_TIME, share=share)
    assert str(caught.value) == f"the candidate's share is {share}. Give a ratio between 0 and 1, or none"


def test_a_control_without_a_declared_share_is_one() -> None:
    assert Control(window=WINDOW, against=Against.EARLIER).share is None


def test_a_judgement_has_a_json_form_without_infinities() -> None:
    judgement = Judgement(
        verdict=Verdict.NO_DATA,
        trigger="bookings",
        kind=TriggerKind.BUSINESS,
        reason="because",
        needed="more",
        figures={"n": 3, "mean": math.nan, "limit": 0.1, "against": "x"},
        change=Interval(-math.inf, 0.5),
        harm=Interval(-0.5, math.inf),
        against=Against.SAME_TIME,
    )
    assert json.loads(json.dumps(judgement.to_json(), allow_nan=False)) == {
        "verdict": "no-data",
        "trigger": "bookings",
        "kind": "business",
        "reason": "because",
        "needed": "more",
        "figures": {"n": 3, "mean": None, "limit": 0.1, "against": "x"},
        "change": [None, 0.5],
        "harm": [-0.5, None],
        "against": "same-time",
    }


def test_a_judgement_by_a_fixed_limit_names_no_comparison() -> None:
    judgement = Judgement(verdict=Verdict.CLEAR, trigger="errors", kind=TriggerKind.ERRORS, reason="fine")
    document = judgement.to_json()
    assert (document["needed"], document["change"], document["harm"], document["against"]) == ("", None, None, None)


def test_the_figures_of_a_judgement_cannot_be_edited() -> None:
    figures = {"n": 3}
    judgement = Judgement(
        verdict=Verdict.CLEAR, trigger="errors", kind=TriggerKind.ERRORS, reason="fine", figures=figures
    )
    figures["n"] = 4
    assert judgement.figures["n"] == 3
    with pytest.raises(TypeError):
        judgement.figures["n"] = 5  # type: ignore[index]
