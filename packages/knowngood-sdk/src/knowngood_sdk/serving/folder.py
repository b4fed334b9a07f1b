"""
Replica folder: where one agent and its workers keep what they know, and where they meet.

::

    <directory>/format                              "1"
    <directory>/systems/<system>/system.json        the applied system file
                                /route.json         what the control plane wants replicas to know
                                /manifests/<hex>.json
                                /replicas/<replica>/agent.lock  agent.sock  report.json
                                                   /state.json  word  journal.jsonl  anchor.json  trust.json
                                                   /workers/<worker>.json  <worker>.lock
                                                   /counts/<worker>.json  departed.json

Who writes what: the control plane the files of the system; the agent ``state.json``, ``report.json``, ``anchor.json``,
``trust.json`` and ``departed.json``; every process the word and the journal; each worker the files that carry its name.
All is the owner's alone.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knowngood_sdk.errors import InvalidError, KnownGoodError, NotFoundError, PermanentError, TransientError
from knowngood_sdk.model.canonical import DIGEST_PREFIX, canonical_bytes, check_digest, digest_of
from knowngood_sdk.model.manifest import check_name
from knowngood_sdk.model.route import FleetRoute, ReplicaState
from knowngood_sdk.model.wire import (
    FORMAT,
    CountsReport,
    ReleaseDocument,
    ReplicaReport,
    RouteDocument,
    WorkerReport,
    state_from_json,
    state_to_json,
)
from knowngood_sdk.serving.disk import NO_LINK, OWNER_FILE, lock, make_folder, read_json, write_whole, writing
from knowngood_sdk.serving.journal import Journal, Tail
from knowngood_sdk.serving.shared_word import SharedWord, peek

__all__ = ["MAX_DOCUMENT", "Recovery", "ReplicaFolder", "check_format", "hold", "is_held", "state_bytes"]

_HOLD_SECONDS = 0.1
MAX_DOCUMENT = 8 * 1024 * 1024
"""Bytes of a route or release on disk, at most; they take a few kilobytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """
    What a restart found.

    Attributes:
        state: The join of last-known-good file, word and journal (rule 10); nothing is ready in it yet.
        warnings: What was damaged or passed over, for people.
        torn: Whether the state file is there and cannot be read; the holder of the agent's lock sets it aside.
        journal_read: How far the journal was read, in bytes.
    """

    state: ReplicaState
    warnings: tuple[str, ...] = ()
    torn: bool = False
    journal_read: int = 0


