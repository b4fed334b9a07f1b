"""Writes a replica folder as control plane and agent do, so that workers can be tested alone."""

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from knowngood_sdk.model.counts import VersionCounts
from knowngood_sdk.model.manifest import Component, Manifest, Ref, Role
from knowngood_sdk.model.route import FULL, FleetRoute, Generation, ReplicaState, Trip
from knowngood_sdk.model.wire import CountsReport, ReleaseDocument, RouteDocument, ShadowOrder, WorkerReport
from knowngood_sdk.serving.disk import make_folder, write_whole
from knowngood_sdk.serving.folder import ReplicaFolder
from knowngood_sdk.serving.system import System, Version

PATIENCE_SECONDS = 20.0


def until(true: Callable[[], Any], what: str) -> Any:
    """Return what a condition gives once it is true; fail, saying what did not come, after some time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    pause = threading.Event()
    while not (found := true()):
        assert time.monotonic() < deadline, f"it did not come within {PATIENCE_SECONDS:g} s: {what}"
        pause.wait(0.002)
    return found


class Steward:
    """
    One replica folder of the system ``pricing``, and what stands around it.

    A version is a model file ``{"factor": …}`` and an inline configuration; ``Priced`` is what is loaded of it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.folder = ReplicaFolder.of(directory, "pricing", "r1")
        self.folder.make()
        make_folder(self.folder.manifests)
        self.generations: dict[int, Generation] = {}
        self.word = self.folder.word()

    def release(self, factor: float, *, surge: float = 1.0, golden: list[dict[str, Any]] | None = None) -> str:
        """Release a version whose model multiplies by a factor and its configuration by a surge."""
        model = json.dumps({"factor": factor}).encode()
        path = self.directory / f"model-{factor}.json"
        path.write_bytes(model)
        config = json.dumps({"surge": surge}).encode()
        manifest = Manifest(
            system="pricing",
            components={
                "model": Component(
                    role=Role.MODEL, kind="files", ref=Ref(digest=_digest(model), facets={"form": "file"})
                ),
                "config": Component(
                    role=Role.CONFIG,
                    kind="inline",
                    ref=Ref(digest=_digest(config), facets={"document": config.decode()}),
                ),
            },
        )
        version = manifest.content_digest
        answers = self.directory / f"golden-{version[7:19]}.jsonl"
        lines = golden if golden is not None else [{"input": 2.0, "output": 2.0 * factor * surge}]
        answers.write_text("".join(json.dumps(line) + "\n" for line in lines))
        document = ReleaseDocument(
            manifest=manifest, paths={"model": str(path)}, golden=str(answers) if lines else None
        )
        _write(self.folder.manifests / f"{version.removeprefix('sha256:')}.json", document.to_json())
        return version

    def accept(self, *chain: str, split: int = FULL, step: int = 0) -> int:
        """Mint a generation, and accept it as an agent does: file, then word."""
        number = max(self.generations, default=0) + 1
        self.generations[number] = Generation(number=number, chain=chain)
        state = ReplicaState(
            fleet=FleetRoute(number, step, split), latched=step, generations=self.generations, facts=self.state.facts
        )
        self.write(state)
        return number

    def split(self, split: int) -> None:
        """Advance the share of the candidate, as an agent does: word, then file."""
        state = self.state
        route = FleetRoute(state.fleet.generation, state.fleet.step, split)
        self.word.join(route.generation, state.latched, split)
        self.write(ReplicaState(fleet=route, latched=state.latched, generations=state.generations, facts=state.facts))

    def trip(self, version: str) -> None:
        """Leave a version, as an agent does that was told: word, then file."""
        state = self.state
        trip = Trip(
            uid=f"t{len(state.facts.trips)}",
            version=version,
            generation=state.fleet.generation,
            source="person",
            at="2026-01-01T00:00:00Z",
            why="prices",
        )
        left = state.leave(trip, frozenset(state.chain))
        self.word.join(left.fleet.generation, left.latched, left.fleet.split)
        self.write(left)

    def write(self, state: ReplicaState) -> None:
        self.folder.write_state(state)
        if state.fleet.generation:
            self.word.join(state.fleet.generation, state.latched, state.fleet.split)

    def publish(
        self,
        *,
        prepare: tuple[str, ...] = (),
        shadow: ShadowOrder | None = None,
        held_out: frozenset[str] = frozenset(),
    ) -> None:
        """Publish what the control plane wants, of the newest generation."""
        number = max(self.generations, default=0)
        document = RouteDocument(
            system="pricing",
            route=FleetRoute(number, 0, FULL if number else 0),
            generations=self.generations,
            prepare=prepare,
            shadow=shadow,
            held_out=held_out,
        )
        _write(self.folder.route_file, document.to_json())

    def settle(self, settings: dict[str, Any]) -> None:
        """Apply a system file."""
        _write(self.folder.settings_file, settings)

    @property
    def state(self) -> ReplicaState:
        return self.folder.state() or ReplicaState()

    @property
    def reports(self) -> dict[str, WorkerReport]:
        return self.folder.live_workers()

    def counts(self, version: str) -> VersionCounts:
        """Everything counted of a version, by all workers."""
        total = VersionCounts()
        for path in self.folder.counts.glob("[!.]*.json"):
            report = CountsReport.from_json(json.loads(path.read_text()))
            total = total.plus(report.versions.get(version, VersionCounts()))
        return total

    @contextlib.contextmanager
    def system(self, **declared: Any) -> Iterator[System]:
        """A started system in this process, with everything declared."""
        kg = system(self.directory, **declared)
        kg.start()
        try:
            yield kg
        finally:
            kg.close()


class Priced:
    """What is loaded of a version: it stamps what it was made of into each answer."""

    def __init__(self, version: Version) -> None:
        self.version = version.digest
        self.model = version.handle("model", lambda part: json.loads(Path(part.path).read_text()))
        self.surge = version.config.document["surge"]

    def price(self, ride: float) -> float:
        if self.model.get("broken"):
            raise RuntimeError("the model is broken")
        return float(ride * self.model["factor"] * self.surge)


class Fixed:
    """The static fallback."""

    version = ""

    def price(self, _ride: float) -> float:
        return 9.5


def system(directory: Path, **declared: Any) -> System:
    """The system ``pricing``, not started."""
    kg = System("pricing", directory=directory, replica="r1", **declared)
    kg.loader(Priced)
    kg.fallback(Fixed)
    kg.golden(lambda priced, ride: priced.price(ride))
    kg.score(lambda priced, ride: priced.price(ride))
    return kg


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _write(path: Path, document: Any) -> None:
    write_whole(path, json.dumps(document).encode())
