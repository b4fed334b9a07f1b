"""A replica's folder with a worker in it, and a replica that was given a root and serves version A, signed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from knowngood.testing.replica import StandInWorker
from knowngood_sdk.serving.folder import ReplicaFolder
from tests.sdk.agent.notary import root, roots_file
from tests.sdk.agent.target import NOTARY, ON_A, A, B, C, Target


@pytest.fixture
def folder(tmp_path: Path) -> ReplicaFolder:
    folder = ReplicaFolder.of(tmp_path, "pricing", "a")
    folder.make()
    return folder


@pytest.fixture
def worker(folder: ReplicaFolder) -> Iterator[StandInWorker]:
    worker = StandInWorker(folder, "w1", [A, B, C])
    yield worker
    worker.die()


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    """One that serves version A of generation 1, signed under the number 10."""
    folder = ReplicaFolder.of(tmp_path / "kg", "pricing", "a")
    folder.make()
    target = Target(folder, roots_file(tmp_path / "root.json", root()))
    target.take(NOTARY.sign(ON_A, 10))
    assert target.serves == (1, A)
    assert target.told == ""
    yield target
    target.close()
