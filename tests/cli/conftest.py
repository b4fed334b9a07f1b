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
    (stage.folder / "pricing.yaml").write_text(SMALL)
    (stage.folder / "model.json").write_text('{"factor": 2}')
    (stage.folder / "curve.yaml").write_text("base: 3\n")
    done = stage.kg("apply", "pricing.yaml")
    assert done.code == 0, done.err
    return stage
