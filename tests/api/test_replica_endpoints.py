"""The endpoints of agents: who may what, what is refused, and how it is told."""

import asyncio
import contextlib
import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI, Request

from knowngood.adapters.hub.channel import Channel
from knowngood.adapters.hub.hub import Hub
from knowngood.adapters.hub.room import Spans
from knowngood.adapters.hub.traffic import HubTraffic
from knowngood.api.replicas import Patience, replica_router
from knowngood.testing.contracts.traffic import NEW, OLD, SYSTEM
from knowngood.testing.memory_exchange import MemoryExchange
from knowngood.testing.replica import until
from knowngood_sdk.errors import NotAuthenticatedError, NotAuthorizedError
from knowngood_sdk.model.joining import document_id
from knowngood_sdk.model.route import FULL, FleetRoute, Generation, ReplicaState
from knowngood_sdk.model.stream import counts_body, report_body
from knowngood_sdk.model.wire import ReplicaReport, RouteDocument
from tests.adapters.hub.served import Anybody, free_port, serving

DEPLOYED = RouteDocument(
    system=SYSTEM, route=FleetRoute(1, 0, FULL), generations={1: Generation(number=1, chain=(NEW, OLD))}
)
PLACE = f"/v1/systems/{SYSTEM}"
REPORT = f"{PLACE}/replicas/a/report"
COUNTS = f"{PLACE}/replicas/a/counts"
GOOD = report_body(ReplicaReport(replica="a", state=ReplicaState(), at="2026-01-01T00:00:00Z"), {})


@dataclass(frozen=True)
class Said:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Api:
    hub: Hub
    port: int

    def call(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Said:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request(method, path, body, named)
            response = connection.getresponse()
            return Said(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())


async def by_header(request: Request) -> Anybody:
    verbs = request.headers.get("test-verbs", "read,report")
    if verbs == "nobody":
        raise NotAuthorizedError("nobody knows this token")
    if verbs == "revoked":
        raise NotAuthenticatedError("token t1 of fleet was revoked")
    return Anybody(tuple(verbs.split(",")))


@pytest.fixture
def api() -> Iterator[Api]:
    with served(Patience()) as api:
        yield api


@contextmanager
def served(patience: Patience) -> Iterator[Api]:
    app, port = FastAPI(), free_port()
    with Hub(MemoryExchange()) as hub:
        app.router.routes.extend(replica_router(hub, by_header, patience).routes)  # as kg serve
        with serving(app, port, hub):
            yield Api(hub, port)


@pytest.fixture
def hasty() -> Iterator[Api]:
    with served(Patience(heartbeat=0.05, deaf=0.3, body=0.2)) as api:
        yield api


def problem_of(said: Said) -> dict[str, Any]:
    assert said.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = said.document
    assert document["status"] == said.status
    assert set(document) >= {"type", "title", "code", "detail", "hint"}
    return document


@pytest.mark.parametrize(
    ("verbs", "method", "path", "status"),
    [
        ("read", "GET", "/route", 404),
        ("report", "GET", "/route", 403),
        ("report", "GET", "/rules", 403),
        ("report", "GET", "/stream?replica=a", 403),
        ("report", "GET", f"/releases/{OLD}", 403),
        ("report", "GET", f"/releases/{OLD}/components/model", 403),
        ("report", "GET", f"/releases/{OLD}/golden", 403),
        ("read", "POST", "/replicas/a/report", 403),
        ("report", "POST", "/replicas/a/report", 204),
        ("read", "POST", "/replicas/a/counts", 403),
        ("nobody", "GET", "/route", 403),
    ],
)
def test_a_token_may_what_it_was_made_for(api: Api, verbs: str, method: str, path: str, status: int) -> None:
    said = api.call(method, PLACE + path, GOOD if method == "POST" else None, test_verbs=verbs)
    assert said.status == status
    if status == 403:
        assert problem_of(said)["code"] == "not-authorized"


def test_a_replica_whose_token_is_refused_is_told_of_once_it_is_silent_otherwise(api: Api) -> None:
    api.call("POST", REPORT, GOOD)
    assert api.call("POST", COUNTS, b"", test_verbs="revoked").status == 401
    assert api.call("POST", f"{PLACE}/replicas/stranger/counts", b"", test_verbs="revoked").status == 401
    room = api.hub.loaded(SYSTEM)
    assert room.replica("a", Spans()).trouble == "", "it may be a stranger who calls itself so: it was heard just now"
    silent = room.replica("a", Spans(agent=0))
    assert silent.trouble == "its agent was refused, and reports in vain: token t1 of fleet was revoked"
    assert set(room.present) == {"a"}, "nobody comes in by being refused"
    api.call("POST", REPORT, GOOD)
    assert room.replica("a", Spans(agent=0)).trouble == "", "it has a new token"


def test_who_has_the_published_document_is_not_sent_it_again(api: Api) -> None:
    HubTraffic(api.hub).publish(SYSTEM, lambda _: DEPLOYED)
    first = api.call("GET", f"{PLACE}/route")
    assert RouteDocument.from_json(first.document) == DEPLOYED
    again = api.call("GET", f"{PLACE}/route", if_none_match=first.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    assert api.call("POST", REPORT, GOOD).headers["kg-route-state"] == first.headers["etag"].strip('"')


def test_rules_are_there_once_they_were_published(api: Api) -> None:
    assert problem_of(api.call("GET", f"{PLACE}/rules"))["code"] == "not-found"
    HubTraffic(api.hub).publish_rules(SYSTEM, {"system": SYSTEM})
    assert api.call("GET", f"{PLACE}/rules").document == {"system": SYSTEM}


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/systems/No%20Name/route", 422, "invalid"),
        ("GET", f"{PLACE}/stream?replica=..%2Fb", 422, "invalid"),
        ("GET", f"{PLACE}/releases/latest", 422, "invalid"),
        ("GET", f"{PLACE}/releases/{OLD}", 404, "not-found"),
        ("GET", f"{PLACE}/releases/{OLD}/components/model", 404, "not-found"),
        ("GET", f"{PLACE}/releases/{OLD}/golden", 404, "not-found"),
        ("POST", f"{PLACE}/replicas/b/report", 422, "invalid"),
    ],
)
def test_what_cannot_be_answered_is_a_problem_with_its_code(
    api: Api, method: str, path: str, status: int, code: str
) -> None:
    said = api.call(method, path, GOOD if method == "POST" else None)
    assert (said.status, problem_of(said)["code"]) == (status, code)


