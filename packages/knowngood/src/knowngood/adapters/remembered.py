"""
Remembered: a store whose reads are answered from memory while its database is away.

Judging and leaving a version need what is on record: the rules, the route, what is known of each version. Of a system
that is watched and has replicas all that is kept in memory too, as of its last look and of what this process wrote
since, so that an outage of the database stops neither. While what stands beside the store is found gone, and nobody
knows yet of the store itself, reads are answered from memory too, as far as that is not behind what this process wrote.
What is to be put on record is refused meanwhile, at once; it is told again by whoever knows it, when the store is back.

What is written never rests on memory: inside of a change the database answers, or the change fails.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import local
from typing import Any, TypeVar

from knowngood.adapters.known import Known, Memory, NotedChange
from knowngood.adapters.reach import Reach
from knowngood.domain.deployment import Deployment
from knowngood.domain.evidence import Evidence
from knowngood.domain.fleet import FleetState
from knowngood.domain.ledger import Anchor, Entry
from knowngood.domain.lookup import Recorded, find_version, no_deployment
from knowngood.domain.on_record import Unread, unread
from knowngood.domain.saga import Saga
from knowngood.ports.lease import Held
from knowngood.ports.store import Change, Store
from knowngood_sdk.errors import OutcomeUnknownError, TransientError
from knowngood_sdk.model.manifest import Manifest

__all__ = ["RememberedStore"]

T = TypeVar("T")

_here = local()


class RememberedStore:
    """
    The port's ``Store`` on another one.

    Args:
        store: The store.
        reach: Whether it can be reached; left out, it is found out by asking the store for its systems.
        memory: What is remembered; shared by the stores of ``fenced``.

    Attributes:
        reach: Whether it can be reached, for what stands in the same place.
    """

    def __init__(self, store: Store, reach: Reach | None = None, memory: Memory | None = None) -> None:
        self._store = store
        self.reach = reach or Reach("the store", store.systems)
        self._memory = memory or Memory()

    @property
    def away(self) -> bool:
        """Whether the database is away, as far as anybody knows."""
        return self.reach.gone

    def remember(self, system: str) -> None:
        """
        Keep in memory what is on record of a system now; cheap when nothing was put on record since.

        Raises:
            TransientError: The store is away, or perhaps is; what was remembered stays.
        """
        self.reach.check()
        known, writes = self._memory.of(system), self._memory.writes(system)
        head = self._asked(lambda: self._store.head(system))
        if known is not None and known.head == head and not known.behind:
            return
        self._memory.looked(system, self._asked(lambda: Known.read(self._store, system, head)), writes)

    def systems(self) -> tuple[str, ...]:
        """Return the names of all systems; of those that are remembered while the store is away."""
        if not self.reach.gone:
            try:
                return self._store.systems()
            except TransientError as error:
                self.reach.lost(error)
        return self._memory.systems()

    @contextmanager
    def change(self, system: str) -> Iterator[Change]:
        """Open a change; see the port. Refused at once while the store is away."""
        self.reach.check()
        opened = self._store.change(system)
        with self._noticing(system):
            noted = NotedChange(opened.__enter__())
        try:
            with self._inside():
                yield noted
        except BaseException as error:
            with self._noticing(system, own=error):
                if not opened.__exit__(type(error), error, error.__traceback__):
                    raise
        else:
            with self._noticing(system):
                opened.__exit__(None, None, None)
            self._memory.wrote(system, noted)

    def fenced(self, held: Held) -> Store:
        """Return the same store for the holder of a lease; see the port."""
        return RememberedStore(self._store.fenced(held), self.reach, self._memory)

    def read(self, system: str) -> FleetState:
        """Return the route."""
        return self._answer(system, lambda: self._store.read(system), lambda known: known.state)

    def system_spec(self, system: str) -> Mapping[str, Any]:
        """Return the rules that were applied, as JSON."""
        return self._answer(system, lambda: self._store.system_spec(system), lambda known: known.spec)

    def manifests(self, system: str) -> tuple[Manifest, ...]:
        """Return every manifest, in the order of recording."""
        return self._answer(system, lambda: self._store.manifests(system), lambda known: known.manifests)

    def versions(self, system: str) -> tuple[Unread, ...]:
        """Return every manifest, in the order of recording, each to be read once it is asked for."""
        return self._answer(
            system, lambda: self._store.versions(system), lambda known: tuple(map(unread, known.manifests))
        )

    def manifest(self, system: str, name: str) -> Manifest:
        """Return a manifest by what people call it."""

        def remembered(known: Known) -> Manifest:
            kept = {manifest.digest: manifest for manifest in known.manifests}
            recorded = [Recorded(manifest.content_digest, digest) for digest, manifest in kept.items()]
            return kept[find_version(name, system, recorded).manifest]

        return self._answer(system, lambda: self._store.manifest(system, name), remembered)

    def evidence(self, system: str) -> tuple[Evidence, ...]:
        """Return all evidence, in the order of recording."""
        return self._answer(system, lambda: self._store.evidence(system), lambda known: known.evidence)

    def deployments(self, system: str) -> tuple[Deployment, ...]:
        """Return every deployment, by generation."""
        return self._answer(system, lambda: self._store.deployments(system), lambda known: known.deployments)

    def deployment(self, system: str, generation: int) -> Deployment:
        """Return a deployment."""

        def remembered(known: Known) -> Deployment:
            found = next((made for made in known.deployments if made.generation == generation), None)
            if found is None:
                raise no_deployment(system, generation)
            return found

        return self._answer(system, lambda: self._store.deployment(system, generation), remembered)

    def sagas(self, system: str) -> tuple[Saga, ...]:
        """Return every rollback, in the order in which they started."""
        return self._answer(system, lambda: self._store.sagas(system), lambda known: known.sagas)

    def ledger(self, system: str, *, after: int = 0, limit: int | None = None) -> tuple[Entry, ...]:
        """Return entries of the ledger. They are not remembered, for nothing is decided by them."""
        self.reach.check()
        return self._asked(lambda: self._store.ledger(system, after=after, limit=limit))

    def head(self, system: str) -> Anchor:
        """Return how far the ledger goes."""
        return self._answer(system, lambda: self._store.head(system), lambda known: known.head)

    def heads(self) -> Mapping[str, Anchor]:
        """Return how far every ledger goes. Not remembered: it is asked to learn what is new, again and again."""
        self.reach.check()
        return self._asked(self._store.heads)

    def _answer(self, system: str, ask: Callable[[], T], remembered: Callable[[Known], T]) -> T:
        if getattr(_here, "changing", False):
            return self._asked(ask)
        known = self._memory.of(system)
        presumed = self.reach.presumed and known is not None and not known.behind
        if not (self.reach.gone or presumed):
            try:
                return ask()
            except TransientError as error:
                self._found(error)
                if known is None:
                    raise
        if known is None:
            self.reach.check()
            # It came back in between.
            return ask()
        return remembered(known)

    def _asked(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except TransientError as error:
            self._found(error)
            raise

    def _found(self, error: TransientError) -> None:
        """Note what a failed call says of the database."""
        if error.details.get("locked"):
            # Most probably somebody else only holds the lock, or all connections.
            self.reach.doubted()
        else:
            self.reach.lost(error)

    @staticmethod
    @contextmanager
    def _inside() -> Iterator[None]:
        """Let this thread read nothing from memory while the block runs."""
        _here.changing = True
        try:
            yield
        finally:
            _here.changing = False

    @contextmanager
    def _noticing(self, system: str, own: BaseException | None = None) -> Iterator[None]:
        """Let all know at once that the database under a change is gone; what its block raised is the block's own."""
        try:
            yield
        except TransientError as error:
            if error is not own:
                self._found(error)
            raise
        except OutcomeUnknownError as error:
            if error is not own:
                self._memory.unsure(system)
                self.reach.lost(TransientError(error.message, hint="Look whether the database can be reached"))
            raise
