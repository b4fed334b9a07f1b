"""Question: what was asked of replicas, and what they have answered so far."""

import queue
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from threading import Event

from knowngood.ports.traffic import Answers, Unreachable
from knowngood_sdk.model.wire import ReplicaReport, RouteDocument

__all__ = ["Question", "covers", "unanswered"]

_REVIEW_SECONDS = 0.05
_TOGETHER_SECONDS = 0.002
_FEW = 8


class Question:
    """
    One push, or one order to leave.

    Args:
        event: Makes the event that carries it, out of its id.
        seen: Whether a report, of its own accord, says that its replica has done what is asked; told also whether it
            came by another process, to which the question was not put.

    Attributes:
        ask: Its id.
        event: The event that carries it.
        waiting: Replicas that have not answered.
    """

    def __init__(self, event: Callable[[str], bytes], seen: Callable[[ReplicaReport, bool], bool]) -> None:
        self.ask = secrets.token_hex(16)
        self.event = event(self.ask)
        self.waiting: set[str] = set()
        self._seen = seen
        self._came: queue.SimpleQueue[tuple[str, ReplicaReport | Unreachable]] = queue.SimpleQueue()

    def hear(self, report: ReplicaReport, answers: Mapping[str, str], *, elsewhere: bool = False) -> None:
        """Take a report that came since the question was asked; the caller holds the lock of the hub."""
        name = report.replica
        if name not in self.waiting:
            return
        reason = answers.get(self.ask)
        if reason:
            self.settle(name, Unreachable(replica=name, reason=reason))
        elif reason is not None or self._seen(report, elsewhere):
            self.settle(name, report)

    def settle(self, name: str, answer: ReplicaReport | Unreachable) -> None:
        """Take an answer."""
        self.waiting.discard(name)
        self._came.put((name, answer))

    def gather(
        self,
        expected: int,
        deadline: timedelta,
        on_acknowledged: Callable[[str], None] | None,
        review: Callable[[], None],
    ) -> dict[str, ReplicaReport | Unreachable]:
        """
        Wait for so many answers, for at most this long; return those that came.

        Args:
            expected: How many are still to come, or have come already.
            deadline: Longest time to wait.
            on_acknowledged: Called with the name of each replica that acknowledges, in this thread.
            review: Called now and then while nothing comes; it may settle what nobody will answer.
        """
        end = time.monotonic() + deadline.total_seconds()
        answers: dict[str, ReplicaReport | Unreachable] = {}
        pause = Event()
        while len(answers) < expected:
            if answers and expected - len(answers) > _FEW and self._came.empty():
                # To wake this thread for each of a thousand answers would hold up the one that takes them.
                pause.wait(_TOGETHER_SECONDS)
            left = end - time.monotonic()
            try:
                name, answer = self._came.get(timeout=max(0.0, min(left, _REVIEW_SECONDS)))
            except queue.Empty:
                if left <= 0:
                    break
                review()
                continue
            answers[name] = answer
            if on_acknowledged is not None and isinstance(answer, ReplicaReport):
                on_acknowledged(name)
        return answers


def covers(report: ReplicaReport, document: RouteDocument, *, or_refused: bool) -> bool:
    """
    Whether a report says all that a document asks for.

    Args:
        report: It.
        document: What was asked for.
        or_refused: Whether it may also say that it refuses the generation. It may have refused it before it was asked.
    """
    state = report.state
    facts = document.facts
    if not (facts.trips.keys() <= state.facts.trips.keys() and facts.released <= state.facts.released):
        return False
    if report.anchor[0] < document.anchor[0]:
        return False
    refused = report.refusal is not None and report.refusal.generation == document.route.generation
    return state.fleet >= document.route or (or_refused and refused)


def unanswered(answers: Answers, names: set[str], deadline: timedelta) -> dict[str, Unreachable]:
    """Return an entry for each replica that did not answer in time."""
    seconds = deadline.total_seconds()
    return {
        name: Unreachable(replica=name, reason=f"no answer within {seconds:g} s (its agent was heard of lately)")
        for name in names - answers.keys()
    }
