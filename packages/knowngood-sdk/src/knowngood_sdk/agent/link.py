"""
Link: one control plane, as one agent is connected to it.

Two threads. One holds the stream and hands over what arrives; it is only a hint, and may be silent, broken or behind.
The other sends reports and counts, each second and whenever something changed, and hears in each answer which document
is published now: where that is not what the stream brought, it is fetched. So a replica that was cut off knows within
two seconds of being back. Nothing here is waited for by the keeper, and nothing of the keeper by a worker.
"""

import logging
import queue
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from knowngood_sdk.agent.server import Connection, Server
from knowngood_sdk.agent.tally import Tally
from knowngood_sdk.errors import InvalidError, KnownGoodError, NotFoundError
from knowngood_sdk.model.stream import (
    MAX_EVENT,
    STATE_HEADER,
    Event,
    EventReader,
    Order,
    counts_body,
    decode_json,
    order_from_json,
    report_body,
)
from knowngood_sdk.model.wire import ReplicaReport, RouteDocument
from knowngood_sdk.serving.folder import ReplicaFolder

__all__ = ["Inbox", "Letter", "Limits", "Link"]

_SECOND = 1.0
_LONGEST_PAUSE_SECONDS = 0.8
_FIRST_PAUSE_SECONDS = 0.05
_BEHIND_SECONDS = 0.5
"""The stream may be behind an answer for so long before the document is fetched."""

