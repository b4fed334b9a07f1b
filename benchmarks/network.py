"""Network: a control plane on loopback for benchmarks, in this process, and what its documents look like."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request

from benchmarks.host import ROOT, BenchmarkError, free_port, until
from knowngood.adapters.hub.hub import Hub
from knowngood.adapters.hub.traffic import HubTraffic
from knowngood.api.replicas import replica_router
from knowngood.api.serving import settle
from knowngood.testing.memory_exchange import MemoryExchange
from knowngood_sdk.model.route import FULL, Facts, FleetRoute, Generation, Trip
from knowngood_sdk.model.wire import RouteDocument

__all__ = ["BAD", "GOOD", "SYSTEM", "Deployments", "Network", "network", "started"]

SYSTEM = "bench"
GOOD, BAD = ("sha256:" + digit * 64 for digit in "01")
_TRIP_EVERY = 20


class _Anybody:
    def may(self, verb: str, system: str) -> bool:
        return bool(verb and system)


async def _anybody(_request: Request) -> _Anybody:
    return _Anybody()


@dataclass(frozen=True)
class Network:
    """
    A control plane that listens.

    Attributes:
        hub: Its hub.
        traffic: What decides, in this process.
        port: Where it listens.
    """

    hub: Hub
    traffic: HubTraffic
    port: int

    def wait_for(self, replicas: int) -> None:
        """Return when so many replicas have a stream and have reported."""
        hub = self.hub
        until(lambda: len(hub.streaming(SYSTEM)) >= replicas <= len(hub.replicas(SYSTEM)), f"{replicas} are connected")


@contextmanager
def network() -> Iterator[Network]:
    """Serve the endpoints of agents in a thread of this process; the exchange is memory."""
    app, port = FastAPI(), free_port()
    with Hub(MemoryExchange()) as hub:
        app.router.routes.extend(replica_router(hub, _anybody).routes)  # as kg serve
        config = uvicorn.Config(
            app,
            host="127.0.0.1",
            port=port,
            log_level="warning",
            access_log=False,
            lifespan="off",
            backlog=4096,
            timeout_keep_alive=30,  # as kg serve: a thousand that connect one after the other are idle for a while
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        until(lambda: server.started, "the server listens")
        settle()
        try:
            yield Network(hub, HubTraffic(hub), port)
        finally:
            server.should_exit = True
            hub.end_streams()
            thread.join(30)


class Deployments:
    """The documents of one deployment after the other, each followed by its way back."""

    def __init__(self) -> None:
        self._number = 0
        self._facts = Facts()

    def next(self) -> tuple[RouteDocument, RouteDocument]:
        """Return a deployment, and what takes it back: the step of the route, or a trip each so many times."""
        self._number += 1
        generation = Generation(number=self._number, chain=(BAD, GOOD))
        there = RouteDocument(
            system=SYSTEM,
            route=FleetRoute(self._number, 0, FULL),
            generations={self._number: generation},
            facts=self._facts,
        )
        if self._number % _TRIP_EVERY:
            return there, RouteDocument(
                system=SYSTEM,
                route=FleetRoute(self._number, 1, FULL),
                generations=there.generations,
                facts=self._facts,
            )
        uid = f"trip-{self._number}"
        trip = Trip(uid=uid, version=BAD, generation=self._number, source="person", at="2026-01-01", why="a benchmark")
        back = RouteDocument(
            system=SYSTEM, route=there.route, generations=there.generations, facts=self._facts.with_trip(trip)
        )
        # Released by name, so that the next deployment may bring it again.
        self._facts = Facts(back.facts.trips, self._facts.released | {uid})
        return there, back


@contextmanager
def started(module: str, arguments: Sequence[str | int | Path]) -> Iterator[subprocess.Popen[str]]:
    """Run a module as a process that says ``ready``, until the block ends; it is told to stop by its closed input."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if process.stdin is None or process.stdout is None:
        raise BenchmarkError("a process has no pipes")
    try:
        if json.loads(process.stdout.readline() or '""') != "ready":
            raise BenchmarkError(f"{module} did not start")
        yield process
    finally:
        process.stdin.close()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
