"""
Telemetry: what a server takes of a core while a thousand replicas send what they count, and whether all of it is there.

A metric is what the wire has: a count, a histogram or the moments of something, of one system version. The twenty are
five counts, latency and output as histogram (twenty bins each) and as moments, and the moments of eleven outcomes.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from random import Random
from typing import Any

from benchmarks.context import Context
from benchmarks.figure import Figure, Row, Target, quantiles
from benchmarks.host import ROOT, BenchmarkError, until
from benchmarks.large_store import LargeStore, fill, place
from benchmarks.plane import served
from benchmarks.telemetry_senders import METRICS, counted, worker_of
from knowngood.adapters.sql import SqlExchange, SqlStore
from knowngood_sdk.model.counts import SKETCH_SIZE

__all__ = ["run"]

_REPLICAS = 1_000
_SECONDS = 6.0
_WARM_UP_SECONDS = 2.0
_LIMIT_PERCENT = 70.0
"""One core with room left."""
_LIMIT_MS = 1_000.0
"""A replica sends again after a second: what is answered later puts off what is next."""
_HOW = (
    "One kg serve with its SQLite file, which watches the system that {replicas:,} replicas belong to; each has a "
    "stream and a connection that it keeps, with a real token, and sends once a second what its worker counted: "
    "{metrics} metrics (five counts, latency and output each as a histogram of twenty bins and as moments, the moments "
    "of eleven outcomes). All replicas are one other process, with one thread. An answer's time counts from when its "
    "message was due. Afterwards each replica sends its last two messages again, the older one first; then what is on "
    "record is compared with what was sent.{size}"
)
_PART = " These are {percent:g} % of the replicas that the targets are about, so it is held against none of them."


def run(context: Context) -> Figure:
    """Measure twenty metrics, and the same beside a full sketch of subjects."""
    replicas = context.times(_REPLICAS, least=20)
    rows: list[Row] = []
    random = Random(context.seed)
    sketch = sorted(random.getrandbits(64) for _ in range(SKETCH_SIZE))
    for name, subjects in ((f"{METRICS} metrics", []), (f"{METRICS} metrics and {SKETCH_SIZE} subjects", sketch)):
        context.tell(f"telemetry: {replicas:,} replicas, {name}")
        folder = context.folder / f"telemetry-{len(subjects)}"
        folder.mkdir()
        with place("sqlite", folder) as address:
            large = fill(folder, address, 1, context.seed)
            rows += _measured(context, large, replicas, name, subjects)
    whole = replicas == _REPLICAS
    size = "" if whole else _PART.format(percent=replicas / _REPLICAS * 100)
    how = _HOW.format(replicas=replicas, metrics=METRICS, size=size)
    return Figure(key="telemetry", title="Telemetry of a thousand replicas", how=how, rows=rows)


def _measured(context: Context, large: LargeStore, replicas: int, name: str, subjects: list[int]) -> list[Row]:
    [system] = large.systems
    # A small run is not held against the targets.
    whole = replicas == _REPLICAS and not subjects
    with served(large.folder) as plane:
        version = plane.json(f"/v1/systems/{system}")["systems"][0]["serving"][0]
        order = {
            "port": plane.port,
            "token": plane.replica_token,
            "system": system,
            "version": version,
            "replicas": replicas,
            "subjects": subjects,
            "warm_up_seconds": _WARM_UP_SECONDS,
        }
        with _senders(order) as senders:
            used = plane.processor_seconds()
            went = _asked(senders, {"seconds": max(2.0, _SECONDS * context.scale)})
            used = plane.processor_seconds() - used
            sequences = _asked(senders, {"repeat": True})
            wrong = _not_on_record(large, sequences, version, subjects)
    took = went["took_ms"]
    percent, each = used / went["seconds"] * 100, used / len(took) * 1_000
    return [
        Row(
            name=f"share of a core, {name}",
            unit="count",
            values={"percent": percent, "messages/s": len(took) / went["seconds"]},
            target=Target(column="percent", limit=_LIMIT_PERCENT) if whole else None,
            note="of the whole server: streams, watching and what it writes included",
        ),
        Row(name=f"processor for a message, {name}", unit="ms", values={"mean": each, "n": len(took)}),
        Row(
            name=f"due to answered, {name}",
            unit="ms",
            values=quantiles(took),
            target=Target(column="p99", limit=_LIMIT_MS) if whole else None,
        ),
        Row(
            name=f"workers whose counts are not as sent, {name}",
            unit="count",
            values={"max": wrong, "n": len(sequences)},
            target=Target(column="max", limit=0),
        ),
    ]


def _not_on_record(large: LargeStore, sequences: Mapping[str, int], version: str, subjects: list[int]) -> int:
    """Return how many workers' counts on record differ from what they sent last, once the last ones are there."""
    [system] = large.systems
    sent = {
        f"{replica}/{worker_of(replica)}": (sequence, {version: counted(sequence, subjects)})
        for replica, sequence in sequences.items()
    }
    kept: dict[str, Any] = {}

    def all_there() -> bool:
        found = SqlExchange(store.database).counts(system)
        kept.clear()
        kept.update({name: (report.sequence, dict(report.versions)) for name, report in found.items()})
        return kept == sent

    with closing(SqlStore.open(large.folder / "store.db")) as store:
        try:
            until(all_there, "all counts are on record as they were sent", seconds=10)
        except BenchmarkError:
            return len([name for name in sent.keys() | kept.keys() if kept.get(name) != sent.get(name)])
    return 0


@contextmanager
def _senders(order: Mapping[str, Any]) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "benchmarks.telemetry_senders"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if _asked(process, order) != "ready":
            raise BenchmarkError("the replicas did not start")
        yield process
    finally:
        process.kill()
        process.communicate()


def _asked(process: "subprocess.Popen[str]", order: Mapping[str, Any]) -> Any:
    if process.stdin is None or process.stdout is None:
        raise BenchmarkError("a process has no pipes")
    process.stdin.write(json.dumps(order) + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise BenchmarkError(f"the replicas ended with {process.wait(10)}: what went wrong is above")
    return json.loads(line)
