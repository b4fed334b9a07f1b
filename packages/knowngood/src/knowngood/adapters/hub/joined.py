"""
Joined: the replicas of this host and those over the network, side by side.

``kg serve`` on a working folder that has replicas keeps them. What is published goes to both: the exchange has it for
all processes of the control plane, the folder for the agents of this host. An agent of this host that is also connected
is one replica, whichever way it answers first.
"""

import logging
import queue
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

from knowngood.ports.telemetry import HealthSample, Telemetry
from knowngood.ports.traffic import Answers, Replica, Traffic, Unreachable
from knowngood_sdk.errors import ComponentError, InvalidError, KnownGoodError, NotFoundError
from knowngood_sdk.model.joining import joined
from knowngood_sdk.model.route import Trip
from knowngood_sdk.model.wire import CountsReport, ReleaseDocument, ReplicaReport, RouteDocument

__all__ = ["JoinedTelemetry", "JoinedTraffic"]

_log = logging.getLogger(__name__)


class JoinedTraffic:
    """
    Two kinds of replicas as one fleet.

    Args:
        local: Replicas of this host.
        remote: Replicas over the network; what is published there is what all processes go by.
        vouched: Whether our own keys vouch for a document; without keys they vouch for none, and all count alike.
    """

    def __init__(
        self, local: Traffic, remote: Traffic, vouched: Callable[[RouteDocument], bool] = lambda _document: False
    ) -> None:
        self._local = local
        self._remote = remote
        self._vouched = vouched

    def published(self, system: str) -> RouteDocument | None:
        """
        See the port. What a process without the exchange has published on this host counts too.

        Raises:
            InvalidError: One of the two places cannot be read, and nothing is in the other.
        """
        found: list[RouteDocument] = []
        trouble: InvalidError | None = None
        for traffic in (self._local, self._remote):
            try:
                document = traffic.published(system)
            except InvalidError as error:
                _log.warning("one of two places cannot be read, and the other one counts for %s: %s", system, error)
                trouble = error
            else:
                found += [] if document is None else [document]
        if trouble is not None and not found:
            raise trouble
        return self._together(*found) if found else None

    def publish(self, system: str, change: Callable[[RouteDocument], RouteDocument], *, anew: bool = False) -> None:
        """See the port. Where one of the two places cannot be read or written, the other is written all the same."""
        here = self._local_document(system)
        written: list[RouteDocument] = []

        def change_both(known: RouteDocument) -> RouteDocument:
            written.append(change(known if here is None else self._together(here, known)))
            return written[-1]

        trouble: KnownGoodError | None = None
        try:
            self._remote.publish(system, change_both, anew=anew)
        except (ComponentError, InvalidError) as error:
            trouble = error
        if not written:
            written.append(change(here or RouteDocument(system=system)))
        try:
            self._local.publish(system, lambda known: self._together(known, written[-1]), anew=anew)
        except KnownGoodError as error:
            if trouble is not None:
                _log.warning("neither of two places could be written for %s; the other one: %s", system, trouble)
            raise error from trouble
        if trouble is not None:
            raise trouble

    def publish_release(self, release: ReleaseDocument) -> None:
        """See the port."""
        self._local.publish_release(release)
        self._remote.publish_release(release)

    def publish_rules(self, system: str, rules: Mapping[str, Any]) -> None:
        """See the port."""
        self._local.publish_rules(system, rules)
        self._remote.publish_rules(system, rules)

    def push(
        self, document: RouteDocument, deadline: timedelta, *, on_acknowledged: Callable[[str], None] | None = None
    ) -> Answers:
        """See the port. Both are asked at once; neither waits for the other."""
        told: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        with ThreadPoolExecutor(2, thread_name_prefix="kg-push") as pool:
            asked = [
                pool.submit(traffic.push, document, deadline, on_acknowledged=told.put)
                for traffic in (self._local, self._remote)
            ]
            for future in asked:
                future.add_done_callback(lambda _: told.put(None))
            _tell(told, len(asked), on_acknowledged)
            return _answers(asked)

    def leave(
        self,
        system: str,
        trip: Trip,
        deadline: timedelta,
        *,
        replicas: Collection[str] | None = None,
        local: bool = False,
    ) -> Answers:
        """See the port. An agent here is asked here: its workers can be told even where it does not run."""
        here, there = self._local.replicas(system), self._remote.replicas(system)
        wanted = set(here.keys() | there.keys() if replicas is None else replicas)
        unknown = sorted(wanted - here.keys() - there.keys())
        if unknown:
            known = ", ".join(sorted(here.keys() | there.keys())) or "none"
            raise NotFoundError(f"system {system} has no replica {unknown[0]!r}", hint=f"It has: {known}")
        parts = ((self._local, wanted & here.keys()), (self._remote, wanted - here.keys()))
        with ThreadPoolExecutor(2, thread_name_prefix="kg-leave") as pool:
            return _answers(
                [
                    pool.submit(traffic.leave, system, trip, deadline, replicas=sorted(names), local=local)
                    for traffic, names in parts
                    if names
                ]
            )

    def replicas(self, system: str) -> Mapping[str, Replica]:
        """See the port."""
        here, there = self._local.replicas(system), self._remote.replicas(system)
        # The folder tells at once whether a process lives; over the network that is known by its silence.
        return {name: here.get(name) or there[name] for name in sorted(here.keys() | there.keys())}

    def stamp(self, system: str) -> object:
        """See the port."""
        return self._local.stamp(system), self._remote.stamp(system)

    def wait(
        self, system: str, until: Callable[[Mapping[str, Replica]], bool], deadline: timedelta
    ) -> Mapping[str, Replica]:
        """See the port."""
        seen: list[Mapping[str, Replica]] = []

        def both(there: Mapping[str, Replica]) -> bool:
            here = self._local.replicas(system)
            seen.append({name: here.get(name) or there[name] for name in sorted(here.keys() | there.keys())})
            return until(seen[-1])

        self._remote.wait(system, both, deadline)
        return seen[-1]

    def _local_document(self, system: str) -> RouteDocument | None:
        try:
            return self._local.published(system)
        except InvalidError as error:
            # Writing it tells the caller, or writes it anew; the exchange need not wait for either.
            _log.warning("what is published for %s on this host cannot be read: %s", system, error)
            return None

    def _together(self, known: RouteDocument, heard: RouteDocument | None = None) -> RouteDocument:
        """
        Return what the documents of both places say together.

        A version number that nobody vouches for may be forged. So where our keys vouch for one document alone, it
        is taken whole, and of the other one only the trips.
        """
        if heard is None:
            return known
        vouched = self._vouched(known)
        if vouched is self._vouched(heard):
            return joined(known, heard)
        good, other = (known, heard) if vouched else (heard, known)
        if other.vouched != RouteDocument(system=other.system):
            _log.warning("in one of two places nobody vouches for what is published for %s", other.system)
        return replace(good, facts=good.facts.merge(other.trips))


