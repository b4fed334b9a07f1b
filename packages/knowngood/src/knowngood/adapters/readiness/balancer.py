"""
A balancer that asks each replica whether it is ready, as HAProxy, Envoy and Kubernetes do.

Who is held out is published beside the route, where every replica reads it. One that finds its own name there says so
in its report, and ``System.in_rotation`` is false in its workers: what their readiness endpoint answers by. How soon
requests stay away is the balancer's affair; nobody here drives one.
"""

from dataclasses import replace

from knowngood.domain.rotation import may_leave
from knowngood.ports.traffic import Traffic
from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.wire import RouteDocument

__all__ = ["ReadinessBalancer"]


class ReadinessBalancer:
    """
    Holds replicas out through what they read.

    Args:
        traffic: The replicas.
    """

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic

    def hold_out(self, system: str, replica: str) -> bool:
        """See the port. The floor is looked at in the one writer's turn, so that two who ask do not go below it."""
        live = frozenset(name for name, seen in self._traffic.replicas(system).items() if seen.workers_alive)
        out = False

        def change(known: RouteDocument) -> RouteDocument:
            nonlocal out
            out = replica in known.held_out or may_leave(replica, live, known.held_out)
            return replace(known, held_out=known.held_out | {replica}) if out else known

        self._traffic.publish(system, change)
        return out

    def let_in(self, system: str, replica: str) -> None:
        """See the port."""
        if replica in self.held_out(system):
            self._traffic.publish(system, lambda known: replace(known, held_out=known.held_out - {replica}))

    def held_out(self, system: str) -> frozenset[str]:
        """See the port; what cannot be read holds nobody out."""
        try:
            document = self._traffic.published(system)
        except InvalidError:
            return frozenset()
        return document.held_out if document is not None else frozenset()
