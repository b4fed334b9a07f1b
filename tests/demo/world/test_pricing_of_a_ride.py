"""A quote is what model, features and curve make of one hour, each stamped, and quick."""

import json
import time
from pathlib import Path

import joblib
import pandas as pd
import pytest

from knowngood.demo.world.demand import DemandModel
from knowngood.demo.world.feature_code import FeatureCode
from knowngood.demo.world.hours import evening_hours, hour_row, thursday_evenings
from knowngood.demo.world.pricing import OUTPUTS, Pricing
from knowngood.demo.world.surge import FIRST_CURVE
from knowngood_sdk.errors import InvalidError, NotFoundError, RefusedError

SIX_PM = pd.Timestamp("2011-10-06 18:00")


def test_a_quote_is_the_curve_at_the_predicted_demand(known: Pricing, hours: pd.DataFrame) -> None:
    quote = known.quote(hour_row(hours, SIX_PM))
    assert quote.price == FIRST_CURVE.price(quote.demand)
    assert quote.price == round(FIRST_CURVE.base_fare * quote.multiplier, 2)


@pytest.mark.requirement("A1")
def test_each_part_stamps_itself_so_that_a_mixture_can_be_seen(
    known: Pricing, deployed: dict[str, Pricing], hours: pd.DataFrame
) -> None:
    bad = deployed["utc"]
    mixed = Pricing(known.model, bad.features, bad.curve).quote(hour_row(hours, SIX_PM))
    assert (mixed.model, mixed.features, mixed.config) == (known.model.stamp, bad.features.stamp, bad.curve.stamp)
    assert len({known.model.stamp, bad.model.stamp, known.features.stamp, bad.features.stamp}) == 4


def test_a_quote_is_json(known: Pricing, hours: pd.DataFrame) -> None:
    quote = known.quote(hour_row(hours, SIX_PM))
    assert json.loads(json.dumps(quote.to_json()))["price"] == quote.price


def test_many_hours_at_once_cost_what_each_costs_alone(known: Pricing, hours: pd.DataFrame) -> None:
    evening = evening_hours(hours, thursday_evenings()[0])
    together = known.quotes(evening)
    alone = [known.quote(hour_row(evening, pd.Timestamp(at))) for at in evening.index]
    assert together["demand"].to_list() == pytest.approx([quote.demand for quote in alone], rel=1e-12)
    assert together["price"].to_list() == [quote.price for quote in alone]


def test_outputs_of_both_versions_stay_in_their_declared_range_all_year(
    known: Pricing, deployed: dict[str, Pricing], hours: pd.DataFrame
) -> None:
    for pricing in (known, *deployed.values()):
        quotes = pricing.quotes(hours)
        for name, (low, high) in OUTPUTS.items():
            assert quotes[name].between(low, high).all(), name


def test_a_quote_takes_a_few_milliseconds(known: Pricing, hours: pd.DataFrame) -> None:
    row = hour_row(hours, SIX_PM)
    durations = []
    for _ in range(100):
        start = time.perf_counter()
        known.quote(row)
        durations.append(time.perf_counter() - start)
    # 1.5 ms without coverage's tracer, which triples it; a thread pool or an OpenMP team for each call takes far more.
    assert min(durations) < 0.01


def test_a_model_does_not_run_on_features_that_lack_its_columns(known: Pricing, hours: pd.DataFrame) -> None:
    stranger = FeatureCode("def features(hours): return hours[['hr', 'temp']]", name="stranger.py")
    with pytest.raises(RefusedError, match="reads hour, weekday") as caught:
        Pricing(known.model, stranger, FIRST_CURVE).quote(hour_row(hours, SIX_PM))
    assert "lag_1h" in caught.value.details["missing"]


def test_a_model_finds_its_columns_in_any_order(known: Pricing, hours: pd.DataFrame) -> None:
    text = known.features.text.replace("def features(", "def forward(")
    backward = FeatureCode(text + "\ndef features(hours): return forward(hours).iloc[:, ::-1]\n", name="backward.py")
    row = hour_row(hours, SIX_PM)
    assert Pricing(known.model, backward, FIRST_CURVE).quote(row).demand == known.quote(row).demand


def test_a_model_survives_its_artifact(known: Pricing, tmp_path: Path) -> None:
    path = tmp_path / "model.joblib"
    path.write_bytes(known.model.to_bytes())
    loaded = DemandModel.load(path)
    assert loaded.stamp == known.model.stamp
    assert (loaded.columns, loaded.requires_features) == (known.model.columns, known.model.requires_features)


@pytest.mark.parametrize("keep", [0, 100, 5000])
def test_an_artifact_that_was_cut_off_is_invalid(known: Pricing, keep: int) -> None:
    with pytest.raises(InvalidError, match=r"cut\.joblib cannot be unpickled"):
        DemandModel.from_bytes(known.model.to_bytes()[:keep], name="cut.joblib")


def test_another_pickle_is_no_model_and_a_missing_file_is_not_found(tmp_path: Path) -> None:
    joblib.dump({"weights": [1.0]}, tmp_path / "other.joblib")
    with pytest.raises(InvalidError, match="not of a demand model"):
        DemandModel.load(tmp_path / "other.joblib")
    with pytest.raises(NotFoundError, match="there is no file"):
        DemandModel.load(tmp_path / "gone.joblib")
