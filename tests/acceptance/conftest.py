"""The system on real processes: two replicas for the tests of a module, riders while they want them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.pricing import Pricing
from tests.acceptance.stage import Stage


@pytest.fixture(scope="module")
def pricing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pricing]:
    """Version 1 serves on two replicas, verified; shared by a module's tests, which go on from version to version."""
    yield from _on_stage(tmp_path_factory.mktemp("pricing"), replicas=2)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Pricing]:
    """Version 1 serves on one replica, verified; for one test."""
    yield from _on_stage(tmp_path, replicas=1)


def _on_stage(folder: Path, *, replicas: int) -> Iterator[Pricing]:
    stage = Stage(folder)
    pricing = Pricing(stage)
    try:
        pricing.prepare()
        for number in range(replicas):
            pricing.start(f"r{number + 1}")
        pricing.joined()
        pricing.deploy(1)
        pricing.verify()
        yield pricing
    finally:
        stage.close()
