"""
Slot: one whole system version in memory, loaded, warmed and right on its golden inputs.

A slot is composed of handles that are shared by digest: two versions that differ in their configuration alone hold one
model. Nothing is served from a slot before every golden output was right.
"""

import hashlib
import json
import os
import resource
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CellType, FunctionType
from typing import Any, TypeVar

from knowngood_sdk.errors import KnownGoodError, NotReadyError
from knowngood_sdk.model.canonical import DIGEST_PREFIX, short
from knowngood_sdk.model.manifest import Component, Manifest, Role
from knowngood_sdk.model.wire import ReleaseDocument
from knowngood_sdk.serving.fingerprint import fingerprint
from knowngood_sdk.serving.golden import Answer, GoldenLine, check_golden, read_golden

__all__ = ["STATIC_FALLBACK", "Handles", "Part", "Slot", "Version", "load_slot", "resident_bytes", "static_slot"]

STATIC_FALLBACK = ""
"""The version that counts are kept under when the static fallback answers."""

_T = TypeVar("_T")
_STATM = Path("/proc/self/statm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """
    One component of a version, as a loader gets it.

    Attributes:
        name: Its name in the system.
        role: What it is to the system.
        digest: Identity of its content.
        native: Its owner's own version; a hint.
        path: Where its bytes are; empty when the manifest itself carries them.
        document: The document that the manifest carries, or None.
    """

    name: str
    role: Role
    digest: str
    native: str
    path: str
    document: Any

    def __fspath__(self) -> str:
        return self.path


class _Handle:
    """Holds one loaded part and what made it; its own object because a dict or a list can have no weak reference."""

    __slots__ = ("__weakref__", "_make", "value")

    def __init__(self, value: Any, make: Callable[[Part], Any]) -> None:
        self.value = value
        # As long as the handle lives, nothing else can have the identity of what its maker refers to.
        self._make = make


class Handles:
    """Loaded parts by (component, digest, how they were made), alive for as long as a slot uses them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handles: weakref.WeakValueDictionary[Any, _Handle] = weakref.WeakValueDictionary()

    def get(self, part: Part, make: Callable[[Part], Any]) -> _Handle:
        """Return the handle of a part, made now if no slot holds it."""
        key = (part.name, part.digest, _way(make))
        with self._lock:
            handle = self._handles.get(key)
        if handle is None:
            handle = _Handle(make(part), make)
            with self._lock:
                handle = self._handles.setdefault(key, handle)
        return handle


def _way(make: Callable[[Part], Any]) -> Any:
    """
    Return what tells one way to make a part from another.

    A function that is written inside the loader is another object at each call, with the same code. It makes the same
    only if it also refers to the same: to the very objects around it, and to the same defaults. One that uses the
    configuration of its version makes another part for each.
    """
    if not isinstance(make, FunctionType):
        return make
    outside = [_content(cell) for cell in make.__closure__ or ()]
    defaults = (*(make.__defaults__ or ()), *(make.__kwdefaults__ or {}).values())
    return (make.__code__, *map(id, outside), *map(id, defaults))


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return cell  # nothing has been put into it yet


class Version:
    """
    A system version, as the user's loader gets it: ``version.model`` is the part of that name.

    A part whose name is no attribute (``my-model``, ``digest``) is reached as ``version["my-model"]``.

    Attributes:
        digest: Content digest: the system version.
        manifest: What it is recorded as.
    """

    def __init__(self, release: ReleaseDocument, handles: Handles) -> None:
        self.manifest: Manifest = release.manifest
        self.digest: str = release.manifest.content_digest
        self._parts = {
            name: _part(name, component, release.paths.get(name, ""))
            for name, component in release.manifest.components.items()
        }
        self._handles = handles
        self._held: list[_Handle] = []

    def __getitem__(self, name: str) -> Part:
        return self._parts[name]

    def __getattr__(self, name: str) -> Part:
        if name.startswith("_") or name not in self._parts:
            raise AttributeError(f"version {short(self.digest)} has no component {name!r}; it has {', '.join(self)}")
        return self._parts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def handle(self, name: str, make: Callable[[Part], _T]) -> _T:
        """
        Return what ``make`` makes of a component, shared with every version that has the same digest there.

        Args:
            name: Name of the component.
            make: Loads it from its part. The same function is run once for each content of the component; one that
                refers to more than its part, such as the version or its configuration, is run for each of those too.
        """
        handle = self._handles.get(self._parts[name], make)
        self._held.append(handle)
        made: _T = handle.value
        return made


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slot:
    """
    A version that can serve.

    Attributes:
        version: Content digest; empty for the static fallback.
        value: What the user's loader returned.
        headers: Response headers that name the version.
        source: What it was loaded from; None for the static fallback. It keeps the shared handles alive.
        golden: Its golden inputs; empty when there are none.
        load_seconds: Time that loading, warming and checking took.
        memory_bytes: Growth of the process's resident memory meanwhile; what is shared counts for the first.
    """

    version: str
    value: Any
    headers: tuple[tuple[bytes, bytes], ...]
    source: Version | None = None
    golden: tuple[GoldenLine, ...] = ()
    load_seconds: float = 0.0
    memory_bytes: int = 0


def load_slot(
    release: ReleaseDocument, load: Callable[[Version], Any], answer: Answer | None, handles: Handles
) -> Slot:
    """
    Load a version, warm it on its golden inputs, and check their outputs.

    Args:
        release: The version, with the paths of its components.
        load: The user's loader.
        answer: The user's way to answer a golden input; needed when the version has golden inputs.
        handles: Parts that other slots hold already.

    Raises:
        NotReadyError: It cannot serve; the message says which component, line or call stands in the way.
    """
    before, began = resident_bytes(), time.perf_counter()
    version = Version(release, handles)
    for name in version:
        _check_bytes(version[name])
    try:
        value = load(version)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        # Whatever a stranger's pickle or code may raise, SystemExit too, it says that this version cannot serve.
        raise NotReadyError(f"the loader raised {type(error).__name__}: {error}") from error
    golden = _warm(release, answer, value)
    return Slot(
        version=version.digest,
        value=value,
        headers=_headers(version),
        source=version,
        golden=golden,
        load_seconds=time.perf_counter() - began,
        memory_bytes=max(0, resident_bytes() - before),
    )


def static_slot(value: Any) -> Slot:
    """Return the slot of the static fallback, which stands past the end of every chain."""
    return Slot(version=STATIC_FALLBACK, value=value, headers=((b"kg-system-version", b"static-fallback"),))


def resident_bytes() -> int:
    """Return the resident memory of this process; its highest so far where the system does not tell the present one."""
    try:
        return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _warm(release: ReleaseDocument, answer: Answer | None, value: Any) -> tuple[GoldenLine, ...]:
    if release.golden is None:
        return ()
    if answer is None:
        raise NotReadyError(
            "it has golden inputs, and nothing answers them", hint="Declare @kg.golden def answer(value, input)"
        )
    try:
        golden = read_golden(Path(release.golden))
    except KnownGoodError as error:
        raise NotReadyError(str(error)) from error
    check_golden(golden, answer, value)
    return golden


def _part(name: str, component: Component, path: str) -> Part:
    document = component.ref.facets.get("document")
    return Part(
        name=name,
        role=component.role,
        digest=component.ref.digest,
        native=component.ref.native,
        path=path,
        document=None if document is None else _document(name, document, component.ref.digest),
    )


def _document(name: str, text: str, digest: str) -> Any:
    """Return the document that a manifest carries, if it is the one that the component's digest names."""
    # A facet is outside of the content digest: that the manifest is the recorded one says nothing about this text.
    found = DIGEST_PREFIX + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    if found != digest:
        raise NotReadyError(
            f"the document of component {name} has the digest {short(found)}, recorded is {short(digest)}",
            hint="It was edited after it was recorded; restore the manifest, or deploy again",
        )
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotReadyError(f"the document of component {name} is not JSON: {error}", hint="Deploy again") from error


def _check_bytes(part: Part) -> None:
    """
    Compare the bytes with the digest on record: code and pickles run as soon as they are loaded.

    Whatever a facet calls them: it is outside of the content digest, and would be the way round this check.
    """
    if not part.path and part.document is None:
        raise NotReadyError(f"component {part.name} has neither a path nor a document", hint="Deploy the version again")
    if not part.path:
        return
    try:
        found = fingerprint(part.path)
    except (KnownGoodError, OSError) as error:
        raise NotReadyError(f"component {part.name} cannot be read: {error}", hint="Restore it") from error
    if found != part.digest:
        raise NotReadyError(
            f"component {part.name} at {part.path} has the digest {short(found)}, recorded is {short(part.digest)}",
            hint="Its bytes were changed; restore them, or deploy again",
        )


def _headers(version: Version) -> tuple[tuple[bytes, bytes], ...]:
    model = next((version[name] for name in version if version[name].role is Role.MODEL), None)
    headers = [(b"kg-system-version", version.digest.encode())]
    if model is not None:
        headers.append((b"kg-model-version", model.digest.encode()))
    return tuple(headers)