@pytest.mark.parametrize("path", [REPORT, COUNTS])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b'{"report": {}, "answers": {}}',
        b'{"report": NaN, "answers": {}}',
        b'{"at": "now", "counts": {}}',
        b'{"at": 1, "counts": []}',
        b'{"at": "now", "counts": [1]}',
        b"[" * 100_000,
        b'{"report":' * 50_000,
    ],
)
def test_a_body_that_is_none_is_refused_and_does_no_harm(api: Api, path: str, body: bytes) -> None:
    assert problem_of(api.call("POST", path, body))["code"] == "invalid"
    assert api.call("POST", REPORT, GOOD).status == 204


def test_a_report_in_a_newer_format_says_so(api: Api) -> None:
    body = GOOD.replace(b'"format":1', b'"format":99')
    assert problem_of(api.call("POST", REPORT, body))["code"] == "newer-format"


def test_a_body_without_end_is_cut_off(api: Api) -> None:
    too_much = counts_body("now", [{"worker": "x" * 5_000_000}])
    assert problem_of(api.call("POST", COUNTS, too_much))["status"] == 413
    with socket.create_connection(("127.0.0.1", api.port), timeout=20) as peer:
        head = f"POST {REPORT} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        peer.sendall(head.encode())
        with contextlib.suppress(OSError):
            for _ in range(100):
                peer.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        assert b"413" in peer.recv(1000)


def test_a_body_that_drips_is_given_up(hasty: Api) -> None:
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=20) as peer:
        peer.sendall(f"POST {REPORT} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n".encode())
        began = time.monotonic()
        assert b"408" in peer.recv(1000)
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("path", [REPORT, COUNTS])
def test_what_is_posted_is_asked_for_in_no_other_way(api: Api, path: str) -> None:
    said = api.call("PUT", path, GOOD)
    assert (said.status, said.headers["allow"]) == (405, "POST")


def test_what_is_taken_is_answered_without_a_body(api: Api) -> None:
    HubTraffic(api.hub).publish(SYSTEM, lambda _: DEPLOYED)
    said = api.call("POST", REPORT, GOOD)
    assert (said.status, said.body) == (204, b"")
    assert said.headers["kg-route-state"] == document_id(DEPLOYED)
    assert not {"content-length", "content-type"} & said.headers.keys()


