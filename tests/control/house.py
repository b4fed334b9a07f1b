"""A house: a system, the processes of a control plane that look after it, and what they share, in memory."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from knowngood.control.oversee import Overseer, Pace
from knowngood.control.roll_back import Wish, roll_back
from knowngood.domain.saga import Saga
from knowngood.ports.runner import RunState
from knowngood.testing.memory_leases import MemoryLeases, MemoryPresence
from knowngood.testing.memory_runner import MemoryRunner, MemoryRuns
from knowngood.testing.replica import until

PACE = Pace(every=timedelta(seconds=0.01), lease=timedelta(seconds=0.3))
WISH = Wish(actor="ann", why="wrong prices")


class House:
    """A system, and the processes that look after it."""

    def __init__(self, scenario: Any) -> None:
        self.scenario = scenario
        self.leases = MemoryLeases(scenario.clock)
        self.presence = MemoryPresence()
        self.runs = MemoryRuns()
        self.said: list[str] = []
        self.started: list[Overseer] = []
        self.runners: dict[str, MemoryRunner] = {}
        scenario.store.leases = self.leases

    def start(self, name: str, pace: Pace = PACE, kind: type[MemoryRunner] = MemoryRunner, **more: Any) -> Overseer:
        runner = kind(self.runs, name, self.scenario.clock)
        plane = replace(self.scenario.plane, runner=runner)
        overseer = Overseer(
            plane, self.leases, self.presence, name, pace=pace, tell=lambda _, line: self.said.append(line), **more
        )
        self.runners[name] = runner
        self.started.append(overseer)
        overseer.start()
        return overseer

    @property
    def owner(self) -> str:
        held = self.leases.held("watch:").get("watch:pricing")
        return held.holder if held else ""

    def renew(self, name: str) -> None:
        """Wait until a process has been through its leases twice more."""
        lease = f"worker:{name}"
        for _ in range(2):
            self.scenario.clock.pause(timedelta(seconds=0.01))
            until(lambda: self.leases.held()[lease].expires_in == PACE.lease, "the leases to be renewed")

    def rollback(self) -> Saga:
        """Leave what is served; whoever lives carries the rest."""
        return roll_back(self.scenario.plane, "pricing", WISH).saga

    def saga(self, saga: Saga) -> Saga:
        found: Saga = next(s for s in self.scenario.store.sagas("pricing") if s.id == saga.id)
        return found


def state_of(house: House, run: str) -> RunState | None:
    """Return how far a run is; None where there is none."""
    return house.runs.kept[run].run.state if run in house.runs.kept else None
