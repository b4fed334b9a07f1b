"""
Saga: what a durable step costs, bare on the library, through our port, and as a step of a rollback on record.

The target is that a step costs at most twice what one that does nothing costs on the bare library.
"""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event
from uuid import uuid4

from dbos import DBOS, DBOSPortableJSONSerializer

from benchmarks.context import Context
from benchmarks.figure import Figure, Row, Target, percentile, quantiles
from knowngood.adapters.clock import SystemClock
from knowngood.adapters.dbos import DbosRunner
from knowngood.adapters.sql import SqlLeases, SqlStore
from knowngood.control.apply import apply
from knowngood.control.carry import carry
from knowngood.control.deploy import Order, deploy
from knowngood.control.plane import Plane
from knowngood.control.release import capture
from knowngood.control.rollback import ROLLBACK, leave, open_run, trip_of
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
_LOOK_SECONDS = 1.0
_POLL_SECONDS = 0.01
_LEASE = timedelta(minutes=10)
_EMPTY, _WITH_A_ROW = "x empty", "x with a row"
_PEER_ROW = "x" * 400
"""As long as a short entry of the ledger; a step of a rollback writes that and all that is known of the rollback."""
_HOW = (
    "SQLite in WAL mode, every commit synced to disk (synchronous=FULL), one process; rounds take turns. Empty, bare: "
    "a DBOS workflow of {steps} steps that do nothing, each with its checkpoint. With a row: the same, and each step "
    "inserts one row of 400 bytes into another SQLite file with Python's own driver and commits it, as a step has to "
    "that does anything which somebody must find later; it reads nothing. Empty, through the port: a run of ours of as "
    "many steps. A whole step: {rollbacks} whole rollbacks of {each} steps each, to the static fallback, so that there "
    "is nothing to verify, on replicas in memory, fenced by a lease as under kg serve; each step reads what it needs "
    "of the store, acts, and puts itself on record, the rollback and an entry of the ledger in one transaction. That "
    "record is its checkpoint: the run has none of each step beside it."
)
_RULES = {
    "system": "pricing",
    "kind": "realtime",
    "components": {"model": {"files": "model"}},
    "fallback": {"price": 2},
}


def run(context: Context) -> Figure:
    """Measure the four in turns."""
    logging.getLogger("dbos").setLevel(logging.ERROR)
    steps, rounds = context.times(_STEPS, 20), context.times(_ROUNDS)
    rollbacks = context.times(_ROLLBACKS, 3)
    bare: list[float] = []
    written: list[float] = []
    port: list[float] = []
    whole: list[float] = []
    for number in range(rounds):
        context.tell(f"saga: round {number + 1} of {rounds}")
        folder = context.folder / f"saga-{number}"
        folder.mkdir()
        bare += _bare(folder, steps, "empty", lambda: None)
        with _row_of_its_own(folder) as write:
            written += _bare(folder, steps, "written", write)
        port += _through_the_port(folder, steps)
        whole += _rollbacks(folder, rollbacks)
    return Figure(
        key="saga",
        title="A durable step",
        how=_HOW.format(steps=steps, rollbacks=rollbacks, each=len(StepName)),
        rows=_rows(bare, written, port, whole),
    )


def _rows(bare: list[float], written: list[float], port: list[float], whole: list[float]) -> list[Row]:
    """Return what was found, each beside the two bare steps; all in milliseconds a step."""

    def row(name: str, took: list[float], target: Target | None = None, note: str = "") -> Row:
        middle = percentile(took, 50)
        ratios = {_EMPTY: middle / percentile(bare, 50), _WITH_A_ROW: middle / percentile(written, 50)}
        return Row(name=name, unit="ms", values={**quantiles(took), **ratios}, target=target, note=note)

    note = "median of each rollback's mean, over steps that have something to do and steps that have not"
    target = Target(column=_EMPTY, limit=_LIMIT)
    return [
        row("empty step, bare DBOS", bare),
        row("step that writes a row, bare DBOS", written),
        row("empty step, through the port", port, target),
        row("whole step of a rollback", whole, target, note),
    ]


@contextmanager
def _row_of_its_own(folder: Path) -> Iterator[Callable[[], None]]:
    """Give what inserts one row into a database beside the library's, synced to disk when it returns."""
    # The workflow writes in a thread of its own.
    with closing(sqlite3.connect(folder / "rows.db", isolation_level=None, check_same_thread=False)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE done (number INTEGER PRIMARY KEY, what TEXT NOT NULL)")

        def write() -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO done (what) VALUES (?)", (_PEER_ROW,))
            connection.execute("COMMIT")

        yield write


def _bare(folder: Path, steps: int, name: str, act: Callable[[], None]) -> list[float]:
    """Return the milliseconds of each step of a workflow that uses the library alone."""
    took: list[float] = []
    path = folder / f"bare-{name}.db"
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
            DBOS.run_step({"name": f"step {number}"}, act)
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
    over = Event()

    def work(run: RunContext) -> None:
        for number in range(steps):
            began = time.perf_counter()
            run.step(f"step {number}", lambda: None)
            took.append((time.perf_counter() - began) * 1000)
        over.set()

    with _launched(folder, {"port": work}) as runner:
        run = uuid4().hex
        runner.start(run, "port", {})
        _done(runner, run, over)
    return took


def _rollbacks(folder: Path, times: int) -> list[float]:
    """Return the milliseconds of a step of each of some rollbacks, on the mean."""
    took: list[float] = []
    with SqlStore.open(folder / "store.db") as store:
        plane, model = _plane(store)
        held = SqlLeases(store.database).claim("worker:bench", "bench", _LEASE)
        assert held is not None  # noqa: S101 - nobody else knows this database
        fenced = replace(plane, store=store.fenced(held))
        over = Event()

        def work(run: RunContext) -> None:
            began = time.perf_counter()
            carry(fenced, run)
            took.append((time.perf_counter() - began) * 1000 / len(StepName))
            over.set()

        with _launched(folder, {ROLLBACK: work}) as runner:
            for number in range(times):
                model.working = f"model {number}"
                manifest = capture(plane, "pricing", Intent())
                deploy(plane, Order(manifest=manifest, actor="bench"))
                trip = trip_of(plane, "pricing", manifest.content_digest, source="person", why="a benchmark")
                _, (saga,) = leave(replace(plane, runner=runner), "pricing", trip, "bench")
                over.clear()
                open_run(plane, runner, saga)
                _done(runner, saga.id, over)
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


def _done(runner: DbosRunner, run: str, over: Event) -> None:
    """Wait for the end of a run, which is not asked for while it is measured: that would slow it down."""
    end = time.monotonic() + _PATIENCE_SECONDS
    pause = Event()
    while not over.wait(_LOOK_SECONDS) or runner.run(run).state is not RunState.DONE:
        state = runner.run(run).state
        if state is RunState.FAILED or time.monotonic() > end:
            raise TimeoutError(f"run {run} did not end: it is {state}")
        pause.wait(_POLL_SECONDS)
