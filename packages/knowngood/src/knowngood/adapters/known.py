"""
Known: what is on record of one system as far as memory goes, and how changes of this process take it further.

The ledger tells whether memory and record are the same: nothing is put on record without an entry, and each entry names
the one before. So a change of our own whose first entry follows the last that is known leaves nothing behind that
memory does not have; after any other one memory is behind until it is looked anew.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

from knowngood.domain.deployment import Deployment
from knowngood.domain.evidence import Evidence, Grade
from knowngood.domain.fleet import FleetState
from knowngood.domain.ledger import Anchor, Entry
from knowngood.domain.saga import Saga, in_order
from knowngood.ports.store import Change, Store
from knowngood_sdk.model.canonical import canonical_bytes, parse_canonical
from knowngood_sdk.model.manifest import Manifest

__all__ = ["Known", "Memory", "NotedChange"]


class NotedChange:
    """The port's ``Change`` on another one, which notes what is written."""

    def __init__(self, change: Change) -> None:
        self._change = change
        self.wrote = False
        self.entries: list[Entry] = []
        self.spec: Mapping[str, Any] | None = None
        self.saved: FleetState | None = None
        self.manifests: dict[str, Manifest] = {}
        self.evidence: list[Evidence] = []
        self.deployments: dict[int, Deployment] = {}
        self.sagas: dict[str, Saga] = {}

    @property
    def state(self) -> FleetState:
        """The route, with what this change saved."""
        return self._change.state

    def deployment(self, generation: int) -> Deployment:
        """Return a deployment, with what this change saved."""
        return self._change.deployment(generation)

    def save_system(self, document: Mapping[str, Any]) -> None:
        """Keep the rules that were applied to the system."""
        self.wrote = True
        self._change.save_system(document)
        self.spec = parse_canonical(canonical_bytes(document))

    def save(self, state: FleetState) -> None:
        """Keep a state in place of the one before."""
        self.wrote = self.wrote or state != self._change.state
        self._change.save(state)
        self.saved = state

    def append(self, kind: str, actor: str, at: str, body: Mapping[str, Any]) -> Entry:
        """Append to the system's ledger."""
        self.wrote = True
        entry = self._change.append(kind, actor, at, body)
        self.entries.append(entry)
        return entry

    def record_manifest(self, manifest: Manifest, at: str) -> None:
        """Keep a manifest; one that is on record stays as it is."""
        self.wrote = True
        self._change.record_manifest(manifest, at)
        self.manifests.setdefault(manifest.digest, manifest)

    def add_evidence(self, version: str, grade: Grade, at: str, figures: Mapping[str, Any]) -> None:
        """Keep a fact about a version beside those of before."""
        self.wrote = True
        self._change.add_evidence(version, grade, at, figures)
        kept = parse_canonical(canonical_bytes(figures))
        self.evidence.append(Evidence(version=version, grade=grade, at=at, figures=kept))

    def save_deployment(self, deployment: Deployment) -> None:
        """Keep a deployment in place of the one of the same generation."""
        self.wrote = True
        self._change.save_deployment(deployment)
        self.deployments[deployment.generation] = deployment

    def save_saga(self, saga: Saga) -> None:
        """Keep a saga in place of what is on record of it."""
        self.wrote = True
        self._change.save_saga(saga)
        self.sagas[saga.id] = saga


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """
    What was on record of a system at one look, and what this process put on record since.

    Attributes:
        behind: Whether this process wrote more, or may have, than stands here.
    """

    head: Anchor
    spec: Mapping[str, Any]
    state: FleetState
    manifests: tuple[Manifest, ...]
    evidence: tuple[Evidence, ...]
    deployments: tuple[Deployment, ...]
    sagas: tuple[Saga, ...]
    behind: bool = False

    @classmethod
    def read(cls, store: Store, system: str, head: Anchor) -> "Known":
        """Read all of a system. The head was read first: what comes in between is looked at again next time."""
        return cls(
            head=head,
            spec=store.system_spec(system),
            state=store.read(system),
            manifests=store.manifests(system),
            evidence=store.evidence(system),
            deployments=store.deployments(system),
            sagas=store.sagas(system),
        )

    def after(self, change: NotedChange) -> "Known":
        """Return what is known after a change that was committed."""
        if not change.wrote:
            return self
        first = change.entries[0] if change.entries else None
        if self.behind or first is None or Anchor(first.sequence - 1, first.previous) != self.head:
            return replace(self, behind=True)
        manifests = {manifest.digest: manifest for manifest in self.manifests} | change.manifests
        deployments = {made.generation: made for made in self.deployments} | change.deployments
        sagas = {saga.id: saga for saga in self.sagas} | change.sagas
        return Known(
            head=change.entries[-1].anchor,
            spec=self.spec if change.spec is None else change.spec,
            state=self.state if change.saved is None else change.saved,
            manifests=tuple(manifests.values()),
            evidence=(*self.evidence, *change.evidence),
            deployments=tuple(made for _, made in sorted(deployments.items())),
            sagas=in_order(sagas.values()),
        )


class Memory:
    """What is known of each system, for threads that look and threads that write."""

    def __init__(self) -> None:
        self._known: dict[str, Known] = {}
        self._writes: Counter[str] = Counter()
        self._lock = Lock()

    def systems(self) -> tuple[str, ...]:
        """Return the systems of which anything is known, sorted."""
        return tuple(sorted(self._known))

    def of(self, system: str) -> Known | None:
        """Return what is known of a system."""
        return self._known.get(system)

    def writes(self, system: str) -> int:
        """Return a number that rises with each change of this process: read before a look, given to ``looked``."""
        return self._writes[system]

    def looked(self, system: str, known: Known, writes: int) -> None:
        """Keep what a look found, unless this process wrote meanwhile: the look may have seen it, or not."""
        with self._lock:
            if self._writes[system] == writes:
                self._known[system] = known
            else:
                self._known.setdefault(system, replace(known, behind=True))

    def wrote(self, system: str, change: NotedChange) -> None:
        """Take what is known further by a change that was committed."""
        with self._lock:
            self._writes[system] += change.wrote
            known = self._known.get(system)
            if known is not None:
                self._known[system] = known.after(change)

    def unsure(self, system: str) -> None:
        """Note that a change was committed, or was not."""
        with self._lock:
            self._writes[system] += 1
            known = self._known.get(system)
            if known is not None:
                self._known[system] = replace(known, behind=True)
