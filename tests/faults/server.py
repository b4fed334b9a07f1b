"""
One process of a control plane, without HTTP: ``python -m tests.faults.server FOLDER --store WHERE --runs URL``.

It is wired as a server is, so that the faults that a server must survive can be tried on it alone. What it has to say
it prints; SIGTERM stops it.
"""

import argparse
import logging
import os
import signal
import socket
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from knowngood import app
from knowngood.adapters.clock import SystemClock
from knowngood.adapters.dbos import DbosRunner
from knowngood.adapters.folder.presence import FolderPresence
from knowngood.adapters.remembered import RememberedStore
from knowngood.adapters.sql import SqlStore
from knowngood.adapters.sql.leases import SqlLeases
from knowngood.control.deploy import Order, deploy
from knowngood.control.oversee import Overseer, Pace
from knowngood.control.plane import Plane
from knowngood.control.release import capture
from knowngood_sdk.model.manifest import Intent


def main() -> None:
    """Run until a signal comes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--store", required=True)
    parser.add_argument("--runs", required=True)
    parser.add_argument("--presence", default="servers", help="folder below FOLDER; another one is another host")
    parser.add_argument("--deploy-when", type=Path, help="deploy what the working places hold once this file is there")
    parser.add_argument("--every", type=float, default=0.1)
    parser.add_argument("--lease", type=float, default=3.0)
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    incarnation = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
    kept = SqlStore.open(asked.store if asked.store.startswith("postgresql") else Path(asked.store))
    store = RememberedStore(kept)
    runner = DbosRunner(asked.runs, incarnation, SystemClock())
    if asked.runs == asked.store:
        store.reach.beside(runner.reach)
    plane = replace(app._plane(asked.folder, store), runner=runner)
    pace = Pace(every=timedelta(seconds=asked.every), lease=timedelta(seconds=asked.lease))
    presence = FolderPresence(asked.folder / asked.presence)
    leases = SqlLeases(kept.database)
    overseer = Overseer(plane, leases, presence, incarnation, pace=pace, tell=_tell, remember=store.remember)
    overseer.start()
    if asked.deploy_when:
        threading.Thread(target=_deploy, args=(plane, asked.deploy_when, stop), daemon=True).start()
    stop.wait()
    overseer.stop()
    _tell("", "stopped")
    # Threads of the runner that wait for a database that is away would be waited for.
    os._exit(0)


def _deploy(plane: Plane, when: Path, stop: threading.Event) -> None:
    while not when.exists():
        stop.wait(0.02)
    when.unlink()
    deploy(plane, Order(manifest=capture(plane, "pricing", Intent()), actor="ann"))
    _tell("pricing", "deployed")


def _tell(system: str, line: str) -> None:
    print(f"{SystemClock().now().isoformat(timespec='milliseconds')} {system} {line}", flush=True)  # noqa: T201 - its log


if __name__ == "__main__":
    main()
