"""Admitted: requests that reach the version left after every replica has acknowledged the flip."""

from threading import Event

from benchmarks.context import Context
from benchmarks.deployer import Deployer
from benchmarks.figure import Figure, Row, Target, quantiles
from benchmarks.load import admitted_to_left, spans, start_riders, start_server, stop_riders

__all__ = ["run"]

_PAIRS = 20
_SETTLE_SECONDS = 0.35
_RIDERS = 16
_WORKERS = 2
_HOW = (
    "A uvicorn server with {workers} worker processes under {riders} keep-alive connections of a process of its own, "
    "each asking again as soon as it was answered, and one agent. Counted from the riders' log: requests sent after an "
    "acknowledgement and answered before the next flip was decided, and those of them that the version left answered."
)


def run(context: Context) -> Figure:
    """Deploy and go back in turn under load."""
    context.tell(f"requests admitted after the acknowledgement: {2 * context.times(_PAIRS, least=1)} flips under load")
    pause = Event()
    with context.host("admitted") as host:
        good, bad = host.release(["good", "bad"])
        deployer = Deployer(host)
        deployer.prepare([good, bad])
        host.start_agent()
        server = start_server(host, workers=_WORKERS)
        host.wait_ready([good, bad], _WORKERS)
        deployer.deploy(good, behind=bad)
        riders = start_riders(host, server, host.parts, "riders", riders=_RIDERS)
        for number in range(context.times(_PAIRS, least=1)):
            pause.wait(_SETTLE_SECONDS)
            deployer.deploy(bad, behind=good)
            pause.wait(_SETTLE_SECONDS)
            if number % 2:
                deployer.back()
            else:
                deployer.trip("a benchmark")
        pause.wait(_SETTLE_SECONDS)
        log = stop_riders(host, riders)
        sent, wrong = admitted_to_left(log, spans(deployer.flips))
    latencies = [(answered - at) / 1e6 for at, answered in zip(log.sent_ns, log.answered_ns, strict=True)]
    none = Target(column="count", limit=0)
    rows = [
        Row(
            name="requests after an acknowledgement that the version left answered",
            unit="count",
            values={"count": wrong, "n": sent},
            target=none,
        ),
        Row(name="failed requests", unit="count", values={"count": len(log.failed), "n": len(log)}, target=none),
        Row(name="mixed answers", unit="count", values={"count": sum(log.mixed), "n": len(log)}, target=none),
        Row(name="flips", unit="count", values={"count": len(deployer.flips) - 1}),
        Row(name="latency that riders saw", unit="ms", values=quantiles(latencies)),
    ]
    return Figure(
        key="admitted",
        title="Requests admitted to the version left, after the flip was acknowledged",
        how=_HOW.format(workers=_WORKERS, riders=_RIDERS),
        rows=rows,
    )
