"""
Keeper: one replica's state, and the order in which it becomes true.

Whoever holds the agent's lock keeps the state: the agent for as long as it runs, or for a moment a command that breaks
the glass where no agent runs. The order of writes is that of rule 10. Within a generation: word, file, acknowledgement;
the workers leave a bad version before any disk is waited for, and where lines in the journal say as much as the file it
is acknowledged on them: one sync instead of two, and the file follows when nobody waits. A new generation: file, word,
acknowledgement; no worker stands on a generation that a restart would not know, and what the facts beside it say to
leave is left before the file, in the generation that still holds. What is reported is what is durable.
"""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from knowngood_sdk.agent.anchor import Anchor
from knowngood_sdk.agent.crew import Crew
from knowngood_sdk.agent.reading import Identity, Reading, identity
from knowngood_sdk.agent.vetting import Vetting
from knowngood_sdk.errors import ConflictError, InvalidError, KnownGoodError, NotReadyError, TransientError
from knowngood_sdk.model.canonical import canonical_bytes, check_digest, short
from knowngood_sdk.model.route import Facts, FleetRoute, LocalTrip, Refusal, ReplicaState, Trip
from knowngood_sdk.model.wire import ReleaseDocument, ReplicaReport, RouteDocument, trip_to_json
from knowngood_sdk.model.word import pack
from knowngood_sdk.serving.disk import write_whole
from knowngood_sdk.serving.folder import ReplicaFolder, hold, state_bytes
from knowngood_sdk.serving.journal import Entry, LocalRecord

__all__ = ["Keeper"]

_RETRY_SECONDS = 0.25
"""What the disk refused is tried again after so long."""
_FILE_SECONDS = 0.5
"""What stands in the journal is filed after so long: a push that follows at once does not wait for two syncs more."""
_REPORT_SECONDS = 1.0
"""A report that says nothing new is written again after so long."""

_Writes = tuple[Entry, ...] | bytes

_log = logging.getLogger("knowngood.agent")


