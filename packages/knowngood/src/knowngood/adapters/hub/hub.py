"""
Hub: the side of one control plane process that replicas are connected to.

All that is asked in a hurry is answered from memory, and what is told goes to the open streams straight from memory: no
database stands between a decision and the replicas. What other processes must know is left on the exchange by a thread
of the hub's own, which also looks there for what the others did.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from threading import Condition, Event, Thread
from types import TracebackType
from typing import Any, Self

from knowngood.adapters.hub.channel import Channel
from knowngood.adapters.hub.question import Question, unanswered
from knowngood.adapters.hub.room import Room, Spans
from knowngood.ports.exchange import Exchange
from knowngood.ports.traffic import Answers, Replica, Unreachable
from knowngood_sdk.errors import ComponentError, KnownGoodError, NotFoundError, PermanentError, TransientError
from knowngood_sdk.model.joining import joined
from knowngood_sdk.model.manifest import check_name
from knowngood_sdk.model.wire import CountsReport, ReleaseDocument, ReplicaReport, RouteDocument

__all__ = ["Hub"]

_log = logging.getLogger(__name__)
_TURN_SECONDS = 0.05
_PAUSE_SECONDS = 0.01
_GATHER_SECONDS = 0.03
"""Reports that change together are left together."""
_LOOK_SECONDS = 1.0
_HEARTBEAT_SECONDS = 2.0
_NO_AGENT = "no agent is connected; its workers serve on, on the route that they have"


class Hub:
    """
    The replicas of one control plane process. Safe for threads; as a context it keeps the exchange up to date.

    Args:
        exchange: Where processes of the control plane meet.
        spans: How long a silence means what.
    """

    def __init__(self, exchange: Exchange, spans: Spans | None = None) -> None:
        self.exchange = exchange
        self._spans = spans or Spans()
        self._changed = Condition()
        self._rooms: dict[str, Room] = {}
        self._due = Event()
        self._stopped = self._listens = False
        self._told_elsewhere: set[str] = set()
        self._down_until = 0.0
        self._thread = Thread(target=self._keep, name="kg-hub", daemon=True)
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._listen()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every stream, and leave on the exchange what is not there yet."""
        self._stopped = True
        self._due.set()
        self._thread.join()
        self.end_streams()
        self._stack.close()

    def check(self) -> None:
        """
        See that the exchange is kept up to date.

        Raises:
            PermanentError: The thread that does it has ended.
        """
        if not self._thread.is_alive():
            raise PermanentError(
                "nothing is shared with the other processes of this control plane: the thread kg-hub has ended",
                hint="The server's log says why; start the server again",
            )

    def end_streams(self) -> None:
        """Let every stream end, for a server that is to stop; the agents call again."""
        with self._changed:
            for room in self._rooms.values():
                for channel in room.streams():
                    channel.end()

    # What replicas do; never waits for anything.

    def open(self, channel: Channel, known: str) -> None:
        """Begin a stream; ``known`` is the id of the document that its replica has, or empty."""
        with self._changed:
            room = self._room(channel.system)
            room.greet(channel, known)
            self._changed.notify_all()
        if not room.loaded:
            self._due.set()

    def close(self, channel: Channel) -> None:
        """End a stream."""
        with self._changed:
            self._room(channel.system).dismiss(channel)
            self._changed.notify_all()

    def report(self, system: str, report: ReplicaReport, answers: Mapping[str, str]) -> str:
        """Take a report and what it answers; return the id of the document that is published now, or empty."""
        with self._changed:
            room = self._room(system)
            room.hear(report)
            news = report.replica in room.changed
            for question in room.questions.values():
                question.hear(report, answers)
            if news:
                self._changed.notify_all()
        if news:
            self._due.set()
        return room.id

    def refused(self, system: str, replica: str, why: str) -> None:
        """Note that who calls itself so was not let in. Anybody may: it counts where that one is silent."""
        with self._changed:
            room = self._rooms.get(system)
            if room is None or replica not in room.present:
                return
            known = room.refused.get(replica)
            room.refused[replica] = (time.monotonic(), why)
        if known is None or known[1] != why:
            _log.warning("replica %s of %s was refused: %s", replica, system, why)

    def count(self, system: str, replica: str, at: str, counts: Sequence[CountsReport]) -> str:
        """Take the newest counts of some workers of a replica; return as ``report``."""
        with self._changed:
            room = self._room(system)
            room.touch(replica, at)
            room.take_counts(replica, counts)
            waiting = room.counted.setdefault(replica, {})
            for report in counts:
                if report.worker not in waiting or waiting[report.worker].sequence < report.sequence:
                    waiting[report.worker] = report
        return room.id

    def current(self, system: str) -> tuple[str, RouteDocument | None]:
        """Return what is published, with its id; from memory once it was read."""
        room = self._room_of(system)
        if room.document is None:
            self.loaded(system)
        with self._changed:
            return room.id, room.document

    def rules(self, system: str) -> Mapping[str, Any] | None:
        """Return the rules of a system; from memory once they were read."""
        room = self.loaded(system)
        rules: Mapping[str, Any] | None = room.rules
        return rules

    # What the control plane does.

    def loaded(self, system: str) -> Room:
        """
        Return a system's room, after reading once what the exchange has of it.

        Raises:
            KnownGoodError: As the exchange; what is known here already is returned all the same.
        """
        with self._changed:
            room = self._room(system)
        if room.loaded:
            return room
        self._refuse_while_down()
        with self._noticing():
            document = self.exchange.route(system)
            rules, reports = self.exchange.rules(system), self.exchange.reports(system)
        with self._changed:
            if not room.loaded:
                room.adopt(document if room.document is None or document is None else joined(document, room.document))
                room.adopt_rules(rules)
                for reported in reports.values():
                    room.learn(reported)
                room.loaded = True
                self._changed.notify_all()
        return room

    def publish(self, system: str, change: Callable[[RouteDocument], RouteDocument], *, anew: bool) -> None:
        """
        Change what is published; see ``Traffic.publish``.

        Raises:
            TransientError: The exchange cannot be reached. What was to be published is in force here all the same: it
                is streamed, and written as soon as that is possible.
        """
        room = self._room_of(system)

        def change_all(known: RouteDocument) -> RouteDocument:
            return change(joined(known, room.document) if room.owed and room.document else known)

        with room.turn:
            try:
                self._refuse_while_down()
                with self._noticing():
                    document = self.exchange.change_route(system, change_all, anew=anew)
            except ComponentError as error:
                with self._changed:
                    document = change(room.document or RouteDocument(system=system))
                    room.owed = True
                    room.adopt(document)
                raise TransientError(
                    f"it is told to the replicas of {system} and not published yet: {error.message}",
                    hint="It is published as soon as the exchange can be reached",
                ) from error
            with self._changed:
                room.owed = False
                room.adopt(document)

    def save_rules(self, system: str, rules: Mapping[str, Any]) -> None:
        """Keep rules, and tell them."""
        self.exchange.save_rules(system, rules)
        with self._changed:
            self._room(system).adopt_rules(dict(rules))

    def save_release(self, release: ReleaseDocument) -> None:
        """Keep a release."""
        self.exchange.save_release(release)

    def ask(
        self,
        system: str,
        question: Question,
        deadline: timedelta,
        *,
        replicas: Collection[str] | None = None,
        on_acknowledged: Callable[[str], None] | None = None,
    ) -> Answers:
        """
        Ask replicas and wait for their answers; no database is asked.

        Raises:
            NotFoundError: There is no replica of such a name.
        """
        with self._changed:
            room = self._room(system)
            unknown = sorted(set(replicas or ()) - room.present.keys())
            if unknown:
                raise NotFoundError(
                    f"system {system} has no replica {unknown[0]!r}",
                    hint=f"It has: {', '.join(room.present) or 'none'}",
                )
            names = set(room.present if replicas is None else replicas)
            lost = {name for name in names if not room.expected(name, self._spans)}
            question.waiting = names - lost
            room.questions[question.ask] = question
            for name in question.waiting:
                for channel in room.channels.get(name, ()):
                    channel.order(question.event)
        try:
            answers = question.gather(
                len(names - lost), deadline, on_acknowledged, lambda: self._give_up(room, question)
            )
        finally:
            with self._changed:
                del room.questions[question.ask]
        silent = {name: Unreachable(replica=name, reason=_NO_AGENT) for name in lost}
        return {**silent, **unanswered(answers, names - lost, deadline), **answers}

    def stamp(self, system: str) -> tuple[str, bool, int]:
        """Return what is another value once another document is published here, or a replica is heard of first."""
        room = self._room_of(system)
        return room.id, room.loaded, len(room.present)

    def streaming(self, system: str) -> frozenset[str]:
        """Return the replicas that have a stream to this process."""
        with self._changed:
            return frozenset(self._room(system).channels)

    def _give_up(self, room: Room, question: Question) -> None:
        """Settle what is asked of replicas whose agent has gone and did not come back."""
        with self._changed:
            for name in [name for name in question.waiting if not room.expected(name, self._spans)]:
                question.settle(name, Unreachable(replica=name, reason=_NO_AGENT))

    def replicas(self, system: str) -> Mapping[str, Replica]:
        """Return every replica that was heard of, from memory."""
        with contextlib.suppress(ComponentError):
            # Those that were heard of here are known without the exchange.
            self.loaded(system)
        with self._changed:
            return self._replicas(system)

    def wait(
        self, system: str, until: Callable[[Mapping[str, Replica]], bool], deadline: timedelta
    ) -> Mapping[str, Replica]:
        """See ``Traffic.wait``."""
        end = time.monotonic() + deadline.total_seconds()
        seen, pause = self.replicas(system), Event()
        while not until(seen) and (left := end - time.monotonic()) > 0:
            with self._changed:
                self._changed.wait(min(left, 0.1))
            # Not at each of a thousand reports: whoever waits looks at all replicas.
            pause.wait(_PAUSE_SECONDS)
            with self._changed:
                seen = self._replicas(system)
        return seen

    def counts(self, system: str) -> Mapping[str, CountsReport]:
        """
        Return the newest counts by worker.

        Raises:
            KnownGoodError: What workers counted that are gone was never read, and cannot be now.
        """
        with self._changed:
            room = self._room(system)
        if not room.counts_loaded:
            self._look_for_counts(room)
        with self._changed:
            return {report.worker: report for report in room.counts.values()}

    # Inside.

    def _room_of(self, system: str) -> Room:
        with self._changed:
            return self._room(system)

    def _room(self, system: str) -> Room:
        room = self._rooms.get(system)
        if room is None:
            room = self._rooms[check_name(system, "system")] = Room(system)
        return room

    def _replicas(self, system: str) -> Mapping[str, Replica]:
        room = self._room(system)
        return {name: room.replica(name, self._spans) for name in sorted(room.present)}

    # The thread that keeps the exchange up to date.

    def _heard(self, system: str) -> None:
        """Note that another process has changed a route."""
        with self._changed:
            self._told_elsewhere.add(system)
        self._due.set()

    def _listen(self) -> None:
        """Be told of what other processes change, as soon as that is possible; until then it is looked for."""
        with contextlib.suppress(ComponentError):
            self._stack.enter_context(self.exchange.listening(self._heard))
            self._listens = True

    def _keep(self) -> None:
        look = beat = 0.0
        pause = Event()
        while True:
            self._due.wait(_TURN_SECONDS if self._asking() else _LOOK_SECONDS)
            pause.wait(0.0 if self._stopped else _GATHER_SECONDS)
            self._due.clear()
            if not self._listens:
                try:
                    self._listen()
                except Exception:  # noqa: BLE001 - it is looked for all the same, as long as this thread lives
                    _log.exception("nobody tells what other processes change; it is looked for")
            last, now = self._stopped, time.monotonic()
            looks, beats = now >= look or last, now >= beat or last
            look, beat = (now + _LOOK_SECONDS if looks else look), (now + _HEARTBEAT_SECONDS if beats else beat)
            self._go_round(looks=looks, beats=beats)
            if last:
                return

    def _go_round(self, *, looks: bool, beats: bool) -> None:
        """Leave what is due on the exchange, and look there, system by system, until it cannot be reached."""
        with self._changed:
            told, asking = self._told_elsewhere, self._asking()
            # A beat takes all, for who streams to another process is heard of at beats alone.
            whole = looks or beats or asking
            rooms = [room for room in self._rooms.values() if whole or room.is_due or room.system in told]
            self._told_elsewhere = set()
        if looks:
            self._note_changes(rooms)
        for room in rooms:
            try:
                self._leave(room, beats=beats, counts=looks)
                stirs = bool(room.unsettled or room.present)
                if (looks and stirs) or room.system in told or not room.loaded:
                    self._look_for_route(room)
                if (beats and stirs) or asking:
                    self._look_for_reports(room)
                if looks and stirs and room.counts_loaded:
                    self._look_for_counts(room)
            except KnownGoodError as error:
                self._tell(room, str(error))
                if isinstance(error, TransientError):
                    return
            except Exception as error:  # noqa: BLE001 - a thread that ends here would share nothing more of any system
                self._tell(room, f"{type(error).__name__}: {error}", unforeseen=error)
            else:
                self._tell(room, "")

    def _note_changes(self, rooms: Collection[Room]) -> None:
        """Ask once what changed on the exchange, of all rooms; where that cannot be told each is looked at."""
        stamps: Mapping[str, str] = {}
        try:
            stamps = self.exchange.stamps()
        except KnownGoodError:
            pass  # the looks themselves tell what is wrong
        except Exception:  # noqa: BLE001 - a thread that ends here would share nothing more of any system
            _log.exception("what changed on the exchange cannot be told; every room is looked at")
        for room in rooms:
            room.note(stamps.get(room.system))

    def _tell(self, room: Room, trouble: str, *, unforeseen: Exception | None = None) -> None:
        """Tell what does not work, once."""
        if trouble and not room.trouble:
            what = "what is known of %s is not shared with other processes: %s"
            _log.warning(what, room.system, trouble, exc_info=unforeseen)
        elif room.trouble and not trouble:
            _log.info("what is known of %s is shared with other processes again", room.system)
        room.trouble = trouble

    def _asking(self) -> bool:
        """Whether somebody waits for a replica that has no stream here, but to another process."""
        with self._changed:
            return any(room.asks_elsewhere for room in self._rooms.values())

    def _leave(self, room: Room, *, beats: bool, counts: bool) -> None:
        """Leave on the exchange what is not there yet."""
        if room.owed:
            with contextlib.suppress(TransientError):
                self.publish(room.system, lambda known: known, anew=True)
        with self._changed:
            names = room.changed | (room.touched if beats else set())
            reports = [room.present[name].report for name in sorted(names)]
            counted = {replica: list(workers.values()) for replica, workers in room.counted.items()} if counts else {}
        if reports:
            self._refuse_while_down()
            with self._noticing():
                self.exchange.save_reports(room.system, reports)
            with self._changed:
                room.forget(reports)
        if counted:
            self.exchange.save_counts(room.system, counted)
            with self._changed:
                for replica, saved in counted.items():
                    left = {w: r for w, r in room.counted[replica].items() if r not in saved}
                    room.counted[replica] = left
                room.counted = {replica: left for replica, left in room.counted.items() if left}

    def _look_for_route(self, room: Room) -> None:
        if not room.loaded:
            self.loaded(room.system)
            return
        # Whoever publishes here at the moment brings it along.
        if not room.turn.acquire(blocking=False):
            return
        try:
            document, rules = self.exchange.route(room.system), self.exchange.rules(room.system)
            with self._changed:
                if not room.owed:
                    room.adopt(document)
                room.adopt_rules(rules)
        finally:
            room.turn.release()

    def _look_for_reports(self, room: Room) -> None:
        reports = self.exchange.reports(room.system)
        with self._changed:
            for reported in reports.values():
                if room.learn(reported):
                    for question in room.questions.values():
                        question.hear(reported.report, {}, elsewhere=True)
            self._changed.notify_all()

    def _look_for_counts(self, room: Room) -> None:
        self._refuse_while_down()
        with self._noticing():
            counts = self.exchange.counts(room.system)
        with self._changed:
            by_replica: dict[str, list[CountsReport]] = {}
            for name, report in counts.items():
                by_replica.setdefault(name.partition("/")[0], []).append(report)
            for replica, reports in by_replica.items():
                room.take_counts(replica, reports)
            room.counts_loaded = True

    def _refuse_while_down(self) -> None:
        """Do not let everybody wait for an exchange that was not there a moment ago."""
        if time.monotonic() < self._down_until:
            raise TransientError("the exchange could not be reached a moment ago")

    @contextlib.contextmanager
    def _noticing(self) -> Iterator[None]:
        try:
            yield
        except TransientError:
            self._down_until = time.monotonic() + _LOOK_SECONDS
            raise
