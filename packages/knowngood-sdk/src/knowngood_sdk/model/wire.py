"""
Wire: the documents that the control plane and a replica exchange, and that a replica keeps on its disk.

They are files today and will be HTTP bodies; either way they are JSON with a ``format`` number. A reader refuses a
newer format and anything malformed with an InvalidError that names the field. Fields that it does not know are passed
over, so that a newer writer of the same format can add some.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.counts import VersionCounts
from knowngood_sdk.model.manifest import Manifest
from knowngood_sdk.model.route import Facts, FleetRoute, Generation, LocalTrip, Refusal, ReplicaState, Trip

__all__ = [
    "FORMAT",
    "CountsReport",
    "ReleaseDocument",
    "ReplicaReport",
    "RouteDocument",
    "ShadowOrder",
    "WorkerReport",
    "state_from_json",
    "state_to_json",
    "trip_from_json",
    "trip_to_json",
]

FORMAT = 1
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowOrder:
    """
    What workers score in shadow, off the request path.

    Attributes:
        reference: The known version.
        others: Versions that are compared with it on the same requests.
        per_second: Budget: requests scored in a second by each worker, at most.
    """

    reference: str
    others: tuple[str, ...]
    per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteDocument:
    """
    What the control plane wants every replica to know.

    Attributes:
        system: Name of the system.
        route: The fleet route.
        generations: Generations that the route or a replica behind it may need, by number.
        facts: Trips and releases.
        prepare: Versions to load beside those of the chain, because a deployment arms them.
        shadow: What to score in shadow, if anything.
        anchor: Head and count of the system's ledger: kept by every replica, outside the store.
    """

    system: str
    route: FleetRoute = FleetRoute()
    generations: Mapping[int, Generation] = field(default_factory=dict)
    facts: Facts = field(default_factory=Facts)
    prepare: tuple[str, ...] = ()
    shadow: ShadowOrder | None = None
    anchor: tuple[int, str] = (0, "")

    @property
    def wanted(self) -> tuple[str, ...]:
        """Versions that a replica keeps loaded, most urgent first: the chain, then what is armed or shadowed."""
        generation = self.generations.get(self.route.generation)
        chain = generation.chain if generation else ()
        shadowed = (self.shadow.reference, *self.shadow.others) if self.shadow else ()
        return tuple(dict.fromkeys((*chain, *self.prepare, *shadowed)))

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        shadow = self.shadow and {
            "reference": self.shadow.reference,
            "others": list(self.shadow.others),
            "per_second": self.shadow.per_second,
        }
        return {
            "format": FORMAT,
            "system": self.system,
            "route": _route_json(self.route),
            "generations": [_generation_json(item) for _, item in sorted(self.generations.items())],
            "facts": _facts_json(self.facts),
            "prepare": list(self.prepare),
            "shadow": shadow,
            "anchor": {"count": self.anchor[0], "head": self.anchor[1]},
        }

    @classmethod
    def from_json(cls, document: Any) -> "RouteDocument":
        """Read what ``to_json`` wrote; raises InvalidError for anything else."""
        return _read("route document", document, _route_document)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseDocument:
    """
    A system version as a worker needs it to load.

    Attributes:
        manifest: What the version is.
        paths: Component name -> absolute local path of its bytes.
        golden: Absolute path of the golden inputs, or None when the system declares none.
    """

    manifest: Manifest
    paths: Mapping[str, str]
    golden: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "format": FORMAT,
            "version": self.manifest.content_digest,
            "manifest": self.manifest.to_json(),
            "paths": dict(self.paths),
            "golden": self.golden,
        }

    @classmethod
    def from_json(cls, document: Any) -> "ReleaseDocument":
        """Read what ``to_json`` wrote; an edited manifest, whose digest is not the recorded one, is an InvalidError."""
        return _read("release document", document, _release_document)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReport:
    """
    The slots of one worker process.

    Attributes:
        worker: Unique for each process start.
        pid: Process id.
        ready: Versions loaded, warmed, and right on their golden inputs.
        failed: Version -> why it could not be made ready.
        load_seconds: Version -> how long it took to be ready.
        memory_bytes: Resident memory of the process.
    """

    worker: str
    pid: int
    ready: frozenset[str] = frozenset()
    failed: Mapping[str, str] = field(default_factory=dict)
    load_seconds: Mapping[str, float] = field(default_factory=dict)
    memory_bytes: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "format": FORMAT,
            "worker": self.worker,
            "pid": self.pid,
            "ready": sorted(self.ready),
            "failed": dict(self.failed),
            "load_seconds": dict(self.load_seconds),
            "memory_bytes": self.memory_bytes,
        }

    @classmethod
    def from_json(cls, document: Any) -> "WorkerReport":
        """Read what ``to_json`` wrote; raises InvalidError for anything else."""
        return _read("worker report", document, _worker_report)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaReport:
    """
    What a replica acknowledges: only what is durable there (rule 10).

    Attributes:
        replica: Name of the replica.
        state: Its state.
        ready: Versions ready in every live worker.
        failed: Version -> why a worker could not make it ready.
        load_seconds: Version -> longest time that a worker took to make it ready.
        workers: Live workers.
        refusal: Why it did not take the newest generation that it was offered, if so.
        at: When it was written, as ISO 8601 in UTC.
        anchor: Count and head of the ledger, of the longest one that it heard of.
        stopped: Whether the agent wrote this on its way out, in good order.
        warnings: What the agent could not do or understand, for people.
    """

    replica: str
    state: ReplicaState
    ready: frozenset[str] = frozenset()
    failed: Mapping[str, str] = field(default_factory=dict)
    load_seconds: Mapping[str, float] = field(default_factory=dict)
    workers: int = 0
    refusal: Refusal | None = None
    at: str = ""
    anchor: tuple[int, str] = (0, "")
    stopped: bool = False
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        refusal = self.refusal and {
            "generation": self.refusal.generation,
            "unseen_quarantine": sorted(self.refusal.unseen_quarantine),
            "unseen_local": [_local_json(trip) for trip in sorted(self.refusal.unseen_local)],
            "unready": sorted(self.refusal.unready),
            "reason": self.refusal.reason,
        }
        return {
            "format": FORMAT,
            "replica": self.replica,
            "state": state_to_json(self.state),
            "ready": sorted(self.ready),
            "failed": dict(self.failed),
            "load_seconds": dict(self.load_seconds),
            "workers": self.workers,
            "refusal": refusal,
            "at": self.at,
            "anchor": {"count": self.anchor[0], "head": self.anchor[1]},
            "stopped": self.stopped,
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_json(cls, document: Any) -> "ReplicaReport":
        """Read what ``to_json`` wrote; raises InvalidError for anything else."""
        return _read("replica report", document, _replica_report)


@dataclass(frozen=True, slots=True, kw_only=True)
class CountsReport:
    """
    Cumulative counts of one worker.

    Attributes:
        worker: Unique for each process start.
        sequence: Rises with every report of that worker; the highest one holds.
        at: When it was taken, as ISO 8601 in UTC.
        versions: Version -> its counts.
    """

    worker: str
    sequence: int
    at: str
    versions: Mapping[str, VersionCounts]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "format": FORMAT,
            "worker": self.worker,
            "sequence": self.sequence,
            "at": self.at,
            "versions": {version: counts.to_json() for version, counts in self.versions.items()},
        }

    @classmethod
    def from_json(cls, document: Any) -> "CountsReport":
        """Read what ``to_json`` wrote; raises InvalidError for anything else."""
        return _read("counts report", document, _counts_report)


def state_to_json(state: ReplicaState) -> dict[str, Any]:
    """Return the JSON form of a replica's state, as its last-known-good file keeps it."""
    return {
        "fleet": _route_json(state.fleet),
        "latched": state.latched,
        "facts": _facts_json(state.facts),
        "local": [_local_json(trip) for trip in sorted(state.local)],
        "generations": [_generation_json(item) for _, item in sorted(state.generations.items())],
    }


