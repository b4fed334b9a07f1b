"""
Facts port: tells newcomers of the same system what this replica knows, over HTTP (rule 22).

One document, ``GET /v1/facts``: the accepted route with its generations, and all facts; not the latch and not the local
trips, which are this replica's own. One thread serves all, and nobody who is slow, silent or greedy holds up another.
"""

import json
import selectors
import socket
import threading
import time
from dataclasses import dataclass, field, replace

from knowngood_sdk.errors import InvalidError, TransientError
from knowngood_sdk.model.route import ReplicaState
from knowngood_sdk.model.wire import RouteDocument

__all__ = ["FactsPort"]

_LOOK_SECONDS = 0.2
_CALL_SECONDS = 5.0
_MAX_CALLS = 64
_MAX_REQUEST = 8 * 1024
_CHUNK = 64 * 1024
_HIGHEST_PORT = 65_535


@dataclass(slots=True, eq=False)
class _Call:
    peer: socket.socket
    ends_at: float
    received: bytearray = field(default_factory=bytearray)
    to_send: bytes = b""


class FactsPort:
    """
    Listens at an address.

    Args:
        listen: ``host:port``; port 0 takes a free one.
        system: Name of the system.

    Attributes:
        address: Where it listens, with the port that it got.

    Raises:
        InvalidError: That is no address.
        TransientError: It cannot listen there.
    """

    def __init__(self, listen: str, system: str) -> None:
        host, _, port = listen.rpartition(":")
        if not host or not port.isdecimal() or int(port) > _HIGHEST_PORT:
            raise InvalidError(f"{listen!r} is no address to listen at", hint="Give one like 127.0.0.1:8401")
        try:
            self._listener = socket.create_server((host.strip("[]"), int(port)), backlog=128)
        except OSError as error:
            raise TransientError(f"the agent cannot listen at {listen}: {error.strerror or error}") from error
        self._listener.settimeout(0)
        self.address = f"{host}:{self._listener.getsockname()[1]}"
        self._system = system
        self._body = b""
        self._state = ReplicaState()
        self._vouched: RouteDocument | None = None
        self._calls: set[_Call] = set()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="kg-facts", daemon=True)

    def vouch(self, document: RouteDocument | None) -> None:
        """Tell routes and releases with what was signed of them, for newcomers who ask for it."""
        if document is not self._vouched:
            self._vouched = document
            self.show(self._state)

    def show(self, state: ReplicaState) -> None:
        """Tell this from now on; before the first route there is nothing to tell."""
        self._state = state
        if state.fleet.generation or state.facts.trips or state.facts.released:
            document = RouteDocument(
                system=self._system, route=state.fleet, generations=state.generations, facts=state.facts
            )
            if self._vouched is not None and self._vouched.route.generation >= state.fleet.generation:
                document = replace(self._vouched, facts=self._vouched.facts.merge(document.trips))
            self._body = json.dumps(document.to_json(), separators=(",", ":")).encode()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop to listen."""
        self._stopped = True
        self._thread.join()
        for call in list(self._calls):
            self._end(call)
        self._selector.close()
        self._listener.close()

    def _run(self) -> None:
        while not self._stopped:
            for key, _ in self._selector.select(_LOOK_SECONDS):
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    self._advance(key.data)
            now = time.monotonic()
            for call in [each for each in self._calls if each.ends_at < now]:
                self._end(call)

    def _accept(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except OSError:
            return
        peer.settimeout(0)
        if len(self._calls) >= _MAX_CALLS:
            self._end(min(self._calls, key=lambda call: call.ends_at))
        call = _Call(peer, time.monotonic() + _CALL_SECONDS)
        self._calls.add(call)
        self._selector.register(peer, selectors.EVENT_READ, call)

    def _advance(self, call: _Call) -> None:
        try:
            if not call.to_send:
                chunk = call.peer.recv(_CHUNK)
                call.received += chunk
                if not chunk or len(call.received) > _MAX_REQUEST:
                    self._end(call)
                    return
                if b"\r\n\r\n" not in call.received:
                    return
                call.to_send = self._answer(bytes(call.received))
                self._selector.modify(call.peer, selectors.EVENT_WRITE, call)
            call.to_send = call.to_send[call.peer.send(call.to_send) :]
            if not call.to_send:
                self._end(call)
        except BlockingIOError:
            return
        except OSError:
            self._end(call)

    def _answer(self, request: bytes) -> bytes:
        line = request.split(b"\r\n", 1)[0].split(b" ")
        if line[:2] != [b"GET", b"/v1/facts"]:
            return _response(b"404 Not Found", b'{"code":"not-found","title":"there is GET /v1/facts alone"}')
        if not self._body:
            return _response(b"503 Service Unavailable", b'{"code":"not-ready","title":"this replica knows no route"}')
        return _response(b"200 OK", self._body)

    def _end(self, call: _Call) -> None:
        if call in self._calls:
            self._calls.discard(call)
            self._selector.unregister(call.peer)
            call.peer.close()


def _response(status: bytes, body: bytes) -> bytes:
    kind = b"application/json" if status.startswith(b"200") else b"application/problem+json"
    head = b"HTTP/1.1 %b\r\ncontent-type: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
    return head % (status, kind, len(body)) + body
