"""Version 2 is better on its own measure and still wrong; both are made again from their seed."""

import json
import subprocess
import sys

import pandas as pd
import pytest

from knowngood.demo.world.hours import held_out
from knowngood.demo.world.pricing import Pricing
from knowngood.demo.world.training import ATTEMPTS, CASUAL_WEIGHT, RIDES, Score, first_version

CHANGE = pytest.mark.parametrize("change", ["utc", "ratio", "celsius"])


def test_attempts_are_rides_and_the_weighted_casual_rides(hours: pd.DataFrame) -> None:
    rides, casual = RIDES.label(hours), hours["casual"]
    assert (rides == hours["bikers"]).all()
    assert (ATTEMPTS.label(hours) == rides + CASUAL_WEIGHT * casual).all()


def test_version_one_predicts_rides_well(known: Pricing, hours: pd.DataFrame) -> None:
    score = Score.of(RIDES, known, hours)
    assert score.n == len(held_out(hours))
    assert score.r2 > 0.9
    assert abs(score.bias) < 0.05


@CHANGE
def test_version_two_is_better_on_its_own_measure(
    change: str, known: Pricing, deployed: dict[str, Pricing], hours: pd.DataFrame
) -> None:
    first, second = Score.of(ATTEMPTS, known, hours), Score.of(ATTEMPTS, deployed[change], hours)
    assert second.r2 > first.r2
    assert second.mae < first.mae


@CHANGE
def test_version_two_is_wrong_about_the_riders_who_come(
    change: str, known: Pricing, deployed: dict[str, Pricing], hours: pd.DataFrame
) -> None:
    first, second = Score.of(RIDES, known, hours), Score.of(RIDES, deployed[change], hours)
    assert second.mae > first.mae
    assert second.bias > 0.2


def test_a_score_is_json(known: Pricing, hours: pd.DataFrame) -> None:
    assert json.loads(json.dumps(Score.of(RIDES, known, hours).to_json()))["measure"] == "rides"


def test_a_model_names_its_label_and_the_features_that_it_was_trained_on(
    known: Pricing, deployed: dict[str, Pricing]
) -> None:
    assert (known.model.label, deployed["utc"].model.label) == ("rides", "attempts")
    assert known.model.requires_features == known.features.fingerprint
    assert known.model.requires_features != deployed["utc"].features.fingerprint


def test_another_process_trains_the_same_bytes_from_the_same_seed(hours: pd.DataFrame) -> None:
    script = (
        "from knowngood.demo.world.hours import load_hours\n"
        "from knowngood.demo.world.training import first_version\n"
        "print(first_version(load_hours().head(500), seed=1).model.stamp)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == first_version(hours.head(500), seed=1).model.stamp


def test_another_seed_trains_another_model(hours: pd.DataFrame) -> None:
    few = hours.head(500)
    assert first_version(few, seed=2).model.stamp != first_version(few, seed=1).model.stamp
