"""
Store: how long reads take with a large record, on SQLite and on Postgres; ``python -m benchmarks.store``.

Not part of ``make bench``: filling a store with a million entries takes minutes. ``--share 0.01`` fills a hundredth of
the systems.
"""

import argparse
import multiprocessing
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, insert

from benchmarks.figure import Figure, Row, Target, quantiles, table
from knowngood.adapters.sql import SqlStore, schema
from knowngood.domain import ledger
from knowngood.domain.deployment import Deployment, DeploymentState, Strategy
from knowngood.domain.ledger import EMPTY
from knowngood_sdk.model.canonical import digest_of
from knowngood_sdk.model.counts import VersionCounts
from knowngood_sdk.model.manifest import Component, Intent, Manifest, Ref, Role
from knowngood_sdk.model.route import FULL

__all__ = ["main"]

_SYSTEMS = 1_000
_VERSIONS = 100  # of each system
_ENTRIES = 1_000  # of each system's ledger
_READS = 500
_AT = "2026-01-01T18:00:00.000Z"
_LIMIT = Target(column="p99", limit=50)
_MEMORY = Target(column="MB", limit=300)
_GRADES = ("recorded", "armed", "verified")
_HOW = (
    "{systems:,} systems, each with {versions} versions in as many deployments, and {entries:,} entries in its ledger. "
    "Each read is of a system drawn at random, by a process of its own that has just opened the store."
)
_SPAWN = multiprocessing.get_context("spawn")