def state_from_json(document: Any) -> ReplicaState:
    """Read what ``state_to_json`` wrote; raises InvalidError for anything else."""
    return _parse("replica state", document, _state)


def trip_to_json(trip: Trip) -> dict[str, Any]:
    """Return the JSON form of a trip."""
    return {
        "uid": trip.uid,
        "version": trip.version,
        "generation": trip.generation,
        "source": trip.source,
        "at": trip.at,
        "why": trip.why,
    }


def trip_from_json(document: Any) -> Trip:
    """Read what ``trip_to_json`` wrote; raises InvalidError for anything else."""
    return _parse("trip", document, _trip)


def _read(what: str, document: Any, parse: Callable[[Any], _T]) -> _T:
    if not isinstance(document, Mapping):
        raise InvalidError(f"a {what} must be an object, not {type(document).__name__}")
    number = document.get("format")
    if not isinstance(number, int) or number < 1:
        raise InvalidError(f"a {what} must carry its format number, not {number!r}")
    if number > FORMAT:
        raise InvalidError(
            f"this {what} has format {number}; this program reads up to {FORMAT}", hint="Upgrade knowngood here"
        )
    return _parse(what, document, parse)


def _parse(what: str, document: Any, parse: Callable[[Any], _T]) -> _T:
    try:
        return parse(document)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InvalidError(f"the {what} is malformed: {type(error).__name__} {error}") from error


def _texts(items: Any) -> frozenset[str]:
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise TypeError(f"expected a list of texts, not {items!r:.80}")
    return frozenset(items)


def _route_json(route: FleetRoute) -> dict[str, int]:
    return {"generation": route.generation, "step": route.step, "split": route.split}