def test_a_silent_stream_has_a_heartbeat(hasty: Api) -> None:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", hasty.port, timeout=20)) as connection:
        connection.request("GET", f"{PLACE}/stream?replica=a")
        response = connection.getresponse()
        assert response.getheader("content-type") == "text/event-stream; charset=utf-8"
        assert [response.readline() for _ in range(4)] == [b":\n", b"\n"] * 2


def test_a_stream_that_is_read_no_more_is_given_up(hasty: Api) -> None:
    large = RouteDocument(system=SYSTEM, prepare=("x" * 4_000_000,))
    with socket.create_connection(("127.0.0.1", hasty.port)) as peer:
        peer.sendall(f"GET {PLACE}/stream?replica=a HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        peer.recv(10)
        assert hasty.hub.streaming(SYSTEM) == {"a"}
        for number in range(5):
            HubTraffic(hasty.hub).publish(
                SYSTEM,
                lambda _, new=number: RouteDocument(system=SYSTEM, prepare=(*large.prepare, str(new))),  # type: ignore[misc]
            )
        deadline = time.monotonic() + 20
        while hasty.hub.streaming(SYSTEM) and time.monotonic() < deadline:
            hasty.call("POST", REPORT, GOOD)
        assert hasty.hub.streaming(SYSTEM) == frozenset()


def test_a_stream_whose_head_is_not_read_is_given_up(hasty: Api) -> None:
    hasty.hub.save_rules(SYSTEM, {"x": "y" * 6_000_000})
    with deaf(hasty.port) as peer:
        head = "HTTP/1.1\r\nhost: x\r\n\r\n"
        peer.sendall(f"GET {PLACE}/rules {head}GET {PLACE}/stream?replica=a {head}".encode())
        until(lambda: hasty.hub.streaming(SYSTEM) == {"a"}, "it is asked for")
        until(lambda: not hasty.hub.streaming(SYSTEM), "it is given up")


def test_a_stream_whose_end_is_not_read_is_given_up() -> None:
    large = RouteDocument(system=SYSTEM, prepare=("x" * 6_000_000,))
    with served(Patience(heartbeat=20, deaf=0.5)) as api, deaf(api.port) as peer:
        peer.sendall(f"GET {PLACE}/stream?replica=a HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        until(lambda: api.hub.streaming(SYSTEM) == {"a"}, "it is open")
        HubTraffic(api.hub).publish(SYSTEM, lambda _: large)
        until(lambda: b"xxx" in peer.recv(1_000), "what is published is being sent")
        api.hub.end_streams()
        until(lambda: not api.hub.streaming(SYSTEM), "it is given up")


@contextmanager
def deaf(port: int) -> Iterator[socket.socket]:
    """Give a connection that takes little, and stays open, however little is read."""
    with socket.socket() as peer:
        peer.settimeout(20)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.connect(("127.0.0.1", port))
        yield peer


class _Full(Hub):
    def open(self, channel: Channel, known: str) -> None:
        raise LookupError(f"a fault of the hub: {channel.replica} {known}")


def test_a_stream_that_cannot_be_opened_leaves_nothing_behind() -> None:
    timers: list[asyncio.TimerHandle] = []

    async def calling(app: FastAPI) -> set[str]:
        loop = asyncio.get_running_loop()
        before = loop.call_at

        def noting(when: float, act: Callable[..., object], *given: Any, **named: Any) -> asyncio.TimerHandle:
            timers.append(before(when, act, *given, **named))
            return timers[-1]

        loop.call_at = noting  # type: ignore[method-assign,assignment]
        path, sent = f"{PLACE}/stream", asyncio.Queue[Any]()
        scope = {"type": "http", "method": "GET", "path": path, "query_string": b"replica=a", "headers": []}
        with pytest.raises(LookupError, match="a fault of the hub"):
            await app(scope, asyncio.Queue[Any]().get, sent.put)
        await asyncio.sleep(0)
        return {task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()}

    app = FastAPI()
    with _Full(MemoryExchange()) as hub:
        app.router.routes.extend(replica_router(hub, by_header).routes)
        assert asyncio.run(calling(app)) == set()
    assert timers
    assert all(timer.cancelled() for timer in timers)
