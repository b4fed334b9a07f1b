"""Model servers: what a way back costs under load, ours beside MLServer's and MLflow's own ways."""

import random
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from benchmarks.contenders import BAD, GOOD, Contender, MLflow, MLServer, Ours, check_peers
from benchmarks.context import Context
from benchmarks.figure import Figure, Row, Target, percentile
from benchmarks.forest import Forest, plant
from benchmarks.host import BenchmarkError
from benchmarks.load import send_riders, stop_riders
from benchmarks.riders import MOST_CONNECTIONS, Log

__all__ = ["WayBack", "Window", "measured", "rows", "run", "seen"]

_LOADS = 5
_PER_SECOND = 200
_TREES = 600
_SETTLE_SECONDS = 0.5
_OK = 200
CONTENDERS: tuple[type[Contender], ...] = (Ours, MLServer, MLflow)
_HOW = (
    "One model, a forest of {megabytes:.1f} MB of JSON, served by one process of each: FastAPI with our SDK, the "
    "previous version standing by; MLServer with its defaults (debug output off), whose settings file is replaced by "
    "the previous version's and reloaded by the repository API (`/v2/repository/models/price/load`), which loads the "
    "one before it lets go of the other; `mlflow models serve`, stopped by SIGTERM and started with the previous "
    "version. {rate} requests a second are sent at a steady pace by a process of its own, whether earlier ones were "
    "answered or not, so that times to an answer are no finer than {pace:g} ms; once {most} requests wait, no further "
    "ones are sent. A way back is measured from the decision, and counted from the riders' log until {settle} s after "
    "the contender said that it was done. 'x ours': how many times ours the peer's median is, and its worst. MLServer "
    "can hold several versions at once, which clients then have to name in their path: a way back without loading, "
    "once something tells all of them."
)

_MEASURES = {
    "failed": ("failed requests of a way back", "count"),
    "bad": ("answers of the version left, after the decision", "count"),
    "last_bad": ("decision to the last of them", "ms"),
    "first_good": ("decision to the first answer of the previous version", "ms"),
    "waiting": ("most requests that waited at once", "count"),
    "slowest": ("slowest answer meanwhile", "ms"),
    "done": ("decision to done, as the server says", "ms"),
}
"""Field of ``WayBack`` -> what it is called, and its unit."""

_NOTES = {
    (
        "slowest",
        MLflow.name,
    ): "of those that were answered; a rider who asks again waits until the previous version does"
}


@dataclass(frozen=True, slots=True)
class Window:
    """
    One way back, in ns of ``monotonic_ns``.

    Attributes:
        decided_ns: When it was decided.
        done_ns: When the contender said that it was done.
        over_ns: Until when it is looked at.
    """

    decided_ns: int
    done_ns: int
    over_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WayBack:
    """
    What riders saw of one way back; durations in ms from the decision.

    Attributes:
        failed: Requests without a proper answer.
        bad: Answers of the version left.
        last_bad: To its last answer; 0 without one.
        first_good: To the first answer of the previous version.
        waiting: The most requests that were sent and not answered yet.
        slowest: The longest that a rider waited for a proper answer.
        done: To when the contender said that it was done.
    """

    failed: int
    bad: int
    last_bad: float
    first_good: float
    waiting: int
    slowest: float
    done: float


def run(context: Context) -> Figure:
    """Go back several times with each contender, one after the other."""
    check_peers()
    megabytes, loading = _loading(context)
    found = {
        contender.name: measured(context, contender, context.times(contender.backs, least=1))
        for contender in CONTENDERS
    }
    return Figure(
        key="model_servers",
        title="Back to the previous version under load, beside model servers",
        how=_HOW.format(
            megabytes=megabytes,
            rate=_PER_SECOND,
            pace=1000 / _PER_SECOND,
            most=MOST_CONNECTIONS,
            settle=_SETTLE_SECONDS,
        ),
        rows=[loading, *rows(found)],
    )