class ReplicaFolder:
    """
    The folder of one replica.

    Args:
        path: ``<directory>/systems/<system>/replicas/<replica>``; made by ``make``.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()
        self.replica = self.path.name
        self.system_folder = self.path.parent.parent
        self.agent_lock = self.path / "agent.lock"
        self.agent_socket = self.path / "agent.sock"
        self.state_file = self.path / "state.json"
        self.word_file = self.path / "word"
        self.journal_file = self.path / "journal.jsonl"
        self.report_file = self.path / "report.json"
        self.anchor_file = self.path / "anchor.json"
        self.trust_file = self.path / "trust.json"
        self.workers = self.path / "workers"
        self.counts = self.path / "counts"
        self.departed_file = self.path / "departed.json"
        self.route_file = self.system_folder / "route.json"
        self.settings_file = self.system_folder / "system.json"
        self.manifests = self.system_folder / "manifests"

    @classmethod
    def of(cls, directory: str | Path, system: str, replica: str) -> "ReplicaFolder":
        """
        Return the folder of a replica below a working folder (KNOWNGOOD_DIR).

        Raises:
            InvalidError: A name is none, or the working folder has a format that this program does not know.
        """
        root = Path(directory).absolute()
        check_format(root)
        return cls(root / "systems" / check_name(system, "system") / "replicas" / check_name(replica, "replica"))

    def make(self) -> None:
        """Make what is missing of it; raises TransientError when that is not possible."""
        for folder in (self.path, self.workers, self.counts):
            make_folder(folder)

    def word(self) -> SharedWord:
        """Open the shared word; never fails, see there."""
        return SharedWord(self.word_file)

    def journal(self) -> Journal:
        """Return the journal."""
        return Journal(self.journal_file)

    # What the control plane writes.

    def route(self) -> RouteDocument | None:
        """
        Return what the control plane wants replicas to know, or None before the first deployment.

        Raises:
            InvalidError: The file is malformed, of a newer format, or another system's.
            TransientError: It cannot be read.
        """
        document = read_json(self.route_file, limit=MAX_DOCUMENT)
        if document is None:
            return None
        route = RouteDocument.from_json(document)
        if route.system != self.system_folder.name:
            raise InvalidError(f"{self.route_file} is the route of system {route.system!r}")
        return route

    def release(self, version: str) -> ReleaseDocument:
        """
        Return what a worker needs to load a version.

        Raises:
            NotFoundError: The version was never released here.
            InvalidError: The file is malformed or edited, or describes another version.
            TransientError: It cannot be read.
        """
        path = self.manifests / f"{check_digest(version).removeprefix(DIGEST_PREFIX)}.json"
        document = read_json(path, limit=MAX_DOCUMENT)
        if document is None:
            raise NotFoundError(f"version {version} was never released here", hint=f"There is no {path}; deploy it")
        release = ReleaseDocument.from_json(document)
        if release.manifest.content_digest != version:
            raise InvalidError(
                f"{path} describes {release.manifest.content_digest}", hint="Restore the file or deploy again"
            )
        return release

    def settings(self) -> Mapping[str, Any]:
        """
        Return the applied system file, empty when there is none.

        Raises:
            InvalidError: It is no JSON object.
            TransientError: It cannot be read.
        """
        document = read_json(self.settings_file)
        if document is None:
            return {}
        if not isinstance(document, Mapping):
            raise InvalidError(f"{self.settings_file} must be an object, not {type(document).__name__}")
        return document

    # What the agent writes.

    def state(self) -> ReplicaState | None:
        """
        Return the last known good state, or None when there is no file.

        Raises:
            InvalidError: The file is malformed, of a newer format, or does not agree with its check.
            TransientError: It cannot be read.
        """
        document = read_json(self.state_file)
        if document is None:
            return None
        if not isinstance(document, Mapping) or not isinstance(document.get("format"), int):
            raise InvalidError(f"{self.state_file} is no state of a replica")
        if document["format"] > FORMAT:
            raise InvalidError(
                f"{self.state_file} has format {document['format']}; this program reads up to {FORMAT}",
                hint="Upgrade knowngood here",
                newer=document["format"],
            )
        if document.get("check") != digest_of(document.get("state")):
            raise InvalidError(f"{self.state_file} and its check do not agree", hint="It was edited or torn")
        return state_from_json(document["state"])

    def write_state(self, state: ReplicaState) -> None:
        """Make a state durable as the last known good one; raises TransientError and then changes nothing."""
        write_whole(self.state_file, state_bytes(state))

    def recover(self, journal_read: int = 0) -> Recovery:
        """
        Join what a restart finds: last-known-good file, word and journal (rule 10). Reads only.

        Args:
            journal_read: Where to go on reading the journal, for whoever knows what was recovered before; it grows.

        Where the file is gone or torn and the word still stands, the generation of the word is taken from the route
        document: this replica had accepted it, for the word is written after the file.

        Raises:
            InvalidError: The file has a newer format. Nothing else that is damaged or missing is an error here.
        """
        warnings: list[str] = []
        torn = False
        state = None
        # Before the file: what a line says of a generation is in a file that tells of it, or is told again.
        tail = Tail(offset=journal_read)
        try:
            tail = self.journal().read(journal_read)
        except TransientError as error:
            warnings.append(str(error))
        try:
            state = self.state()
        except KnownGoodError as error:
            if "newer" in error.details:
                raise
            torn = isinstance(error, InvalidError)
            warnings.append(str(error))
        word, fault = peek(self.word_file)
        warnings += [fault] if fault else []
        if state is None and word is not None:
            state = self._from_route(word[0], warnings)
        warnings += tail.damaged
        joined = (state or ReplicaState()).rejoin(
            word=word, trips=tail.facts, local=tail.local_trips, stands=tail.stands
        )
        return Recovery(state=joined, warnings=tuple(warnings), torn=torn, journal_read=tail.offset)

    def set_aside_state(self) -> Path:
        """
        Move a torn state file out of the way, so that a person can look at it; for the holder of the agent's lock.

        Raises:
            TransientError: It cannot be moved.
        """
        aside = self.state_file.with_name(f"state.json.torn-{os.urandom(4).hex()}")
        with writing(self.state_file):
            self.state_file.rename(aside)
        return aside

    def _from_route(self, generation: int, warnings: list[str]) -> ReplicaState | None:
        try:
            document = self.route()
        except KnownGoodError as error:
            warnings.append(str(error))
            return None
        if document is None or generation not in document.generations:
            return None
        warnings.append(f"{self.state_file} is gone or torn; generation {generation} was read from the route document")
        return ReplicaState(
            fleet=FleetRoute(generation, 0, 0), facts=document.facts, generations=dict(document.generations)
        )

    def report(self) -> ReplicaReport | None:
        """Return what the agent last reported, or None; raises InvalidError or TransientError as ``route`` does."""
        document = read_json(self.report_file)
        return None if document is None else ReplicaReport.from_json(document)

    def write_report(self, report: ReplicaReport) -> None:
        """Replace the agent's report; raises TransientError."""
        _write_json(self.report_file, report.to_json())

    def departed(self) -> CountsReport | None:
        """
        Return what the workers counted that are gone, or None; to be read after the counts of the others.

        Raises:
            InvalidError: The file is malformed or of a newer format.
            TransientError: It cannot be read.
        """
        document = read_json(self.departed_file)
        return None if document is None else CountsReport.from_json(document)

    # What the workers write.

    def worker_lock(self, worker: str) -> Path:
        """Return the file whose kernel lock a worker holds for its life."""
        return self.workers / f"{worker}.lock"

    def write_worker(self, report: WorkerReport) -> None:
        """Replace a worker's report on its slots; raises TransientError."""
        _write_json(self.workers / f"{report.worker}.json", report.to_json())

    def write_counts(self, report: CountsReport) -> None:
        """Replace a worker's counts; raises TransientError."""
        _write_json(self.counts / f"{report.worker}.json", report.to_json())

    def live_workers(self) -> dict[str, WorkerReport]:
        """
        Return the reports of the worker processes that run, by worker.

        A worker that holds its lock and has not reported yet, or whose report cannot be read, has nothing ready.
        """
        names = (path.stem for path in sorted(self.workers.glob("*.lock")) if is_held(path))
        return {worker: self._worker(worker) for worker in names}

    def _worker(self, worker: str) -> WorkerReport:
        try:
            document = read_json(self.workers / f"{worker}.json")
            if document is not None:
                return WorkerReport.from_json(document)
        except KnownGoodError as error:
            return WorkerReport(worker=worker, pid=0, failed={"": str(error)})
        return WorkerReport(worker=worker, pid=0)


