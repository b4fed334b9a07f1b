"""
Traffic through the replica folders of this host: documents are files, a push goes to the agents' sockets.

``kg status`` reads through this module: it imports nothing but the standard library and the SDK.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from knowngood.ports.traffic import Answers, Replica, Unreachable
from knowngood_sdk.agent.agent import leave_without_agent
from knowngood_sdk.agent.anchor import Anchor
from knowngood_sdk.agent.client import ask_each
from knowngood_sdk.agent.protocol import leave_request, push_request
from knowngood_sdk.errors import InvalidError, KnownGoodError, NewerFormatError, NotFoundError
from knowngood_sdk.model.canonical import DIGEST_PREFIX, canonical_bytes
from knowngood_sdk.model.manifest import check_name
from knowngood_sdk.model.route import ReplicaState, Trip
from knowngood_sdk.model.wire import ReleaseDocument, ReplicaReport, RouteDocument
from knowngood_sdk.serving.disk import NO_LINK, OWNER_FILE, locked, make_folder, read_json, write_whole, writing
from knowngood_sdk.serving.folder import ReplicaFolder, check_format, is_held

__all__ = ["FolderTraffic"]

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.01
_TURN_SECONDS = 0.5
"""How long a writer of the route waits for another; writing takes milliseconds."""
_NO_AGENT = "no agent runs; its workers serve on, on the route that they have"


class FolderTraffic:
    """
    The replicas below a working folder.

    Args:
        directory: The working folder (KNOWNGOOD_DIR).

    Raises:
        InvalidError: A newer version of this program made it.
    """

    def __init__(self, directory: str | Path) -> None:
        self._directory = Path(directory).absolute()
        check_format(self._directory)

    def published(self, system: str) -> RouteDocument | None:
        """See the port."""
        document = read_json(self._system_folder(system) / "route.json")
        return None if document is None else RouteDocument.from_json(document)

    def publish(self, system: str, change: Callable[[RouteDocument], RouteDocument], *, anew: bool = False) -> None:
        """See the port."""
        folder = self._system_folder(system)
        make_folder(folder)
        path = folder / "route.json"
        with _turn(folder / "route.lock"):
            while True:
                seen = _identity(path)
                document = change(self._before(system, anew=anew)).to_json()
                # One who hung in here goes on after others went past; what they wrote must not be taken back.
                if _write(path, document, unless=partial(_changed, path, seen)):
                    return

    def _before(self, system: str, *, anew: bool) -> RouteDocument:
        """Return what is published, to be changed."""
        try:
            before = self.published(system)
        except InvalidError as error:
            if not anew or isinstance(error, NewerFormatError):
                raise
            _log.warning("what is published for %s is written anew: %s", system, error)
            before = None
        return before or RouteDocument(system=system)

    def publish_release(self, release: ReleaseDocument) -> None:
        """See the port."""
        folder = self._system_folder(release.manifest.system) / "manifests"
        version = release.manifest.content_digest
        _write(folder / f"{version.removeprefix(DIGEST_PREFIX)}.json", release.to_json())

    def publish_rules(self, system: str, rules: Mapping[str, Any]) -> None:
        """Write ``system.json``."""
        _write(self._system_folder(system) / "system.json", rules)

    def push(
        self, document: RouteDocument, deadline: timedelta, *, on_acknowledged: Callable[[str], None] | None = None
    ) -> Answers:
        """See the port."""
        folders = self._folders(document.system)
        answers = _ask(folders, push_request(document), deadline, on_acknowledged)
        return {**{name: Unreachable(replica=name, reason=_NO_AGENT) for name in folders}, **answers}

    def leave(
        self,
        system: str,
        trip: Trip,
        deadline: timedelta,
        *,
        replicas: Collection[str] | None = None,
        local: bool = False,
    ) -> Answers:
        """See the port. Where no agent runs, this process is the agent for a moment."""
        folders = self._folders(system)
        unknown = sorted(set(replicas or ()) - folders.keys())
        if unknown:
            raise NotFoundError(
                f"system {system} has no replica {unknown[0]!r}", hint=f"It has: {', '.join(folders) or 'none'}"
            )
        if replicas is not None:
            folders = {name: folders[name] for name in replicas}
        answers = _ask(folders, leave_request(trip, fleet=not local), deadline, None)
        for name, folder in folders.items():
            if name not in answers:
                answers[name] = _leave_directly(folder, trip, fleet=not local)
        return answers

    def replicas(self, system: str) -> Mapping[str, Replica]:
        """See the port."""
        return {name: _look_at(folder) for name, folder in self._folders(system).items()}

    def stamp(self, system: str) -> object:
        """See the port. The times of one file and one folder: whoever joins makes a folder there."""
        folder = self._directory / "systems" / system
        return _moment(folder / "route.json"), _moment(folder / "replicas")

    def wait(
        self, system: str, until: Callable[[Mapping[str, Replica]], bool], deadline: timedelta
    ) -> Mapping[str, Replica]:
        """See the port."""
        end = time.monotonic() + deadline.total_seconds()
        pause = threading.Event()
        while True:
            seen = self.replicas(system)
            if until(seen) or time.monotonic() >= end:
                return seen
            pause.wait(_LOOK_SECONDS)

    def _system_folder(self, system: str) -> Path:
        return self._directory / "systems" / check_name(system, "system")

    def _folders(self, system: str) -> dict[str, ReplicaFolder]:
        replicas = self._system_folder(system) / "replicas"
        if not replicas.is_dir():
            return {}
        return {path.name: ReplicaFolder(path) for path in sorted(replicas.iterdir()) if path.is_dir()}


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    """Be the only writer, unless another one hangs: facts wait for nobody for long."""
    with writing(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | NO_LINK, OWNER_FILE)
    try:
        with locked(descriptor, _TURN_SECONDS):
            yield
    finally:
        os.close(descriptor)


def _moment(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _identity(path: Path) -> tuple[int, int, int] | None:
    """Return what tells one file of this name from the next; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_ino, found.st_mtime_ns, found.st_size)