_log = logging.getLogger("knowngood.agent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    What is enough of a stream.

    Attributes:
        silence_seconds: One that brings no whole line for so long is dead, whatever the network says; a control plane
            has something to say every five seconds.
        event_bytes: Size of an event, at most.
    """

    silence_seconds: float = 12.5
    event_bytes: int = MAX_EVENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """
    What came from a control plane, read.

    Attributes:
        link: Where it came from; None is a peer.
        document: The published document, or None.
        rules: The rules of the system, or None.
        order: What is to be done and answered, or None.
    """

    link: "Link | None" = None
    document: RouteDocument | None = None
    rules: Mapping[str, Any] | None = None
    order: Order | None = None


class Inbox:
    """
    What came and was not read yet. Whoever floods it waits.

    Args:
        wake: Called after each letter, from the thread that brought it.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._letters: queue.Queue[Letter] = queue.Queue(maxsize=64)
        self._wake = wake
        self._closed = False

    def put(self, letter: Letter) -> None:
        """Leave a letter, as soon as there is room."""
        while not self._closed:
            try:
                self._letters.put(letter, timeout=_SECOND)
            except queue.Full:
                self._wake()
            else:
                self._wake()
                return

    def take(self) -> Letter | None:
        """Return the next letter, or None when there is none."""
        try:
            return self._letters.get_nowait()
        except queue.Empty:
            return None

    def close(self) -> None:
        """Let nobody wait for room any longer."""
        self._closed = True


class Link:
    """
    The connection of one replica to one control plane.

    Args:
        server: The control plane.
        folder: The replica folder.
        inbox: Where letters go.
        limits: What is enough of its stream.

    Attributes:
        troubles: What does not work, by topic, for people.
        heard: Whether a published document came, or that there is none, since the start.
    """

    def __init__(self, server: Server, folder: ReplicaFolder, inbox: Inbox, limits: Limits | None = None) -> None:
        self._server = server
        self._place = f"/v1/systems/{folder.system_folder.name}"
        self._replica = folder.replica
        self._tally = Tally(folder)
        self._limits = limits or Limits()
        self._inbox = inbox
        self._stopped = threading.Event()
        self._news = threading.Condition()
        self._report: ReplicaReport | None = None
        self._fresh = False
        self._answers: dict[str, str] = {}
        self._known = ""
        self._behind_since: float | None = None
        self._line_at = 0.0
        self._count_at = 0.0
        self._streaming: Connection | None = None
        self.troubles: dict[str, str] = {}
        self.heard = False
        self._threads = [
            threading.Thread(target=self._hold_stream, name="kg-stream", daemon=True),
            threading.Thread(target=self._hold_reports, name="kg-reports", daemon=True),
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Send what is to be sent, if that is quick, and hang up."""
        self._stopped.set()
        with self._news:
            self._news.notify()
        streaming = self._streaming
        if streaming is not None:
            streaming.cut()
        for thread in self._threads:
            thread.join(_SECOND)

    def tell(self, report: ReplicaReport, answers: Mapping[str, str] | None = None, *, now: bool = True) -> None:
        """
        Take a report to the control plane.

        Args:
            report: It; a newer one takes the place of one that has not gone yet.
            answers: What it answers, by ask.
            now: Whether it says something new; otherwise it goes with the next second.
        """
        with self._news:
            self._report = report
            self._answers.update(answers or {})
            if now:
                self._fresh = True
                self._news.notify()

    # The stream.

    def _hold_stream(self) -> None:
        failures = 0
        while not self._stopped.is_set():
            began = time.monotonic()
            try:
                self._listen()
            except KnownGoodError as error:
                self._trouble("stream", str(error))
            except Exception as error:  # noqa: BLE001 - whatever it is: without this thread no order arrives any more
                _log.exception("the stream of %s ended by a fault of this program", self._server.url)
                self._trouble("stream", f"{self._server.url}: {type(error).__name__}: {error}")
            # One that lasted was well: the next attempt comes soon. Nobody may make an agent call without pause.
            failures = 0 if time.monotonic() - began > _SECOND else failures + 1
            self._stopped.wait(_pause(failures))

    def _listen(self) -> None:
        connection = self._server.connect()
        self._streaming = connection
        try:
            headers = {"accept": "text/event-stream", **({"last-event-id": self._known} if self._known else {})}
            answer = connection.call("GET", f"{self._place}/stream?replica={self._replica}", headers=headers)
            reader = EventReader(self._limits.event_bytes)
            while not self._stopped.is_set():
                connection.until(self._limits.silence_seconds)
                line = answer.line(self._limits.event_bytes)
                if not line.endswith(b"\n"):
                    # The end, or half a line: what is not complete never came.
                    return
                self._line_at = time.monotonic()
                event = reader.feed(line)
                if event is not None:
                    self._deliver(event)
                    self._trouble("stream", "")
        finally:
            self._streaming = None
            connection.close()

    def _deliver(self, event: Event) -> None:
        try:
            letter = self._read(event)
        except InvalidError as error:
            self._trouble("event", f"{self._server.url} sent a {event.name:.40} that cannot be read: {error}")
            return
        if letter is not None:
            self._inbox.put(letter)

    def _read(self, event: Event) -> Letter | None:
        if event.name == "route":
            document = RouteDocument.from_json(decode_json(event.data))
            self._note(event.id)
            return Letter(link=self, document=document)
        if event.name == "rules":
            return Letter(link=self, rules=_object(decode_json(event.data)))
        if event.name in {"push", "leave"}:
            return Letter(link=self, order=order_from_json(event.name, decode_json(event.data)))
        return None

    def _note(self, known: str) -> None:
        self._known, self.heard, self._behind_since = known, True, None

    # The reports.

    def _hold_reports(self) -> None:
        connection: Connection | None = None
        failures = 0
        while not self._stopped.is_set():
            self._await_news()
            try:
                connection = connection or self._server.connect()
                self._send(connection)
            except KnownGoodError as error:
                self._trouble("reports", str(error))
                failures += 1
                if connection is not None:
                    connection.close()
                connection = None
                self._stopped.wait(_pause(failures))
            else:
                self._trouble("reports", "")
                if failures:
                    self._redial()
                failures = 0
        if connection is not None:
            self._take_leave(connection)

    def _await_news(self) -> None:
        with self._news:
            if not self._fresh and not self._stopped.is_set():
                self._news.wait(max(0.0, self._count_at - time.monotonic()))

    def _send(self, connection: Connection) -> None:
        with self._news:
            report, fresh, answers = self._report, self._fresh, dict(self._answers)
            self._fresh = False
        if report is None:
            return
        path, published = f"{self._place}/replicas/{self._replica}", ""
        counts: Sequence[Mapping[str, Any]] = ()
        if time.monotonic() >= self._count_at:
            counts = self._tally.since()
            self._count_at = time.monotonic() + _SECOND
        try:
            if fresh or not counts:
                published = _posted(connection, f"{path}/report", report_body(report, answers))
                with self._news:
                    for ask in answers:
                        self._answers.pop(ask, None)
            if counts:
                # They are a sign of life too.
                published = _posted(connection, f"{path}/counts", counts_body(report.at, counts))
                self._tally.arrived()
        except KnownGoodError:
            with self._news:
                self._fresh = self._fresh or fresh
            raise
        self._compare(connection, published)

    def _compare(self, connection: Connection, published: str) -> None:
        """Fetch the published document where the stream has not brought it in time."""
        if published in {"", self._known}:
            self._behind_since = None
            self.heard = self.heard or not published
            return
        now = time.monotonic()
        stream_works = self._streaming is not None and now - self._line_at < self._limits.silence_seconds / 2
        if self._behind_since is None:
            self._behind_since = now
        if stream_works and now - self._behind_since < _BEHIND_SECONDS:
            return
        headers = {"if-none-match": f'"{self._known}"'} if self._known else {}
        try:
            fetched = connection.call("GET", f"{self._place}/route", headers=headers)
        except NotFoundError:
            return
        if fetched.changed:
            document = RouteDocument.from_json(fetched.json())
            self._note(fetched.header("etag").strip('"'))
            self._inbox.put(Letter(link=self, document=document))
        else:
            fetched.body()
        if stream_works:
            # It brings heartbeats and not what it is there for.
            self._redial()

    def _redial(self) -> None:
        """Give up a stream that was open while nothing arrived."""
        streaming = self._streaming
        if streaming is not None and time.monotonic() - self._line_at > _SECOND:
            streaming.cut()

    def _take_leave(self, connection: Connection) -> None:
        with self._news:
            report, answers = self._report if self._fresh else None, dict(self._answers)
        try:
            if report is not None:
                path = f"{self._place}/replicas/{self._replica}/report"
                connection.call("POST", path, report_body(report, answers)).body()
        except KnownGoodError as error:
            _log.info("the last report did not arrive: %s", error)
        finally:
            connection.close()

    def _trouble(self, topic: str, text: str) -> None:
        self.troubles = {**self.troubles, topic: text}


def _posted(connection: Connection, path: str, body: bytes) -> str:
    """Send a body; return the id of the document that is published now, or empty."""
    answer = connection.call("POST", path, body)
    answer.body()
    return answer.header(STATE_HEADER)


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidError(f"rules must be an object, not {type(value).__name__}")
    return value


def _pause(failures: int) -> float:
    """Return how long to wait before the next attempt, in seconds: longer each time, spread, and bounded."""
    longest: float = min(_FIRST_PAUSE_SECONDS * 2 ** min(failures, 10), _LONGEST_PAUSE_SECONDS)
    return longest * (0.5 + secrets.randbelow(1000) / 2000)
