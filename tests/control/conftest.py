"""
Scenario: a system with its control plane in memory, for tests that read as a story.

Everything in it is the product's own code but the edges: time, store, replicas and components are the in-memory ports.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from knowngood.adapters.readiness import ReadinessBalancer
from knowngood.control.apply import apply
from knowngood.control.deploy import Deployed, Order, deploy
from knowngood.control.plane import Plane
from knowngood.control.release import capture
from knowngood.control.watch import Tick, Watcher
from knowngood.domain.compatibility import Contract, Override
from knowngood.domain.system import SystemFile
from knowngood.testing.memory import MemoryClock, MemoryDeploying, MemoryTelemetry, MemoryTraffic
from knowngood.testing.memory_components import MemoryComponent, MemoryOutbox
from knowngood.testing.memory_store import MemoryStore
from knowngood_sdk.model.counts import Paired, Sums, VersionCounts, log_bin
from knowngood_sdk.model.manifest import Intent
from knowngood_sdk.model.route import FULL
from knowngood_sdk.model.wire import CountsReport
from tests.control.house import House

RULES: Mapping[str, Any] = {
    "system": "pricing",
    "kind": "realtime",
    "sla": {"latency_p99": "80ms"},
    "components": {
        "model": {"files": "model.joblib", "contract": "contract.json"},
        "features": {"git": "features"},
        "config": {"inline": "surge.yaml"},
    },
    "fallback": {"price": 2.0},
    "verify": {"requests": 100, "within": "60s"},
    "triggers": {
        "errors": {"over": "5%", "do": "rollback"},
        "prediction_mean": {"shift": "15%", "do": "rollback"},
        "conversion": {"drop": "10%", "do": "rollback"},
    },
}


@dataclass(slots=True)
class Scenario:
    """
    One system called pricing on two replicas that load whatever they are told to.

    Attributes:
        rules: Its system file, as JSON.
        parts: Its components, by name.
        trained_on: What the model's contract requires of the features; None for no contract.
    """

    rules: dict[str, Any] = field(default_factory=lambda: dict(RULES))
    clock: MemoryClock = field(default_factory=MemoryClock)
    store: MemoryStore = field(default_factory=MemoryStore)
    telemetry: MemoryTelemetry = field(default_factory=MemoryTelemetry)
    deploying: MemoryDeploying = field(default_factory=MemoryDeploying)
    outbox: MemoryOutbox = field(default_factory=MemoryOutbox)
    parts: dict[str, MemoryComponent] = field(default_factory=dict)
    trained_on: str | None = None
    traffic: MemoryTraffic = field(init=False)
    plane: Plane = field(init=False)
    watcher: Watcher = field(init=False)
    _counts: dict[str, VersionCounts] = field(default_factory=dict)
    _sequence: int = 0

    def __post_init__(self) -> None:
        self.traffic = MemoryTraffic(self.clock)
        self.parts = {name: MemoryComponent(name, f"{name} 1") for name in self.rules["components"]}
        self.plane = Plane(
            store=self.store,
            traffic=self.traffic,
            telemetry=self.telemetry,
            clock=self.clock,
            outbox=self.outbox,
            components=lambda _spec, _root=None: dict(self.parts),
            states=lambda _spec, _root=None: {},
            effects=lambda _spec, _root=None: {},
            golden=lambda _spec: None,
            contracts=lambda _spec: self._contracts(),
            deploying=self.deploying,
            balancer=ReadinessBalancer(self.traffic),
        )
        apply(self.plane, SystemFile.from_json(self.rules), root="/", actor="test")
        for replica in ("r1", "r2"):
            self.traffic.join("pricing", replica, loads=True)
        self.watcher = Watcher(self.plane, "pricing")

    def change(self, **working: Any) -> None:
        """Put other content into the working place of some components."""
        for name, content in working.items():
            self.parts[name].working = content

    def deploy(self, *, split: int = FULL, intent: str = "", override: Override | None = None) -> Deployed:
        """Deploy what the working places hold; seconds pass."""
        manifest = capture(self.plane, "pricing", Intent(text=intent))
        deployed = deploy(self.plane, Order(manifest=manifest, actor="test", split=split, override=override))
        self.wait(1)
        return deployed

    def serve(
        self,
        version: str,
        requests: int,
        *,
        errors: int = 0,
        mean: float = 100.0,
        conversion: float = 0.8,
        shadow: Mapping[str, float] | None = None,
    ) -> None:
        """
        Let a version answer requests, spread a little around a mean.

        Args:
            version: Content digest.
            requests: How many.
            errors: How many of them fail.
            mean: Mean output.
            conversion: Share of the riders who take the price.
            shadow: Other version -> relative change of its output on the same requests; this version is the known one.
        """
        took = round(requests * conversion)
        # Every other output lies a little above the mean and every other below, so that there is a variance.
        spread = 0.01 * mean
        predictions = Sums(requests, requests * mean, requests * (mean * mean + spread * spread))
        pairs = {other: _pairs(requests, mean, change) for other, change in (shadow or {}).items()}
        new = VersionCounts(
            requests=requests,
            errors=errors,
            latency={log_bin(0.01): requests},
            latencies=Sums(requests, 0.01 * requests, 0.0001 * requests),
            predictions=predictions,
            prediction_bins={log_bin(mean - spread): requests // 2, log_bin(mean + spread): requests - requests // 2},
            outcomes={"conversion": Sums(requests, took, took)},
            shadow=pairs,
        )
        self._counts[version] = self._counts.get(version, VersionCounts()).plus(new)
        self._sequence += 1
        report = CountsReport(worker="w1", sequence=self._sequence, at="", versions=dict(self._counts))
        self.telemetry.report("pricing", report)

    def tick(self, seconds: float = 1.0) -> Tick:
        """Let time pass, and let the watcher look once."""
        self.wait(seconds)
        return self.watcher.tick()

    def restart_watch(self) -> None:
        """Start the control loop anew: all that it remembered is gone."""
        self.watcher = Watcher(self.plane, "pricing")

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.pause(timedelta(seconds=seconds))

    def kinds(self) -> list[str]:
        """Return the kinds of all ledger entries, oldest first."""
        return [entry.kind for entry in self.store.ledger("pricing")]

    def _contracts(self) -> dict[str, Contract]:
        return {"model": Contract(requires={"features": self.trained_on})} if self.trained_on else {}


def _pairs(n: int, mean: float, change: float) -> Paired:
    noise = 0.01
    return Paired(
        reference=Sums(n, n * mean, n * mean * mean),
        other=Sums(n, n * mean * (1 + change), n * (mean * (1 + change)) ** 2),
        relative=Sums(n, n * change, n * (change * change + noise * noise)),
        absolute=Sums(n, n * abs(change), n * (change * change + noise * noise)),
    )


@pytest.fixture
def pricing() -> Scenario:
    """Nothing is deployed yet."""
    return Scenario()


@pytest.fixture
def incident(pricing: Scenario) -> Scenario:
    """Version 1 is verified; version 2 changes everything and takes all traffic."""
    v1 = pricing.deploy().deployment.version
    pricing.serve(v1, 200)
    pricing.tick()
    pricing.tick()
    pricing.change(model="model 2", features="features 2", config="config 2")
    pricing.deploy()
    return pricing


@pytest.fixture
def make_scenario() -> type[Scenario]:
    """Makes a system with rules of its own."""
    return Scenario


@pytest.fixture
def house(incident: Scenario) -> Iterator[House]:
    """Nobody looks after it yet."""
    house = House(incident)
    yield house
    for overseer in house.started:
        overseer.stop()