def _loading(context: Context) -> tuple[float, Row]:
    """Return how large the model is, in MB, and how long reading it takes in this process, with nothing beside."""
    path = context.folder / "forest.json"
    plant(path, GOOD, _TREES, random.Random(context.seed))
    took = []
    for _ in range(_LOADS):
        began = time.perf_counter()
        Forest(path)
        took.append((time.perf_counter() - began) * 1000)
    values = {"p50": percentile(took, 50), "max": percentile(took, 100), "n": float(len(took))}
    return path.stat().st_size / 1e6, Row(name="loading the model alone, for scale", unit="ms", values=values)


def measured(context: Context, contender: type[Contender], backs: int) -> list[WayBack]:
    """Deploy the bad version and go back as often, with a contender under load."""
    context.tell(f"model servers, {contender.name}: {backs} ways back")
    with context.host(f"model-servers-{contender.__name__.lower()}") as host:
        server = contender(host, _TREES)
        server.start()
        riders = send_riders(host, server.port, server.question, "riders", per_second=_PER_SECOND)
        pause = threading.Event()
        pause.wait(_SETTLE_SECONDS)
        windows = [_back(server, pause) for _ in range(backs)]
        log = stop_riders(host, riders)
    return [seen(log, window) for window in windows]


def _back(server: Contender, pause: threading.Event) -> Window:
    server.deploy()
    pause.wait(_SETTLE_SECONDS)
    decided = time.monotonic_ns()
    server.back()
    done = time.monotonic_ns()
    pause.wait(_SETTLE_SECONDS)
    return Window(decided, done, time.monotonic_ns())


def seen(log: Log, window: Window) -> WayBack:
    """Return what riders saw of a way back, of the requests that ended in it; BenchmarkError if it was not seen."""
    inside = [place for place, at in enumerate(log.answered_ns) if window.decided_ns <= at < window.over_ns]
    proper = [place for place in inside if log.status[place] == _OK and log.version[place] in {GOOD, BAD}]
    after = {place: (log.answered_ns[place] - window.decided_ns) / 1e6 for place in inside}
    if not any(log.version[place] == GOOD for place in proper):
        raise BenchmarkError(f"no rider was answered by the previous version: {len(inside)} requests in this way back")
    bad = [after[place] for place in proper if log.version[place] == BAD]
    return WayBack(
        failed=len(inside) - len(proper),
        bad=len(bad),
        last_bad=max(bad, default=0.0),
        first_good=min(after[place] for place in proper if log.version[place] == GOOD),
        waiting=_most_at_once(log, inside),
        slowest=max((log.answered_ns[place] - log.sent_ns[place]) / 1e6 for place in proper),
        done=(window.done_ns - window.decided_ns) / 1e6,
    )


def _most_at_once(log: Log, places: Sequence[int]) -> int:
    turns = sorted([(log.sent_ns[place], 1) for place in places] + [(log.answered_ns[place], -1) for place in places])
    return max(accumulate(turn for _, turn in turns))


def rows(found: Mapping[str, Sequence[WayBack]]) -> list[Row]:
    """
    Return the rows of the figure, each measure of every contender side by side.

    Args:
        found: Contender -> its ways back, ours first.
    """
    made = []
    for measure, (what, unit) in _MEASURES.items():
        ours: Mapping[str, float] = {}
        for name, backs in found.items():
            taken = [float(getattr(back, measure)) for back in backs]
            values = {"p50": percentile(taken, 50), "max": percentile(taken, 100), "n": float(len(taken))}
            if name == Ours.name:
                ours = dict(values)
            elif unit == "ms" and ours["p50"] > 0:
                values |= {"x ours": values["p50"] / ours["p50"], "x ours, worst": values["max"] / ours["max"]}
            none = name == Ours.name and measure == "failed"
            target = Target(column="max", limit=0) if none else None
            note = _NOTES.get((measure, name), "")
            made.append(Row(name=f"{what}, {name}", unit=unit, values=values, target=target, note=note))
    return made
