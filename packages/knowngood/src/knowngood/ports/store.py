"""
Store: the port to what is on record.

Everything that belongs together is written in one transaction, with the ledger entries that say so: afterwards either
all of it is there, or none. A store keeps any number of systems, and they do not see each other.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from knowngood.domain.deployment import Deployment
from knowngood.domain.evidence import Evidence, Grade
from knowngood.domain.fleet import FleetState
from knowngood.domain.ledger import Anchor, Entry
from knowngood.domain.on_record import Unread
from knowngood.domain.saga import Saga
from knowngood.ports.lease import Held
from knowngood_sdk.model.manifest import Manifest

__all__ = ["Change", "Store"]


class Change(Protocol):
    """
    One transaction on one system, while it is open.

    What it reads cannot move before it is over, and nobody sees what it writes before that. Every method but
    ``save_system`` raises NotFoundError for a system that was never applied, and all of them InvalidError for a value
    that has no JSON form. At its end InvalidError is raised, and nothing is changed, where a route, evidence or a saga
    was saved and no entry was appended: whoever knows how far the ledger goes knows that they are the same.
    """

    @property
    def state(self) -> FleetState:
        """The route, with what this change saved; an empty one while the system is new."""
        ...

    def deployment(self, generation: int) -> Deployment:
        """Return a deployment, with what this change saved; raises NotFoundError when there is none."""
        ...

    def save_system(self, document: Mapping[str, Any]) -> None:
        """Keep the rules that were applied to the system (a system file as JSON), in place of those before."""
        ...

    def save(self, state: FleetState) -> None:
        """Keep a state in place of the one before."""
        ...

    def append(self, kind: str, actor: str, at: str, body: Mapping[str, Any]) -> Entry:
        """
        Append to the system's ledger.

        Args:
            kind: What happened, as a kebab-case word.
            actor: Who acted.
            at: When, as ISO 8601 in UTC.
            body: What there is to know about it.
        """
        ...

    def record_manifest(self, manifest: Manifest, at: str) -> None:
        """Keep a manifest; one that is on record stays as it is."""
        ...

    def add_evidence(self, version: str, grade: Grade, at: str, figures: Mapping[str, Any]) -> None:
        """Keep a fact about a version beside those of before; see ``knowngood.domain.evidence``."""
        ...

    def save_deployment(self, deployment: Deployment) -> None:
        """Keep a deployment in place of the one of the same generation; raises InvalidError before it was minted."""
        ...

    def save_saga(self, saga: Saga) -> None:
        """
        Keep a saga in place of what is on record of it.

        Raises:
            ConflictError: Steps are on record that it does not have, or it stands there exactly so: somebody else took
                it further, or did the same and put that on record.
        """
        ...


class Store(Protocol):
    """
    What is on record.

    Reads answer what was last committed, as of one moment each; asking again is safe. Any method may raise
    TransientError (away, or locked for too long: the same call may succeed) and PermanentError (the disk is full, the
    place may not be written, what is there is damaged). Whatever ``change`` raises, nothing was changed, but for
    OutcomeUnknownError: then look before acting again. Where all that was wrong is that somebody else held a lock, a
    TransientError says so in its details: ``locked`` is true.
    """

    def systems(self) -> tuple[str, ...]:
        """Return the names of all systems, sorted."""
        ...

    def change(self, system: str) -> AbstractContextManager[Change]:
        """
        Open the one transaction on a system that there can be at a time.

        It is committed at the end of the block, durably; an exception in the block aborts it and goes on. A system that
        was never applied is begun with ``save_system``. Do nothing slow inside: everybody else waits. Changes do not
        nest.
        """
        ...

    def fenced(self, held: Held) -> "Store":
        """
        Return the same store for the holder of a lease.

        Its changes raise ConflictError, and change nothing, once the lease has another holder or fence, or was given
        back; that is looked at inside of the transaction, so that a process which was stopped, replaced and woken again
        comes too late. Reads are those of the store. A lease that is over and that nobody took is still its holder's.
        """
        ...

    def read(self, system: str) -> FleetState:
        """Return the route; raises NotFoundError when the system was never applied, as all reads below do."""
        ...

    def system_spec(self, system: str) -> Mapping[str, Any]:
        """Return the rules that were applied, as JSON."""
        ...

    def manifests(self, system: str) -> tuple[Manifest, ...]:
        """Return every manifest, in the order of recording."""
        ...

    def versions(self, system: str) -> tuple[Unread, ...]:
        """Return every manifest as ``manifests`` does, each to be read only once it is asked for."""
        ...

    def manifest(self, system: str, name: str) -> Manifest:
        """
        Return a manifest by what people call it: see ``knowngood.domain.lookup``.

        Raises:
            NotFoundError: There is none.
            InvalidError: The name is ambiguous, or the manifest was edited since it was recorded.
        """
        ...

    def evidence(self, system: str) -> tuple[Evidence, ...]:
        """Return all evidence, in the order of recording."""
        ...

    def deployments(self, system: str) -> tuple[Deployment, ...]:
        """Return every deployment, by generation."""
        ...

    def deployment(self, system: str, generation: int) -> Deployment:
        """Return a deployment; raises NotFoundError when there is none of that generation."""
        ...

    def sagas(self, system: str) -> tuple[Saga, ...]:
        """Return every rollback, in the order in which they started."""
        ...

    def ledger(self, system: str, *, after: int = 0, limit: int | None = None) -> tuple[Entry, ...]:
        """Return the entries behind a sequence number, at most ``limit`` of them, as they are kept: unverified."""
        ...

    def head(self, system: str) -> Anchor:
        """Return how far the ledger goes."""
        ...

    def heads(self) -> Mapping[str, Anchor]:
        """
        Return how far the ledger of every system goes.

        One question, however many systems there are: nothing is put on record without an entry, so whoever knows these
        knows where nothing changed.
        """
        ...
