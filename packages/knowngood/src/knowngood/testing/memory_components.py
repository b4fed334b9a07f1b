"""In-memory components and outbox: versions in a dict, for tests of the control plane's verbs."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from knowngood.domain.component import (
    Availability,
    Caps,
    Depth,
    Lease,
    Pin,
    PinStrength,
    Prepared,
    Probe,
    Receipt,
    Seen,
)
from knowngood_sdk.errors import ConflictError, PermanentError
from knowngood_sdk.model.canonical import digest_of
from knowngood_sdk.model.manifest import Ref

__all__ = ["MemoryComponent", "MemoryOutbox"]


class MemoryComponent:
    """
    A component whose working place and versions are values.

    Attributes:
        working: What stands in the working place; change it to make a new version.
        versions: Digest -> content of every captured version; remove one to make it gone.
        pointer: Digest that the pointer names.
        pins: Lease id -> digest.
    """

    kind = "memory"
    caps = Caps(cas=True, atomic=True, reversible=True, pin=PinStrength.PHYSICAL, propagation=timedelta(0), warm=True)

    def __init__(self, name: str, working: Any) -> None:
        self.name = name
        self.working = working
        self.versions: dict[str, Any] = {}
        self.pointer: str | None = None
        self.pins: dict[str, str] = {}
        self._receipts: dict[str, Receipt] = {}

    def capture(self, _deadline: timedelta) -> Ref:
        """Keep the working content."""
        digest = digest_of(self.working)
        self.versions[digest] = self.working
        return Ref(digest=digest, native=f"v{len(self.versions)}")

    def current(self) -> Seen:
        """Return the pointer."""
        ref = Ref(digest=self.pointer) if self.pointer else None
        return Seen(ref=ref, token=self.pointer)

    def probe(self, ref: Ref, _depth: Depth) -> Probe:
        """Look whether the version is kept."""
        if ref.digest in self.versions:
            return Probe(availability=Availability.OK, eta_seconds=0.001)
        return Probe(availability=Availability.GONE, reason="nobody kept it")

    def pin(self, ref: Ref, lease: Lease) -> Pin:
        """Remember the lease."""
        self.pins[lease.id] = ref.digest
        return Pin(lease_id=lease.id, strength=PinStrength.PHYSICAL, until=lease.until)

    def unpin(self, lease_id: str) -> None:
        """Forget the lease."""
        self.pins.pop(lease_id, None)

    def prepare(self, ref: Ref, _deadline: timedelta) -> Prepared:
        """Check that the version is kept."""
        if ref.digest not in self.versions:
            raise PermanentError(f"{self.name} {ref.digest} is gone", availability="gone")
        return Prepared(ref=ref, path=f"/memory/{self.name}/{ref.digest}")

    def switch(self, prepared: Prepared, *, expect: str | None, key: str) -> Receipt:
        """Move the pointer, once for each key."""
        if key in self._receipts:
            return self._receipts[key]
        if expect != self.pointer:
            raise ConflictError(f"the pointer of {self.name} moved: expected {expect}, found {self.pointer}")
        before = Ref(digest=self.pointer) if self.pointer else None
        self.pointer = prepared.ref.digest
        self._receipts[key] = Receipt(key=key, before=before, after=prepared.ref, token=self.pointer)
        return self._receipts[key]

    def effective(self, _deadline: timedelta) -> Seen:
        """Return the pointer: readers follow at once."""
        return self.current()


class MemoryOutbox:
    """Decisions in a dict."""

    def __init__(self) -> None:
        self.documents: dict[tuple[str, str], Mapping[str, Any]] = {}

    def put(self, system: str, uid: str, document: Mapping[str, Any]) -> None:
        """Keep a decision unless one is there."""
        self.documents.setdefault((system, uid), document)

    def get(self, system: str, uid: str) -> Mapping[str, Any] | None:
        """Return a decision."""
        return self.documents.get((system, uid))

    def drop(self, system: str, uid: str) -> None:
        """Forget a decision."""
        self.documents.pop((system, uid), None)
