"""
As of: what was read of a system, kept for as long as its ledger goes no further.

What is kept here is never put on record without an entry (see ``Change``), and the hash of an entry stands for all that
was before it: the same head is the same record, whoever wrote it. So a look at a system where nothing moved reads the
end of its ledger, however long its history is.
"""

from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import Any, Generic, TypeVar

from knowngood.domain.evidence import Evidence
from knowngood.domain.fleet import FleetState
from knowngood.domain.ledger import EMPTY, Anchor
from knowngood.domain.saga import Saga, in_order

__all__ = ["AsOf", "Readings"]

T = TypeVar("T")

_MOST_ROWS = 20_000
"""Of each kind, of all systems together; some 500 bytes each where nothing else has them in use."""


class AsOf(Generic[T]):
    """
    One kind of what is read. Threads may share it; what is kept may never be changed.

    Args:
        most: Rows that are kept; those of the systems that were asked for last.
    """

    def __init__(self, most: int = _MOST_ROWS) -> None:
        self._most = most
        self._lock = Lock()
        self._rows = 0
        self._kept: OrderedDict[str, tuple[Anchor, T, int]] = OrderedDict()

    def find(self, system: str, head: Anchor) -> T | None:
        """Return what was read of a system whose ledger goes so far; None where that is not known."""
        with self._lock:
            kept = self._kept.get(system)
            if kept is None or kept[0] != head:
                return None
            self._kept.move_to_end(system)
            return kept[1]

    def keep(self, system: str, head: Anchor, value: T, rows: int) -> None:
        """
        Keep what was read of a system in the same moment as its head, or was just committed with it.

        A ledger without an entry says nothing: then nothing is kept.
        """
        if head == EMPTY:
            return
        with self._lock:
            before = self._kept.pop(system, None)
            self._rows -= before[2] if before is not None else 0
            if rows > self._most:
                # It would push out all others, and then itself.
                return
            self._rows += rows
            self._kept[system] = head, value, rows
            while self._rows > self._most:
                _, (_, _, fewer) = self._kept.popitem(last=False)
                self._rows -= fewer

    def carry(self, system: str, before: Anchor, now: Anchor) -> None:
        """Take what was read before a change that left it as it was for what is on record after it."""
        with self._lock:
            kept = self._kept.get(system)
            if kept is not None and kept[0] == before:
                self._kept[system] = now, *kept[1:]


class Readings:
    """What a store keeps of what it read, of every kind that is asked for at each look."""

    def __init__(self) -> None:
        self.route: AsOf[FleetState] = AsOf()
        self.evidence: AsOf[tuple[Evidence, ...]] = AsOf()
        self.sagas: AsOf[tuple[Saga, ...]] = AsOf()

    def keep_route(self, system: str, head: Anchor, state: FleetState) -> None:
        """Keep a route; see ``AsOf.keep``."""
        kinds: tuple[Any, ...] = (state.generations, state.facts.trips, state.facts.released, state.local)
        self.route.keep(system, head, state, sum(map(len, kinds)) + len(state.episodes))

    def carry_sagas(self, system: str, before: Anchor, now: Anchor, saved: Mapping[str, Saga]) -> None:
        """Take the rollbacks that were read before a change, with those that it saved, for what is on record now."""
        known = self.sagas.find(system, before)
        if known is not None:
            sagas = in_order({**{saga.id: saga for saga in known}, **saved}.values())
            self.sagas.keep(system, now, sagas, len(sagas))
