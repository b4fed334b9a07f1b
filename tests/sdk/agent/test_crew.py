"""What a replica says of its workers together."""

from pathlib import Path

from knowngood.testing.replica import StandInWorker
from knowngood_sdk.agent.crew import Crew
from knowngood_sdk.model.wire import WorkerReport
from knowngood_sdk.serving.folder import ReplicaFolder


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