def _changed(path: Path, since: tuple[int, int, int] | None) -> bool:
    return _identity(path) != since


def _write(path: Path, document: Mapping[str, Any], unless: Callable[[], bool] | None = None) -> bool:
    """
    Replace a document, unless it is the same: its readers look at the file's time.

    Args:
        path: The file.
        document: What it is to hold.
        unless: Asked right before the new file takes its name; true leaves the one that is there.

    Returns:
        Whether the file holds the document now.
    """
    data = canonical_bytes(document)
    try:
        if path.read_bytes() == data:
            return True
    except OSError:
        # Not there yet, or not readable: writing it tells which.
        make_folder(path.parent)
    return write_whole(path, data, unless=unless)


def _ask(
    folders: Mapping[str, ReplicaFolder],
    request: Mapping[str, Any],
    deadline: timedelta,
    on_acknowledged: Callable[[str], None] | None,
) -> dict[str, ReplicaReport | Unreachable]:
    """Ask the agents that live."""
    sockets = {name: folder.agent_socket for name, folder in folders.items() if is_held(folder.agent_lock)}
    answers = ask_each(sockets, request, deadline.total_seconds(), on_report=on_acknowledged)
    return {
        name: Unreachable(replica=name, reason=answer) if isinstance(answer, str) else answer
        for name, answer in answers.items()
    }


def _leave_directly(folder: ReplicaFolder, trip: Trip, *, fleet: bool) -> ReplicaReport | Unreachable:
    try:
        return leave_without_agent(folder, trip, fleet=fleet)
    except KnownGoodError as error:
        return Unreachable(replica=folder.replica, reason=str(error))


def _look_at(folder: ReplicaFolder) -> Replica:
    agent_alive = is_held(folder.agent_lock)
    trouble = ""
    report = None
    try:
        report = folder.report()
    except KnownGoodError as error:
        trouble = str(error)
    seen_at = _instant(report.at) if report else None
    report = report or ReplicaReport(replica=folder.replica, state=ReplicaState())
    # The file outlives the report: whoever removes that hides no ledger that was cut off.
    report = replace(report, anchor=max(report.anchor, Anchor(folder.anchor_file).kept))
    if not agent_alive or trouble:
        # Workers trip by themselves, and a command may have broken the glass: word and journal know of it.
        try:
            report = replace(report, state=folder.recover().state)
        except KnownGoodError as error:
            # One folder that cannot be read, of a newer version for one, hides no other.
            trouble = trouble or str(error)
    return Replica(
        name=folder.replica,
        report=report,
        agent_alive=agent_alive,
        workers_alive=sum(is_held(lock) for lock in folder.workers.glob("*.lock")),
        seen_at=seen_at,
        trouble=trouble,
    )


def _instant(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None
