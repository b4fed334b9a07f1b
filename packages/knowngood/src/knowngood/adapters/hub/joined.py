"""
Joined: the replicas of this host and those over the network, side by side.

``kg serve`` on a working folder that has replicas keeps them. What is published goes to both: the exchange has it for
all processes of the control plane, the folder for the agents of this host. An agent of this host that is also connected
is one replica, whichever way it answers first.
"""

import queue
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from knowngood.ports.telemetry import HealthSample, Telemetry
from knowngood.ports.traffic import Answers, Replica, Traffic, Unreachable
from knowngood_sdk.errors import ComponentError, InvalidError, NewerFormatError, NotFoundError
from knowngood_sdk.model.joining import joined
from knowngood_sdk.model.route import Trip
from knowngood_sdk.model.wire import CountsReport, ReleaseDocument, ReplicaReport, RouteDocument

__all__ = ["JoinedTelemetry", "JoinedTraffic"]


class JoinedTraffic:
    """
    Two kinds of replicas as one fleet.

    Args:
        local: Replicas of this host.
        remote: Replicas over the network; what is published there is what all processes go by.
    """

    def __init__(self, local: Traffic, remote: Traffic) -> None:
        self._local = local
        self._remote = remote

    def published(self, system: str) -> RouteDocument | None:
        """See the port. What a process without the exchange has published on this host counts too."""
        return _together(self._remote.published(system), self._local.published(system))

    def publish(self, system: str, change: Callable[[RouteDocument], RouteDocument], *, anew: bool = False) -> None:
        """See the port. Where one of the two places cannot be written, the other is written all the same."""
        here = self._local_document(system, anew=anew)
        written: list[RouteDocument] = []

        def change_both(known: RouteDocument) -> RouteDocument:
            written.append(change(known if here is None else joined(here, known)))
            return written[-1]

        trouble: ComponentError | None = None
        try:
            self._remote.publish(system, change_both, anew=anew)
        except ComponentError as error:
            trouble = error
        if not written:
            written.append(change(here or RouteDocument(system=system)))
        self._local.publish(system, lambda known: joined(known, written[-1]), anew=anew)
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

    def _local_document(self, system: str, *, anew: bool) -> RouteDocument | None:
        try:
            return self._local.published(system)
        except InvalidError as error:
            if not anew or isinstance(error, NewerFormatError):
                raise
            return None


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


def _together(there: RouteDocument | None, here: RouteDocument | None) -> RouteDocument | None:
    if there is None or here is None:
        return there or here
    return joined(here, there)


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