class JoinedTelemetry:
    """
    What is counted on this host and over the network.

    Args:
        local: Workers of this host.
        remote: Workers whose agents are connected.
    """

    def __init__(self, local: Telemetry, remote: Telemetry) -> None:
        self._local = local
        self._remote = remote

    def counts(self, system: str) -> Mapping[str, CountsReport]:
        """See the port. Of a worker that is counted both ways the newest holds."""
        found = dict(self._remote.counts(system))
        for worker, report in self._local.counts(system).items():
            if worker not in found or found[worker].sequence <= report.sequence:
                found[worker] = report
        held = {worker for report in found.values() for worker in report.holds}
        return {worker: report for worker, report in found.items() if worker not in held}

    def health(self, url: str, timeout: timedelta) -> HealthSample:
        """See the port."""
        return self._remote.health(url, timeout)


def _tell(told: "queue.SimpleQueue[str | None]", senders: int, on_acknowledged: Callable[[str], None] | None) -> None:
    """Pass acknowledgements on in the caller's own thread, each name once, until all senders are done."""
    names: set[str] = set()
    while senders:
        name = told.get()
        if name is None:
            senders -= 1
        elif name not in names:
            names.add(name)
            if on_acknowledged is not None:
                on_acknowledged(name)


def _answers(asked: "list[Future[Answers]]") -> Answers:
    """Return one answer for each replica; an acknowledgement holds, whichever way it came."""
    answers: dict[str, ReplicaReport | Unreachable] = {}
    for future in asked:
        for name, answer in future.result().items():
            if not isinstance(answers.get(name), ReplicaReport):
                answers[name] = answer
    return answers
