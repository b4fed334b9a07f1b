"""The system on real processes: two replicas for the tests of a module, riders while they want them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.acceptance.pricing import Pricing
from tests.acceptance.stage import Stage


@pytest.fixture(scope="module")
def pricing(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Pricing]:
    """
    Version 1 serves on two replicas, verified; shared by a module's tests, which go on from version to version.

    A module may say how many worker processes each replica has: ``WORKERS = {"r2": 2}``.
    """
    yield from _on_stage(tmp_path_factory.mktemp("pricing"), ["r1", "r2"], getattr(request.module, "WORKERS", {}))


@pytest.fixture(autouse=True)
def commands_end_with_their_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """End what a test started on a stage that it shares, also where it fails: the next test would meet it at work."""
    shared = next((name for name in ("pricing", "asked") if name in request.fixturenames), None)
    if shared is None:
        yield
        return
    pricing: Pricing = request.getfixturevalue(shared)
    begun = len(pricing.stage.started)
    yield
    pricing.end_commands(begun)


def _on_stage(folder: Path, replicas: Sequence[str], workers: Mapping[str, int]) -> Iterator[Pricing]:
    stage = Stage(folder)
    pricing = Pricing(stage)
    try:
        pricing.prepare()
        for name in replicas:
            pricing.start(name, workers=workers.get(name, 1))
        pricing.joined()
        pricing.deploy(1)
        pricing.verify()
        yield pricing
    finally:
        stage.close()