def main(arguments: list[str] | None = None) -> int:
    """Fill stores, read them, and print the figures; return 1 when a target was missed, else 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.store", description="Measure reads of a large store.")
    parser.add_argument("--share", type=float, default=1.0, help="share of the systems, in (0, 1]")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", choices=["sqlite", "postgres"], action="append")
    options = parser.parse_args(arguments)
    systems = max(1, round(_SYSTEMS * options.share))
    missed = False
    for name in options.database or ["sqlite", "postgres"]:
        with _place(name) as where:
            began = time.monotonic()
            _fill(where, systems, options.seed)
            print(f"{name}: filled in {time.monotonic() - began:.0f} s", file=sys.stderr)
            with _SPAWN.Pool(1) as pool:
                rows = pool.apply(_measure, (where, systems, options.seed))
        how = _HOW.format(systems=systems, versions=_VERSIONS, entries=_ENTRIES)
        print(table(Figure(key="store", title=f"Reads of a large store on {name}", how=how, rows=rows)))
        missed = missed or any(row.met is False for row in rows)
    return int(missed)


@contextmanager
def _place(name: str) -> Iterator[Path | str]:
    with ExitStack() as stack:
        if name == "sqlite":
            yield Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="knowngood-bench-")), "store.db")
        else:
            from tests.postgres import running  # noqa: PLC0415 - it comes with what tests need

            server = stack.enter_context(running())
            yield stack.enter_context(server.store())


def _name(number: int) -> str:
    return f"system-{number:04}"


def _fill(where: Path | str, systems: int, seed: int) -> None:
    rng = random.Random(seed)
    with SqlStore.open(where) as store:
        for number in range(systems):
            with store.database.writing() as connection:
                _fill_system(connection, _name(number), rng)
            if number % 100 == 0:
                print(f"  {number} of {systems} systems", file=sys.stderr)


def _fill_system(connection: Connection, system: str, rng: random.Random) -> None:
    def write(to: Table, rows: list[dict[str, Any]]) -> None:
        connection.execute(insert(to), [{"system": system, **row} for row in rows])

    manifests = [_manifest(system, rng) for _ in range(_VERSIONS)]
    versions = [manifest.content_digest for manifest in manifests]
    connection.execute(insert(schema.systems), {"system": system, "spec": {"rules": {"system": system}, "root": "/"}})
    write(schema.routes, [{"generation": _VERSIONS, "step": 0, "split": FULL}])
    write(
        schema.manifests,
        [
            {
                "digest": manifest.digest,
                "position": position,
                "version": manifest.content_digest,
                "recorded_at": _AT,
                "document": manifest.to_json(),
            }
            for position, manifest in enumerate(manifests, 1)
        ],
    )
    write(
        schema.generations,
        [
            {"number": n, "chain": versions[max(0, n - 3) : n][::-1], "saw_quarantine": [], "saw_local": []}
            for n in range(1, _VERSIONS + 1)
        ],
    )
    figures = {"load_seconds": 1.5, "flip_seconds": 0.01, "requests": 200}
    facts = [{"version": version, "grade": grade} for version in versions for grade in _GRADES]
    write(
        schema.evidence,
        [{**fact, "position": n, "at": _AT, "figures": figures} for n, fact in enumerate(facts, 1)],
    )
    deployments = [_deployment(system, n, manifests) for n in range(1, _VERSIONS + 1)]
    connection.execute(insert(schema.deployments), [{"system": system, **row.to_json()} for row in deployments])
    head, entries = EMPTY, []
    for n in range(_ENTRIES):
        body = {"version": versions[n % _VERSIONS], "why": "a benchmark", "seconds": n / 7}
        entries.append(ledger.append(system, head, at=_AT, actor="benchmark", kind="deployed", body=body))
        head = entries[-1].anchor
    connection.execute(insert(schema.ledger), [entry.to_json() for entry in entries])


def _manifest(system: str, rng: random.Random) -> Manifest:
    def component(role: Role, name: str) -> Component:
        return Component(role=role, kind="files", ref=Ref(digest=digest_of([system, name, rng.random()])))

    components = {name: component(Role.MODEL, name) for name in ("model", "features", "prompt", "policy", "index")}
    return Manifest(system=system, components=components, intent=Intent(text="A version for a benchmark"))


def _deployment(system: str, generation: int, manifests: list[Manifest]) -> Deployment:
    manifest, before = manifests[generation - 1], manifests[max(0, generation - 2)]
    counts = VersionCounts(requests=10_000, latency=dict.fromkeys(range(-20, 5), 400))
    return Deployment(
        system=system,
        generation=generation,
        version=manifest.content_digest,
        manifest=manifest.digest,
        strategy=Strategy.CANARY,
        split=FULL,
        actor="benchmark",
        started_at=_AT,
        full_at=_AT,
        state=DeploymentState.FULL,
        baseline={before.content_digest: counts},
    )


def _measure(where: Path | str, systems: int, seed: int) -> list[Row]:
    rng = random.Random(seed + 1)
    with SqlStore.open(where) as store:

        def plan(system: str) -> None:
            """Read what a plan is made from."""
            store.system_spec(system)
            state = store.read(system)
            store.evidence(system)
            store.manifests(system)
            store.manifest(system, str(state.watched))

        def status(system: str) -> None:
            """Read what the state of a system is told from."""
            state = store.read(system)
            store.deployment(system, state.row.generation)
            store.sagas(system)
            store.head(system)

        reads: dict[str, Callable[[str], object]] = {
            "plan: all that it reads": plan,
            "status: all that it reads": status,
            "read (the route)": store.read,
            "manifests": store.manifests,
            "evidence": store.evidence,
            "deployments": store.deployments,
            "ledger: the last 50 entries": lambda system: store.ledger(system, after=_ENTRIES - 50, limit=50),
            "head": store.head,
            "systems": lambda _: store.systems(),
            "change: an entry appended": lambda system: _append(store, system),
        }
        rows = []
        for name, read in reads.items():
            took = []
            for _ in range(_READS if name != "change: an entry appended" else _READS // 10):
                system = _name(rng.randrange(systems))
                began = time.perf_counter()
                read(system)
                took.append((time.perf_counter() - began) * 1_000)
            rows.append(Row(name=name, unit="ms", values=quantiles(took), target=_LIMIT))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024
    return [
        *rows,
        Row(name="peak memory of the process that reads, MB", unit="count", values={"MB": peak}, target=_MEMORY),
    ]


def _append(store: SqlStore, system: str) -> None:
    with store.change(system) as change:
        change.append("measured", "benchmark", _AT, {"n": 1})


if __name__ == "__main__":
    sys.exit(main())
