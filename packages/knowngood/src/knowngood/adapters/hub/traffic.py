"""Traffic through the streams of a hub."""

from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import Any

from knowngood.adapters.hub.hub import Hub
from knowngood.adapters.hub.question import Question, covers
from knowngood.ports.traffic import Answers, Replica
from knowngood_sdk.model.route import Trip
from knowngood_sdk.model.stream import leave_event, push_event
from knowngood_sdk.model.wire import ReleaseDocument, RouteDocument

__all__ = ["HubTraffic"]


class HubTraffic:
    """
    The replicas that are connected to this process, and those that other processes report.

    Breaking the glass needs an agent here: a replica without one cannot be reached over the network.

    Args:
        hub: Where they are connected.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def published(self, system: str) -> RouteDocument | None:
        """See the port. From memory, once it was read."""
        return self._hub.current(system)[1]

    def publish(self, system: str, change: Callable[[RouteDocument], RouteDocument], *, anew: bool = False) -> None:
        """See the port. What cannot be written now is streamed all the same, and written later."""
        self._hub.publish(system, change, anew=anew)

    def publish_release(self, release: ReleaseDocument) -> None:
        """See the port."""
        self._hub.save_release(release)

    def publish_rules(self, system: str, rules: Mapping[str, Any]) -> None:
        """See the port."""
        self._hub.save_rules(system, rules)

    def push(
        self, document: RouteDocument, deadline: timedelta, *, on_acknowledged: Callable[[str], None] | None = None
    ) -> Answers:
        """See the port. A replica that reports what was asked acknowledges, by whichever way it heard of it."""
        question = Question(
            lambda ask: push_event(ask, document),
            lambda report, elsewhere: covers(report, document, or_refused=elsewhere),
        )
        return self._hub.ask(document.system, question, deadline, on_acknowledged=on_acknowledged)

    def leave(
        self,
        system: str,
        trip: Trip,
        deadline: timedelta,
        *,
        replicas: Collection[str] | None = None,
        local: bool = False,
    ) -> Answers:
        """See the port."""
        question = Question(
            lambda ask: leave_event(ask, trip, fleet=not local),
            lambda report, _: not local and trip.uid in report.state.facts.trips,
        )
        return self._hub.ask(system, question, deadline, replicas=replicas)

    def replicas(self, system: str) -> Mapping[str, Replica]:
        """See the port."""
        return self._hub.replicas(system)

    def stamp(self, system: str) -> object:
        """See the port."""
        return self._hub.stamp(system)

    def wait(
        self, system: str, until: Callable[[Mapping[str, Replica]], bool], deadline: timedelta
    ) -> Mapping[str, Replica]:
        """See the port."""
        return self._hub.wait(system, until, deadline)
