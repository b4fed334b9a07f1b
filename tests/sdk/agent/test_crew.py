"""What a replica says of its workers together."""

import os
from pathlib import Path

import pytest

from knowngood.testing.replica import StandInWorker
from knowngood_sdk.agent.crew import Crew
from knowngood_sdk.model.wire import WorkerReport
from knowngood_sdk.serving.folder import ReplicaFolder

A, B, C = ("sha256:" + digit * 64 for digit in "abc")


def test_a_replica_has_a_fallback_when_each_of_its_workers_has_one(tmp_path: Path) -> None:
    folder = ReplicaFolder.of(tmp_path, "pricing", "r1")
    folder.make()
    crew = Crew(folder)
    found = [crew.fallback]
    workers = [StandInWorker(folder, name, []) for name in ("w1", "w2")]
    crew.look()
    found.append(crew.fallback)
    folder.write_worker(WorkerReport(worker="w2", pid=2))
    crew.look()
    assert [*found, crew.fallback] == [False, True, False]
    for worker in workers:
        worker.die()


def test_a_version_is_ready_when_it_is_ready_in_every_live_worker(folder: ReplicaFolder) -> None:
    crew = Crew(folder)
    one, two = StandInWorker(folder, "w1", [A, B]), StandInWorker(folder, "w2", [B, C])
    assert crew.look()
    assert crew.ready == {B}
    one.die()
    assert crew.look()
    assert crew.ready == {B, C}
    two.die()
    assert crew.look()
    assert crew.ready == frozenset()
    assert not crew.look()


@pytest.mark.usefixtures("worker")
def test_failures_and_load_times_of_all_workers_are_reported(folder: ReplicaFolder) -> None:
    second = StandInWorker(folder, "w2", [])
    folder.write_worker(WorkerReport(worker="w1", pid=1, load_seconds={A: 1.0, B: 5.0}))
    folder.write_worker(WorkerReport(worker="w2", pid=2, failed={C: "gone"}, load_seconds={A: 2.0}))
    crew = Crew(folder)
    crew.look()
    assert crew.failed == {C: "worker w2: gone"}
    assert crew.load_seconds == {A: 2.0, B: 5.0}
    second.die()


@pytest.mark.usefixtures("worker")
def test_what_long_dead_workers_left_is_cleared_away(folder: ReplicaFolder) -> None:
    for name, age in (("old", 3600), ("fresh", 0)):
        StandInWorker(folder, name, [A]).die()
        lock = folder.worker_lock(name)
        os.utime(lock, (lock.stat().st_atime - age, lock.stat().st_mtime - age))
    os.utime(folder.worker_lock("w1"), (0, 0))
    crew = Crew(folder)
    crew.look()
    crew.clear_away_dead()
    assert sorted(path.stem for path in folder.workers.glob("*.json")) == ["fresh", "w1"]
    assert sorted(path.stem for path in folder.workers.glob("*.lock")) == ["fresh", "w1"]
