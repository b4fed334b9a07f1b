"""The year and both versions, trained once for all tests of the world."""

import pandas as pd
import pytest

from knowngood.demo.world.feature_code import FeatureCode
from knowngood.demo.world.features import CHANGES, source_of
from knowngood.demo.world.hours import load_hours
from knowngood.demo.world.pricing import Pricing
from knowngood.demo.world.training import first_version, second_version

SEED = 1


@pytest.fixture(scope="session")
def hours() -> pd.DataFrame:
    return load_hours()


@pytest.fixture(scope="session")
def codes() -> dict[str, FeatureCode]:
    return {name: FeatureCode(source_of(name), name=name) for name in CHANGES}


@pytest.fixture(scope="session")
def known(hours: pd.DataFrame) -> Pricing:
    return first_version(hours, seed=SEED)


@pytest.fixture(scope="session")
def deployed(hours: pd.DataFrame, codes: dict[str, FeatureCode]) -> dict[str, Pricing]:
    return {name: second_version(hours, code, seed=SEED) for name, code in codes.items()}
