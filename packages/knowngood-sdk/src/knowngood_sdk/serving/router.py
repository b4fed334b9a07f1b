"""
Router: which slot serves a request.

The common path is one attribute read and one comparison with the shared word, without a lock. Only when the word has
moved is anything worked out, and only when it names a generation that this process has not seen is a file read.
"""

import threading
from collections.abc import Callable, Mapping, Set
from dataclasses import replace

from knowngood_sdk.errors import NotReadyError
from knowngood_sdk.model.route import Facts, FleetRoute, LocalTrip, ReplicaState, Trip
from knowngood_sdk.model.word import unpack
from knowngood_sdk.serving.folder import Recovery, ReplicaFolder
from knowngood_sdk.serving.shared_word import Position, SharedWord
from knowngood_sdk.serving.slot import Slot
from knowngood_sdk.serving.table import NO_WORD, Pick, Table
from knowngood_sdk.serving.trouble import Troubles

__all__ = ["Router", "join_states"]

_ATTEMPTS = 3


class Router:
    """
    The route of one worker. Safe for threads.

    Args:
        folder: The replica folder.
        troubles: Where it tells what it could not do.
        in_force: Told each new ``pick``.

    Attributes:
        table: Where requests go, as far as this process has looked; ``current`` looks again.
        cell: The shared word: ``cell[0]`` is compared with the table's.
        pick: ``pick(subject=None)``, the slot that serves a subject now; raises NotReadyError as ``current`` does. It
            is another function after each flip: ask for it each time.
    """

    pick: Pick

    def __init__(self, folder: ReplicaFolder, troubles: Troubles, in_force: Callable[[Pick], None]) -> None:
        self._folder = folder
        self._troubles = troubles
        self._in_force = in_force
        self._lock = threading.Lock()
        self._state = ReplicaState()
        self._journal_read = 0
        self._slots: Mapping[str, Slot] = {}
        self._fallback: Slot | None = None
        self._open = False
        self._word: SharedWord | None = None
        self.cell: memoryview[int] | tuple[int, ...] = (0,)
        self._enforce(self._table(self._state, NO_WORD))

    # What a request asks.

    def current(self) -> Table:
        """
        Return the table in force.

        Raises:
            NotReadyError: The worker has not loaded what it must serve, or nothing is ready and no static fallback is
                declared.
        """
        table = self.table
        word = self.cell[0]
        if word == table.word:
            return table
        table = self._settled() if self._lock.acquire(blocking=False) else self._meanwhile(word)
        if not self._open:
            raise NotReadyError("this worker has not loaded the version that it must serve", hint="Ask again soon")
        if not table.serves:
            raise NotReadyError(
                "no version is ready, and no static fallback is declared", hint="Declare @kg.fallback def fallback()"
            )
        return table

    # What the worker's own threads tell it.

    @property
    def state(self) -> ReplicaState:
        """What this worker knows of the replica's state."""
        return self._state

    @property
    def ready(self) -> bool:
        """Whether requests can be served."""
        return self.table.word != NO_WORD

    @property
    def slots(self) -> Mapping[str, Slot]:
        """The ready slots by version."""
        return self._slots

    def attach(self) -> None:
        """Open the shared word, or open it again where the file is another one by now."""
        if self._word is not None and self._word.attached:
            return
        word = SharedWord(self._folder.word_file)
        self._troubles.note("word", " ".join(word.warnings))
        with self._lock:
            # The old mapping stays valid for whoever still reads it.
            self._word, self.cell = word, word.cell
            self._settle()

    def look(self) -> Recovery:
        """
        Take what the files say now, and return it; what is known already is never forgotten.

        Raises:
            InvalidError: A newer version of this program wrote them.
        """
        # Not under the lock: a request may want it, and a disk may hang.
        found = self._folder.recover(self._journal_read)
        with self._lock:
            self._learn(found)
            self._settle()
        return found

    def heed(self, trips: Mapping[str, Trip]) -> None:
        """
        Leave what was published as left, before any request is let in.

        For one that starts: its own files may be older than the route that others were given, and its agent may start
        later than it does. What this replica knows as released stays released.
        """
        with self._lock:
            self._state, _ = self._state.receive(FleetRoute(), {}, Facts(trips), self._slots.keys())
            self._settle()

    def install(self, slots: Mapping[str, Slot], fallback: Slot | None) -> None:
        """Replace the ready slots."""
        with self._lock:
            self._slots, self._fallback = dict(slots), fallback
            self._settle()

    def open(self) -> None:
        """Let requests in: what the route names is loaded here, so that nothing is skipped by one that starts."""
        with self._lock:
            self._open = True
            self._settle()

    def leave_here(self, version: str, ready: Set[str]) -> LocalTrip | None:
        """
        Leave a version on this replica alone (rule 9): in this process at once, then in the shared word.

        The caller has checked the target; the caller makes the trip durable.

        Args:
            version: What to leave.
            ready: Versions ready in every live worker of the replica.

        Returns:
            The trip, or None when the version does not serve any more or nothing ready stands behind it.
        """
        with self._lock:
            if self._state.target_after_leaving(version, ready) is None:
                return None
            trip = LocalTrip(self._folder.replica, self._state.fleet.generation, version)
            self._state = self._state.leave_here(trip.replica, version, ready)
            self._enforce(self._table(self._state, self.cell[0]))
            self._settle()
        return trip

    # Inside.

    def _settled(self) -> Table:
        """Settle, and let go of the lock, which this thread has just taken."""
        try:
            self._settle()
            return self.table
        finally:
            self._lock.release()

    def _meanwhile(self, word: int) -> Table:
        """
        Return what a word means while another thread has the lock.

        Among busy threads that one may wait for the interpreter for many milliseconds, and whoever waits for the lock
        then waits with it. A move within the known generation needs no more than what is known; only for a new one is
        the lock waited for, as a file has to be read.
        """
        state, position = self._state, unpack(word)
        if position is not None and position[0] == state.fleet.generation:
            return self._table(_moved(state, position), word)
        with self._lock:
            if self.cell[0] != self.table.word:
                self._settle()
            return self.table

    # Inside, under the lock.

    def _learn(self, found: Recovery) -> None:
        # The journal grows with every flip: what was read of it once is known, and not read again.
        self._state, self._journal_read = join_states(self._state, found.state), found.journal_read

    def _settle(self) -> None:
        """Bring state and word together, and put the table that follows in force."""
        word = self.cell[0]
        try:
            word = self._join_word()
        except Exception as error:  # noqa: BLE001 - requests wait on this: whatever it is, they go on as before
            self._troubles.note("route", f"the route stays as it is: {error}")
        else:
            self._troubles.note("route", "")
        self._enforce(self._table(self._state, word))

    def _enforce(self, table: Table) -> None:
        # Where nothing can serve, or nothing may yet, each request asks again and gets the reason.
        self.table = table if self._open and table.serves else replace(table, word=NO_WORD)
        self.pick = self.table.picking(self.cell, self._pick_again)
        self._in_force(self.pick)

    def _pick_again(self, subject: str | bytes | None = None) -> Slot:
        return self.current().choose(subject)

    def _join_word(self) -> int:
        """Return the word that agrees with the state, after joining either with the other."""
        word = self.cell[0]
        for _ in range(_ATTEMPTS):
            word = self.cell[0]
            position = unpack(word)
            generation = self._state.fleet.generation
            if (word and position is None) or (position is not None and position[0] > generation):
                # A newer generation is in the file before it is in the word (rule 10).
                self._learn(self._folder.recover(self._journal_read))
            self._state = _moved(self._state, position)
            mine = self._position()
            if self._word is None or mine is None or position == mine:
                break
            if position is not None and position[0] > mine[0]:
                raise NotReadyError(f"the word is at generation {position[0]}, and no file here tells of it")
            # Lower than what is known here: a store was lost, or a file came back. Raise it again.
            self._word.join(*mine)
        return word

    def _position(self) -> Position | None:
        state = self._state
        if not state.fleet.generation:
            return None
        return (state.fleet.generation, state.latched, state.fleet.split)

    def _table(self, state: ReplicaState, word: int) -> Table:
        return Table.of(state, self._slots, self._fallback, word=word, system=self._folder.system_folder.name)


def _moved(state: ReplicaState, position: Position | None) -> ReplicaState:
    """
    Return a state at the position of the shared word.

    Exactly there: what this worker has read may be older than what the agent went by, and by a trip whose release it
    has not read it would take the whole replica a step too far, even onto what the agent has just left.
    """
    return state.raised(position)


def join_states(one: ReplicaState, other: ReplicaState) -> ReplicaState:
    """
    Return what two accounts of one replica know together.

    The newer generation holds; within one, step, split and latch are the maximum. Facts only grow. A local trip stays
    until a generation that has seen it.
    """
    older, newer = sorted((one, other), key=lambda state: state.fleet.generation)
    generations = {**older.generations, **newer.generations}
    fleet, latched = newer.fleet, newer.latched
    if older.fleet.generation == fleet.generation:
        fleet, latched = max(older.fleet, fleet), max(older.latched, latched)
    accepted = generations.get(fleet.generation)
    local = older.local | newer.local
    return ReplicaState(
        fleet=fleet,
        latched=latched,
        facts=older.facts.merge(newer.facts),
        local=local - accepted.saw_local if accepted else local,
        generations=generations,
    )
