"""A version is written as files from which it can be loaded again and shown to answer as it did."""

from pathlib import Path

import pandas as pd
import pytest

from knowngood.demo.world.artifacts import VersionFiles, golden_requests, write_version
from knowngood.demo.world.demand import DemandModel
from knowngood.demo.world.feature_code import FeatureCode
from knowngood.demo.world.pricing import Pricing
from knowngood.demo.world.surge import SurgeCurve
from knowngood_sdk.errors import NotReadyError
from knowngood_sdk.serving.golden import GoldenLine, check_golden, read_golden


@pytest.fixture(scope="module")
def files(known: Pricing, tmp_path_factory: pytest.TempPathFactory) -> VersionFiles:
    return write_version(tmp_path_factory.mktemp("v1") / "deep", known)


@pytest.fixture(scope="module")
def golden(known: Pricing, hours: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> tuple[GoldenLine, ...]:
    path = tmp_path_factory.mktemp("golden") / "golden.jsonl"
    path.write_text("".join(one.line() for one in golden_requests(known, hours)), encoding="utf-8")
    return tuple(read_golden(path))


def loaded(files: VersionFiles) -> Pricing:
    return Pricing(DemandModel.load(files.model), FeatureCode.load(files.features), SurgeCurve.load(files.surge))


def answered(pricing: Pricing, request: dict[str, float]) -> dict[str, float]:
    quote = pricing.quote(request)
    return {"demand": quote.demand, "price": quote.price}


def test_a_version_that_was_loaded_again_gives_its_golden_answers(
    files: VersionFiles, golden: tuple[GoldenLine, ...]
) -> None:
    assert len(golden) >= 10
    check_golden(golden, answered, loaded(files))


def test_parts_that_were_loaded_again_have_the_stamps_they_had(files: VersionFiles, known: Pricing) -> None:
    again = loaded(files)
    assert again.model.stamp == known.model.stamp
    assert again.features.stamp == known.features.stamp
    assert again.curve.stamp == known.curve.stamp


@pytest.mark.parametrize("change", ["utc", "ratio", "celsius"])
def test_the_old_model_on_new_features_fails_the_golden_answers(
    change: str, files: VersionFiles, golden: tuple[GoldenLine, ...], codes: dict[str, FeatureCode]
) -> None:
    version = loaded(files)
    with pytest.raises(NotReadyError, match="golden"):
        check_golden(golden, answered, Pricing(version.model, codes[change], version.curve))


def test_a_model_knows_the_feature_code_that_it_was_trained_on(files: VersionFiles) -> None:
    model = DemandModel.load(files.model)
    assert model.requires_features == FeatureCode.load(files.features).fingerprint
    assert (model.columns[0], model.label) == ("hour", "rides")


def test_writing_twice_gives_the_same_bytes(files: VersionFiles, known: Pricing, tmp_path: Path) -> None:
    again = write_version(tmp_path, known)
    for name in ("model", "features", "surge"):
        assert getattr(again, name).read_bytes() == getattr(files, name).read_bytes(), name
