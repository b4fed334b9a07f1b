"""Inline: a YAML or JSON document that the manifest itself carries."""

import hashlib
import json
import time
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from knowngood.adapters.files.durable import Deadline, failed, translated
from knowngood.adapters.files.pointer import Pointer
from knowngood.adapters.files.trees import FILE, Trees
from knowngood.adapters.yaml.document import read_document
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
    check_lease_id,
)
from knowngood.domain.system import ComponentSpec
from knowngood_sdk.errors import ComponentError, InvalidError, NotFoundError
from knowngood_sdk.model.canonical import DIGEST_PREFIX, canonical_bytes, short
from knowngood_sdk.model.manifest import Ref

__all__ = ["LARGEST", "InlineComponent"]

LARGEST = 64 * 1024
"""Most bytes of a document, as a file and in its canonical form."""

_SUFFIXES = (".yaml", ".yml", ".json")
_PROBE_WITHIN = timedelta(minutes=1)


class InlineComponent:
    """
    A small document, kept where nothing can lose it: in the facet ``document`` of its ref.

    Its identity is its value: a comment or another order of keys makes no new version. Loaders read it as JSON.
    """

    kind: ClassVar[str] = "inline"
    options: ClassVar[Collection[str]] = ()
    caps: ClassVar[Caps] = Caps(
        cas=True, atomic=True, reversible=True, pin=PinStrength.PHYSICAL, propagation=timedelta(0), warm=True
    )

    def __init__(self, spec: ComponentSpec, *, system: str, root: Path, folder: Path) -> None:
        self.name = spec.name
        self._source = root / spec.target
        self._trees = Trees(folder)
        self._pointer = Pointer(folder, system, spec.name, self._trees)
        if self._source.suffix not in _SUFFIXES:
            raise InvalidError(
                f"component {spec.name} names {spec.target}, which is neither YAML nor JSON by its suffix",
                hint=f"Use {', '.join(_SUFFIXES)}, or the kind files",
            )

    def capture(self, deadline: timedelta) -> Ref:
        """Read the document; it needs no store."""
        Deadline(deadline).check(f"reading {self._source}")
        with translated(f"reading {self._source} for component {self.name}"):
            if not self._source.is_file():
                raise NotFoundError(
                    f"component {self.name} names the document {self._source}, and there is none",
                    hint="Put the file there, or correct its path in the system file",
                )
            with self._source.open("rb") as file:
                content = file.read(LARGEST + 1)
        canonical = canonical_bytes(self._parsed(content))
        if len(canonical) > LARGEST:
            raise InvalidError(f"{self._source} is too large to be inlined", hint="Use the kind files")
        return Ref(
            digest=_digest(canonical),
            facets={"form": FILE, "name": f"{self._source.stem}.json", "document": canonical.decode()},
        )

    def current(self) -> Seen:
        """Read the pointer file."""
        return self._pointer.current()

    def probe(self, ref: Ref, depth: Depth) -> Probe:
        """Compare the document that the ref carries with its digest; put it where loaders read it (load)."""
        self._trees.path(ref)  # a ref that is not ours is refused, not probed
        started = time.monotonic()
        try:
            _document(ref)
            if depth is Depth.LOAD:
                self.prepare(ref, _PROBE_WITHIN)
        except ComponentError as error:
            found = error.details.get("availability", Availability.UNKNOWN)
            return Probe(availability=Availability(found), reason=str(error))
        return Probe(availability=Availability.OK, eta_seconds=time.monotonic() - started)

    def pin(self, ref: Ref, lease: Lease) -> Pin:
        """Check that the document is there: whoever keeps the manifest keeps it, so there is nothing to record."""
        _document(ref)
        return Pin(lease_id=lease.id, strength=PinStrength.PHYSICAL, until=lease.until)

    def unpin(self, lease_id: str) -> None:
        """Do nothing: nothing was recorded."""
        check_lease_id(lease_id)

    def prepare(self, ref: Ref, deadline: timedelta) -> Prepared:
        """Write the document, in canonical JSON, to where loaders read it."""

        def fill(target: Path) -> None:
            target.write_bytes(_document(ref))
            target.chmod(0o444)

        with translated(f"preparing {short(ref.digest)}"):
            path = self._trees.ensure(ref, fill, Deadline(deadline))
        return Prepared(ref=ref, path=str(path.resolve()))

    def switch(self, prepared: Prepared, *, expect: str | None, key: str) -> Receipt:
        """Replace the pointer file."""
        return self._pointer.switch(prepared, expect=expect, key=key)

    def effective(self, deadline: timedelta) -> Seen:
        """Read the content behind the pointer file and check every byte."""
        return self._pointer.effective(deadline)

    def _parsed(self, content: bytes) -> Any:
        if len(content) > LARGEST:
            raise InvalidError(f"{self._source} has more than {LARGEST:,} bytes", hint="Use the kind files")
        if self._source.suffix == ".json":
            return _json(content, self._source)
        return read_document(content, str(self._source), largest=LARGEST, ambiguous_is_text=False).value


def _json(content: bytes, source: Path) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise InvalidError(f"{source}: the key {twice!r} stands in one object twice", hint="Keep one of them")
        return values

    try:
        return json.loads(content, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise InvalidError(f"{source}, line {error.lineno}: {error.msg}", hint="Correct the JSON there") from error
    except UnicodeDecodeError as error:
        raise InvalidError(f"{source} is not UTF-8: byte {error.start}", hint="Save it as UTF-8") from error
    except RecursionError as error:
        raise InvalidError(f"{source} is nested too deeply", hint="Nest it less") from error


def _document(ref: Ref) -> bytes:
    """Return the bytes that a ref carries, if they are those that its digest names."""
    document = ref.facets.get("document")
    if document is None:
        raise failed(
            f"version {short(ref.digest)} carries no document",
            Availability.GONE,
            "Take the manifest from another copy, or choose another version",
        )
    content = document.encode()
    if _digest(content) != ref.digest:
        raise failed(
            f"the document of version {short(ref.digest)} is damaged: its digest is {short(_digest(content))}",
            Availability.DAMAGED,
            "Take the manifest from another copy, or choose another version",
        )
    return content


def _digest(content: bytes) -> str:
    return DIGEST_PREFIX + hashlib.sha256(content).hexdigest()
