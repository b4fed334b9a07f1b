"""Telemetry from the counts that agents send to a hub."""

from collections.abc import Mapping
from datetime import timedelta

from knowngood.adapters.folder import health
from knowngood.adapters.hub.hub import Hub
from knowngood.ports.telemetry import HealthSample
from knowngood_sdk.model.wire import CountsReport

__all__ = ["HubTelemetry"]


class HubTelemetry:
    """
    What the workers count whose agents are connected to any process of the control plane.

    Args:
        hub: Where counts arrive.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def counts(self, system: str) -> Mapping[str, CountsReport]:
        """See the port. From memory, once what the exchange has was read."""
        return self._hub.counts(system)

    def health(self, url: str, timeout: timedelta) -> HealthSample:
        """See the port."""
        return health.ask(url, timeout)