def state_bytes(state: ReplicaState) -> bytes:
    """
    Return the bytes of the state file, in canonical form.

    Raises:
        InvalidError: No file could hold the state (a lone surrogate in a text, a number beyond ±(2**53 - 1)).
    """
    value = canonical_bytes(state_to_json(state))
    check = DIGEST_PREFIX + hashlib.sha256(value).hexdigest()
    return b'{"check":"%b","format":%d,"state":%b}' % (check.encode(), FORMAT, value)


def hold(path: Path) -> int | None:
    """
    Take the kernel's lock on a file for the life of this process, or of the descriptor that is returned.

    Returns:
        The descriptor to keep, or None when another process holds the lock.

    Raises:
        TransientError: The file cannot be made or locked.
    """
    with writing(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | NO_LINK, OWNER_FILE)
        held = False
        try:
            # Not at once: whoever looks with ``is_held`` has it for a moment.
            held = lock(descriptor, _HOLD_SECONDS)
        finally:
            if not held:
                os.close(descriptor)
        return descriptor if held else None


def is_held(path: Path) -> bool:
    """Tell whether a living process holds the lock of a file. Looking takes a shared lock for a moment."""
    try:
        descriptor = os.open(path, os.O_RDONLY | NO_LINK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def check_format(directory: Path) -> None:
    """
    Refuse a working folder that a newer version made.

    Raises:
        InvalidError: Its format is not one that this program knows.
        PermanentError: This user may not look into it.
    """
    try:
        text = (directory / "format").read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return
    except OSError as error:
        raise PermanentError(
            f"the working folder {directory} cannot be read by user {os.geteuid()}: {error.strerror}",
            hint="Run as its owner, or give another folder: --dir, KNOWNGOOD_DIR",
        ) from error
    if not text.isdecimal() or int(text) > FORMAT:
        raise InvalidError(
            f"the working folder {directory} has format {text!r:.40}; this program knows up to {FORMAT}",
            hint="Upgrade knowngood here, or give another folder: --dir, KNOWNGOOD_DIR",
        )


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    data = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    # A report is written again within a second: it may be lost in a power cut, so it needs no sync.
    write_whole(path, data, durable=False)
