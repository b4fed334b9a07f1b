"""
Deployer: plays the control plane of one system, by the rules of the route and through its own port to the replicas.

A deployment is published and then pushed; a way back is pushed first and published afterwards, as the product does it.
A push that a replica did not acknowledge is made again until it did, as the reconciler does.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from threading import Event

from benchmarks.host import SYSTEM, BenchmarkError, Host
from knowngood_sdk.model.route import FULL, FleetRoute, Generation, LocalTrip, Trip
from knowngood_sdk.model.wire import ReplicaReport, RouteDocument

__all__ = ["Deployer", "Flip"]

_PUSH = timedelta(seconds=2)
_PATIENCE_SECONDS = 60.0
_AGAIN_SECONDS = 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """
    One change of what serves.

    Attributes:
        kind: ``deployment``, ``back`` (the route's step) or ``trip`` (the fact that quarantines).
        left: The version that should serve no request any more; empty before the first deployment.
        to: The version that serves instead.
        began_ns: When it was decided, of ``monotonic_ns``, which all processes of a host share.
        pushed_ns: Before it was sent, the last time if it had to be sent again.
        acknowledged_ns: When the last replica had acknowledged that it stands there, durably.
        pushes: How often it was sent until then.
    """

    kind: str
    left: str
    to: str
    began_ns: int
    pushed_ns: int
    acknowledged_ns: int
    pushes: int

    @property
    def milliseconds(self) -> float:
        """From the decision to the last acknowledgement."""
        return (self.acknowledged_ns - self.began_ns) / 1e6

    @property
    def push_milliseconds(self) -> float:
        """From the push to the last acknowledgement."""
        return (self.acknowledged_ns - self.pushed_ns) / 1e6


class Deployer:
    """
    Moves the replicas of a host between versions.

    Args:
        host: The host.

    Attributes:
        document: What replicas should know now.
        flips: What was done, oldest first.
        on_push: Called before the first push of each flip; a benchmark may kill an agent there.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self.document = RouteDocument(system=SYSTEM)
        self.flips: list[Flip] = []
        self.on_push: Callable[[], None] | None = None
        self._pause = Event()
        self._local: frozenset[LocalTrip] = frozenset()

    @property
    def generation(self) -> int:
        """The newest generation."""
        return self.document.route.generation

    @property
    def chain(self) -> tuple[str, ...]:
        """Its chain; empty before the first deployment."""
        generation = self.document.generations.get(self.generation)
        return generation.chain if generation else ()

    @property
    def serving(self) -> str:
        """The version that all replicas should serve."""
        route = self.document.route
        if not self.chain:
            return ""
        bad = self.document.facts.quarantined
        position = 0 if route.step == 0 and self.chain[0] not in bad else max(1, route.step)
        return self.chain[position]

    def prepare(self, versions: Collection[str]) -> None:
        """Have versions loaded everywhere, before any generation names them."""
        self.document = replace(self.document, prepare=tuple(versions))
        self._host.traffic.publish(self.document.system, lambda _: self.document)

    def hear(self) -> frozenset[LocalTrip]:
        """Take in the local trips that replicas report; the next generation has seen them. Returns all so far."""
        for replica in self._host.traffic.replicas(SYSTEM).values():
            self._local |= replica.report.state.local
        return self._local

    def deploy(self, version: str, *, behind: str, split: int = FULL) -> Flip:
        """
        Mint a generation that serves a version, with another one behind it.

        Quarantines of the version are released by name first, for a benchmark deploys the same version many times.

        Args:
            version: What to deploy.
            behind: What to go back to.
            split: Its share, in basis points above 0.
        """
        number = self.generation + 1
        facts = self.document.facts
        released = facts.released | {uid for uid, trip in facts.trips.items() if trip.version == version}
        facts = replace(facts, released=released)
        generation = Generation(
            number=number, chain=(version, behind), saw_quarantine=facts.quarantined, saw_local=self._local
        )
        left = self.serving
        began = time.monotonic_ns()
        self.document = replace(
            self.document, route=FleetRoute(number, 0, split), generations={number: generation}, facts=facts
        )
        self._host.traffic.publish(self.document.system, lambda _: self.document)
        return self._spread("deployment", left, version, began)

    def back(self) -> Flip:
        """Go back to the version behind by the route's step, as an abandoned deployment does (rule 17)."""
        left = self.serving
        began = time.monotonic_ns()
        route = self.document.route
        self.document = replace(self.document, route=FleetRoute(route.generation, 1, route.split))
        flip = self._spread("back", left, self.chain[1], began)
        self._host.traffic.publish(self.document.system, lambda _: self.document)
        return flip

    def trip(self, why: str) -> Flip:
        """Leave the version that serves by a trip, which quarantines it (rule 14)."""
        left = self.serving
        began = time.monotonic_ns()
        trip = Trip(
            uid=f"bench-{self.generation}",
            version=left,
            generation=self.generation,
            source="trigger",
            at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            why=why,
        )
        self.document = replace(self.document, facts=self.document.facts.with_trip(trip))
        flip = self._spread("trip", left, self.chain[1], began)
        self._host.traffic.publish(self.document.system, lambda _: self.document)
        return flip

    def _spread(self, kind: str, left: str, to: str, began: int) -> Flip:
        """Push until every replica has acknowledged that it stands where it should."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        pushes = 0
        while True:
            if self.on_push is not None and not pushes:
                self.on_push()
            pushed = time.monotonic_ns()
            answers = self._host.traffic.push(self.document, _PUSH)
            acknowledged = time.monotonic_ns()
            pushes += 1
            missing = {
                name: str(answer) for name, answer in answers.items() if not _stands(answer, self.generation, to)
            }
            if answers and not missing:
                break
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{kind} {len(self.flips)} was not acknowledged: {missing}")
            self._pause.wait(_AGAIN_SECONDS)
        flip = Flip(
            kind=kind,
            left=left,
            to=to,
            began_ns=began,
            pushed_ns=pushed,
            acknowledged_ns=acknowledged,
            pushes=pushes,
        )
        self.flips.append(flip)
        return flip


def _stands(answer: object, generation: int, version: str) -> bool:
    """Whether a replica has acknowledged that it serves a version, if to a share alone, in a generation."""
    if not isinstance(answer, ReplicaReport) or answer.state.fleet.generation != generation:
        return False
    state = answer.state
    live = state.positions[0]
    return live < len(state.chain) and state.chain[live] == version
