r"""
Stream: the wire form of what a control plane sends to an agent, and of what the agent sends back.

Events are those of server-sent events (WHATWG HTML, 9.2): lines ``event:``, ``id:``, ``data:``, and an empty one at the
end; a line that starts with a colon is a heartbeat. The events:

- ``route``: a RouteDocument, the published one; its id is ``document_id``.
- ``rules``: the rules of the system, a system file as JSON.
- ``push``: ``{"ask", "document"}``: know this, then report.
- ``leave``: ``{"ask", "trip", "scope": "fleet" | "replica"}``: break glass (rules 8 and 9), then report.

A report goes back as ``{"report", "answers": {ask: why not, or ""}}``, counts as ``{"at", "counts": […]}``.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.fields import entry, text, text_map
from knowngood_sdk.model.route import Trip
from knowngood_sdk.model.route_wire import parse, trip_from_json, trip_to_json
from knowngood_sdk.model.wire import CountsReport, ReplicaReport, RouteDocument

__all__ = [
    "HEARTBEAT",
    "MAX_EVENT",
    "STATE_HEADER",
    "Answered",
    "Counted",
    "Event",
    "EventReader",
    "Order",
    "counts_body",
    "decode_json",
    "event_bytes",
    "leave_event",
    "order_from_json",
    "push_event",
    "report_body",
    "route_event",
]

HEARTBEAT = b":\n\n"
MAX_EVENT = 8 * 1024 * 1024
"""Bytes of an event, at most; a route document takes a few kilobytes."""
STATE_HEADER = "kg-route-state"
"""Header of an answer to a report: the id of the document that is published now."""


@dataclass(frozen=True, slots=True)
class Event:
    """
    One event of a stream.

    Attributes:
        name: ``route``, ``rules``, ``push``, ``leave``; another one is of a newer program.
        data: Its text.
        id: Id of the published document, if it is one.
    """

    name: str
    data: str
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """
    What an agent is asked to do and to answer.

    Attributes:
        ask: Unique for each question; the answer names it.
        document: What to know, or None.
        trip: What to leave, or None.
        fleet: Whether to leave it as a fact for the fleet, or on this replica alone.
    """

    ask: str
    document: RouteDocument | None = None
    trip: Trip | None = None
    fleet: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """
    A report as it comes in.

    Attributes:
        report: What the replica has made durable.
        answers: Ask -> why it could not be done; empty when it was.
    """

    report: ReplicaReport
    answers: Mapping[str, str]

    @classmethod
    def from_json(cls, document: Any) -> "Answered":
        """Read what ``report_body`` wrote; raises InvalidError for anything else."""
        return parse("report", document, _answered)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """
    Counts as they come in.

    Attributes:
        at: When the agent sent them, as ISO 8601 in UTC.
        counts: The newest of each worker that has counted since.
    """

    at: str
    counts: tuple[CountsReport, ...]

    @classmethod
    def from_json(cls, document: Any) -> "Counted":
        """Read what ``counts_body`` wrote; raises InvalidError for anything else."""
        return parse("message with counts", document, _counted)


class EventReader:
    """
    Puts the lines of a stream together to events.

    Args:
        limit: Bytes of one event, at most.
    """

    def __init__(self, limit: int = MAX_EVENT) -> None:
        self._limit = limit
        self._name = ""
        self._id = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, line: bytes) -> Event | None:
        """
        Take a line, with its end; return the event that it completes, if it does.

        Raises:
            InvalidError: The event is too long, or no UTF-8.
        """
        self._size += len(line)
        if self._size > self._limit:
            raise InvalidError(f"an event is longer than {self._limit} bytes")
        try:
            written = line.decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise InvalidError(f"an event is not UTF-8: {error}") from error
        if not written:
            return self._complete()
        name, _, value = written.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._name = value
        elif name == "id":
            self._id = value
        elif name == "data":
            self._data.append(value)
        return None

    def _complete(self) -> Event | None:
        event = Event(self._name, "\n".join(self._data), self._id) if self._data else None
        self._name, self._id, self._data, self._size = "", "", [], 0
        return event


def event_bytes(name: str, data: Any, id_: str = "") -> bytes:
    """Return the bytes of an event whose data is a JSON value."""
    named = f"id: {id_}\n" if id_ else ""
    return f"event: {name}\n{named}data: {json.dumps(data, separators=(',', ':'), allow_nan=False)}\n\n".encode()


def route_event(document: RouteDocument, id_: str) -> bytes:
    """Return the event that tells what is published."""
    return event_bytes("route", document.to_json(), id_)


def push_event(ask: str, document: RouteDocument) -> bytes:
    """Return the event that takes a document to a replica and asks for its acknowledgement."""
    return event_bytes("push", {"ask": ask, "document": document.to_json()})


def leave_event(ask: str, trip: Trip, *, fleet: bool) -> bytes:
    """Return the event that makes a replica leave a version: as a fact for the fleet, or by itself."""
    return event_bytes("leave", {"ask": ask, "trip": trip_to_json(trip), "scope": "fleet" if fleet else "replica"})


def order_from_json(name: str, document: Any) -> Order:
    """Read the data of a ``push`` or ``leave``; raises InvalidError for anything else."""
    ask = parse("order", document, lambda item: text(item, "ask"))
    if name == "push":
        return Order(ask=ask, document=RouteDocument.from_json(document.get("document")))
    scope = document.get("scope")
    if scope not in ("fleet", "replica"):  # it may be of any type
        raise InvalidError(f"scope {scope!r:.80} is not known", hint="Known are: fleet, replica")
    return Order(ask=ask, trip=trip_from_json(document.get("trip")), fleet=scope == "fleet")


def report_body(report: ReplicaReport, answers: Mapping[str, str]) -> bytes:
    """Return the body that takes a report to the control plane."""
    return _compact({"report": report.to_json(), "answers": dict(answers)})


def counts_body(at: str, counts: Sequence[Mapping[str, Any]]) -> bytes:
    """Return the body that takes counts, each the JSON form of a CountsReport, to the control plane."""
    return _compact({"at": at, "counts": list(counts)})


def decode_json(body: bytes | str) -> Any:
    """Return the value of a body; raises InvalidError when it is not JSON, or is nested too deep."""
    try:
        return json.loads(body, parse_constant=_refuse)
    except RecursionError as error:
        raise InvalidError("it is nested too deep", hint="Send the documents of this API") from error
    except ValueError as error:
        raise InvalidError(f"it is not JSON: {error}", hint="Send one JSON object") from error


def _answered(item: Any) -> Answered:
    return Answered(report=ReplicaReport.from_json(entry(item, "report")), answers=text_map(item, "answers"))


def _counted(item: Any) -> Counted:
    counts = entry(item, "counts")
    if not isinstance(counts, list):
        raise TypeError("counts must be a list")
    return Counted(at=text(item, "at"), counts=tuple(CountsReport.from_json(each) for each in counts))


def _compact(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} has no place in JSON")
