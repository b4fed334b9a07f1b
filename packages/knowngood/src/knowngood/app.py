"""
App: the composition root. One working folder in, the ports of the control plane out.

Adapters are found by entry point, ours exactly as a stranger's; one that is not installed is answered with the command
that installs it.
"""

import json
import logging
import os
import socket
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from uuid import uuid4

from knowngood.adapters.clock import SystemClock
from knowngood.adapters.folder.outbox import FolderOutbox
from knowngood.adapters.folder.presence import FolderPresence
from knowngood.adapters.folder.telemetry import FolderTelemetry
from knowngood.adapters.folder.traffic import FolderTraffic
from knowngood.adapters.hub.hub import Hub
from knowngood.adapters.hub.joined import JoinedTelemetry, JoinedTraffic
from knowngood.adapters.hub.room import Spans
from knowngood.adapters.hub.telemetry import HubTelemetry
from knowngood.adapters.hub.traffic import HubTraffic
from knowngood.adapters.os_user import actor_of
from knowngood.adapters.reached_leases import ReachedLeases
from knowngood.adapters.readiness import ReadinessBalancer
from knowngood.adapters.remembered import RememberedStore
from knowngood.adapters.signing import KeyFolder
from knowngood.adapters.sql import SqlExchange, SqlLeases, SqlStore, SqlTokens
from knowngood.adapters.sql.database import Database
from knowngood.config import Settings
from knowngood.control.exclusive import ExclusiveDeployments
from knowngood.control.oversee import Overseer, Pace
from knowngood.control.plane import Plane
from knowngood.control.signed_traffic import SignedTraffic, vouched
from knowngood.domain.compatibility import Contract
from knowngood.domain.system import ComponentSpec, Kinds, SystemFile
from knowngood.ports.component import Component
from knowngood.ports.effects import Effects
from knowngood.ports.runner import Runner
from knowngood.ports.store import Store
from knowngood.ports.telemetry import Telemetry
from knowngood.ports.tokens import Tokens
from knowngood.ports.traffic import Traffic
from knowngood.ports.written_state import WrittenState
from knowngood_sdk.errors import ConflictError, InvalidError, KnownGoodError, NotFoundError, PermanentError
from knowngood_sdk.model.manifest import Role, check_name
from knowngood_sdk.model.wire import FORMAT, ReleaseDocument, ReplicaReport
from knowngood_sdk.serving.disk import OWNER_FILE, read_json
from knowngood_sdk.serving.folder import ReplicaFolder, check_format, hold, is_held

__all__ = [
    "Server",
    "actor",
    "installed_kinds",
    "known_systems",
    "make_folder",
    "open_plane",
    "open_server",
    "open_tokens",
    "replicas_elsewhere",
    "signing",
]

_COMPONENTS, _STATE, _EFFECTS = "knowngood.components", "knowngood.state", "knowngood.effects"
"""Groups of entry points, by what the adapters in them are for."""
_log = logging.getLogger(__name__)
_LOADED: dict[tuple[str, str], Any] = {}


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


def replicas_elsewhere(directory: str | Path, system: str) -> tuple[str, ...]:
    """
    Return the replicas of a system that its servers know, and that nobody reaches from their working folder.

    One that said that it stops, or of which nothing was heard for as long as a host is taken for gone, is none. One
    that moved to another host may have left its folder behind: of here is who lives here.

    Raises:
        TransientError: The store of the folder is locked.
        PermanentError: It cannot be read.
    """
    folder = Path(directory).resolve()
    here = {name for name, replica in FolderTraffic(folder).replicas(system).items() if replica.alive}
    with SqlStore.open(folder / "store.db") as store:
        reports = SqlExchange(store.database).reports(system)
    oldest = SystemClock().now() - timedelta(seconds=Spans().unheard)
    return tuple(
        name
        for name, said in sorted(reports.items())
        if name not in here and not said.report.stopped and said.seen_at > oldest
    )


def open_tokens(settings: Settings) -> SqlTokens:
    """
    Open the tokens of a control plane, to be closed; its working folder and store are made when they are missing.

    Raises:
        InvalidError: The folder is of a newer format, or the address of the store cannot be read.
        TransientError: The store is locked or cannot be reached.
        PermanentError: The folder or its store cannot be made or written.
    """
    folder = settings.folder.resolve()
    check_format(folder)
    make_folder(folder)
    return SqlTokens(SqlStore.open(settings.store or folder / "store.db").database)


