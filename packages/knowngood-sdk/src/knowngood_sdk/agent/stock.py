"""
Stock: what workers need to load the versions of a route, brought from a control plane onto this host's disk.

In a thread of its own, because a model may take minutes to come: a flip never waits for it, for what a flip leads to is
here already. Bytes stand under ``<directory>/artifacts/<hex of their digest>`` and appear there whole and checked; then
the release with its local paths; then the route that names it. So a restart without control plane finds all of it.
"""

import os
import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from knowngood_sdk.agent.server import Connection, Server
from knowngood_sdk.agent.unpack import unpack
from knowngood_sdk.errors import InvalidError, KnownGoodError, TransientError
from knowngood_sdk.model.canonical import DIGEST_PREFIX, canonical_bytes, check_digest, short
from knowngood_sdk.model.joining import joined
from knowngood_sdk.model.manifest import Component
from knowngood_sdk.model.route import Facts
from knowngood_sdk.model.wire import ReleaseDocument, RouteDocument
from knowngood_sdk.serving.disk import NO_LINK, OWNER_FILE, locked, make_folder, write_whole, writing
from knowngood_sdk.serving.fingerprint import fingerprint
from knowngood_sdk.serving.folder import ReplicaFolder

__all__ = ["Stock"]

_ANSWER_SECONDS = 10.0
_PIECE_SECONDS = 30.0
"""Time for each piece of an artifact (256 KiB): a stream that drips is given up."""
_MAX_STREAM = 80 << 30
_FIRST_RETRY_SECONDS = 1.0
_LONGEST_RETRY_SECONDS = 30.0
_TURN_SECONDS = 0.5
_FILE = "file"
_FOLDER = "folder"
_GOLDEN = "golden"


