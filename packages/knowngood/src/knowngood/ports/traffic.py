"""
Traffic: the port to the replicas that serve.

A published document is the truth: every replica reads it sooner or later, whoever is down meanwhile. A push is a hint
that makes it sooner, and an acknowledgement is what a replica has made durable, never what it was sent.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from knowngood_sdk.model.route import Trip
from knowngood_sdk.model.wire import ReleaseDocument, ReplicaReport, RouteDocument

__all__ = ["Answers", "Replica", "Traffic", "Unreachable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreachable:
    """
    A replica did not acknowledge: whether it knows by now is unknown.

    Attributes:
        replica: Name of the replica.
        reason: Why, for people: no agent runs, no answer in time, its disk is full.
    """

    replica: str
    reason: str


Answers = Mapping[str, ReplicaReport | Unreachable]
"""Replica -> what it acknowledged, or why it did not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """
    One replica as seen from outside.

    Attributes:
        name: Name of the replica.
        report: Its last report; an empty one (generation 0) before the first.
        agent_alive: Whether its agent runs. Workers serve on without it, on the route that they have.
        workers_alive: Worker processes that run, whatever the report says.
        seen_at: When the report was written, or None before the first; an agent that lives writes one each second.
        trouble: Why the report cannot be read, or is not let in; else empty.
        workers_unheard: Worker processes of a far replica of which nobody knows whether they run: it was not heard of
            for too long to count them as running, and never said that it stops. They may still serve.
    """

    name: str
    report: ReplicaReport
    agent_alive: bool
    workers_alive: int
    seen_at: datetime | None
    trouble: str = ""
    workers_unheard: int = 0

    @property
    def alive(self) -> bool:
        """Whether anything of it runs: only then can it serve, and only then does a deployment wait for it."""
        return self.agent_alive or self.workers_alive > 0

    def may_serve(self, version: str) -> bool:
        """Whether requests may be answered here by a version, as far as the last report tells."""
        state = self.report.state
        positions = (position for position in state.positions if position < len(state.chain))
        running = self.workers_alive or self.workers_unheard
        return bool(running) and any(state.chain[position] == version for position in positions)


class Traffic(Protocol):
    """
    The replicas of every system. All methods are idempotent.

    Any method may raise TransientError when the place where documents are published cannot be reached or written at
    the moment (a full disk, for one); then what is published is still the document before.
    """

    def published(self, system: str) -> RouteDocument | None:
        """
        Return the document that replicas read now, or None before the first.

        Raises:
            InvalidError: What is published is malformed or of a newer format.
        """
        ...

    def publish(self, system: str, change: Callable[[RouteDocument], RouteDocument], *, anew: bool = False) -> None:
        """
        Change what the replicas of a system read: one writer after the other, atomic, durable when this returns.

        A change that leaves the document as it is writes nothing and wakes nobody. A writer that was stopped in the
        middle holds up the others for a moment only, not for good.

        Args:
            system: Name of the system.
            change: Makes the new document out of the one that is published; out of an empty one before the first.
            anew: Whether to start from an empty document where the published one cannot be read.

        Raises:
            InvalidError: What is published is malformed, and ``anew`` was not asked for; it stays as it is.
        """
        ...

    def publish_release(self, release: ReleaseDocument) -> None:
        """Give workers what they need to load a version, durably; to be done before a route document names it."""
        ...

    def publish_rules(self, system: str, rules: Mapping[str, Any]) -> None:
        """Give workers the system's rules (a system file as JSON), durably: their own limits follow from them."""
        ...

    def push(
        self, document: RouteDocument, deadline: timedelta, *, on_acknowledged: Callable[[str], None] | None = None
    ) -> Answers:
        """
        Send a document to every replica side by side.

        Args:
            document: What they should know. It is not published by this.
            deadline: Longest time to wait for answers, from the call.
            on_acknowledged: Called with the name of each replica as soon as it acknowledges, in this thread.

        Returns:
            One entry for every replica, as soon as all have answered or the deadline has passed. A replica that
            refuses the generation acknowledges all the same: its report carries the refusal.
        """
        ...

    def leave(
        self,
        system: str,
        trip: Trip,
        deadline: timedelta,
        *,
        replicas: Collection[str] | None = None,
        local: bool = False,
    ) -> Answers:
        """
        Break glass: make replicas leave a version, without store and control plane (rules 8 and 9).

        Args:
            system: Name of the system.
            trip: The fact. Sent again under the same uid it stays one fact.
            deadline: Longest time to wait for answers, from the call.
            replicas: Those to ask; None for all.
            local: Whether each takes it as its own local trip, not as a fact for the fleet: the others stay, and it
                refuses where nothing ready stands behind.

        Returns:
            As ``push``. A refusal is an ``Unreachable`` whose reason says why.

        Raises:
            NotFoundError: There is no replica of that name.
        """
        ...

    def replicas(self, system: str) -> Mapping[str, Replica]:
        """Return every replica that ever joined, by name, with what is true of it now; empty for an unknown system."""
        ...

    def stamp(self, system: str) -> object:
        """
        Return what is another value once what is published changed, or a replica joined; costs next to nothing.

        Never raises: what cannot be looked at has a stamp of its own.
        """
        ...

    def wait(
        self, system: str, until: Callable[[Mapping[str, Replica]], bool], deadline: timedelta
    ) -> Mapping[str, Replica]:
        """
        Look at the replicas until a condition holds or the deadline has passed.

        Returns:
            What was seen last; whether the condition holds there tells which of the two it was.
        """
        ...