def known_systems(settings: Settings) -> tuple[str, ...]:
    """Return the systems that were applied to a control plane; raises as ``open_tokens``."""
    with SqlStore.open(settings.store or settings.folder.resolve() / "store.db") as store:
        return store.systems()


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """
    What one process of a control plane consists of, wired and not yet started.

    Attributes:
        settings: What it was told.
        plane: The ports.
        tokens: The tokens that were made.
        hub: Where replicas are connected over the network.
        overseer: What it does by itself: the control loop of every system, and the runs.
        presence: Which processes run on this host.
        checks: What it needs to be of use, by name; each raises what is wrong with it.
    """

    settings: Settings
    plane: Plane
    tokens: Tokens
    hub: Hub
    overseer: Overseer
    presence: FolderPresence
    checks: Mapping[str, Callable[[], object]] = field(default_factory=dict)

    def answers_at(self, address: str) -> None:
        """Note in the working folder where it answers, for commands that are given there. It is at work."""
        self.presence.answers_at(self.overseer.incarnation, address)

    def has_namesake(self, system: str, report: ReplicaReport) -> bool:
        """
        Whether a report that came over the network is of another replica than that of its name on this host.

        An agent of this host that is connected too writes each report into its folder before it sends it.
        """
        folder = ReplicaFolder.of(self.settings.folder, system, report.replica)
        if not is_held(folder.agent_lock):
            return False
        try:
            here = folder.report()
        except KnownGoodError:
            # What cannot be read tells nothing of anybody.
            return False
        if here is None or not here.crew or here.crew & report.crew:
            return False
        return bool(report.crew) or report.at > here.at

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Oversee, and keep the exchange up to date, while the block runs."""
        with self.hub:
            self.overseer.start()
            try:
                yield
            finally:
                self.overseer.stop()


def open_server(settings: Settings) -> Server:
    """
    Wire a server: the one place where it is decided what stands behind which port.

    Raises:
        InvalidError: The folder is of a newer format.
        NotFoundError: A component root is no folder of this host.
        TransientError: The store is locked or cannot be reached.
        PermanentError: The folder or its store cannot be made or written.
    """
    # Nobody but a server pays for the engine that carries runs out: a second, and 74 MB.
    from knowngood.adapters.dbos import DbosRunner  # noqa: PLC0415

    folder = settings.folder.resolve()
    check_format(folder)
    for root in settings.component_roots:
        if not root.is_dir():
            # A disk may come later than this process, and what rolls back needs none of it.
            _log.warning("component_roots names %s, and there is no such folder: nothing is captured below it", root)
    make_folder(folder)
    incarnation = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
    kept = SqlStore.open(settings.store or folder / "store.db")
    store, leases, hub = RememberedStore(kept), SqlLeases(kept.database), Hub(_Exchange(kept.database, folder))
    on_a_server = settings.store.startswith("postgresql")
    runs = settings.store if on_a_server else f"sqlite:///{folder / 'runs.db'}"
    runner = DbosRunner(runs, incarnation, SystemClock())
    if on_a_server:
        store.reach.beside(runner.reach)
    lease = timedelta(seconds=settings.lease_seconds)
    # Those of the overseer are asked in threads that nobody waits for; these on the way to leaving a version.
    reached = ReachedLeases(leases, store.reach)
    exclusive = ExclusiveDeployments(reached, incarnation, SystemClock().now, lease)
    plane = _plane(
        folder,
        store,
        traffic=JoinedTraffic(
            FolderTraffic(folder), HubTraffic(hub), partial(vouched, signer=KeyFolder(folder / "keys"))
        ),
        telemetry=JoinedTelemetry(FolderTelemetry(folder), HubTelemetry(hub)),
        deploying=partial(_deploying_everywhere, folder, exclusive),
        runner=runner,
    )
    pace = Pace(
        every=timedelta(seconds=settings.watch_seconds),
        lease=lease,
        hold=timedelta(seconds=settings.hold_seconds) if settings.hold_seconds is not None else None,
    )
    presence = FolderPresence(folder / "servers")
    return Server(
        settings=settings,
        plane=plane,
        tokens=SqlTokens(kept.database),
        hub=hub,
        overseer=Overseer(plane, leases, presence, incarnation, pace=pace, remember=store.remember),
        presence=presence,
        checks={"store": kept.systems, "leases": leases.held, "hub": hub.check},
    )


class _Exchange(SqlExchange):
    """What processes share; what was applied and released in the working folder without a server is found there."""

    def __init__(self, database: Database, folder: Path) -> None:
        super().__init__(database)
        self._folder = folder

    def release(self, system: str, version: str) -> ReleaseDocument:
        """See the port."""
        try:
            return super().release(system, version)
        except NotFoundError as unknown:
            try:
                return ReplicaFolder.of(self._folder, system, "any").release(version)
            except NotFoundError:
                raise unknown from None

    def rules(self, system: str) -> Mapping[str, Any] | None:
        """See the port."""
        found = super().rules(system)
        if found is not None:
            return found
        path = self._folder / "systems" / check_name(system, "system") / "system.json"
        try:
            here: Mapping[str, Any] | None = read_json(path)
        except KnownGoodError as error:
            _log.warning("the rules of %s are not told to replicas of other hosts: %s", system, error)
            return None
        return here


def _plane(
    folder: Path,
    store: Store,
    *,
    traffic: Traffic | None = None,
    telemetry: Telemetry | None = None,
    deploying: Callable[[str], AbstractContextManager[None]] | None = None,
    runner: Runner | None = None,
) -> Plane:
    workshop = _Workshop(folder, store)
    signed = signing(traffic or FolderTraffic(folder), folder)
    return Plane(
        store=store,
        traffic=signed,
        telemetry=telemetry or FolderTelemetry(folder),
        clock=SystemClock(),
        outbox=FolderOutbox(folder),
        components=workshop.components,
        golden=workshop.golden,
        contracts=workshop.contracts,
        deploying=deploying or partial(_deploying, folder),
        states=workshop.states,
        effects=workshop.effects,
        balancer=ReadinessBalancer(signed),
        kinds=installed_kinds(),
        runner=runner,
    )


def signing(traffic: Traffic, folder: Path) -> Traffic:
    """Return traffic that is signed from the moment that the working folder has keys (``kg key create``)."""
    return SignedTraffic(traffic, KeyFolder(folder / "keys"), SystemClock())


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


@contextmanager
def _deploying_everywhere(folder: Path, exclusive: ExclusiveDeployments, system: str) -> Iterator[None]:
    """Keep deployments of other hosts out, and those of commands that work on this folder without a server."""
    with exclusive(system), _deploying(folder, system):
        yield


def installed_kinds() -> Kinds:
    """Return the kinds that are installed, with the names of their options."""
    return Kinds(components=_installed(_COMPONENTS), state=_installed(_STATE), effects=_installed(_EFFECTS))


def _installed(group: str) -> dict[str, Collection[str]]:
    return {point.name: point.load().options for point in entry_points(group=group)}


def actor() -> str:
    """Return who acts, as it goes on record: see ``adapters.os_user``."""
    return actor_of(os.environ, os.geteuid())


class _Workshop:
    """Makes the adapters of a system's components."""

    def __init__(self, folder: Path, store: Store) -> None:
        self._folder = folder
        self._store = store

    def components(self, spec: SystemFile, root: str | None = None) -> dict[str, Component]:
        """Return the adapter of every component."""
        return self._made(_COMPONENTS, spec, spec.components, root)

    def states(self, spec: SystemFile, root: str | None = None) -> dict[str, WrittenState]:
        """Return the adapter of all written state."""
        return self._made(_STATE, spec, spec.state, root)

    def effects(self, spec: SystemFile, root: str | None = None) -> dict[str, Effects]:
        """Return the adapter of every record of effects."""
        return self._made(_EFFECTS, spec, spec.effects, root)

    def _made(self, group: str, spec: SystemFile, declared: Mapping[str, Any], root: str | None) -> dict[str, Any]:
        """Make what a section declares; every group's factories are called alike, as their ports say."""
        base = Path(root) if root else self._root(spec.system)
        return {
            name: _loaded(group, one.kind)(one, system=spec.system, root=base, folder=self._folder)
            for name, one in declared.items()
        }

    def golden(self, spec: SystemFile) -> Component | None:
        """Return the adapter that keeps golden inputs: files by content, as a component's."""
        if spec.golden is None:
            return None
        declared = ComponentSpec(name="golden", role=Role.STATE, kind="files", target=spec.golden)
        made: Component = self._made(_COMPONENTS, spec, {"golden": declared}, None)["golden"]
        return made

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


def _loaded(group: str, kind: str) -> Any:
    """Return what an adapter registered; it is looked for once, for that reads the metadata of every package."""
    if (group, kind) in _LOADED:
        return _LOADED[group, kind]
    found = {point.name: point for point in entry_points(group=group)}
    if kind not in found:
        what = group.removeprefix("knowngood.")
        raise NotFoundError(
            f"no adapter for {what} of kind {kind} is installed",
            hint=f"Install it: pip install 'knowngood[{kind}]'; installed are {', '.join(sorted(found)) or 'none'}",
        )
    # What is missing is looked for anew: it may be installed before the next question.
    loaded = _LOADED[group, kind] = found[kind].load()
    return loaded


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
