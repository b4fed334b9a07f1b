"""Traces: a span for each request, where the settings ask for it and OpenTelemetry is installed."""

import importlib
import logging
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any, Protocol

__all__ = ["NoTraces", "Tracer", "tracer_of"]

_log = logging.getLogger(__name__)
Ending = Callable[[str, int], None]


class Tracer(Protocol):
    """Makes spans."""

    def request(self, scope: MutableMapping[str, Any], headers: Mapping[bytes, bytes]) -> "Any":
        """Return a context for one request; what it gives is called with the route and the status at the end."""
        ...

    def close(self) -> None:
        """Send what was not sent yet."""
        ...


class NoTraces:
    """Makes none."""

    @contextmanager
    def request(self, _scope: MutableMapping[str, Any], _headers: Mapping[bytes, bytes]) -> Iterator[Ending]:
        """Do nothing."""
        yield lambda _route, _status: None

    def close(self) -> None:
        """Do nothing."""


class _Spans:
    """Makes spans with OpenTelemetry, as part of the caller's trace where there is one."""

    def __init__(self) -> None:
        self._trace = importlib.import_module("opentelemetry.trace")
        self._propagate = importlib.import_module("opentelemetry.propagate")
        provider = importlib.import_module("opentelemetry.sdk.trace").TracerProvider(shutdown_on_exit=False)
        export = importlib.import_module("opentelemetry.sdk.trace.export")
        exporter = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        provider.add_span_processor(export.BatchSpanProcessor(exporter.OTLPSpanExporter()))
        self._provider, self._tracer = provider, provider.get_tracer("knowngood")

    @contextmanager
    def request(self, scope: MutableMapping[str, Any], headers: Mapping[bytes, bytes]) -> Iterator[Ending]:
        """Make the span of a request."""
        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()}
        method = str(scope["method"])
        with self._tracer.start_as_current_span(
            method, context=self._propagate.extract(carrier), kind=self._trace.SpanKind.SERVER
        ) as span:

            def ended(route: str, status: int) -> None:
                span.update_name(f"{method} {route}")
                span.set_attributes(
                    {"http.request.method": method, "http.route": route, "http.response.status_code": status}
                )

            yield ended

    def close(self) -> None:
        """Send what was not sent yet."""
        self._provider.shutdown()


def tracer_of(*, wanted: bool) -> Tracer:
    """Return what makes spans: nothing, unless it is wanted and can be."""
    if not wanted:
        return NoTraces()
    try:
        return _Spans()
    except ModuleNotFoundError as error:
        _log.warning("no traces are sent, for %s is not installed: pip install 'knowngood[telemetry]'", error.name)
        return NoTraces()
