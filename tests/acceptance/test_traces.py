"""
With ``traces: true`` a server sends a span for each request, as a part of its caller's trace.

The receiver stands in for a collector: it takes what a collector takes, by the protocol's own messages, and keeps it.
"""

import gzip
import signal
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.acceptance.control import Control, start_control
from tests.acceptance.stage import Stage, until
from tests.cli.conftest import with_a_system

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Receiver:
    """
    Takes traces as OTLP over HTTP.

    Attributes:
        url: Where it listens.
        spans: What it was sent.
    """

    def __init__(self) -> None:
        self.spans: list[Any] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler) -> None:  # noqa: N805 - the receiver is ``self``
                body = handler.rfile.read(int(handler.headers["Content-Length"]))
                if handler.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                sent = ExportTraceServiceRequest.FromString(body)
                for resource in sent.resource_spans:
                    for scope in resource.scope_spans:
                        self.spans.extend(scope.spans)
                handler.send_response(200)
                handler.end_headers()

            def log_message(handler, *_: object) -> None:  # noqa: N805
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def span(self, name: str) -> Any:
        """Return the span of this name once it was sent."""
        until(lambda: any(span.name == name for span in self.spans), f"a span {name} among what was sent")
        return next(span for span in self.spans if span.name == name)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = with_a_system(Stage(tmp_path))
    yield stage
    stage.close()


def sending_to(url: str, *, every: str) -> dict[str, str]:
    """Return what a server is told, to send spans somewhere every so many milliseconds."""
    return {
        "KNOWNGOOD_TRACES": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_BSP_SCHEDULE_DELAY": every,
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
    }


def value_of(span: Any, key: str) -> Any:
    (found,) = [attribute.value for attribute in span.attributes if attribute.key == key]
    return getattr(found, found.WhichOneof("value"))


def stopped(control: Control) -> int:
    """Ask a server to stop, as a supervisor does; return its exit code."""
    control.process.signal(signal.SIGTERM)
    return control.process.wait()


def test_a_request_is_a_span_of_its_callers_trace(stage: Stage, receiver: Receiver) -> None:
    with start_control(stage, env=sending_to(receiver.url, every="100")) as control:
        answer = control.ask("/v1/systems/pricing", traceparent=f"00-{TRACE}-{PARENT}-01")
        assert answer.status == 200
        span = receiver.span("GET /v1/systems/{system}")
        assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
        seen = {key: value_of(span, key) for key in ("http.request.method", "http.route", "http.response.status_code")}
        assert seen == {
            "http.request.method": "GET",
            "http.route": "/v1/systems/{system}",
            "http.response.status_code": 200,
        }
        assert span.end_time_unix_nano > span.start_time_unix_nano


def test_what_was_not_sent_yet_is_sent_when_it_stops(stage: Stage, receiver: Receiver) -> None:
    with start_control(stage, env=sending_to(receiver.url, every="600000")) as control:
        control.ask("/v1/systems")
        assert receiver.spans == []
        assert stopped(control) == 0
    assert "GET /v1/systems" in {span.name for span in receiver.spans}


def test_a_collector_that_is_away_holds_up_nothing(stage: Stage) -> None:
    with start_control(stage, env=sending_to("http://127.0.0.1:9", every="50")) as control:
        for _ in range(20):
            assert control.ask("/v1/systems").status == 200
        assert stopped(control) == 0
