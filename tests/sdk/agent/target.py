"""Target: a replica that was given a root, and documents that are sent to it rightly or by an attacker."""

from dataclasses import replace
from pathlib import Path

from knowngood.testing.replica import StandInWorker
from knowngood_sdk.agent.keeper import Keeper
from knowngood_sdk.model.route import FULL, Facts, FleetRoute, Generation, Trip
from knowngood_sdk.model.wire import RouteDocument
from knowngood_sdk.serving.folder import ReplicaFolder
from tests.sdk.agent.notary import Notary

A, B, C, D = ("sha256:" + digit * 64 for digit in "abcd")
FIRST = Generation(number=1, chain=(A, C))
SECOND = Generation(number=2, chain=(B, A, C))
THIRD = Generation(number=3, chain=(D, B, A))
ON_A = RouteDocument(system="pricing", route=FleetRoute(1, 0, FULL), generations={1: FIRST})
CANARY_OF_B = RouteDocument(system="pricing", route=FleetRoute(2, 0, 1000), generations={2: SECOND})
ON_B = RouteDocument(system="pricing", route=FleetRoute(2, 0, FULL), generations={2: SECOND})
ON_D = RouteDocument(system="pricing", route=FleetRoute(3, 0, FULL), generations={3: THIRD})
TRIP = Trip(uid="t-1", version=B, generation=2, source="person", at="2026-01-01T00:00:00Z", why="prices")
OF_B = Facts({TRIP.uid: TRIP})
RELEASED = Facts({TRIP.uid: TRIP}, frozenset({TRIP.uid}))
NOTARY = Notary()


class Target:
    """A replica that was given a root, and whoever sends it documents."""

    def __init__(self, folder: ReplicaFolder, root_file: Path) -> None:
        self.folder = folder
        self.root_file = root_file
        self.worker = StandInWorker(folder, "w1", [A, B, C, D])
        self.keeper = Keeper(folder, root=root_file)

    def take(self, document: RouteDocument) -> None:
        """Take a document as it comes over any wire: as its JSON."""
        self.keeper.take(RouteDocument.from_json(document.to_json()))

    def restart(self, root_file: Path | None = None) -> None:
        self.close()
        self.worker = StandInWorker(self.folder, "w1", [A, B, C, D])
        self.keeper = Keeper(self.folder, root=root_file)

    def close(self) -> None:
        self.keeper.__exit__(None, None, None)
        self.worker.die()

    @property
    def serves(self) -> tuple[int, str]:
        state = self.keeper.report().state
        return (state.fleet.generation, state.chain[state.positions[-1]])

    @property
    def told(self) -> str:
        """What the report says stands against what came last."""
        report = self.keeper.report()
        return " | ".join([*report.warnings, report.refusal.reason if report.refusal else ""])


def refuses(target: Target, document: RouteDocument, why: str) -> None:
    """Nothing of it moves the replica, the reason is told, and trips that come with it are taken all the same."""
    before = target.keeper.report().state
    target.take(document)
    after = target.keeper.report().state
    assert (after.fleet, after.latched, after.facts.released) == (before.fleet, before.latched, before.facts.released)
    assert why in target.told, target.told
    leave = Trip(uid="t-9", version=A, generation=1, source="person", at="2026-01-01T00:00:00Z", why="prices")
    target.take(replace(document, facts=document.facts.with_trip(leave)))
    assert A in target.keeper.report().state.facts.quarantined
    assert target.serves == (1, C)
