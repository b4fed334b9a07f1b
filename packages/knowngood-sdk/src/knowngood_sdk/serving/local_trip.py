"""
Local trip: a worker leaves a version on its own evidence, without agent and control plane (rule 9).

Only immediate triggers are judged here, only on requests that the version itself served, and only once in a generation.
Before it leaves, the target answers a golden input in this very process; where it cannot, nothing moves, the replica
says that it is degraded, and a person is needed. The trip is in force in this process first, then in the shared word,
then durable in the journal.
"""

import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime

from knowngood_sdk.errors import KnownGoodError, NotReadyError
from knowngood_sdk.model.canonical import short
from knowngood_sdk.serving.counting import Counting
from knowngood_sdk.serving.folder import ReplicaFolder
from knowngood_sdk.serving.golden import Answer, check_golden
from knowngood_sdk.serving.journal import LocalRecord
from knowngood_sdk.serving.limits import Breach, LocalLimits
from knowngood_sdk.serving.router import Router
from knowngood_sdk.serving.slot import Slot
from knowngood_sdk.serving.trouble import Troubles

__all__ = ["LocalTrips", "Prober"]

PROBE_SECONDS = 2.0
"""A target that takes longer to answer one golden input is no target."""
_PATIENCE_NS = 1_000_000_000
"""A breach that led to nothing is looked at again after so long."""


class LocalTrips:
    """
    Judges what this worker serves. One thread owns it.

    Args:
        folder: The replica folder.
        worker: Name of this worker.
        router: The route.
        counting: The counts.
        troubles: Where a breach that leads to nothing is told.

    Attributes:
        limits: What it judges by.
        answer: The user's way to answer golden inputs; without it no target can prove itself.
    """

    def __init__(
        self, folder: ReplicaFolder, worker: str, router: Router, counting: Counting, troubles: Troubles
    ) -> None:
        self.limits = LocalLimits()
        self.answer: Answer | None = None
        self._worker = worker
        self._folder = folder
        self._journal = folder.journal()
        self._router = router
        self._counting = counting
        self._troubles = troubles
        self._owed: list[LocalRecord] = []
        self._generation = 0
        self._quiet_until: dict[tuple[str, str], int] = {}
        self._told: set[str] = set()
        self._prober = Prober()

    def judge(self) -> None:
        """Judge every version that is live here, and leave one that is sick beyond doubt."""
        state = self._router.state
        now = time.perf_counter_ns()
        live = dict.fromkeys(state.chain[position] for position in state.positions if position < len(state.chain))
        begins = state.fleet.generation != self._generation
        if begins:
            self._generation = state.fleet.generation
            self._quiet_until.clear()
            self._troubles.note("trip", "")
        self._counting.hold_against(self.limits.bounds)
        found = []
        for version in live:
            recent = self._counting.recent(version)
            if begins:
                # What a version did before it was deployed again is no evidence against it now.
                recent.clear()
            found += [(version, breach) for breach in self.limits.judge(recent)]
        self._tell_what_is_over(found)
        left = set()
        # What may be acted on goes first: another breach of the same version is no reason to stay.
        for version, breach in sorted(found, key=lambda one: one[1].trigger not in self.limits.granted):
            key = (version, breach.trigger)
            if version not in left and now >= self._quiet_until.get(key, 0):
                self._quiet_until[key] = now + _PATIENCE_NS
                if self._act(version, breach):
                    left.add(version)

    def make_durable(self) -> None:
        """Write the trips that the journal does not hold yet; one that the disk refuses is tried again."""
        try:
            while self._owed:
                self._journal.append(self._owed[0])
                self._owed.pop(0)
        except KnownGoodError as error:
            self._troubles.note("journal", f"a local trip is in force and not durable: {error}")
        else:
            self._troubles.note("journal", "")

    def _tell_what_is_over(self, found: Iterable[tuple[str, Breach]]) -> None:
        topics = {_topic(version, breach) for version, breach in found}
        for topic in self._told - topics:
            self._troubles.note(topic, "")
        self._told &= topics

    def _act(self, version: str, breach: Breach) -> bool:
        """Act on a breach as far as that is granted; return whether the version was left."""
        what = f"version {short(version)}: {breach.why}"
        if breach.trigger not in self.limits.granted:
            self._tell(version, breach, f"{what}; only reported, for the trigger {breach.trigger} may not roll back")
            return False
        try:
            trip = self._router.leave_here(version, self._tested_target(version))
        except NotReadyError as error:
            self._tell(version, breach, f"degraded: {what}; this replica stays, for {error}")
            return False
        if trip is not None:
            at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            self._owed.append(LocalRecord(trip=trip, at=at, why=breach.why))
            self.make_durable()
            self._troubles.note("trip", f"{what}; this replica left it on its own evidence")
        return trip is not None

    def _tell(self, version: str, breach: Breach, text: str) -> None:
        self._told.add(_topic(version, breach))
        self._troubles.note(_topic(version, breach), text)

    def _tested_target(self, version: str) -> frozenset[str]:
        """Return what is ready on the whole replica, once the target of leaving a version has proved itself."""
        # Another worker may have left a version a moment ago.
        self._router.look()
        state, slots = self._router.state, self._router.slots
        if any(trip.generation == state.fleet.generation for trip in state.local):
            raise NotReadyError("it has left a version of this generation already, and the next is sick too")
        ready = frozenset(slots)
        for name, report in self._folder.live_workers().items():
            if name != self._worker:
                ready &= report.ready
        target = state.target_after_leaving(version, ready)
        if target is None:
            raise NotReadyError("nothing that is ready in every worker stands behind it")
        self._prober.probe(slots[state.chain[target]], self.answer)
        return ready


def _topic(version: str, breach: Breach) -> str:
    return f"breach of {breach.trigger} by {version}"


class Prober:
    """Asks slots one golden input, in threads that do not hold the caller up; one question at a time for each slot."""

    def __init__(self) -> None:
        self._asking: dict[str, threading.Thread] = {}

    def probe(self, slot: Slot, answer: Answer | None, seconds: float = PROBE_SECONDS) -> None:
        """
        Ask a slot one golden input now.

        Args:
            slot: The slot.
            answer: The user's way to answer.
            seconds: Longest time that it may take.

        Raises:
            NotReadyError: It has none, does not answer in time, answers wrongly, or hangs on an earlier question.
        """
        name = short(slot.version)
        if answer is None or not slot.golden:
            raise NotReadyError(f"the target {name} has no golden input to prove itself with")
        self._asking = {version: thread for version, thread in self._asking.items() if thread.is_alive()}
        if slot.version in self._asking:
            # A thread cannot be ended: one that hangs is kept, and not joined by another each second.
            raise NotReadyError(f"the target {name} has not answered the golden input that it was asked before")
        outcome: list[str] = []
        asking = threading.Thread(target=_ask, args=(slot, answer, outcome), name="kg-probe", daemon=True)
        self._asking[slot.version] = asking
        asking.start()
        asking.join(seconds)
        if not outcome:
            raise NotReadyError(f"the target {name} did not answer a golden input within {seconds:g} s")
        if outcome[0]:
            raise NotReadyError(f"the target {name} fails too: {outcome[0]}")


def _ask(slot: Slot, answer: Answer, outcome: list[str]) -> None:
    try:
        check_golden([slot.golden[0]], answer, slot.value)
    except NotReadyError as error:
        outcome.append(str(error))
    except BaseException as error:  # noqa: BLE001 - a stranger's code; an interruption of its own is no answer
        outcome.append(repr(error))
    else:
        outcome.append("")