class Stock:
    """
    Keeps a replica's system folder as a control plane on this host would keep it.

    Args:
        folder: The replica folder.
        servers: Where releases are to be had; tried one after the other.

    Attributes:
        trouble: What could not be brought, and why; empty when all is here.
    """

    def __init__(self, folder: ReplicaFolder, servers: Sequence[Server]) -> None:
        self._folder = folder
        self._servers = servers
        self._artifacts = folder.system_folder.parent.parent / "artifacts"
        self._wake = threading.Event()
        self._stopped = False
        self._lock = threading.Lock()
        self._wanted: RouteDocument | None = None
        self._rules: Mapping[str, Any] | None = None
        self._here: set[str] = set()
        self._failures = 0
        self.trouble = ""
        self._thread = threading.Thread(target=self._run, name="kg-stock", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop; what is being brought is not waited for, and is begun again after the next start."""
        self._stopped = True
        self._wake.set()
        self._thread.join(0.2)

    def want(self, document: RouteDocument) -> None:
        """Bring what a route document names, then let workers read it."""
        with self._lock:
            self._wanted = document if self._wanted is None else joined(self._wanted, document)
        self._failures = 0
        self._wake.set()

    def keep_rules(self, rules: Mapping[str, Any]) -> None:
        """Let workers read these rules."""
        with self._lock:
            self._rules = rules
        self._wake.set()

    def _run(self) -> None:
        wait: float | None = None
        while not self._stopped:
            self._wake.wait(wait)
            self._wake.clear()
            with self._lock:
                document, rules = self._wanted, self._rules
            try:
                self.trouble = self._bring(document, rules)
            except KnownGoodError as error:
                self.trouble = str(error)
            self._failures = self._failures + 1 if self.trouble else 0
            wait = min(_FIRST_RETRY_SECONDS * 2**self._failures, _LONGEST_RETRY_SECONDS) if self.trouble else None

    def _bring(self, document: RouteDocument | None, rules: Mapping[str, Any] | None) -> str:
        """Bring what is missing; return what could not be brought."""
        if rules is not None:
            _write_if_new(self._folder.settings_file, rules)
        if document is None:
            return ""
        unsure = [version for version in document.wanted if version not in self._here]
        missing = [version for version in unsure if not self._manifest(version).exists()]
        if missing and document.facts != Facts():
            # What is to be left is known to whoever starts meanwhile, whatever becomes of the releases.
            self._write_route(
                RouteDocument(system=document.system, facts=document.trips if document.signed else document.facts)
            )
        troubles = [self._try_release(version) for version in missing]
        # Also where something is missing: the rest is to be loaded.
        self._write_route(document)
        # What an earlier run brought may be damaged by now, or have been released anew.
        troubles += [self._try_release(version) for version in unsure if version not in missing]
        return "; ".join(filter(None, troubles))

    def _write_route(self, document: RouteDocument) -> None:
        path = self._folder.route_file
        lock = path.with_name("route.lock")
        make_folder(path.parent)
        with writing(lock):
            descriptor = os.open(lock, os.O_WRONLY | os.O_CREAT | NO_LINK, OWNER_FILE)
        try:
            with locked(descriptor, _TURN_SECONDS):
                try:
                    known = self._folder.route() or RouteDocument(system=document.system)
                except InvalidError:
                    known = RouteDocument(system=document.system)
                _write_if_new(path, joined(known, document).to_json())
        finally:
            os.close(descriptor)

    def _manifest(self, version: str) -> Path:
        return self._folder.manifests / f"{check_digest(version).removeprefix(DIGEST_PREFIX)}.json"

    def _try_release(self, version: str) -> str:
        reasons = []
        for server in self._servers:
            try:
                self._release(server, version)
            except KnownGoodError as error:
                reasons.append(str(error))
            else:
                self._here.add(version)
                return ""
        return f"version {short(version)} was not brought here: {'; '.join(reasons) or 'no control plane is named'}"

    def _release(self, server: Server, version: str) -> None:
        """Bring one version from one server, unless it is here as the server describes it."""
        connection = server.connect()
        try:
            place = f"/v1/systems/{self._folder.system_folder.name}/releases/{check_digest(version)}"
            document = connection.call("GET", place, seconds=_ANSWER_SECONDS).json()
            release = ReleaseDocument.from_json(document)
            if release.manifest.content_digest != version:
                raise InvalidError(f"{server.url} gave {release.manifest.content_digest} for {version}")
            paths = {
                name: self._component(connection, f"{place}/components/{name}", release.manifest.components[name])
                for name in release.paths
                if name in release.manifest.components
            }
            golden = None
            if release.golden is not None:
                digest = document.get("golden_digest") if isinstance(document, Mapping) else None
                golden = self._golden(connection, f"{place}/{_GOLDEN}", digest)
            here = replace(release, paths=paths, golden=golden)
            _write_if_new(self._manifest(version), here.to_json())
        finally:
            connection.close()

    def _component(self, connection: Connection, place: str, component: Component) -> str:
        """Return the local path of a component's bytes, after bringing them if they are not here."""
        ref = component.ref
        form, name = ref.facets.get("form", ""), ref.facets.get("name", "")
        if form == _FOLDER:
            name = ""
        elif form != _FILE or name in {"", ".", ".."} or "/" in name or "\0" in name:
            raise InvalidError(f"{place} has the form {form!r:.40} and the name {name!r:.80}: it cannot be checked")
        document = ref.facets.get("document")
        if document is not None and form == _FILE:
            return self._keep(ref.digest, name, lambda folder: _write_document(folder / name, document))
        return self._keep(ref.digest, name, lambda folder: _download(connection, place, folder))

    def _golden(self, connection: Connection, place: str, digest: Any) -> str:
        if not isinstance(digest, str):
            raise InvalidError(f"{place} comes without a digest")
        return self._keep(check_digest(digest), _GOLDEN, lambda folder: _download(connection, place, folder))

    def _keep(self, digest: str, name: str, fill: Any) -> str:
        """Return the path of some content, after putting it there whole and checked, if it is not there."""
        target = self._artifacts / digest.removeprefix(DIGEST_PREFIX)
        if target.exists() and _matches(target / name, digest):
            return str(target / name)
        incoming = self._artifacts / f".incoming-{os.urandom(8).hex()}"
        try:
            fill(incoming)
            if not _matches(incoming / name, digest):
                raise TransientError(f"what came for {short(digest)} has another digest", hint="It was not taken")
            with writing(target):
                if target.exists():
                    target.rename(self._artifacts / f".incoming-{os.urandom(8).hex()}")
                incoming.rename(target)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
        return str(target / name)


def _matches(path: Path, digest: str) -> bool:
    """Whether what stands there is what the digest names."""
    try:
        return fingerprint(path) == digest
    except (KnownGoodError, OSError):
        return False


def _download(connection: Connection, place: str, folder: Path) -> None:
    answer = connection.call("GET", place, seconds=_ANSWER_SECONDS)
    unpack(answer.chunks(_MAX_STREAM, seconds_each=_PIECE_SECONDS), folder)


def _write_document(path: Path, document: str) -> None:
    make_folder(path.parent)
    write_whole(path, document.encode())


def _write_if_new(path: Path, document: Mapping[str, Any]) -> None:
    """Replace a document, unless it is the same: its readers look at the file's time."""
    data = canonical_bytes(document)
    try:
        if path.read_bytes() == data:
            return
    except OSError:
        make_folder(path.parent)
    write_whole(path, data)
