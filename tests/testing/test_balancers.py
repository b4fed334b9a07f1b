"""Both balancers keep the promises of the port: the one in memory, and the one that asks replicas if they are ready."""

from collections.abc import Collection

import pytest

from knowngood.adapters.readiness import ReadinessBalancer
from knowngood.ports.balancer import Balancer
from knowngood.testing.contracts.balancer import SYSTEM, BalancerContract, Rotation
from knowngood.testing.memory import MemoryTraffic
from knowngood.testing.memory_balancer import MemoryBalancer


class InMemory:
    def __init__(self) -> None:
        self.memory = MemoryBalancer()
        self.balancer: Balancer = self.memory

    def run(self, names: Collection[str]) -> None:
        self.memory.set_live(SYSTEM, *names)

    def sends_to(self, name: str) -> bool:
        return name not in self.memory.held_out(SYSTEM)


class ByReadiness:
    def __init__(self) -> None:
        self.traffic = MemoryTraffic()
        self.balancer: Balancer = ReadinessBalancer(self.traffic)

    def run(self, names: Collection[str]) -> None:
        for name in self.traffic.replicas(SYSTEM).keys() - set(names):
            self.traffic.kill_workers(SYSTEM, name)
        for name in names:
            if name in self.traffic.replicas(SYSTEM):
                self.traffic.restart_workers(SYSTEM, name)
            else:
                self.traffic.join(SYSTEM, name)

    def sends_to(self, name: str) -> bool:
        return not self.traffic.replicas(SYSTEM)[name].report.held_out


class TestMemoryBalancer(BalancerContract):
    @pytest.fixture
    def rotation(self) -> Rotation:
        return InMemory()


class TestReadinessBalancer(BalancerContract):
    @pytest.fixture
    def rotation(self) -> Rotation:
        return ByReadiness()


def test_what_is_published_and_cannot_be_read_holds_nobody_out() -> None:
    rotation = ByReadiness()
    rotation.run(["a", "b"])
    rotation.balancer.hold_out(SYSTEM, "a")
    rotation.traffic.damage(SYSTEM)
    assert rotation.balancer.held_out(SYSTEM) == frozenset()
