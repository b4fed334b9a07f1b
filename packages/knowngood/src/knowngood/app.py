"""
App: the composition root. One working folder in, the ports of the control plane out.

Adapters are found by entry point, ours exactly as a stranger's; one that is not installed is answered with the command
that installs it.
"""

import getpass
import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from knowngood.adapters.clock import SystemClock
from knowngood.adapters.folder.outbox import FolderOutbox
from knowngood.adapters.folder.telemetry import FolderTelemetry
from knowngood.adapters.folder.traffic import FolderTraffic
from knowngood.adapters.sql import SqlStore
from knowngood.control.plane import Plane
from knowngood.domain.compatibility import Contract
from knowngood.domain.system import ComponentSpec, SystemFile
from knowngood.ports.component import Component, ComponentFactory
from knowngood.ports.store import Store
from knowngood_sdk.errors import ConflictError, InvalidError, NotFoundError, PermanentError
from knowngood_sdk.model.manifest import Role, check_name
from knowngood_sdk.model.wire import FORMAT
from knowngood_sdk.serving.disk import OWNER_FILE
from knowngood_sdk.serving.folder import check_format, hold

__all__ = ["actor", "installed_kinds", "make_folder", "open_plane"]

_GROUP = "knowngood.components"


def open_plane(directory: str | Path, *, make: bool = False) -> Plane:
    """
    Open a working folder.

    Args:
        directory: The folder.
        make: Whether to make it where there is none; otherwise a mistyped path would become an empty folder.

    Raises:
        NotFoundError: There is no such folder.
        InvalidError: The folder is of a newer format.
        TransientError: Its store is locked.
        PermanentError: The folder or its store cannot be made or written.
    """
    folder = Path(directory).resolve()
    check_format(folder)
    if make:
        make_folder(folder)
    elif not (folder / "format").exists():
        raise NotFoundError(
            f"there is no working folder {folder}",
            hint="Name it with --dir or KNOWNGOOD_DIR; to begin one: kg init SYSTEM, then kg apply SYSTEM.yaml",
        )
    return _plane(folder, SqlStore.open(folder / "store.db"))


def _plane(folder: Path, store: Store) -> Plane:
    workshop = _Workshop(folder, store)
    return Plane(
        store=store,
        traffic=FolderTraffic(folder),
        telemetry=FolderTelemetry(folder),
        clock=SystemClock(),
        outbox=FolderOutbox(folder),
        components=workshop.components,
        golden=workshop.golden,
        contracts=workshop.contracts,
        deploying=partial(_deploying, folder),
        kinds=installed_kinds(),
    )


@contextmanager
def _deploying(folder: Path, system: str) -> Iterator[None]:
    """Keep every other deployment of an applied system on this host out; the kernel lets go when this process ends."""
    path = folder / "systems" / check_name(system, "system") / "deploy.lock"
    descriptor = hold(path)
    if descriptor is None:
        raise ConflictError(
            f"another deployment of {system} is under way on this host (process {path.read_text(encoding='ascii')})",
            hint=f"Wait until it has ended, then look what it did: kg status {system}. What serves can be left "
            f"meanwhile, for what stands behind it: kg rollback {system}",
        )
    try:
        with suppress(OSError):
            # Who holds it is told where the disk has room for it; the lock is what counts.
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)


def installed_kinds() -> dict[str, Collection[str]]:
    """Return the component kinds that are installed, with the names of their options."""
    return {point.name: _factory(point.name).options for point in entry_points(group=_GROUP)}


def actor() -> str:
    """Return who acts: KNOWNGOOD_ACTOR, or the name of the user of this process."""
    named = os.environ.get("KNOWNGOOD_ACTOR")
    if named:
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container's user often has a number alone.
        return f"uid {os.geteuid()}"


class _Workshop:
    """Makes the adapters of a system's components."""

    def __init__(self, folder: Path, store: Store) -> None:
        self._folder = folder
        self._store = store

    def components(self, spec: SystemFile, root: str | None = None) -> dict[str, Component]:
        """Return the adapter of every component."""
        base = Path(root) if root else self._root(spec.system)
        return {
            name: _factory(declared.kind)(declared, system=spec.system, root=base, folder=self._folder)
            for name, declared in spec.components.items()
        }

    def golden(self, spec: SystemFile) -> Component | None:
        """Return the adapter that keeps golden inputs: files by content, as a component's."""
        if spec.golden is None:
            return None
        declared = ComponentSpec(name="golden", role=Role.STATE, kind="files", target=spec.golden)
        return _factory("files")(declared, system=spec.system, root=self._root(spec.system), folder=self._folder)

    def contracts(self, spec: SystemFile) -> dict[str, Contract]:
        """Return the contracts of the components that declare one."""
        root = self._root(spec.system)
        return {
            name: _contract(root / declared.contract)
            for name, declared in spec.components.items()
            if declared.contract is not None
        }

    def _root(self, system: str) -> Path:
        return Path(str(self._store.system_spec(system)["root"]))


def _factory(kind: str) -> ComponentFactory:
    found = {point.name: point for point in entry_points(group=_GROUP)}
    if kind not in found:
        raise NotFoundError(
            f"no adapter for components of kind {kind} is installed",
            hint=f"Install it: pip install 'knowngood[{kind}]'; installed are {', '.join(sorted(found))}",
        )
    factory: ComponentFactory = found[kind].load()
    return factory


def _contract(path: Path) -> Contract:
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no contract at {path}", hint="Write it when the model is trained") from error
    except ValueError as error:
        raise InvalidError(f"the contract {path} is not JSON: {error}", hint="Write it again") from error
    sides = {
        side: document.get(side, {}) if isinstance(document, Mapping) else None for side in ("provides", "requires")
    }
    for side, fingerprints in sides.items():
        if not isinstance(fingerprints, Mapping) or not all(isinstance(value, str) for value in fingerprints.values()):
            raise InvalidError(f"{side} in the contract {path} must map names to fingerprints, not {fingerprints!r}")
    return Contract(provides=sides["provides"] or {}, requires=sides["requires"] or {})


def make_folder(folder: Path) -> None:
    """Make a working folder where there is none; raises PermanentError when that cannot be."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(folder / "format", os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_FILE), "w") as file:
            file.write(f"{FORMAT}\n")
    except FileExistsError:
        # The format was checked already; or what stands there is no folder, as reading it will say.
        return
    except OSError as error:
        raise PermanentError(
            f"the working folder {folder} cannot be made by user {os.geteuid()}: {error.strerror}",
            hint="Give another one with --dir or KNOWNGOOD_DIR, or mend the permissions",
        ) from error
