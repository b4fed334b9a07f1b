"""A replica that was given a root and serves version A of generation 1, signed under the number 10."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from knowngood_sdk.serving.folder import ReplicaFolder
from tests.sdk.agent.notary import root, roots_file
from tests.sdk.agent.target import NOTARY, ON_A, A, Target


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    folder = ReplicaFolder.of(tmp_path / "kg", "pricing", "a")
    folder.make()
    target = Target(folder, roots_file(tmp_path / "root.json", root()))
    target.take(NOTARY.sign(ON_A, 10))
    assert target.serves == (1, A)
    assert target.told == ""
    yield target
    target.close()
