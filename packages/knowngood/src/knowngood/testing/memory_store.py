"""Memory store: the port's ``Store`` without a disk, for tests and simulations. It keeps its contract, errors too."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Lock
from typing import Any, cast

from knowngood.domain import ledger
from knowngood.domain.deployment import Deployment
from knowngood.domain.evidence import Evidence, Grade
from knowngood.domain.fleet import FleetState
from knowngood.domain.ledger import EMPTY, Anchor, Entry
from knowngood.domain.lookup import Recorded, find_version, no_deployment, no_system, not_minted, saved_already, untold
from knowngood.domain.on_record import Unread, unread
from knowngood.domain.saga import Saga, in_order
from knowngood.ports.lease import Held, Leases
from knowngood.ports.store import Store
from knowngood_sdk.errors import ConflictError, PermanentError, TransientError
from knowngood_sdk.model.canonical import canonical_bytes, parse_canonical
from knowngood_sdk.model.manifest import Manifest, check_name

__all__ = ["MemoryChange", "MemoryStore"]


@dataclass(slots=True)
class _System:
    """All that is on record of one system; every value in it is immutable."""

    spec: Mapping[str, Any]
    state: FleetState = field(default_factory=FleetState)
    manifests: dict[str, Manifest] = field(default_factory=dict)
    evidence: list[Evidence] = field(default_factory=list)
    deployments: dict[int, Deployment] = field(default_factory=dict)
    sagas: dict[str, Saga] = field(default_factory=dict)
    ledger: list[Entry] = field(default_factory=list)


class MemoryStore:
    """
    What is on record, in this process.

    Attributes:
        patience: How long a change waits for another one to end.
        leases: Whose leases the stores of ``fenced`` go by.
    """

    def __init__(self, patience: timedelta = timedelta(seconds=5), leases: Leases | None = None) -> None:
        self.patience = patience
        self.leases = leases
        self._systems: dict[str, _System] = {}
        self._writing = Lock()

    def systems(self) -> tuple[str, ...]:
        """Return the names of all systems, sorted."""
        return tuple(sorted(self._systems))

    @contextmanager
    def change(self, system: str) -> Iterator["MemoryChange"]:
        """Open the one transaction that there can be at a time; see the port."""
        if not self._writing.acquire(timeout=self.patience.total_seconds()):
            raise TransientError(
                f"the store is locked: somebody has been changing it for {self.patience.total_seconds():g} s",
                hint="Try again; changes do not nest",
                locked=True,
            )
        try:
            before = self._systems.get(system)
            # Nothing in it is ever changed in place but the containers, so a copy one level deep is one of its own.
            draft = before and _System(**{name: copy.copy(getattr(before, name)) for name in before.__slots__})
            change = MemoryChange(system, draft, self.systems())
            yield change
            if change.draft is not None:
                _check_told(system, before or _System(spec={}), change.draft)
                self._systems = {**self._systems, system: change.draft}
        finally:
            self._writing.release()

    def fenced(self, held: Held) -> Store:
        """Return the store for the holder of a lease; see the port."""
        fenced: Any = _FencedStore(self, held)
        return cast(Store, fenced)

    def check_held(self, held: Held) -> None:
        """Raise ConflictError once a lease has changed hands."""
        if self.leases is None:
            raise PermanentError("this store knows no leases", hint="Give it some: MemoryStore(leases=…)")
        found = self.leases.held().get(held.name)
        if found is None or (found.holder, found.fence) != (held.holder, held.fence):
            raise ConflictError(
                f"{held.name} has changed hands: {found} holds it, not {held}; nothing was changed", lease_lost=True
            )

    def read(self, system: str) -> FleetState:
        """Return the route."""
        return self._of(system).state

    def system_spec(self, system: str) -> Mapping[str, Any]:
        """Return the rules that were applied, as JSON."""
        return copy.deepcopy(self._of(system).spec)

    def manifests(self, system: str) -> tuple[Manifest, ...]:
        """Return every manifest, in the order of recording."""
        return tuple(self._of(system).manifests.values())

    def versions(self, system: str) -> tuple[Unread, ...]:
        """Return every manifest, in the order of recording, each to be read once it is asked for."""
        return tuple(map(unread, self.manifests(system)))

    def manifest(self, system: str, name: str) -> Manifest:
        """Return a manifest by what people call it."""
        kept = self._of(system).manifests
        found = find_version(name, system, [Recorded(m.content_digest, digest) for digest, m in kept.items()])
        return kept[found.manifest]

    def evidence(self, system: str) -> tuple[Evidence, ...]:
        """Return all evidence, in the order of recording."""
        return tuple(self._of(system).evidence)

    def deployments(self, system: str) -> tuple[Deployment, ...]:
        """Return every deployment, by generation."""
        return tuple(deployment for _, deployment in sorted(self._of(system).deployments.items()))

    def deployment(self, system: str, generation: int) -> Deployment:
        """Return a deployment."""
        return _deployment(self._of(system), system, generation)

    def sagas(self, system: str) -> tuple[Saga, ...]:
        """Return every rollback, in the order in which they started."""
        return in_order(self._of(system).sagas.values())

    def ledger(self, system: str, *, after: int = 0, limit: int | None = None) -> tuple[Entry, ...]:
        """Return the entries behind a sequence number."""
        return tuple(self._of(system).ledger[after:][:limit])

    def head(self, system: str) -> Anchor:
        """Return how far the ledger goes."""
        return _head(self._of(system))

    def heads(self) -> Mapping[str, Anchor]:
        """See the port."""
        return {system: self.head(system) for system in self.systems()}

    def _of(self, system: str) -> _System:
        kept = self._systems.get(system)
        if kept is None:
            raise no_system(system, self._systems)
        return kept


class _FencedStore:
    """A store whose changes are refused once a lease has changed hands; all else is the store's own."""

    def __init__(self, store: MemoryStore, held: Held) -> None:
        self._store = store
        self._held = held

    @contextmanager
    def change(self, system: str) -> Iterator["MemoryChange"]:
        with self._store.change(system) as change:
            self._store.check_held(self._held)
            yield change
            self._store.check_held(self._held)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class MemoryChange:
    """The port's ``Change``, on a draft that takes the place of what is on record when the change is committed."""

    def __init__(self, system: str, draft: _System | None, known: tuple[str, ...]) -> None:
        self.draft = draft
        self._system = system
        self._known = known

    @property
    def state(self) -> FleetState:
        """The route, with what this change saved."""
        return self.draft.state if self.draft else FleetState()

    def deployment(self, generation: int) -> Deployment:
        """Return a deployment, with what this change saved."""
        return _deployment(self._drafted(), self._system, generation)

    def save_system(self, document: Mapping[str, Any]) -> None:
        """Keep the rules that were applied to the system."""
        spec = parse_canonical(canonical_bytes(document))
        if self.draft is None:
            self.draft = _System(spec={})
            check_name(self._system, "system")
        self.draft.spec = spec

    def save(self, state: FleetState) -> None:
        """Keep a state in place of the one before."""
        self._drafted().state = state

    def append(self, kind: str, actor: str, at: str, body: Mapping[str, Any]) -> Entry:
        """Append to the system's ledger."""
        draft = self._drafted()
        entry = ledger.append(self._system, _head(draft), at=at, actor=actor, kind=kind, body=body)
        draft.ledger.append(entry)
        return entry

    def record_manifest(self, manifest: Manifest, at: str) -> None:  # noqa: ARG002 - nobody reads it back
        """Keep a manifest; one that is on record stays as it is."""
        self._drafted().manifests.setdefault(manifest.digest, manifest)

    def add_evidence(self, version: str, grade: Grade, at: str, figures: Mapping[str, Any]) -> None:
        """Keep a fact about a version beside those of before."""
        fact = Evidence(version=version, grade=grade, at=at, figures=parse_canonical(canonical_bytes(figures)))
        self._drafted().evidence.append(fact)

    def save_deployment(self, deployment: Deployment) -> None:
        """Keep a deployment in place of the one of the same generation."""
        draft = self._drafted()
        if deployment.generation not in draft.state.generations:
            raise not_minted(self._system, deployment.generation)
        draft.deployments[deployment.generation] = deployment

    def save_saga(self, saga: Saga) -> None:
        """Keep a saga in place of what is on record of it."""
        draft = self._drafted()
        if saga.id in draft.sagas:
            saga.check_follows(draft.sagas[saga.id])
            if saga == draft.sagas[saga.id]:
                raise saved_already(saga.id)
        draft.sagas[saga.id] = saga

    def _drafted(self) -> _System:
        if self.draft is None:
            raise no_system(self._system, self._known)
        return self.draft


def _check_told(system: str, before: _System, after: _System) -> None:
    """Raise InvalidError where something was saved and no entry says so."""
    saved = (before.state, before.evidence, before.sagas) != (after.state, after.evidence, after.sagas)
    if saved and _head(before) == _head(after):
        raise untold(system)


def _head(kept: _System) -> Anchor:
    return kept.ledger[-1].anchor if kept.ledger else EMPTY


def _deployment(kept: _System, system: str, generation: int) -> Deployment:
    if generation not in kept.deployments:
        raise no_deployment(system, generation)
    return kept.deployments[generation]
