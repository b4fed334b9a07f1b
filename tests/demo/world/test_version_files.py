"""A version is written as files from which it can be loaded again and shown to answer as it did."""

import json
from pathlib import Path

import pandas as pd
import pytest

from knowngood.demo.world.artifacts import Golden, VersionFiles, golden_requests, write_version
from knowngood.demo.world.demand import DemandModel
from knowngood.demo.world.feature_code import FeatureCode
from knowngood.demo.world.pricing import Pricing
from knowngood.demo.world.surge import SurgeCurve
from knowngood_sdk.errors import InvalidError


@pytest.fixture(scope="module")
def files(known: Pricing, hours: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> VersionFiles:
    return write_version(tmp_path_factory.mktemp("v1") / "deep", known, golden_requests(known, hours))


def loaded(files: VersionFiles) -> Pricing:
    return Pricing(DemandModel.load(files.model), FeatureCode.load(files.features), SurgeCurve.load(files.surge))


def golden_of(files: VersionFiles) -> list[Golden]:
    return [Golden.from_json(json.loads(line)) for line in files.golden.read_text(encoding="utf-8").splitlines()]


def test_a_version_that_was_loaded_again_gives_its_golden_answers(files: VersionFiles) -> None:
    pricing, golden = loaded(files), golden_of(files)
    assert len(golden) >= 10
    assert [one.differences(pricing.quote(one.request).to_json()) for one in golden] == [[]] * len(golden)


def test_parts_that_were_loaded_again_have_the_stamps_they_had(files: VersionFiles, known: Pricing) -> None:
    again = loaded(files)
    assert again.model.stamp == known.model.stamp
    assert again.features.stamp == known.features.stamp
    assert again.curve.stamp == known.curve.stamp


@pytest.mark.parametrize("change", ["utc", "ratio", "celsius"])
def test_the_old_model_on_new_features_fails_the_golden_answers(
    change: str, files: VersionFiles, codes: dict[str, FeatureCode]
) -> None:
    version = loaded(files)
    mixed = Pricing(version.model, codes[change], version.curve)
    assert any(one.differences(mixed.quote(one.request).to_json()) for one in golden_of(files))


def test_the_contract_names_the_feature_code_that_the_model_was_trained_on(files: VersionFiles) -> None:
    contract = json.loads(files.contract.read_text(encoding="utf-8"))
    assert contract["requires"] == {"features": FeatureCode.load(files.features).fingerprint}
    assert contract["columns"][0] == "hour"
    assert contract["label"] == "rides"


def test_writing_twice_gives_the_same_bytes(
    files: VersionFiles, known: Pricing, hours: pd.DataFrame, tmp_path: Path
) -> None:
    again = write_version(tmp_path, known, golden_requests(known, hours))
    for name in ("model", "contract", "features", "surge", "golden"):
        assert getattr(again, name).read_bytes() == getattr(files, name).read_bytes(), name


@pytest.mark.parametrize(
    ("answer", "differences"),
    [
        pytest.param({"demand": 100.0, "price": 2.5}, [], id="right"),
        pytest.param({"demand": 100.00001, "price": 2.5}, [], id="rounding"),
        pytest.param({"demand": 101.0, "price": 2.5}, ["demand is 101.0, expected 100.0"], id="another demand"),
        pytest.param({"demand": 100.0}, ["price is None, expected 2.5"], id="an output missing"),
    ],
)
def test_golden_differences(answer: dict[str, float], differences: list[str]) -> None:
    golden = Golden(request={}, expected={"demand": 100.0, "price": 2.5})
    assert golden.differences(answer) == differences


def test_a_line_that_is_no_golden_request_is_invalid() -> None:
    with pytest.raises(InvalidError, match="request, expected and tolerance"):
        Golden.from_json({"request": {}})
