"""A folder to run commands in."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.stage import Stage

SMALL = """\
system: pricing
kind: realtime
components:
  model: {files: model.json}
  config: {inline: curve.yaml}
fallback: {price: 2}
"""


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """An empty folder."""
    stage = Stage(tmp_path)
    yield stage
    stage.close()


@pytest.fixture
def applied(stage: Stage) -> Stage:
    """A folder with a system that was applied and whose components are there."""
    return with_a_system(stage)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """The same for all tests of a module, of which none changes anything."""
    return with_a_system(Stage(tmp_path_factory.mktemp("shared")))


def with_a_system(stage: Stage) -> Stage:
    """Write a small system, apply it, and return its folder."""
    (stage.folder / "pricing.yaml").write_text(SMALL)
    (stage.folder / "model.json").write_text('{"factor": 2}')
    (stage.folder / "curve.yaml").write_text("base: 3\n")
    done = stage.kg("apply", "pricing.yaml")
    assert done.code == 0, done.err
    return stage
