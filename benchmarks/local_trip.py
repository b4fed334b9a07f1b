"""Local trip: a worker leaves a version that starts to fail, by itself, without agent and control plane."""

import threading

from benchmarks.context import Context
from benchmarks.deployer import Deployer
from benchmarks.figure import Figure, Row, Target, quantiles
from benchmarks.host import SYSTEM, BenchmarkError, Host, until
from benchmarks.load import Server, start_riders, start_server, stop_riders
from benchmarks.riders import Log

__all__ = ["run"]

_INCIDENTS = 5
_PER_SECOND = 1_000
_WORK_SECONDS = 0.01
_HEALTHY_SECONDS = 1.5
_AFTERWARDS_SECONDS = 0.7
_TARGET_MS = 100.0
_OK = 200
_RULES = {"triggers": {"errors": {"over": 0.05, "do": "rollback"}}}
_HOW = (
    "A uvicorn server with one worker, {rate} requests a second sent at a steady pace by a process of its own, whether "
    "earlier ones were answered or not; a prediction takes {work} ms, a failing one too. After {healthy} healthy "
    "seconds every call of the version that serves raises; the worker leaves it by itself. Counted by the riders."
)


def run(context: Context) -> Figure:
    """Let a version fail several times, without and with in-request fallback."""
    rows: list[Row] = []
    for path, name in (("/price", "plain handler"), ("/safe", "in-request fallback")):
        incidents = context.times(_INCIDENTS, least=1)
        context.tell(f"local trip, {name}: {incidents} incidents")
        with context.host(f"local-trip{path.replace('/', '-')}") as host:
            rows += _incidents(host, path, name, incidents)
    return Figure(
        key="local_trip",
        title="Local trip: fault to last failed response",
        how=_HOW.format(rate=f"{_PER_SECOND:,}", work=f"{_WORK_SECONDS * 1000:g}", healthy=_HEALTHY_SECONDS),
        rows=rows,
    )


def _incidents(host: Host, path: str, name: str, incidents: int) -> list[Row]:
    good, bad = host.release(["good", "bad"])
    host.traffic.publish_rules(SYSTEM, _RULES)
    deployer = Deployer(host)
    deployer.prepare([good, bad])
    host.start_agent()
    server = start_server(host, workers=1, work_seconds=_WORK_SECONDS)
    host.wait_ready([good, bad], 1)
    deployer.deploy(good, behind=bad)
    riders = start_riders(host, server, host.parts, "riders", per_second=_PER_SECOND, path=path)
    faults = [_incident(deployer, server, good, bad) for _ in range(incidents)]
    log = stop_riders(host, riders)
    return _rows(log, faults, bad, path, name)


def _incident(deployer: Deployer, server: Server, good: str, bad: str) -> tuple[int, int]:
    """Let the bad version serve, then fail; return when it failed and when all was over, in ns."""
    deployer.deploy(bad, behind=good)
    threading.Event().wait(_HEALTHY_SECONDS)
    broken = server.ask("/break")
    if broken["version"] != bad:
        raise BenchmarkError(f"the fault hit {broken['version']} instead of {bad}")
    until(lambda: any(trip.generation == deployer.generation for trip in deployer.hear()), "the worker leaves it")
    threading.Event().wait(_AFTERWARDS_SECONDS)
    over = server.ask("/heal")
    return broken["at"], over["at"]


def _rows(log: Log, faults: list[tuple[int, int]], bad: str, path: str, name: str) -> list[Row]:
    last, first_good, failures, longest = [], [], [], []
    for fault, over in faults:
        inside = [place for place, at in enumerate(log.answered_ns) if fault <= at < over]
        failed = [place for place in inside if log.status[place] != _OK]
        good = [place for place in inside if log.status[place] == _OK and log.version[place] != bad]
        failures.append(len(failed))
        last.append(max(((log.answered_ns[place] - fault) / 1e6 for place in failed), default=0.0))
        first_good.append(min(((log.answered_ns[place] - fault) / 1e6 for place in good), default=float("inf")))
        longest.append(max((log.answered_ns[place] - log.sent_ns[place]) / 1e6 for place in inside))
    seconds = (max(log.answered_ns) - min(log.sent_ns)) / 1e9
    none_fails = path == "/safe"
    return [
        Row(
            name=f"fault to last failed response, {name}",
            unit="ms",
            values=_spread(last),
            target=Target(column="max", limit=_TARGET_MS),
        ),
        Row(
            name=f"failed responses of an incident, {name}",
            unit="count",
            values=_spread([float(count) for count in failures]),
            target=Target(column="max", limit=0) if none_fails else None,
        ),
        Row(name=f"fault to first answer of the version behind, {name}", unit="ms", values=_spread(first_good)),
        Row(name=f"slowest answer meanwhile, {name}", unit="ms", values=_spread(longest)),
        Row(name=f"requests a second that were sent, {name}", unit="count", values={"p50": len(log) / seconds}),
    ]


def _spread(values: list[float]) -> dict[str, float]:
    """Return the columns of a row without those that so few values cannot give."""
    return {column: value for column, value in quantiles(values).items() if column != "p99"}
