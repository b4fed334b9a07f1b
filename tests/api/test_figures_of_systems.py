"""What a scrape says of a system comes from what its replicas report, also where a report says nonsense."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from knowngood.api.metrics import SystemFigures
from knowngood.ports.traffic import Replica
from knowngood.testing.memory import MemoryTraffic
from knowngood.testing.memory_store import MemoryStore

OLDEST = 'knowngood_oldest_route_timestamp_seconds{system="pricing"}'


class Signing(MemoryTraffic):
    """Replicas that say when the route was signed that they act on."""

    def __init__(self) -> None:
        super().__init__()
        self.signed: dict[str, tuple[int, str]] = {}

    def replicas(self, system: str) -> dict[str, Replica]:
        return {
            name: replace(replica, report=replace(replica.report, signed=self.signed.get(name, (0, ""))))
            for name, replica in super().replicas(system).items()
        }


@dataclass
class Server:
    """As much of a server as a scrape asks."""

    traffic: Signing = field(default_factory=Signing)
    store: MemoryStore = field(default_factory=MemoryStore)
    looked: dict[str, Any] = field(default_factory=dict)

    @property
    def plane(self) -> "Server":
        return self

    @property
    def overseer(self) -> "Server":
        return self

    def text(self) -> str:
        registry = CollectorRegistry()
        registry.register(SystemFigures(self))  # type: ignore[arg-type]
        return generate_latest(registry).decode()


@pytest.fixture
def server() -> Server:
    server = Server()
    with server.store.change("pricing") as change:
        change.save_system({"system": "pricing"})
    for name in ("r1", "r2", "r3"):
        server.traffic.join("pricing", name)
    return server


def test_the_age_of_the_oldest_route_is_to_be_seen(server: Server) -> None:
    server.traffic.signed = {"r1": (8, "2026-01-01T00:01:00.000Z"), "r2": (7, "2026-01-01T00:00:00.000Z")}
    assert f"{OLDEST} 1.7672256e+09" in server.text()
    server.traffic.kill_workers("pricing", "r2")
    server.traffic.kill_agent("pricing", "r2")
    assert f"{OLDEST} 1.76722566e+09" in server.text()


@pytest.mark.parametrize("at", ["", "yesterday", "2026-13-01"])
def test_a_time_that_is_none_is_left_out(server: Server, at: str) -> None:
    server.traffic.signed = {"r1": (8, at)}
    assert OLDEST not in server.text()
    assert 'knowngood_replicas{state="alive",system="pricing"} 3.0' in server.text()