class Keeper:
    """
    Keeps the state of one replica folder. Not safe for threads: one thread owns it.

    Args:
        folder: The replica folder; made when it is missing.
        root: File with the root of the keys that must vouch for routes and releases; None where none was ever given,
            or the folder knows it from before.

    Raises:
        ConflictError: Another process keeps it.
        TransientError: The folder cannot be made or locked.
    """

    def __init__(self, folder: ReplicaFolder, *, root: Path | None = None) -> None:
        folder.make()
        lock = hold(folder.agent_lock)
        if lock is None:
            raise ConflictError(
                f"another agent keeps {folder.path}", hint="One agent for each replica folder: stop it first"
            )
        self._folder = folder
        self._lock = lock
        self._warnings: dict[str, str] = {}
        self._crew = Crew(folder)
        self._anchor = Anchor(folder.anchor_file)
        self._journal = Reading(folder.journal(), folder.journal_file)
        self._route_seen: Identity | None = None
        self._offered: RouteDocument | None = None
        self._refusal: Refusal | None = None
        self._vetting = Vetting(folder, root)
        self._owed_at: float | None = None
        self._file_at: float | None = None
        self._reported: tuple[object, ...] = ()
        self._reported_at = 0.0
        # What is in force, what of it a restart would find, and what of that is in the file.
        self._state = self._durable = self._filed = ReplicaState()
        try:
            self._word = folder.word()
            self.warn("anchor", self._anchor.warning)
            self._recover()
            self.look_around()
            self.look()
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave a last report, and let go of the folder."""
        self.write_report(stopped=kind is None)
        os.close(self._lock)

    @property
    def system(self) -> str:
        """Name of the system."""
        return self._folder.system_folder.name

    @property
    def vouched(self) -> RouteDocument | None:
        """The newest signed route that was taken, for others who ask for signatures; None where there is none."""
        return self._offered if self._offered is not None and self._offered.signed is not None else None

    # What comes from outside.

    def take(self, document: RouteDocument) -> RouteDocument:
        """
        Take a message from the control plane (rule 7), and make it durable.

        Where signatures are asked for and nobody vouches for it, its trips are taken and nothing else: that is no
        error, for the trips are acknowledged, but a refusal and a warning in the report.

        Returns:
            What of it may be kept for workers to read: all of it, or its trips beside what was vouched for last.

        Raises:
            InvalidError: It is another system's, or contradicts itself or what is known here; the facts of one that
                is ours are taken all the same.
            TransientError: It could not be made durable; what it says to leave has been left.
        """
        if document.system != self.system:
            raise InvalidError(f"the document is for system {document.system!r}, this is a replica of {self.system!r}")
        # What a worker has just left on its own evidence may be what this deployer has not seen.
        self._look_at_word()
        self._look_at_journal()
        if not self._may_take(document):
            self._adopt(self._state.receive(FleetRoute(), {}, document.trips, self._crew.ready)[0])
            self._demand_durable()
            known = self._offered or RouteDocument(system=self.system)
            return replace(known, facts=known.facts.merge(document.trips))
        try:
            self._offer(document)
            if self._refusal is not None and self._offered is not None and document is not self._offered:
                self._offer(self._offered)
            self._anchor.hear(document.anchor)
        except (InvalidError, TransientError):
            # Leaving is unconditional: whatever stands against the route, the facts beside it are in force.
            self._adopt(self._state.receive(FleetRoute(), {}, document.facts, self._crew.ready)[0])
            raise
        finally:
            self.warn("anchor", self._anchor.warning)
            self._guarded("trust file", self._vetting.save)
        self._demand_durable()
        return document

    def check_release(self, release: ReleaseDocument) -> None:
        """
        Check that somebody vouches for what a version is, where signatures are asked for; safe for threads.

        Raises:
            UntrustedError: Nobody does whom this replica trusts.
            InvalidError: What is signed is malformed.
        """
        self._vetting.check_release(release)

    def leave(self, trip: Trip) -> None:
        """
        Break glass: take a trip as a fact for the fleet (rule 8), and make it durable.

        Raises:
            InvalidError: It names no version.
            TransientError: The version has been left, and the disk does not take it.
        """
        check_digest(trip.version)
        self._adopt(self._state.leave(trip, self._crew.ready))
        self._demand_durable()

    def leave_here(self, trip: Trip) -> None:
        """
        Break glass on this replica alone: a local trip (rule 9), kept with its reason in the journal.

        That the target answers a golden probe right now cannot be seen from here; that it did when it was made ready
        can.

        Raises:
            InvalidError: It names no version.
            NotReadyError: The version is not served here, or nothing that is ready stands behind it.
            TransientError: The disk does not take it.
        """
        check_digest(trip.version)
        if trip.version in {local.version for local in self._state.local}:
            self._demand_durable()
            return
        self._crew.look()
        replica, ready = self._folder.replica, self._crew.ready
        if self._state.target_after_leaving(trip.version, ready) is None:
            raise NotReadyError(
                f"replica {replica} does not serve version {short(trip.version)}, or has nothing ready behind it",
                hint="A trip for the whole fleet leaves it in any case, for the static fallback if need be",
            )
        self._adopt(self._state.leave_here(replica, trip.version, ready))
        local = LocalTrip(replica, self._state.fleet.generation, trip.version)
        self._journal.append(LocalRecord(trip=local, at=trip.at, why=trip.why))
        self._demand_durable()

    # What is looked at again and again.

    def look(self) -> None:
        """Look at word, journal and published document, and take what is new; a few microseconds when nothing is."""
        self._look_at_word()
        self._look_at_journal()
        self._look_at_published()
        now = time.monotonic()
        if self._owed_at is None:
            if self._file_at is not None and now >= self._file_at:
                self._save()
        elif now >= self._owed_at:
            self._owed_at = self._route_seen = None
            self._journal.look_again()
            self._save()
            self._offer_again()

    def look_around(self) -> None:
        """Look at what changes less often: the workers, and whether the word is still the one that they map."""
        if self._crew.look():
            self._offer_again()
        if not self._word.attached:
            self._word = self._folder.word()
            self._show(self._state)
        self.warn("word", " ".join(self._word.warnings))
        self.warn("age of the route", self._vetting.age_warning)
        self.warn("keys", self._vetting.keys_warning)
        self._guarded("trust file", self._vetting.save)

    def clear_away_dead(self) -> None:
        """Remove what dead workers left; what they counted stays, in one file."""
        self._guarded("departed", self._crew.clear_away_dead)

    # What goes out.

    def report(self, *, stopped: bool = False) -> ReplicaReport:
        """Return what is durable here, and who serves it."""
        return ReplicaReport(
            replica=self._folder.replica,
            state=self._durable,
            ready=self._crew.ready,
            failed=self._crew.failed,
            load_seconds=self._crew.load_seconds,
            workers=len(self._crew.reports),
            memory_bytes=self._crew.memory_bytes,
            fallback=self._crew.fallback,
            refusal=self._vetting.refusal(self._durable.fleet.generation) or self._refusal,
            at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            anchor=self._anchor.kept,
            stopped=stopped,
            warnings=(*dict.fromkeys(self._warnings.values()), *self._crew.warnings),
            signed=self._vetting.newest,
            crew=frozenset(self._crew.reports),
            held_out=self._held_out,
        )

    @property
    def _held_out(self) -> bool:
        return self._offered is not None and self._folder.replica in self._offered.held_out

    def answer(self) -> ReplicaReport:
        """
        Return the report for whoever asked over the network; what is new in it is filed first.

        A person on this host, and a server on it, must not find an older state in the file than was acknowledged.
        """
        return self.write_report() or self.report()

    def write_report(self, *, stopped: bool = False) -> ReplicaReport | None:
        """Write the report, if it says anything new or the last one is a second old; return what was written."""
        says = (
            stopped,
            self._durable,
            self._vetting.refusal(self._durable.fleet.generation) or self._refusal,
            self._held_out,
            self._anchor.kept,
            self._vetting.newest,
            self._crew.reports,
            tuple(self._warnings.items()),
        )
        now = time.monotonic()
        if says == self._reported and now - self._reported_at < _REPORT_SECONDS:
            return None
        self._reported, self._reported_at = says, now
        report = self.report(stopped=stopped)
        self._guarded("report", lambda: self._folder.write_report(report))
        return report

    # Inside.

    def _recover(self) -> None:
        """Take up what a restart finds, and make it durable as far as it is not."""
        recovery = self._folder.recover()
        self.warn("recovery", " ".join(recovery.warnings))
        self._state = recovery.state
        try:
            self._durable = self._filed = self._folder.state() or ReplicaState()
        except KnownGoodError as error:
            _log.warning("the state was joined without its file: %s", error)
        if recovery.torn:
            self._guarded("torn", lambda: _log.warning("the torn state is now %s", self._folder.set_aside_state()))
        self._guarded("journal", self._journal.settle)
        self._save()
        self._show(self._state)

    def _may_take(self, document: RouteDocument) -> bool:
        """Whether a document may be taken whole; where it may not, the report says why."""
        vetted = self._vetting.vet(document, self._state.fleet.generation)
        if vetted.anew:
            # What a key vouched for that has gone since is not to be taken later on, when it is ready.
            self._offered = self._refusal = None
        self.warn("trust", self._vetting.warning)
        return not vetted.doubt

    def _offer(self, document: RouteDocument) -> None:
        for number, generation in document.generations.items():
            known = self._state.generations.get(number, generation)
            if known != generation:
                raise InvalidError(
                    f"generation {number} was minted as {_names(known.chain)} and is now {_names(generation.chain)}",
                    hint="A generation never changes: was an older copy of the store put back? Deploy again",
                )
        if document.route.generation > self._state.fleet.generation:
            # What was ready a moment ago is not good enough to arrive on.
            self._crew.look()
        state, refusal = self._state.receive(document.route, document.generations, document.facts, self._crew.ready)
        writes = self._prepare(state)
        if self._offered is None or document.route >= self._offered.route:
            self._offered, self._refusal = document, refusal
        self._adopt(state, writes)

    def _offer_again(self) -> None:
        offered = self._offered
        if offered is None:
            self._guarded("state", lambda: self._adopt(self._state.relatch(self._crew.ready)))
        else:
            self._guarded("state", lambda: self._offer(offered))

    def _prepare(self, state: ReplicaState) -> _Writes:
        """
        Return what makes a state durable, empty when it is the present one.

        Lines for the journal, where a restart would come from them to this very state; else the bytes of the file.

        Raises:
            InvalidError: Nothing could hold it; nothing has been written.
        """
        if state == self._state:
            return b""
        if state.fleet.generation:
            pack(state.fleet.generation, state.latched, state.fleet.split)
        known = self._durable
        new = {uid: trip for uid, trip in state.facts.trips.items() if uid not in known.facts.trips}
        for stands in ((), (state.stand,)):
            entries = (*new.values(), *stands)
            if entries and known.rejoin(word=None, trips=Facts(new), local=frozenset(), stands=stands) == state:
                for trip in new.values():
                    canonical_bytes(trip_to_json(trip))
                return entries
        return state_bytes(state)

    def _adopt(self, state: ReplicaState, writes: _Writes | None = None) -> None:
        """Make a state the present one, in the order of rule 10."""
        writes = self._prepare(state) if writes is None else writes
        if not writes:
            return
        if isinstance(writes, bytes) and state.fleet.generation != self._state.fleet.generation:
            # Leaving waits for no disk: arriving does.
            self._show(self._state.receive(FleetRoute(), {}, state.facts, self._crew.ready)[0])
            try:
                write_whole(self._folder.state_file, writes)
            except TransientError:
                self._owe()
                raise
            self._state = state
            self._is_filed()
            self._show(state)
        else:
            self._show(state)
            self._state = state
            if isinstance(writes, bytes):
                self._save(writes)
            elif not self._note_down(writes):
                self._save()

    def _show(self, state: ReplicaState) -> None:
        if state.fleet.generation:
            self._word.join(state.fleet.generation, state.latched, state.fleet.split)

    def _save(self, data: bytes | None = None) -> None:
        state = self._state
        if state == self._filed:
            return
        if self._guarded("disk", lambda: write_whole(self._folder.state_file, data or state_bytes(state))):
            self._is_filed()
        else:
            self._owe()

    def _is_filed(self) -> None:
        self._durable = self._filed = self._state
        self._file_at = None

    def _note_down(self, entries: tuple[Entry, ...]) -> bool:
        """Make the present state durable by lines in the journal; return whether that went well."""
        try:
            self._journal.append(*entries)
        except TransientError:
            # The file is tried next, and what it says of the disk is told.
            return False
        self._durable = self._state
        if self._file_at is None:
            self._file_at = time.monotonic() + _FILE_SECONDS
        return True

    def _owe(self) -> None:
        self._owed_at = time.monotonic() + _RETRY_SECONDS

    def _demand_durable(self) -> None:
        # A worker may have gone elsewhere meanwhile, onto what is being left here: that is left too before anybody is
        # told that it was.
        self._look_at_word()
        if self._state != self._durable:
            raise TransientError(
                f"replica {self._folder.replica} has it in force, and not durable: {self._warnings.get('disk', '')}"
            )

    def _look_at_word(self) -> None:
        position = self._word.read()
        mine = (self._state.fleet.generation, self._state.latched, self._state.fleet.split)
        if position == mine:
            return
        if position is not None and position[0] == mine[0] and (position[1] > mine[1] or position[2] > mine[2]):
            self._guarded("journal", self._join)
        self._show(self._state)

    def _look_at_journal(self) -> None:
        if self._journal.changed() and not self._guarded("journal", self._join):
            self._owe()

    def _join(self) -> None:
        """Join what workers, or a command that broke the glass, have put into word and journal."""
        tail = self._journal.tail()
        if tail.damaged:
            self.warn("journal lines", " ".join(tail.damaged))
        joined = self._state.rejoin(
            word=self._word.read(),
            trips=tail.facts,
            local=tail.local_trips,
            stands=tail.stands,
            ready=self._crew.ready,
        )
        self._adopt(joined, b"" if joined == self._state else state_bytes(joined))
        self._journal.has_read(tail)

    def _look_at_published(self) -> None:
        seen = identity(self._folder.route_file)
        if seen != self._route_seen:
            self._route_seen = seen
            if not self._guarded("route", self._take_published):
                self._owe()

    def _take_published(self) -> None:
        document = self._folder.route()
        if document is not None:
            self.take(document)

    def _guarded(self, topic: str, act: Callable[[], object]) -> bool:
        """Do something that may fail without stopping the agent; return whether it went well."""
        try:
            act()
        except KnownGoodError as error:
            self.warn(topic, str(error))
            return False
        self.warn(topic, "")
        return True

    def warn(self, topic: str, text: str) -> None:
        """Keep a warning for the report until the topic is well again, and tell it once on stderr."""
        if self._warnings.get(topic, "") == text:
            return
        self._warnings.pop(topic, None)
        if text:
            if text not in self._warnings.values():  # as where two ways to a server meet one trouble
                _log.warning("%s", text)
            self._warnings[topic] = text


def _names(chain: tuple[str, ...]) -> str:
    return f"[{', '.join(short(version) for version in chain)}]"
