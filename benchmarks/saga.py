"""Saga: what a durable step costs, bare on the library, through our port, and as a step of a rollback on record."""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event
from uuid import uuid4

from dbos import DBOS, DBOSPortableJSONSerializer

from benchmarks.context import Context
from benchmarks.figure import Figure, Row, Target, percentile, quantiles
from knowngood.adapters.clock import SystemClock
from knowngood.adapters.dbos import DbosRunner
from knowngood.adapters.sql import SqlStore
from knowngood.control.apply import apply
from knowngood.control.deploy import Order, deploy
from knowngood.control.plane import Plane
from knowngood.control.release import capture
from knowngood.control.rollback import ROLLBACK, carry, leave, open_run, trip_of
from knowngood.domain.saga import StepName
from knowngood.domain.system import SystemFile
from knowngood.ports.runner import RunContext, RunState
from knowngood.testing.memory import MemoryDeploying, MemoryTelemetry, MemoryTraffic
from knowngood.testing.memory_components import MemoryComponent, MemoryOutbox
from knowngood_sdk.model.manifest import Intent

__all__ = ["run"]

_ROUNDS = 5
_STEPS = 200
_ROLLBACKS = 20
_LIMIT = 2.0
_PATIENCE_SECONDS = 60.0
_HOW = (
    "SQLite in WAL mode, one process. Bare: a DBOS workflow of {steps} steps that do nothing. Through the port: the "
    "same as a run of ours. A step of a rollback: {rollbacks} whole rollbacks of {each} steps each, on replicas in "
    "memory; every step reads the store, acts, and puts itself on record with an entry of the ledger in a transaction "
    "of its own that is synced to disk, beside the checkpoint. Rounds take turns."
)
_RULES = {
    "system": "pricing",
    "kind": "realtime",
    "components": {"model": {"files": "model"}},
    "fallback": {"price": 2},
}


def run(context: Context) -> Figure:
    """Measure the three in turns."""
    logging.getLogger("dbos").setLevel(logging.ERROR)
    steps, rounds = context.times(_STEPS, 20), context.times(_ROUNDS)
    rollbacks = context.times(_ROLLBACKS, 3)
    bare: list[float] = []
    port: list[float] = []
    whole: list[float] = []
    for number in range(rounds):
        context.tell(f"saga: round {number + 1} of {rounds}")
        folder = context.folder / f"saga-{number}"
        folder.mkdir()
        bare += _bare(folder, steps)
        port += _through_the_port(folder, steps)
        whole += _rollbacks(folder, rollbacks)
    base = percentile(bare, 50)
    target = Target(column="x bare", limit=_LIMIT)
    return Figure(
        key="saga",
        title="A durable step",
        how=_HOW.format(steps=steps, rollbacks=rollbacks, each=len(StepName)),
        rows=[
            Row(name="bare DBOS", unit="ms", values={**quantiles(bare), "x bare": 1.0}),
            Row(
                name="through the port",
                unit="ms",
                values={**quantiles(port), "x bare": percentile(port, 50) / base},
                target=target,
            ),
            Row(
                name="a step of a rollback, on record",
                unit="ms",
                values={**quantiles(whole), "x bare": percentile(whole, 50) / base},
                note="median of each rollback's mean; the record in the store is a second durable write",
            ),
        ],
    )


def _bare(folder: Path, steps: int) -> list[float]:
    """Return the milliseconds of each step of a workflow that uses the library alone."""
    took: list[float] = []
    path = folder / "bare.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    DBOS(
        config={
            "name": "bare",
            "system_database_url": f"sqlite:///{path}",
            "application_version": "1",
            "executor_id": uuid4().hex,
            "serializer": DBOSPortableJSONSerializer(),
            "log_level": "ERROR",
        }
    )

    def work() -> None:
        for number in range(steps):
            began = time.perf_counter()
            DBOS.run_step({"name": f"step {number}"}, lambda: None)
            took.append((time.perf_counter() - began) * 1000)

    workflow = DBOS.workflow(name="bare")(work)
    try:
        DBOS.launch()
        DBOS.start_workflow(workflow).get_result()
    finally:
        DBOS.destroy(destroy_registry=True)
    return took


def _through_the_port(folder: Path, steps: int) -> list[float]:
    """Return the milliseconds of each step of a run of ours."""
    took: list[float] = []

    def work(run: RunContext) -> None:
        for number in range(steps):
            began = time.perf_counter()
            run.step(f"step {number}", lambda: None)
            took.append((time.perf_counter() - began) * 1000)

    with _launched(folder, {"port": work}) as runner:
        run = uuid4().hex
        runner.start(run, "port", {})
        _wait(lambda: runner.run(run).state is RunState.DONE)
    return took


def _rollbacks(folder: Path, times: int) -> list[float]:
    """Return the milliseconds of a step of each of some rollbacks, on the mean."""
    took: list[float] = []
    with SqlStore.open(folder / "store.db") as store:
        plane, model = _plane(store)

        def work(run: RunContext) -> None:
            began = time.perf_counter()
            carry(plane, run)
            took.append((time.perf_counter() - began) * 1000 / len(StepName))

        with _launched(folder, {ROLLBACK: work}) as runner:
            for number in range(times):
                model.working = f"model {number}"
                manifest = capture(plane, "pricing", Intent())
                deploy(plane, Order(manifest=manifest, actor="bench"))
                trip = trip_of(plane, "pricing", manifest.content_digest, source="person", why="a benchmark")
                _, (saga,) = leave(replace(plane, runner=runner), "pricing", trip, "bench")
                open_run(plane, runner, saga)
                _wait(lambda saga=saga: runner.run(saga.id).state is RunState.DONE)  # type: ignore[misc]
    return took


def _plane(store: SqlStore) -> tuple[Plane, MemoryComponent]:
    model = MemoryComponent("model", "model")
    traffic = MemoryTraffic()
    plane = Plane(
        store=store,
        traffic=traffic,
        telemetry=MemoryTelemetry(),
        clock=SystemClock(),
        outbox=MemoryOutbox(),
        components=lambda _spec, _root=None: {"model": model},
        states=lambda _spec, _root=None: {},
        effects=lambda _spec, _root=None: {},
        golden=lambda _spec: None,
        contracts=lambda _spec: {},
        deploying=MemoryDeploying(),
    )
    apply(plane, SystemFile.from_json(_RULES), root="/", actor="bench")
    for name in ("r1", "r2"):
        traffic.join("pricing", name, loads=True)
    return plane, model


@contextmanager
def _launched(folder: Path, works: dict[str, Callable[[RunContext], None]]) -> Iterator[DbosRunner]:
    runner = DbosRunner(f"sqlite:///{folder}/runs.db", uuid4().hex, SystemClock())
    runner.launch(works)
    try:
        yield runner
    finally:
        runner.close()


def _wait(true: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE_SECONDS
    pause = Event()
    while not true():
        if time.monotonic() > end:
            raise TimeoutError("a run did not end")
        pause.wait(0.01)
