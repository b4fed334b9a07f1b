"""Room: what one process of the control plane knows of one system, in memory."""

import random
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from threading import Lock
from typing import Any

from knowngood.adapters.hub.channel import Channel
from knowngood.adapters.hub.question import Question
from knowngood.ports.exchange import Reported
from knowngood.ports.traffic import Replica
from knowngood_sdk.model.joining import document_id
from knowngood_sdk.model.stream import event_bytes, route_event
from knowngood_sdk.model.wire import CountsReport, ReplicaReport, RouteDocument

__all__ = ["Presence", "Room", "Spans"]


_UNSETTLED_LOOKS = 4
"""Looks at a room after something changed there: rules are written right behind the route."""
_FULL_LOOK_SECONDS = 120.0
"""Between two looks at a room where nothing seems to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """
    How long a silence means what, in seconds.

    Attributes:
        agent: An agent without a stream that has not reported for so long does not run; one that runs reports each
            second, and other processes pass that on every two.
        workers: Workers serve on without an agent; what was heard of them last holds for so long.
        unheard: A replica that was not heard of and never said that it stops may still serve, for so long. After that
            its host is taken for gone.
        back: An agent whose stream broke is back within so long, if it comes back.
    """

    agent: float = 6.0
    workers: float = 15.0
    unheard: float = 86_400.0
    back: float = 1.5


@dataclass(slots=True)
class Presence:
    """
    One replica as heard of.

    Attributes:
        report: Its newest report.
        seen_at: When it came, by the clock of whoever took it.
        heard: When it came here, on the monotonic clock.
        left: When its last stream ended, on the monotonic clock.
    """

    report: ReplicaReport
    seen_at: datetime
    heard: float
    left: float = float("-inf")


@dataclass(slots=True, eq=False)
class Room:
    """
    One system. Whoever reads or changes it holds the lock of the hub; ``turn`` is for those who publish.

    Attributes:
        system: Its name.
        document: What is published, or None before the first.
        id: Id of that document, or empty.
        event: The event that tells it.
        rules: The rules of the system, or None.
        loaded: Whether what the exchange has was read once.
        owed: Whether what is published here is not on the exchange yet.
        refused: Replica -> when it was last refused, on the monotonic clock, and why.
        trouble: Why what is known here is not shared with other processes; empty when it is.
        stamp: What told at the last look whether anything on the exchange changed.
        unsettled: Looks that are still to be made since it did: what belongs to a change may come a moment later.
        full_at: When it is looked at next whatever the stamp says, on the monotonic clock.
    """

    system: str
    document: RouteDocument | None = None
    id: str = ""
    event: bytes = b""
    rules: Any = None
    loaded: bool = False
    counts_loaded: bool = False
    owed: bool = False
    trouble: str = ""
    turn: Lock = field(default_factory=Lock)
    channels: dict[str, list[Channel]] = field(default_factory=dict)
    present: dict[str, Presence] = field(default_factory=dict)
    questions: dict[str, Question] = field(default_factory=dict)
    counts: dict[str, CountsReport] = field(default_factory=dict)
    stamp: str = ""
    unsettled: int = 0
    full_at: float = 0.0
    changed: set[str] = field(default_factory=set)
    touched: set[str] = field(default_factory=set)
    counted: dict[str, dict[str, CountsReport]] = field(default_factory=dict)
    refused: dict[str, tuple[float, str]] = field(default_factory=dict)

    @property
    def is_due(self) -> bool:
        """Whether something of it is to be left on the exchange, or was never read from there."""
        return bool(self.owed or self.changed or self.touched or self.counted or not self.loaded)

    @property
    def asks_elsewhere(self) -> bool:
        """Whether somebody waits for a replica that has no stream here, but to another process."""
        return any(name not in self.channels for asked in self.questions.values() for name in asked.waiting)

    def note(self, stamp: str | None) -> None:
        """Note what tells whether anything on the exchange changed; None where that cannot be told."""
        now = time.monotonic()
        if stamp is None or stamp != self.stamp:
            self.unsettled = _UNSETTLED_LOOKS
        else:
            self.unsettled = max(int(now >= self.full_at), self.unsettled - 1)
        if self.unsettled:
            self.full_at = now + _FULL_LOOK_SECONDS * random.uniform(0.5, 1.5)  # noqa: S311 - it spreads the looks
        self.stamp = self.stamp if stamp is None else stamp

    def take_counts(self, replica: str, counts: Collection[CountsReport]) -> None:
        """Take what a replica's workers counted, where it is newer than what is known."""
        for report in counts:
            name = f"{replica}/{report.worker}"
            if name not in self.counts or self.counts[name].sequence < report.sequence:
                self.counts[name] = report
        held = {f"{replica}/{worker}" for report in counts for worker in report.holds}
        for name in held & self.counts.keys():
            del self.counts[name]

    def forget(self, reports: Collection[ReplicaReport]) -> None:
        """Note that reports are on the exchange; what changed meanwhile is not."""
        for report in reports:
            if self.present[report.replica].report == report:
                self.changed.discard(report.replica)
                self.touched.discard(report.replica)

    def adopt(self, document: RouteDocument | None) -> None:
        """Take what is published now, and tell it on every stream if it is new."""
        if document is None or document == self.document:
            return
        id_ = document_id(document)
        self.document, self.id, self.event = document, id_, route_event(document, id_)
        for channel in self.streams():
            channel.offer("route", self.event)

    def adopt_rules(self, rules: Any) -> None:
        """Take the rules of the system, and tell them on every stream if they are new."""
        if rules is None or rules == self.rules:
            return
        self.rules = rules
        event = event_bytes("rules", rules)
        for channel in self.streams():
            channel.offer("rules", event)

    def streams(self) -> Iterator[Channel]:
        """Give every open stream."""
        for channels in self.channels.values():
            yield from channels

    def greet(self, channel: Channel, known: str) -> None:
        """Open a stream, and send what its replica may not know: published document, rules, open questions."""
        self.channels.setdefault(channel.replica, []).append(channel)
        if self.event and known != self.id:
            channel.offer("route", self.event)
        if self.rules is not None:
            channel.offer("rules", event_bytes("rules", self.rules))
        for question in self.questions.values():
            if channel.replica in question.waiting:
                channel.order(question.event)

    def dismiss(self, channel: Channel) -> None:
        """Forget a stream that has ended."""
        channels = self.channels.get(channel.replica, [])
        if channel in channels:
            channels.remove(channel)
        if not channels:
            self.channels.pop(channel.replica, None)
            if channel.replica in self.present:
                self.present[channel.replica].left = time.monotonic()

    def hear(self, report: ReplicaReport) -> None:
        """Take a report that came here."""
        known = self.present.get(report.replica)
        if known is not None and report.at < known.report.at:
            return
        if known is None or replace(known.report, at=report.at) != report:
            self.changed.add(report.replica)
        else:
            self.touched.add(report.replica)
        self._place(report, datetime.now(UTC), time.monotonic())

    def touch(self, replica: str, at: str) -> None:
        """Take a sign of life."""
        known = self.present.get(replica)
        if known is not None and at >= known.report.at:
            self.touched.add(replica)
            self._place(replace(known.report, at=at), datetime.now(UTC), time.monotonic())

    def learn(self, reported: Reported) -> bool:
        """Take a report that another process left on the exchange; return whether it is news."""
        report = reported.report
        known = self.present.get(report.replica)
        if known is not None and report.at <= known.report.at:
            return False
        # At the first look it may be old; later ones are seen as they come, whatever the clocks say.
        age = 0.0 if known else max(0.0, (datetime.now(UTC) - reported.seen_at).total_seconds())
        self._place(report, reported.seen_at, time.monotonic() - age)
        return True

    def replica(self, name: str, spans: Spans) -> Replica:
        """Return a replica as it is known now."""
        known, now = self.present[name], time.monotonic()
        silent = now - known.heard
        heard_since = known.heard > known.left and silent < spans.agent and not known.report.stopped
        alive = name in self.channels or heard_since
        workers = known.report.workers
        running = alive or silent < spans.workers
        refused_at, why = self.refused.get(name, (0.0, ""))
        in_vain = refused_at > known.heard and silent >= spans.agent
        unheard = not running and not known.report.stopped and silent < spans.unheard
        return Replica(
            name=name,
            report=known.report,
            agent_alive=alive,
            workers_alive=workers if running else 0,
            seen_at=known.seen_at,
            workers_unheard=workers if unheard else 0,
            trouble=f"its agent was refused, and reports in vain: {why}" if in_vain else "",
        )

    def expected(self, name: str, spans: Spans) -> bool:
        """Whether an answer of a replica may come: its agent runs, or its stream broke only just now."""
        if name in self.channels:
            # Most are; of a thousand that are waited for each is looked at again and again.
            return True
        known = self.present[name]
        return self.replica(name, spans).agent_alive or (
            time.monotonic() - known.left < spans.back and not known.report.stopped
        )

    def _place(self, report: ReplicaReport, seen_at: datetime, heard: float) -> None:
        known = self.present.get(report.replica)
        left = known.left if known else float("-inf")
        self.present[report.replica] = Presence(report, seen_at, heard, left)
