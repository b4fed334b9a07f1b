"""A control plane for tests: the endpoints of agents on a real server on loopback, and nothing else."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import uvicorn
from fastapi import FastAPI, Request

from knowngood.adapters.hub.hub import Hub
from knowngood.adapters.hub.room import Spans
from knowngood.adapters.hub.traffic import HubTraffic
from knowngood.api.replicas import replica_router
from knowngood.ports.exchange import Exchange
from knowngood.testing.replica import until

QUICK = Spans(agent=6.0, workers=1.0)


@dataclass(frozen=True)
class Anybody:
    verbs: tuple[str, ...] = ("read", "report")

    def may(self, verb: str, system: str) -> bool:
        return verb in self.verbs and bool(system)


async def anybody(_request: Request) -> Anybody:
    return Anybody()


class Control:
    """
    One process of a control plane, as a thread.

    Attributes:
        hub: Its hub; another one after each start.
        port: Where it listens; the same after each start.
    """

    def __init__(self, exchange: Exchange, spans: Spans = QUICK) -> None:
        self.exchange = exchange
        self._spans = spans
        self.port = free_port()
        self._stack = contextlib.ExitStack()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def traffic(self) -> HubTraffic:
        return HubTraffic(self.hub)

    def connected(self, system: str, replica: str) -> bool:
        """Whether a replica has a stream here, and has reported."""
        seen = self.hub.replicas(system)
        return replica in seen and replica in self.hub.streaming(system)

    def start(self) -> None:
        self.hub = self._stack.enter_context(Hub(self.exchange, self._spans))
        app = FastAPI()
        app.router.routes.extend(replica_router(self.hub, anybody).routes)  # as kg serve
        self._stack.enter_context(serving(app, self.port, self.hub))

    def stop(self) -> None:
        self._stack.close()


@contextmanager
def serving(app: FastAPI, port: int, hub: Hub | None = None) -> Iterator[None]:
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, log_level="warning", lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started, "the server listens")
    try:
        yield
    finally:
        server.should_exit = True
        if hub is not None:
            hub.end_streams()
        thread.join(20)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(int(self.path.strip("/")))
        self.end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Keep quiet."""


@contextmanager
def answering(status: int) -> Iterator[str]:
    """Let an endpoint answer with a status, and give its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/{status}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
