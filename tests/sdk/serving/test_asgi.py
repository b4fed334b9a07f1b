"""The middleware pins once, names the version in the response, counts how it ended, and believes no stranger."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse

from knowngood_sdk.model.counts import VersionCounts
from knowngood_sdk.model.route import FULL
from knowngood_sdk.serving.system import System
from tests.sdk.serving.steward import Steward, system, until

Send = Callable[[dict[str, Any]], Awaitable[None]]


class Shop:
    """A FastAPI application on version two, with version one behind it."""

    def __init__(self, steward: Steward, kg: System, **middleware: Any) -> None:
        self.steward, self.kg = steward, kg
        self.v2, self.v1 = steward.release(2.0), steward.release(1.0)
        self.app = FastAPI()
        self.app.add_middleware(kg.Asgi, subject="X-Rider-Id", **middleware)
        self.app.post("/async")(self.price_async)
        self.app.post("/sync")(self.price_sync)
        self.app.get("/headers")(self.headers)
        self.app.get("/stream")(self.stream)
        self.app.get("/status/{status}")(self.status)
        self.app.get("/raise")(self.fail)
        self.flip: Callable[[], None] = lambda: None

    async def price_async(self) -> dict[str, Any]:
        first = self.kg.slot().version
        self.flip()
        await asyncio.sleep(0)
        return {"versions": [first, self.kg.slot().version]}

    def price_sync(self) -> dict[str, Any]:
        first = self.kg.slot().version
        self.flip()
        return {"versions": [first, self.kg.slot().version]}

    async def headers(self, request: Request) -> dict[str, Any]:
        return {"in": dict(request.headers), "out": dict(self.kg.headers)}

    async def stream(self) -> StreamingResponse:
        async def pieces() -> AsyncIterator[str]:
            for _ in range(3):
                yield self.kg.slot().version + "\n"
                self.flip()

        return StreamingResponse(pieces())

    async def status(self, status: int) -> None:
        if status != 200:
            raise HTTPException(status)

    async def fail(self) -> None:
        raise RuntimeError("broken")

    def ask(self, method: str, path: str, **headers: str) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
                return await client.request(method, path, headers=headers)

        return asyncio.run(ask())

    def load(self, split: int = FULL) -> None:
        self.steward.accept(self.v2, self.v1, split=split)
        self.kg.start()
        until(lambda: self.kg.ready and len(self.kg.loaded) == 2, "both slots")

    def counts(self, version: str, requests: int) -> VersionCounts:
        found: VersionCounts = until(
            lambda: (c := self.steward.counts(version)).requests == requests and c, f"{requests} requests"
        )
        return found


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    kg = system(tmp_path)
    yield Shop(Steward(tmp_path), kg)
    kg.close()


@pytest.fixture
def inner_shop(tmp_path: Path) -> Iterator[Shop]:
    kg = system(tmp_path)
    yield Shop(Steward(tmp_path), kg, inside=True)
    kg.close()


def test_the_response_names_system_version_model_and_route(shop: Shop) -> None:
    shop.load()
    answer = shop.ask("POST", "/async")
    model = shop.steward.folder.release(shop.v2).manifest.components["model"].ref.digest
    assert answer.headers["kg-system-version"] == shop.v2
    assert answer.headers["kg-model-version"] == model
    assert answer.headers["kg-route"] == "1.0.10000"


def test_before_the_first_deployment_the_static_fallback_answers_as_what_it_is(shop: Shop) -> None:
    shop.kg.start(wait_seconds=10)
    answer = shop.ask("POST", "/async")
    assert answer.json() == {"versions": ["", ""]}
    assert answer.headers["kg-system-version"] == "static-fallback"
    assert "kg-model-version" not in answer.headers


@pytest.mark.requirement("A1", "G3")
@pytest.mark.parametrize("path", ["/async", "/sync"])
def test_a_request_ends_on_the_version_that_it_began_on(shop: Shop, path: str) -> None:
    shop.load()
    shop.flip = lambda: shop.steward.trip(shop.v2)
    answer = shop.ask("POST", path)
    assert answer.json() == {"versions": [shop.v2, shop.v2]}
    assert answer.headers["kg-system-version"] == shop.v2
    shop.flip = lambda: None
    after = shop.ask("POST", path)
    assert (after.json(), after.headers["kg-route"]) == ({"versions": [shop.v1, shop.v1]}, "1.1.10000")


@pytest.mark.requirement("A1")
def test_a_stream_ends_on_the_version_that_it_began_on(shop: Shop) -> None:
    shop.load()
    shop.flip = lambda: shop.steward.trip(shop.v2)
    assert shop.ask("GET", "/stream").text.split() == [shop.v2] * 3
    shop.counts(shop.v2, 1)


@pytest.mark.requirement("N3")
def test_the_subject_of_the_header_decides_the_side_of_a_split(shop: Shop) -> None:
    shop.load(split=5000)
    answers = [[shop.ask("POST", "/sync", **{"x-rider-id": f"r{n}"}) for _ in range(2)] for n in range(20)]
    sides = [[answer.headers["kg-system-version"] for answer in pair] for pair in answers]
    assert all(first == second for first, second in sides)
    assert {first for first, _ in sides} == {shop.v1, shop.v2}


def test_until_the_versions_are_loaded_callers_are_told_to_come_again(shop: Shop) -> None:
    bad = shop.steward.release(3.0, golden=[{"input": 1.0, "output": 1.0}])
    shop.steward.accept(bad, shop.v1)
    answer = shop.ask("POST", "/sync")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "has not loaded" in answer.text
    shop.steward.trip(bad)
    until(lambda: shop.ask("POST", "/sync").status_code == 200, "the first answer")
    assert shop.counts(shop.v1, 1).errors == 0


@pytest.mark.requirement("C1")
@pytest.mark.parametrize(
    ("path", "status", "errors", "client_errors"),
    [
        pytest.param("/status/200", 200, 0, 0, id="answered"),
        pytest.param("/status/404", 404, 0, 1, id="the caller's fault"),
        pytest.param("/status/503", 503, 1, 0, id="a status of 5xx"),
        pytest.param("/raise", 500, 1, 0, id="an exception"),
        pytest.param("/nowhere", 404, 0, 1, id="no such page"),
    ],
)
def test_how_a_request_ends_is_counted(shop: Shop, path: str, status: int, errors: int, client_errors: int) -> None:
    shop.load()
    assert shop.ask("GET", path).status_code == status
    counts = shop.counts(shop.v2, 1)
    assert (counts.errors, counts.client_errors) == (errors, client_errors)


@pytest.mark.requirement("C1")
def test_a_health_check_is_served_and_counted_for_nobody(tmp_path: Path) -> None:
    kg = system(tmp_path)
    shop = Shop(Steward(tmp_path), kg, uncounted=["/status/503"])
    shop.load()
    assert shop.ask("GET", "/status/503").headers["kg-system-version"] == shop.v2
    shop.ask("GET", "/status/200")
    assert shop.counts(shop.v2, 1).errors == 0
    kg.close()


class TestPins:
    """A pin of a stranger would let him choose the bad version."""

    def test_from_outside_every_pin_is_removed_and_other_baggage_goes_on(self, shop: Shop) -> None:
        shop.load()
        baggage = f"tenant=a,kg.sv={shop.v1}"
        answer = shop.ask("GET", "/headers", baggage=baggage, **{"kg-system-version": shop.v1})
        assert answer.headers["kg-system-version"] == shop.v2
        seen = answer.json()
        assert seen["in"]["baggage"] == "tenant=a"
        assert "kg-system-version" not in seen["in"]
        assert seen["out"] == {"baggage": f"tenant=a,kg.sv={shop.v2}"}

    def test_from_inside_a_pin_is_honoured(self, inner_shop: Shop) -> None:
        inner_shop.load()
        answer = inner_shop.ask("GET", "/headers", baggage=f"kg.sv={inner_shop.v1}")
        assert answer.headers["kg-system-version"] == inner_shop.v1
        assert answer.json()["out"] == {"baggage": f"kg.sv={inner_shop.v1}"}

    def test_a_header_alone_is_no_pin_even_from_inside(self, inner_shop: Shop) -> None:
        inner_shop.load()
        answer = inner_shop.ask("GET", "/headers", **{"kg-system-version": inner_shop.v1})
        assert answer.headers["kg-system-version"] == inner_shop.v2

    def test_a_pin_to_what_is_gone_is_stale_and_the_edge_picks_again(self, inner_shop: Shop) -> None:
        gone = inner_shop.steward.release(3.0)
        inner_shop.steward.accept(gone)
        inner_shop.load()
        answer = inner_shop.ask("GET", "/headers", baggage=f"kg.sv={gone}")
        assert answer.status_code == 409
        assert "stale pin" in answer.text


class TestProtocol:
    """What is said to the server, message by message."""

    @staticmethod
    def run(shop: Shop, app: Any, scope: dict[str, Any], *received: dict[str, Any], leave: bool = False) -> list[Any]:
        """Run an application under the middleware, and return what was sent; with leave the client is gone."""
        sent: list[Any] = []
        waiting = list(received)

        async def receive() -> Any:
            return waiting.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)
            if leave:
                raise OSError("the client left")

        asyncio.run(shop.kg.Asgi(app)(scope, receive, send))
        return sent

    HTTP = {"type": "http", "method": "GET", "path": "/", "headers": []}  # noqa: RUF012 - read only

    def test_a_client_that_leaves_is_no_error_of_the_version(self, shop: Shop) -> None:
        async def app(_scope: Any, _receive: Any, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})

        shop.load()
        with pytest.raises(OSError, match="the client left"):
            self.run(shop, app, self.HTTP, leave=True)
        assert shop.counts(shop.v2, 1).client_errors == 1

    def test_a_request_that_is_cancelled_is_no_error_of_the_version(self, shop: Shop) -> None:
        async def app(_scope: Any, _receive: Any, _send: Send) -> None:
            raise asyncio.CancelledError

        shop.load()
        with pytest.raises(asyncio.CancelledError):
            self.run(shop, app, self.HTTP)
        assert shop.counts(shop.v2, 1).client_errors == 1

    def test_an_application_that_answers_nothing_has_failed(self, shop: Shop) -> None:
        async def app(_scope: Any, _receive: Any, _send: Send) -> None:
            return None

        shop.load()
        self.run(shop, app, self.HTTP)
        assert shop.counts(shop.v2, 1).errors == 1

    def test_a_failure_in_mid_stream_is_an_error(self, shop: Shop) -> None:
        async def app(_scope: Any, _receive: Any, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise RuntimeError("broken in the middle")

        shop.load()
        with pytest.raises(RuntimeError):
            self.run(shop, app, self.HTTP)
        assert shop.counts(shop.v2, 1).errors == 1

    def test_a_websocket_is_pinned_from_its_first_message_to_its_last(self, shop: Shop) -> None:
        served: list[str] = []

        async def app(_scope: Any, _receive: Any, send: Send) -> None:
            await send({"type": "websocket.accept", "headers": []})
            served.append(shop.kg.slot().version)
            shop.steward.trip(shop.v2)
            served.append(shop.kg.slot().version)

        shop.load()
        sent = self.run(shop, app, {"type": "websocket", "path": "/", "headers": []})
        assert (b"kg-system-version", shop.v2.encode()) in sent[0]["headers"]
        assert served == [shop.v2, shop.v2]
        counts = shop.counts(shop.v2, 1)
        assert (counts.errors, counts.latencies.n) == (0, 0)

    @pytest.mark.parametrize(
        ("refusal", "client_errors", "errors"),
        [
            pytest.param({"type": "websocket.close", "code": 1008}, 1, 0, id="closed before it was accepted"),
            pytest.param({"type": "websocket.http.response.start", "status": 403}, 1, 0, id="forbidden"),
            pytest.param({"type": "websocket.http.response.start", "status": 500}, 0, 1, id="failed"),
        ],
    )
    def test_a_websocket_that_is_refused_is_the_callers_unless_the_answer_says_otherwise(
        self, shop: Shop, refusal: dict[str, Any], client_errors: int, errors: int
    ) -> None:
        async def app(_scope: Any, receive: Any, send: Send) -> None:
            await receive()
            await send(refusal)

        shop.load()
        self.run(shop, app, {"type": "websocket", "path": "/", "headers": []}, {"type": "websocket.connect"})
        counts = shop.counts(shop.v2, 1)
        assert (counts.client_errors, counts.errors) == (client_errors, errors)

    def test_a_websocket_that_is_closed_after_it_was_accepted_went_well(self, shop: Shop) -> None:
        async def app(_scope: Any, _receive: Any, send: Send) -> None:
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": 1000})

        shop.load()
        self.run(shop, app, {"type": "websocket", "path": "/", "headers": []})
        counts = shop.counts(shop.v2, 1)
        assert (counts.client_errors, counts.errors) == (0, 0)

    @pytest.mark.parametrize(
        ("scope", "leaves"),
        [
            pytest.param(HTTP, "http.disconnect", id="http"),
            pytest.param({"type": "websocket", "path": "/", "headers": []}, "websocket.disconnect", id="websocket"),
        ],
    )
    @pytest.mark.parametrize("raises", [True, False])
    def test_a_client_that_leaves_while_it_sends_is_no_error_of_the_version(
        self, shop: Shop, scope: dict[str, Any], leaves: str, *, raises: bool
    ) -> None:
        class GoneError(Exception):
            pass

        async def app(_scope: Any, receive: Any, _send: Send) -> None:
            while (await receive())["type"] != leaves:
                pass
            if raises:
                raise GoneError

        shop.load()
        with pytest.raises(GoneError) if raises else contextlib.nullcontext():
            self.run(shop, app, scope, {"type": "http.request", "body": b"x", "more_body": True}, {"type": leaves})
        counts = shop.counts(shop.v2, 1)
        assert (counts.client_errors, counts.errors) == (1, 0)

    def test_what_fails_after_the_whole_answer_was_given_is_the_versions_own_error(self, shop: Shop) -> None:
        async def app(_scope: Any, receive: Any, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"1"})
            await receive()
            raise RuntimeError("broken behind the answer")

        shop.load()
        with pytest.raises(RuntimeError):
            self.run(shop, app, self.HTTP, {"type": "http.disconnect"})
        assert shop.counts(shop.v2, 1).errors == 1

    def test_a_websocket_before_the_versions_are_loaded_is_told_to_come_again(self, shop: Shop) -> None:
        shop.steward.accept(shop.steward.release(3.0, golden=[{"input": 1.0, "output": 1.0}]))
        sent = self.run(shop, None, {"type": "websocket", "path": "/", "headers": []})
        assert sent == [{"type": "websocket.close", "code": 1013, "reason": "not-ready"}]

    def test_the_application_starts_when_its_versions_are_loaded_and_its_end_is_the_workers(self, shop: Shop) -> None:
        ready: list[bool] = []

        async def app(_scope: Any, receive: Any, send: Send) -> None:
            while (message := await receive())["type"] != "lifespan.shutdown":
                ready.append(shop.kg.ready)
                await send({"type": message["type"] + ".complete"})
            await send({"type": "lifespan.shutdown.complete"})

        shop.steward.accept(shop.v2, shop.v1)
        events = ({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
        self.run(shop, app, {"type": "lifespan"}, *events)
        assert ready == [True]
        assert not shop.kg.ready
        assert shop.steward.reports == {}

    def test_what_is_neither_http_nor_websocket_goes_through(self, shop: Shop) -> None:
        async def app(_scope: Any, _receive: Any, send: Send) -> None:
            await send({"type": "strange"})

        assert self.run(shop, app, {"type": "strange"}) == [{"type": "strange"}]
