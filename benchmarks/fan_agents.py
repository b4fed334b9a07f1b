"""A process with real agents as threads: ``python -m benchmarks.fan_agents FOLDER PORT FIRST COUNT``."""

import json
import sys
import threading
from pathlib import Path

from benchmarks.network import BAD, GOOD, SYSTEM
from knowngood.testing.replica import StandInWorker
from knowngood_sdk.agent import Remote, run
from knowngood_sdk.serving.folder import ReplicaFolder


def main() -> None:
    """Run agents, each with a folder and a worker's report of its own, until the input is closed."""
    folder, port, first, count = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    stop = threading.Event()
    threads = []
    for number in range(first, first + count):
        name = f"r{number}"
        replica = ReplicaFolder.of(folder / name, SYSTEM, name)
        replica.make()
        worker = StandInWorker(replica, "w1", [GOOD, BAD])
        remote = Remote(urls=[f"http://127.0.0.1:{port}"])
        threads.append((threading.Thread(target=run, args=(replica,), kwargs={"stop": stop, "remote": remote}), worker))
    for thread, _ in threads:
        thread.start()
    print(json.dumps("ready"), flush=True)
    sys.stdin.read()
    stop.set()
    for thread, worker in threads:
        thread.join(10)
        worker.die()


if __name__ == "__main__":
    main()
