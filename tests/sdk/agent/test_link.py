"""A link takes nothing but what is whole and well formed, and no server holds it up, fills it, or makes it hurry."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from knowngood.testing.replica import until
from knowngood_sdk.agent.link import Inbox, Letter, Limits, Link
from knowngood_sdk.agent.server import Paced, Server
from knowngood_sdk.errors import InvalidError, KnownGoodError, NotAuthorizedError, TransientError
from knowngood_sdk.model.joining import document_id
from knowngood_sdk.model.route import FULL, FleetRoute, Generation, ReplicaState
from knowngood_sdk.model.stream import HEARTBEAT, event_bytes, route_event
from knowngood_sdk.model.wire import ReplicaReport, RouteDocument
from knowngood_sdk.serving.folder import ReplicaFolder

A, B = ("sha256:" + digit * 64 for digit in "ab")
DEPLOYED = RouteDocument(
    system="pricing", route=FleetRoute(1, 0, FULL), generations={1: Generation(number=1, chain=(B, A))}
)
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
TAKEN = b"HTTP/1.1 204 No Content\r\nkg-route-state: \r\n\r\n"
REPORT = ReplicaReport(replica="a", state=ReplicaState(), at="2026-01-01T00:00:00Z")
Behaviour = Callable[[socket.socket], None]


class Raw:
    """A server that answers streams as a test says, and every other request as another behaviour says."""

    def __init__(self, stream: Behaviour, other: Behaviour) -> None:
        self.calls: list[bytes] = []
        self._stream, self._other = stream, other
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self._stopped = True
        with contextlib.suppress(OSError), socket.create_connection(self._listener.getsockname()):
            self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        while not self._stopped:
            peer, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError), peer:
            request = bytearray()
            while b"\r\n\r\n" not in request:
                chunk = peer.recv(65536)
                if not chunk:
                    return
                request += chunk
            self.calls.append(bytes(request))
            (self._stream if b"/stream" in request else self._other)(peer)


def quiet(peer: socket.socket) -> None:
    """Take reports for as long as they come on this connection."""
    while True:
        peer.sendall(TAKEN)
        if not peer.recv(65536):
            return


def sending(*pieces: bytes) -> Behaviour:
    def behave(peer: socket.socket) -> None:
        for piece in (STREAM, *pieces):
            peer.sendall(piece)
        peer.recv(1)  # until the other end has enough

    return behave


@contextmanager
def linked(
    folder: Path, stream: Behaviour, other: Behaviour = quiet, limits: Limits | None = None
) -> Iterator[tuple[Link, Inbox, Raw]]:
    raw, inbox = Raw(stream, other), Inbox(lambda: None)
    replica = ReplicaFolder.of(folder, "pricing", "a")
    replica.make()
    link = Link(Server(url=raw.url), replica, inbox, limits)
    link.tell(REPORT)
    link.start()
    try:
        yield link, inbox, raw
    finally:
        inbox.close()
        raw.close()
        link.close()


def letter_of(inbox: Inbox) -> Letter:
    found: list[Letter] = []

    def came() -> bool:
        letter = inbox.take()
        found.extend([letter] if letter else [])
        return bool(found)

    until(came, "a letter comes")
    return found[0]


def test_what_is_streamed_arrives(tmp_path: Path) -> None:
    with linked(tmp_path, sending(HEARTBEAT, route_event(DEPLOYED, document_id(DEPLOYED)))) as (link, inbox, _):
        assert letter_of(inbox).document == DEPLOYED
        assert link.heard


@pytest.mark.parametrize(
    "noise",
    [
        pytest.param(b"data: {\n\n", id="no JSON"),
        pytest.param(event_bytes("route", {"format": 1}), id="no route"),
        pytest.param(event_bytes("route", {**DEPLOYED.to_json(), "format": 99}), id="a newer format"),
        pytest.param(event_bytes("push", {"document": {}}), id="nobody asks"),
        pytest.param(event_bytes("push", []), id="no object"),
        pytest.param(event_bytes("leave", {"ask": "1", "scope": "world", "trip": {}}), id="nobody's scope"),
        pytest.param(event_bytes("leave", {"ask": "1", "scope": [], "trip": {}}), id="a scope of another type"),
        pytest.param(event_bytes("rules", [1]), id="no rules"),
        pytest.param(b"event: route\ndata: " + b"[" * 100_000 + b"\n\n", id="too deep"),
        pytest.param(event_bytes("tomorrow", {"new": True}), id="an event of a newer program"),
        pytest.param(b"retry: 5\nfoo\n:comment\n\n\n\n", id="what the standard allows besides"),
    ],
)
def test_what_makes_no_sense_is_passed_over(tmp_path: Path, noise: bytes) -> None:
    with linked(tmp_path, sending(noise, route_event(DEPLOYED, "x"))) as (_, inbox, _raw):
        assert letter_of(inbox).document == DEPLOYED
        assert inbox.take() is None


def test_no_fault_ends_the_thread_that_holds_the_stream(tmp_path: Path) -> None:
    faults: list[str] = ["a fault of the agent"]

    def wake() -> None:
        if faults:
            raise LookupError(faults.pop())

    replica = ReplicaFolder.of(tmp_path, "pricing", "a")
    replica.make()
    raw = Raw(sending(route_event(DEPLOYED, "x")), quiet)
    with contextlib.closing(raw), contextlib.closing(Inbox(wake)) as inbox:
        link = Link(Server(url=raw.url), replica, inbox)
        link.start()
        with contextlib.closing(link):
            until(lambda: "a fault of the agent" in link.troubles.get("stream", ""), "it is told")
            assert letter_of(inbox).document == DEPLOYED
            assert letter_of(inbox).document == DEPLOYED, "it is called again"


def test_half_an_event_never_came(tmp_path: Path) -> None:
    whole = route_event(DEPLOYED, "x")
    seen: list[bytes] = []

    def break_off(peer: socket.socket) -> None:
        seen.append(b"")
        peer.sendall(STREAM + (whole[:-1] if len(seen) < 3 else whole.replace(b'"x"', b'"y"')))

    with linked(tmp_path, break_off) as (_, inbox, _raw):
        assert letter_of(inbox).document == DEPLOYED
        assert len(seen) >= 3


def test_an_endless_line_is_cut_off(tmp_path: Path) -> None:
    def endless(peer: socket.socket) -> None:
        peer.sendall(STREAM + b"data: ")
        while True:
            peer.sendall(b"x" * 65536)

    with linked(tmp_path, endless, limits=Limits(event_bytes=100_000)) as (link, _, _raw):
        until(lambda: "longer than 100000 bytes" in link.troubles.get("stream", ""), "it is cut off")


def test_an_answer_that_drips_is_given_up(tmp_path: Path) -> None:
    def drip(peer: socket.socket) -> None:
        for byte in TAKEN * 100:
            peer.sendall(bytes([byte]))
            threading.Event().wait(0.2)

    with linked(tmp_path, drip, drip) as (link, _, _raw):
        began = time.monotonic()
        until(lambda: "no answer in time" in link.troubles.get("stream", ""), "the stream is given up")
        until(lambda: "no answer in time" in link.troubles.get("reports", ""), "the report is given up")
        assert time.monotonic() - began < 5


def test_a_stream_that_falls_silent_is_called_again(tmp_path: Path) -> None:
    with linked(tmp_path, sending(HEARTBEAT), limits=Limits(silence_seconds=0.3)) as (_, _inbox, raw):
        until(lambda: sum(b"/stream" in call for call in raw.calls) >= 3, "it is called again")


def test_a_flood_fills_nothing(tmp_path: Path) -> None:
    sent = [0]

    def flood(peer: socket.socket) -> None:
        peer.sendall(STREAM)
        event = event_bytes("rules", {"x": "y" * 10_000})
        while True:
            peer.sendall(event)
            sent[0] += 1

    with linked(tmp_path, flood) as (_, inbox, _raw):
        before = -1

        def stands() -> bool:
            nonlocal before
            before, now = sent[0], before
            threading.Event().wait(0.2)
            return sent[0] > 64 and now == sent[0]

        until(stands, "the flood stands still")
        letters = 0
        while inbox.take() is not None and letters < 64:
            letters += 1
        assert letters == 64


@pytest.mark.parametrize("status", [b"401 Unauthorized", b"403 Forbidden", b"500 Internal Server Error", b"302 Found"])
def test_a_server_that_refuses_is_not_called_without_pause(tmp_path: Path, status: bytes) -> None:
    def refuse(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 " + status + b"\r\nlocation: /x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

    with linked(tmp_path, refuse, refuse) as (link, _, raw):
        until(lambda: link.troubles.get("reports", "") != "", "it is told")
        enough = time.monotonic() + 2
        until(lambda: time.monotonic() > enough, "two seconds have passed")
        assert len(raw.calls) < 30
        assert status[:3].decode() in link.troubles["reports"]


def test_the_token_is_read_again_for_each_connection(tmp_path: Path) -> None:
    file = tmp_path / "token"
    server = Server(url="http://127.0.0.1:1", token_file=file)
    with pytest.raises(TransientError, match="cannot be read"):
        server.connect()
    file.write_text("\n")
    with pytest.raises(InvalidError, match="holds no token"):
        server.connect()
    file.write_text("kg_1\n")
    server.connect()


@pytest.mark.parametrize(
    "url", ["control:8400", "ftp://control", "http://", "http://user:word@control", "http://control?x=1", "http://c:x"]
)
def test_a_url_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(InvalidError, match="is no URL to call"):
        Server(url=url)


def test_certificates_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("none")
    with pytest.raises(InvalidError, match="cannot be used"):
        Server(url="https://control", ca_file=tmp_path / "ca.pem").connect()


def test_a_refusal_tells_what_the_server_said() -> None:
    body = b'{"title": "x", "detail": "this token may not report pricing"}'

    def refuse(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 403 Forbidden\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    raw = Raw(refuse, refuse)
    try:
        with pytest.raises(NotAuthorizedError, match="this token may not report pricing"):
            Server(url=raw.url).connect().call("GET", "/v1/systems/pricing/route")
    finally:
        raw.close()


def test_a_body_that_ends_early_or_never_is_an_error() -> None:
    def short(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort")

    def long(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
        while True:
            peer.sendall(b"x" * 65536)

    for behave, said in ((short, "ended early"), (long, "longer than 1000 bytes")):
        raw = Raw(behave, behave)
        try:
            answer = Server(url=raw.url).connect().call("GET", "/")
            with pytest.raises(KnownGoodError, match=said):
                answer.body(1000)
        finally:
            raw.close()


@pytest.fixture
def pair() -> Iterator[tuple[Paced, socket.socket]]:
    """Give a socket, and its other end, which receives what was sent at once as one."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, other:
        other.settimeout(10)
        yield Paced(one), other


def test_head_and_body_of_a_request_are_sent_as_one(pair: tuple[Paced, socket.socket]) -> None:
    paced, other = pair
    with paced.together():
        paced.sendall(b"head, ")
        paced.sendall(b"body")
    assert other.recv(100) == b"head, body"
    paced.sendall(b"by itself")
    assert other.recv(100) == b"by itself"


def test_of_what_could_not_be_put_together_nothing_is_sent(pair: tuple[Paced, socket.socket]) -> None:
    paced, other = pair
    with contextlib.suppress(InvalidError), paced.together():
        paced.sendall(b"head, ")
        raise InvalidError("there is no such body")
    paced.sendall(b"the next")
    assert other.recv(100) == b"the next"
