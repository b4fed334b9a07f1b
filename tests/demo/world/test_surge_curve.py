"""The surge curve is piecewise linear, level beyond its ends, and says what is wrong with a document."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood.demo.world.artifacts import placebo_curve
from knowngood.demo.world.pricing import OUTPUTS
from knowngood.demo.world.surge import FIRST_CURVE, SECOND_CURVE, SurgeCurve
from knowngood_sdk.errors import InvalidError, NotFoundError

CURVE = SurgeCurve(base_fare=2.0, capacity=100.0, points=((0.5, 1.0), (1.0, 2.0)))


@pytest.mark.parametrize(
    ("demand", "price"),
    [(0.0, 2.0), (50.0, 2.0), (75.0, 3.0), (100.0, 4.0), (1000.0, 4.0)],
    ids=["below the first point", "at the first", "half way", "at the last", "beyond the last"],
)
def test_price_at(demand: float, price: float) -> None:
    assert CURVE.price(demand) == price


def test_no_demand_is_no_price() -> None:
    assert math.isnan(CURVE.price(math.nan))


@given(st.floats(0, 3000), st.floats(0, 3000))
@pytest.mark.parametrize("curve", [FIRST_CURVE, SECOND_CURVE], ids=["first", "second"])
def test_more_demand_never_costs_less(curve: SurgeCurve, one: float, other: float) -> None:
    assert curve.price(min(one, other)) <= curve.price(max(one, other))


@given(st.floats(0, 3000))
def test_the_second_curve_never_asks_less_than_the_first(demand: float) -> None:
    assert FIRST_CURVE.price(demand) <= SECOND_CURVE.price(demand)


@given(st.floats(-100, 1e6))
def test_no_demand_takes_the_price_out_of_its_declared_range(demand: float) -> None:
    low, high = OUTPUTS["price"]
    assert low <= FIRST_CURVE.price(demand) <= SECOND_CURVE.price(demand) <= high


def test_a_curve_survives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "surge.json"
    path.write_text(FIRST_CURVE.document(), encoding="utf-8")
    assert SurgeCurve.load(path) == FIRST_CURVE


def test_a_stamp_given_by_the_owner_goes_before_the_digest() -> None:
    assert SurgeCurve.from_json(FIRST_CURVE.to_json(), stamp="sha256:config").stamp == "sha256:config"


def test_a_placebo_has_another_stamp_and_the_same_prices() -> None:
    placebos = [placebo_curve(number) for number in range(1, 21)]
    assert len({curve.stamp for curve in [FIRST_CURVE, *placebos]}) == 21
    assert all(curve.points == FIRST_CURVE.points for curve in placebos)


GOOD = FIRST_CURVE.to_json()


@pytest.mark.parametrize(
    ("document", "says"),
    [
        pytest.param([], "is an object of", id="a list"),
        pytest.param({**GOOD, "fare": 3}, "is an object of", id="an unknown key"),
        pytest.param({"base_fare": 2.0}, "is an object of", id="keys missing"),
        pytest.param({**GOOD, "base_fare": -1}, "base_fare is -1.0. Give a finite number above 0", id="a gift"),
        pytest.param({**GOOD, "capacity": "many"}, "holds numbers", id="text for a number"),
        pytest.param({**GOOD, "points": [[0, 1]]}, "at least two", id="one point"),
        pytest.param({**GOOD, "points": [[1, 1], [0.5, 2]]}, "each load above the one before", id="out of order"),
        pytest.param({**GOOD, "points": [[0, 1], [1, -2]]}, "multipliers above 0", id="below nothing"),
        pytest.param({**GOOD, "points": [[0, 1], [1, math.inf]]}, "finite numbers", id="without end"),
    ],
)
def test_a_document_that_is_no_curve_is_invalid(document: Any, says: str) -> None:
    with pytest.raises(InvalidError) as caught:
        SurgeCurve.from_json(document)
    assert says in str(caught.value)


def test_a_file_that_is_no_json_is_invalid_and_one_that_is_gone_not_found(tmp_path: Path) -> None:
    (tmp_path / "surge.json").write_text(json.dumps(GOOD)[:-5], encoding="utf-8")
    with pytest.raises(InvalidError, match="not JSON"):
        SurgeCurve.load(tmp_path / "surge.json")
    with pytest.raises(NotFoundError, match="there is no file"):
        SurgeCurve.load(tmp_path / "gone.json")
