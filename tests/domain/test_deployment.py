"""A deployment says who put what into service, and is read as it was written."""

from dataclasses import replace
from typing import Any

import pytest

from knowngood.domain.deployment import Deployment, DeploymentState, Strategy
from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.counts import Sums, VersionCounts
from knowngood_sdk.model.route import FULL

AT = "2026-01-01T18:00:00Z"


def deployment(**changes: Any) -> Deployment:
    armed = Deployment(
        system="pricing",
        generation=3,
        version="sha256:" + "1" * 64,
        manifest="sha256:" + "2" * 64,
        strategy=Strategy.CANARY,
        split=1_000,
        actor="Ada",
        started_at=AT,
        baseline={"sha256:" + "0" * 64: VersionCounts(requests=3, predictions=Sums(3, 1.5, 1e17), latency={-8: 3})},
    )
    return replace(armed, **changes)


@pytest.mark.parametrize(
    ("split", "strategy"),
    [(0, Strategy.CANARY), (1, Strategy.CANARY), (FULL - 1, Strategy.CANARY), (FULL, Strategy.FULL)],
)
def test_the_first_share_tells_the_strategy(split: int, strategy: Strategy) -> None:
    assert Strategy.of(split) is strategy


def test_a_new_one_is_armed_and_its_counts_begin_when_it_does() -> None:
    new = deployment()
    assert (new.state, new.full_at, new.anchored_at) == (DeploymentState.ARMED, None, AT)
    assert new.leaves is None


@pytest.mark.parametrize("split", [0, 1, FULL])
def test_a_share_within_the_whole_is_taken(split: int) -> None:
    assert deployment(split=split).split == split


@pytest.mark.parametrize("split", [-1, FULL + 1])
def test_a_share_beyond_the_whole_is_refused(split: int) -> None:
    with pytest.raises(InvalidError, match=f"a split is 0 to 10000 basis points, not {split}"):
        deployment(split=split)


def test_the_baseline_is_a_copy() -> None:
    counts = {"v": VersionCounts(requests=1)}
    kept = deployment(baseline=counts)
    counts.clear()
    assert kept.baseline == {"v": VersionCounts(requests=1)}


@pytest.mark.parametrize(
    "value",
    [
        deployment(),
        deployment(baseline={}),
        deployment(leaves="sha256:" + "3" * 64),
        deployment(leaves="sha256:" + "3" * 64, state=DeploymentState.FULL, split=FULL, full_at=AT),
        *(deployment(state=state) for state in DeploymentState),
        deployment(state=DeploymentState.FULL, split=FULL, full_at=AT, anchored_at="2026-01-01T19:00:00Z"),
    ],
)
def test_it_is_read_as_it_was_written(value: Deployment) -> None:
    assert Deployment.from_json(value.to_json()) == value


@pytest.mark.parametrize("field", deployment().to_json())
def test_one_that_lacks_a_field_is_malformed(field: str) -> None:
    document = deployment().to_json()
    del document[field]
    with pytest.raises(InvalidError, match=f"the deployment is malformed: KeyError '{field}'"):
        Deployment.from_json(document)


@pytest.mark.parametrize(
    ("field", "value"), [("state", "flying"), ("strategy", "hope"), ("generation", "x"), ("baseline", 3)]
)
def test_a_value_that_cannot_be_is_malformed(field: str, value: object) -> None:
    with pytest.raises(InvalidError, match="the deployment is malformed"):
        Deployment.from_json({**deployment().to_json(), field: value})
