"""Files: a file or a folder as a component, kept by content."""

import json
import time
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

from knowngood.adapters.files.durable import Deadline, failed, translated
from knowngood.adapters.files.objects import Objects
from knowngood.adapters.files.pins import Pins
from knowngood.adapters.files.pointer import Pointer
from knowngood.adapters.files.tree import Tree, scan
from knowngood.adapters.files.trees import FILE, FOLDER, Trees, form_of, link_or_copy
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
from knowngood.domain.system import ComponentSpec
from knowngood_sdk.errors import ComponentError, InvalidError, NotFoundError
from knowngood_sdk.model.canonical import short
from knowngood_sdk.model.manifest import Ref

__all__ = ["FilesComponent"]

_PROBE_WITHIN = timedelta(minutes=5)


class FilesComponent:
    """
    A file or a folder on this host.

    ``capture`` copies it into the content-addressed store of the working folder; ``prepare`` gives the immutable local
    path (hard links, no second copy). What the working place becomes later changes no version.
    """

    kind: ClassVar[str] = "files"
    options: ClassVar[Collection[str]] = ()
    caps: ClassVar[Caps] = Caps(
        cas=True, atomic=True, reversible=True, pin=PinStrength.PHYSICAL, propagation=timedelta(0), warm=True
    )

    def __init__(self, spec: ComponentSpec, *, system: str, root: Path, folder: Path) -> None:
        self.name = spec.name
        self._source = root / spec.target
        self._objects = Objects(folder)
        self._trees = Trees(folder)
        self._pins = Pins(folder, system, spec.name, self._objects)
        self._pointer = Pointer(folder, system, spec.name, self._trees)

    def capture(self, deadline: timedelta) -> Ref:
        """Copy the file or folder into the store."""
        within = Deadline(deadline)
        with translated(f"capturing {self._source} for component {self.name}"):
            if not self._source.exists():
                raise NotFoundError(
                    f"component {self.name} names {self._source}, and there is nothing",
                    hint="Put the file or folder there, or correct its path in the system file",
                )
            if self._source.is_dir():
                tree = self._scan(within)
                digest, form = self._objects.put_bytes(tree.to_bytes(), within), FOLDER
            elif self._source.is_file():
                digest, form = self._objects.put_file(self._source, within), FILE
            else:
                raise InvalidError(f"{self._source} is neither a file nor a folder", hint="Name one that is")
        return Ref(digest=digest, facets={"form": form, "name": self._source.resolve().name})

    def _scan(self, within: Deadline) -> Tree:
        try:
            return scan(self._source, within, self._objects.put_file)
        except InvalidError as error:
            raise InvalidError(f"component {self.name}: {error.message}", hint=error.hint) from error

    def current(self) -> Seen:
        """Read the pointer file."""
        return self._pointer.current()

    def probe(self, ref: Ref, depth: Depth) -> Probe:
        """Look for the objects (metadata), read them (bytes), or put the content where loaders read it (load)."""
        self._trees.path(ref)  # a ref that is not ours is refused, not probed
        started = time.monotonic()
        try:
            with translated(f"probing {short(ref.digest)}"):
                self._look(ref, depth)
        except ComponentError as error:
            found = error.details.get("availability", Availability.UNKNOWN)
            return Probe(availability=Availability(found), reason=str(error))
        eta = None if depth is Depth.METADATA else time.monotonic() - started
        return Probe(availability=Availability.OK, eta_seconds=eta)

    def pin(self, ref: Ref, lease: Lease) -> Pin:
        """Link the objects into the lease's own folder."""
        with translated(f"pinning {short(ref.digest)}"):
            needed = self._needed(ref)
            self._require(ref, needed)
            self._pins.pin(ref.digest, needed, lease)
        return Pin(lease_id=lease.id, strength=PinStrength.PHYSICAL, until=lease.until)

    def unpin(self, lease_id: str) -> None:
        """Remove the lease's folder."""
        with translated(f"unpinning {lease_id}"):
            self._pins.unpin(lease_id)

    def prepare(self, ref: Ref, deadline: timedelta) -> Prepared:
        """Link the objects to where loaders read them, and check every byte there."""
        within = Deadline(deadline)
        with translated(f"preparing {short(ref.digest)}"):
            path = self._trees.ensure(ref, lambda target: self._fill(ref, target), within)
        return Prepared(ref=ref, path=str(path.resolve()))

    def switch(self, prepared: Prepared, *, expect: str | None, key: str) -> Receipt:
        """Replace the pointer file."""
        return self._pointer.switch(prepared, expect=expect, key=key)

    def effective(self, deadline: timedelta) -> Seen:
        """Read the content behind the pointer file and check every byte."""
        return self._pointer.effective(deadline)

    def _look(self, ref: Ref, depth: Depth) -> None:
        if depth is Depth.LOAD:
            self.prepare(ref, _PROBE_WITHIN)
            return
        needed = self._needed(ref)
        self._require(ref, needed)
        if depth is Depth.BYTES:
            within = Deadline(_PROBE_WITHIN)
            damaged = [each for each in needed if self._objects.check(each, within) is Availability.DAMAGED]
            if damaged:
                raise failed(
                    f"component {self.name}, version {short(ref.digest)}: the bytes of {short(damaged[0])} are damaged",
                    Availability.DAMAGED,
                    "Capture it again from its source, or choose another version",
                )

    def _needed(self, ref: Ref) -> list[str]:
        """Return the digests of all objects that a version is made of; its list of files is read for that."""
        if form_of(ref) == FILE:
            return [ref.digest]
        self._require(ref, [ref.digest])
        return [ref.digest, *(file.digest for file in self._tree(ref).files.values())]

    def _require(self, ref: Ref, needed: Collection[str]) -> None:
        missing = [each for each in needed if not self._pins.restore(each)]
        if missing and not self._recover(ref):
            raise failed(
                f"component {self.name}, version {short(ref.digest)}: {short(missing[0])} is gone from the store",
                Availability.GONE,
                "Capture it again from its source, or choose another version",
            )

    def _recover(self, ref: Ref) -> bool:
        """Give the store back what it lost and loaders still have; return whether that was possible."""
        within = Deadline(_PROBE_WITHIN)
        if self._trees.check(ref, within) is not Availability.OK:
            return False
        path = self._trees.path(ref)
        if form_of(ref) == FILE:
            self._objects.put_file(path, within)
        else:
            self._objects.put_bytes(scan(path, within, self._objects.put_file).to_bytes(), within)
        return True

    def _tree(self, ref: Ref) -> Tree:
        path = self._objects.path(ref.digest)
        try:
            tree = Tree.from_json(json.loads(path.read_bytes()))
        except (ValueError, InvalidError) as error:
            raise failed(f"the list of files {path} is damaged", Availability.DAMAGED, "Capture it again") from error
        if tree.digest != ref.digest:
            raise failed(f"the list of files {path} was changed", Availability.DAMAGED, "Capture it again")
        return tree

    def _fill(self, ref: Ref, target: Path) -> None:
        self._require(ref, self._needed(ref))
        if form_of(ref) == FILE:
            link_or_copy(self._objects.path(ref.digest), target)
            return
        for relative, file in self._tree(ref).files.items():
            place = target / relative
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            link_or_copy(self._objects.path(file.digest), place, executable=file.executable)