def _route(item: Any) -> FleetRoute:
    return FleetRoute(int(item["generation"]), int(item["step"]), int(item["split"]))


def _generation_json(generation: Generation) -> dict[str, Any]:
    return {
        "number": generation.number,
        "chain": list(generation.chain),
        "saw_quarantine": sorted(generation.saw_quarantine),
        "saw_local": [_local_json(trip) for trip in sorted(generation.saw_local)],
    }


def _generations(items: Any) -> dict[int, Generation]:
    return {
        int(item["number"]): Generation(
            number=int(item["number"]),
            chain=tuple(str(version) for version in item["chain"]),
            saw_quarantine=_texts(item["saw_quarantine"]),
            saw_local=frozenset(_local(trip) for trip in item["saw_local"]),
        )
        for item in items
    }


def _local_json(trip: LocalTrip) -> list[Any]:
    return [trip.replica, trip.generation, trip.version]


def _local(item: Any) -> LocalTrip:
    replica, generation, version = item
    return LocalTrip(str(replica), int(generation), str(version))


def _facts_json(facts: Facts) -> dict[str, Any]:
    return {
        "trips": [trip_to_json(trip) for _, trip in sorted(facts.trips.items())],
        "released": sorted(facts.released),
    }


def _facts(item: Any) -> Facts:
    trips = [_trip(trip) for trip in item["trips"]]
    return Facts({trip.uid: trip for trip in trips}, _texts(item["released"]))


def _trip(item: Any) -> Trip:
    return Trip(
        uid=str(item["uid"]),
        version=str(item["version"]),
        generation=int(item["generation"]),
        source=str(item["source"]),
        at=str(item["at"]),
        why=str(item["why"]),
    )


def _state(item: Any) -> ReplicaState:
    return ReplicaState(
        fleet=_route(item["fleet"]),
        latched=int(item["latched"]),
        facts=_facts(item["facts"]),
        local=frozenset(_local(trip) for trip in item["local"]),
        generations=_generations(item["generations"]),
    )


def _anchor(item: Any) -> tuple[int, str]:
    return (int(item["count"]), str(item["head"]))


def _route_document(item: Any) -> RouteDocument:
    shadow = item["shadow"]
    order = shadow and ShadowOrder(
        reference=str(shadow["reference"]),
        others=tuple(str(version) for version in shadow["others"]),
        per_second=float(shadow["per_second"]),
    )
    return RouteDocument(
        system=str(item["system"]),
        route=_route(item["route"]),
        generations=_generations(item["generations"]),
        facts=_facts(item["facts"]),
        prepare=tuple(str(version) for version in item["prepare"]),
        shadow=order,
        anchor=_anchor(item["anchor"]),
    )


def _release_document(item: Any) -> ReleaseDocument:
    manifest = Manifest.from_json(item["manifest"])
    if manifest.content_digest != item["version"]:
        raise InvalidError(
            f"the manifest recorded as {item['version']} has content digest {manifest.content_digest}",
            hint="It was edited after it was recorded; restore the file or deploy again",
        )
    golden = item["golden"]
    return ReleaseDocument(
        manifest=manifest,
        paths={str(name): str(path) for name, path in item["paths"].items()},
        golden=None if golden is None else str(golden),
    )


def _worker_report(item: Any) -> WorkerReport:
    return WorkerReport(
        worker=str(item["worker"]),
        pid=int(item["pid"]),
        ready=_texts(item["ready"]),
        failed={str(version): str(reason) for version, reason in item["failed"].items()},
        load_seconds={str(version): float(seconds) for version, seconds in item["load_seconds"].items()},
        memory_bytes=int(item["memory_bytes"]),
    )


def _replica_report(item: Any) -> ReplicaReport:
    refusal = item["refusal"]
    return ReplicaReport(
        replica=str(item["replica"]),
        state=_state(item["state"]),
        ready=_texts(item["ready"]),
        failed={str(version): str(reason) for version, reason in item["failed"].items()},
        load_seconds={str(version): float(seconds) for version, seconds in item["load_seconds"].items()},
        workers=int(item["workers"]),
        refusal=refusal
        and Refusal(
            generation=int(refusal["generation"]),
            unseen_quarantine=_texts(refusal["unseen_quarantine"]),
            unseen_local=frozenset(_local(trip) for trip in refusal["unseen_local"]),
            unready=_texts(refusal["unready"]),
        ),
        at=str(item["at"]),
        anchor=_anchor(item["anchor"]),
        stopped=bool(item.get("stopped", False)),
        warnings=tuple(str(warning) for warning in item.get("warnings", ())),
    )


def _counts_report(item: Any) -> CountsReport:
    return CountsReport(
        worker=str(item["worker"]),
        sequence=int(item["sequence"]),
        at=str(item["at"]),
        versions={str(version): VersionCounts.from_json(counts) for version, counts in item["versions"].items()},
    )
