"""
Wire: the documents that the control plane and a replica exchange, and that a replica keeps on its disk.

They are files today and will be HTTP bodies; either way they are JSON with a ``format`` number. A reader refuses a
newer format and anything malformed with an InvalidError that names the field; it takes no text for a number and no
number for a text. Fields that it does not know are passed over, so that a newer writer of the same format can add some.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from knowngood_sdk.errors import InvalidError, NewerFormatError
from knowngood_sdk.model.counts import VersionCounts
from knowngood_sdk.model.fields import entry, flag, integer, listed, mapping, number, shown, text, text_map, texts
from knowngood_sdk.model.manifest import Manifest
from knowngood_sdk.model.route import Facts, FleetRoute, Generation, Refusal, ReplicaState
from knowngood_sdk.model.route_wire import (
    facts_in,
    facts_json,
    generation_json,
    generations_in,
    local_json,
    locals_in,
    parse,
    route_in,
    route_json,
    state_from_json,
    state_in,
    state_to_json,
    trip_from_json,
    trip_to_json,
)
from knowngood_sdk.model.signed import MAX_ROOTS, Envelope, envelope_in

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
        signed: What vouches for all of it but the trips; None where nothing does.
        roots: Roots, oldest first, by which a reader finds out which keys count now. Each vouches for the next.
        held_out: Replicas that say "not ready" to their balancer, because they are sick and others are not.
        recorded: Generation at which the record ends, where that is behind the route; else None.
    """

    system: str
    route: FleetRoute = FleetRoute()
    generations: Mapping[int, Generation] = field(default_factory=dict)
    facts: Facts = field(default_factory=Facts)
    prepare: tuple[str, ...] = ()
    shadow: ShadowOrder | None = None
    anchor: tuple[int, str] = (0, "")
    signed: Envelope | None = None
    roots: tuple[Envelope, ...] = ()
    held_out: frozenset[str] = frozenset()
    recorded: int | None = None

    @property
    def trips(self) -> Facts:
        """The part that needs nobody to vouch for it: leaving never waits for a signature."""
        return Facts(self.facts.trips)

    @property
    def vouched(self) -> "RouteDocument":
        """The part that a signature is for: whatever could move a fleet forward, or lift a quarantine."""
        return replace(self, facts=Facts({}, self.facts.released), signed=None, roots=())

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
        document = {
            "format": FORMAT,
            "system": self.system,
            "route": route_json(self.route),
            "generations": [generation_json(item) for _, item in sorted(self.generations.items())],
            "facts": facts_json(self.facts),
            "prepare": list(self.prepare),
            "shadow": shadow,
            "anchor": {"count": self.anchor[0], "head": self.anchor[1]},
        }
        if self.signed is not None:
            document["signed"] = self.signed.to_json()
        if self.roots:
            document["roots"] = [root.to_json() for root in self.roots]
        if self.held_out:
            document["held_out"] = sorted(self.held_out)
        if self.recorded is not None:
            document["recorded"] = self.recorded
        return document

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
        signed: What vouches for all of it but the paths, which are each host's own; None where nothing does.
    """

    manifest: Manifest
    paths: Mapping[str, str]
    golden: str | None = None
    signed: Envelope | None = None

    @property
    def vouched(self) -> dict[str, Any]:
        """The part that a signature is for, as JSON: what the version is, and whether golden inputs belong to it."""
        return {
            "format": FORMAT,
            "version": self.manifest.content_digest,
            "manifest": self.manifest.to_json(),
            "golden": self.golden is not None,
        }

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        document = {
            "format": FORMAT,
            "version": self.manifest.content_digest,
            "manifest": self.manifest.to_json(),
            "paths": dict(self.paths),
            "golden": self.golden,
        }
        return document if self.signed is None else {**document, "signed": self.signed.to_json()}

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
        fallback: Whether it has a static fallback, which answers when no version can.
        warnings: What the worker could not do, for people.
    """

    worker: str
    pid: int
    ready: frozenset[str] = frozenset()
    failed: Mapping[str, str] = field(default_factory=dict)
    load_seconds: Mapping[str, float] = field(default_factory=dict)
    memory_bytes: int = 0
    fallback: bool = False
    warnings: tuple[str, ...] = ()

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
            "fallback": self.fallback,
            "warnings": list(self.warnings),
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
        memory_bytes: Resident memory of the live workers together, as each last measured it.
        fallback: Whether every live worker has a static fallback.
        refusal: Why it did not take the newest generation that it was offered, if so.
        at: When it was written, as ISO 8601 in UTC.
        anchor: Count and head of the ledger, of the longest one that it heard of.
        stopped: Whether the agent wrote this on its way out, in good order.
        warnings: What the agent could not do or understand, for people.
        signed: Version and time (ISO 8601 in UTC) of the newest route that a known key vouched for; zero and empty
            where the replica asks for no signatures, or has seen none.
        crew: Names of the live workers, each unique for a process start.
        held_out: Whether it says "not ready" to its balancer.
    """

    replica: str
    state: ReplicaState
    ready: frozenset[str] = frozenset()
    failed: Mapping[str, str] = field(default_factory=dict)
    load_seconds: Mapping[str, float] = field(default_factory=dict)
    workers: int = 0
    memory_bytes: int = 0
    fallback: bool = False
    refusal: Refusal | None = None
    at: str = ""
    anchor: tuple[int, str] = (0, "")
    stopped: bool = False
    warnings: tuple[str, ...] = ()
    signed: tuple[int, str] = (0, "")
    crew: frozenset[str] = frozenset()
    held_out: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        refusal = self.refusal and {
            "generation": self.refusal.generation,
            "unseen_quarantine": sorted(self.refusal.unseen_quarantine),
            "unseen_local": [local_json(trip) for trip in sorted(self.refusal.unseen_local)],
            "unready": sorted(self.refusal.unready),
            "reason": self.refusal.reason,
        }
        if refusal and self.refusal and self.refusal.untrusted:
            refusal["untrusted"] = self.refusal.untrusted
        document = {
            "format": FORMAT,
            "replica": self.replica,
            "state": state_to_json(self.state),
            "ready": sorted(self.ready),
            "failed": dict(self.failed),
            "load_seconds": dict(self.load_seconds),
            "workers": self.workers,
            "memory_bytes": self.memory_bytes,
            "fallback": self.fallback,
            "refusal": refusal,
            "at": self.at,
            "anchor": {"count": self.anchor[0], "head": self.anchor[1]},
            "stopped": self.stopped,
            "warnings": list(self.warnings),
            "crew": sorted(self.crew),
            "held_out": self.held_out,
        }
        version, at = self.signed
        return {**document, "signed": {"version": version, "at": at}} if version else document

    @classmethod
    def from_json(cls, document: Any) -> "ReplicaReport":
        """Read what ``to_json`` wrote; raises InvalidError for anything else."""
        return _read("replica report", document, _replica_report)


@dataclass(frozen=True, slots=True, kw_only=True)
class CountsReport:
    """
    Cumulative counts of one worker, or of all that are gone of one replica.

    Attributes:
        worker: Unique for each process start.
        sequence: Rises with every report of that worker; the highest one holds.
        at: When it was taken, as ISO 8601 in UTC.
        versions: Version -> its counts.
        holds: Workers that are gone, whose counts are in it: what is left of their own reports counts no more.
    """

    worker: str
    sequence: int
    at: str
    versions: Mapping[str, VersionCounts] = field(default_factory=dict)
    holds: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        document = {
            "format": FORMAT,
            "worker": self.worker,
            "sequence": self.sequence,
            "at": self.at,
            "versions": {version: counts.to_json() for version, counts in self.versions.items()},
        }
        return {**document, "holds": list(self.holds)} if self.holds else document

    @classmethod
    def from_json(cls, document: Any) -> "CountsReport":
        """Read what ``to_json`` wrote; raises InvalidError for anything else."""
        return _read("counts report", document, _counts_report)


def _read(what: str, document: Any, read: Callable[[Any], _T]) -> _T:
    if not isinstance(document, Mapping):
        raise InvalidError(f"a {what} must be an object, not {type(document).__name__}")
    version = document.get("format")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise InvalidError(f"a {what} must carry its format number, not {shown(version)}")
    if version > FORMAT:
        raise NewerFormatError(
            f"this {what} has format {version}; this program reads up to {FORMAT}", hint="Upgrade knowngood here"
        )
    return parse(what, document, read)


def _anchor(item: Any) -> tuple[int, str]:
    anchor = entry(item, "anchor")
    return (integer(anchor, "count"), text(anchor, "head"))


def _route_document(item: Any) -> RouteDocument:
    shadow = entry(item, "shadow")
    return RouteDocument(
        system=text(item, "system"),
        route=route_in(entry(item, "route")),
        generations=generations_in(item),
        facts=facts_in(item),
        prepare=texts(item, "prepare"),
        shadow=None if shadow is None else _shadow(shadow),
        anchor=_anchor(item),
        signed=_envelope(item),
        roots=_roots(item),
        held_out=frozenset(texts(item, "held_out")) if "held_out" in item else frozenset(),
        recorded=integer(item, "recorded") if "recorded" in item else None,
    )


def _envelope(item: Any) -> Envelope | None:
    return envelope_in(item["signed"]) if item.get("signed") is not None else None


def _roots(item: Any) -> tuple[Envelope, ...]:
    if "roots" not in item:
        return ()
    roots = listed(item, "roots")
    if len(roots) > MAX_ROOTS:
        raise ValueError(f"roots are more than {MAX_ROOTS}")
    return tuple(map(envelope_in, roots))


def _shadow(item: Any) -> ShadowOrder:
    return ShadowOrder(
        reference=text(item, "reference"), others=texts(item, "others"), per_second=number(item, "per_second")
    )


def _release_document(item: Any) -> ReleaseDocument:
    manifest = Manifest.from_json(entry(item, "manifest"))
    version = text(item, "version")
    if manifest.content_digest != version:
        raise InvalidError(
            f"the manifest recorded as {version} has content digest {manifest.content_digest}",
            hint="It was edited after it was recorded; restore the file or deploy again",
        )
    return ReleaseDocument(
        manifest=manifest,
        paths=text_map(item, "paths"),
        golden=None if entry(item, "golden") is None else text(item, "golden"),
        signed=_envelope(item),
    )


def _worker_report(item: Any) -> WorkerReport:
    return WorkerReport(
        worker=text(item, "worker"),
        pid=integer(item, "pid"),
        ready=frozenset(texts(item, "ready")),
        failed=text_map(item, "failed"),
        load_seconds=_seconds(item),
        memory_bytes=integer(item, "memory_bytes"),
        fallback=flag(item, "fallback") if "fallback" in item else False,
        warnings=texts(item, "warnings") if "warnings" in item else (),
    )


def _seconds(item: Any) -> dict[str, float]:
    seconds = mapping(item, "load_seconds")
    return {version: number(seconds, version) for version in seconds}


def _replica_report(item: Any) -> ReplicaReport:
    refusal = entry(item, "refusal")
    return ReplicaReport(
        replica=text(item, "replica"),
        state=state_in(entry(item, "state")),
        ready=frozenset(texts(item, "ready")),
        failed=text_map(item, "failed"),
        load_seconds=_seconds(item),
        workers=integer(item, "workers"),
        memory_bytes=integer(item, "memory_bytes") if "memory_bytes" in item else 0,
        fallback=flag(item, "fallback") if "fallback" in item else False,
        refusal=None if refusal is None else _refusal(refusal),
        at=text(item, "at"),
        anchor=_anchor(item),
        stopped=flag(item, "stopped") if "stopped" in item else False,
        warnings=texts(item, "warnings") if "warnings" in item else (),
        signed=_signed(item),
        crew=frozenset(texts(item, "crew")) if "crew" in item else frozenset(),
        held_out=flag(item, "held_out") if "held_out" in item else False,
    )


def _signed(item: Any) -> tuple[int, str]:
    if "signed" not in item:
        return (0, "")
    signed = entry(item, "signed")
    return (integer(signed, "version"), text(signed, "at"))


def _refusal(item: Any) -> Refusal:
    return Refusal(
        generation=integer(item, "generation"),
        unseen_quarantine=frozenset(texts(item, "unseen_quarantine")),
        unseen_local=locals_in(item, "unseen_local"),
        unready=frozenset(texts(item, "unready")),
        untrusted=text(item, "untrusted") if "untrusted" in item else "",
    )


def _counts_report(item: Any) -> CountsReport:
    versions = mapping(item, "versions")
    return CountsReport(
        worker=text(item, "worker"),
        sequence=integer(item, "sequence"),
        at=text(item, "at"),
        versions={version: VersionCounts.from_json(versions[version]) for version in versions},
        holds=texts(item, "holds") if "holds" in item else (),
    )
