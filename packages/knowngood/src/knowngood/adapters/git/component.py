"""Git: a folder of a repository as a component, at a commit."""

import hashlib
import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

from knowngood.adapters.files.durable import Deadline, failed, private_folder, translated
from knowngood.adapters.files.pointer import Pointer
from knowngood.adapters.files.tree import Tree, TreeFile, check_path, is_derived
from knowngood.adapters.files.trees import FOLDER, Trees, form_of
from knowngood.adapters.git.command import Git, GitFailedError
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
from knowngood_sdk.errors import (
    ComponentError,
    InvalidError,
    NotFoundError,
    PermanentError,
    RefusedError,
    TransientError,
)
from knowngood_sdk.model.canonical import DIGEST_PREFIX, short
from knowngood_sdk.model.manifest import Ref

__all__ = ["GitComponent"]

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_REGULAR = "100"
_LARGEST = 256 << 20
_PROBE_WITHIN = timedelta(minutes=5)
_PIN_WITHIN = timedelta(seconds=30)
_ANOTHER_VERSION = "Fetch the commit again, or choose another version"


class GitComponent:
    """
    A folder of a Git repository.

    ``capture`` takes the commit that is checked out and refuses changes that are in no commit; ``prepare`` exports the
    folder as the commit has it, byte by byte (no attributes, no filters). ``Ref.native`` is the commit; the digest is
    over the folder's content, so another commit with the same files is the same version. A pin is a ref under
    ``refs/knowngood/``, which Git's own collection respects after a forced push too.
    """

    kind: ClassVar[str] = "git"
    options: ClassVar[Collection[str]] = ()
    caps: ClassVar[Caps] = Caps(
        cas=True, atomic=True, reversible=True, pin=PinStrength.NATIVE, propagation=timedelta(0), warm=True
    )

    def __init__(self, spec: ComponentSpec, *, system: str, root: Path, folder: Path) -> None:
        self.name = spec.name
        self._source = root / spec.target
        self._trees = Trees(folder)
        self._pointer = Pointer(folder, system, spec.name, self._trees)  # which refuses names that lead elsewhere
        self._pins = f"refs/knowngood/{system}/{spec.name}"

    def capture(self, deadline: timedelta) -> Ref:
        """Take the folder as the commit that is checked out has it."""
        within = Deadline(deadline)
        commit = self._commit(within)
        git = Git(self._source)
        try:
            prefix = git.text("rev-parse", "--show-prefix", deadline=within).removesuffix("/")
            self._refuse_changes(git, commit, within)
            self._refuse_absence(git, commit, prefix, within)
            tree, _ = self._read(git, commit, prefix, within)
        except GitFailedError as error:
            raise PermanentError(
                f"component {self.name}: git cannot read {self._source} at {commit[:12]}: {error.message}",
                hint="Check the repository with git fsck",
            ) from error
        return Ref(digest=tree.digest, native=commit, facets={"form": FOLDER, "path": prefix})

    def current(self) -> Seen:
        """Read the pointer file."""
        return self._pointer.current()

    def probe(self, ref: Ref, depth: Depth) -> Probe:
        """Ask for the commit (metadata), read every file of it (bytes), or export it (load)."""
        _checked(ref)
        started = time.monotonic()
        try:
            with translated(f"probing {ref.native[:12]}"):
                self._look(ref, depth)
        except ComponentError as error:
            found = error.details.get("availability", Availability.UNKNOWN)
            return Probe(availability=Availability(found), reason=str(error))
        eta = None if depth is Depth.METADATA else time.monotonic() - started
        return Probe(availability=Availability.OK, eta_seconds=eta)

    def pin(self, ref: Ref, lease: Lease) -> Pin:
        """
        Give the commit a ref ``<lease>/<digest>/<commit>``; Git knows no end of it, so it stands until it is unpinned.

        Another commit with the same content is the same version: the lease keeps both.
        """
        commit, _ = _checked(ref)
        within = Deadline(_PIN_WITHIN)
        place = f"{self._pins}/{lease.id}"
        digest = ref.digest.removeprefix(DIGEST_PREFIX)
        standing = self._refs(place, within)
        other = next((name for name in standing if not name.startswith(f"{place}/{digest}/")), None)
        if other is not None:
            raise InvalidError(
                f"lease {lease.id} stands for {short(other.split('/')[-2])}, not {short(ref.digest)}",
                hint="Unpin it first, or use another lease",
            )
        self._require_commit(ref, within)
        self._update_ref(f"{place}/{digest}/{commit}", commit, within=within)
        return Pin(lease_id=lease.id, strength=PinStrength.NATIVE, until=lease.until)

    def unpin(self, lease_id: str) -> None:
        """Delete the lease's refs."""
        within = Deadline(_PIN_WITHIN)
        for name in self._refs(f"{self._pins}/{check_lease_id(lease_id)}", within):
            self._update_ref("-d", name, within=within)

    def prepare(self, ref: Ref, deadline: timedelta) -> Prepared:
        """Export the folder at its commit to where loaders read it, and check every byte there."""
        _checked(ref)
        within = Deadline(deadline)
        with translated(f"preparing {ref.native[:12]}"):
            path = self._trees.ensure(ref, lambda target: self._export(ref, target, within), within)
        return Prepared(ref=ref, path=str(path.resolve()))

    def switch(self, prepared: Prepared, *, expect: str | None, key: str) -> Receipt:
        """Replace the pointer file."""
        return self._pointer.switch(prepared, expect=expect, key=key)

    def effective(self, deadline: timedelta) -> Seen:
        """Read the content behind the pointer file and check every byte."""
        return self._pointer.effective(deadline)

    def _commit(self, within: Deadline) -> str:
        """Return the commit that is checked out where the component's folder is."""
        if not self._source.is_dir():
            raise NotFoundError(
                f"component {self.name} names the folder {self._source}, and there is none",
                hint="Correct its path in the system file, or check out a commit that has it",
            )
        git = Git(self._source)
        try:
            git.text("rev-parse", "--git-dir", deadline=within)
        except GitFailedError as error:
            if "not a git repository" not in error.message:
                raise PermanentError(f"git refuses {self._source}: {error.message}", hint="Mend that first") from error
            raise NotFoundError(
                f"component {self.name} names {self._source}, which is in no Git repository",
                hint="Commit it to one, or use the kind files",
            ) from error
        try:
            return git.text("rev-parse", "--verify", "--quiet", "HEAD^{commit}", deadline=within)
        except GitFailedError as error:
            raise NotFoundError(
                f"the repository of {self._source} has no commit yet", hint="Commit the folder"
            ) from error

    def _refuse_changes(self, git: Git, commit: str, within: Deadline) -> None:
        status = git.text(
            "status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--", ".", deadline=within
        )
        changed = sorted(entry[3:] for entry in status.split("\0") if entry and not is_derived(entry[3:]))
        if changed:
            listed = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if changed[3:] else "")
            raise RefusedError(
                f"component {self.name}: {self._source} has changes that are in no commit: {listed}",
                hint="Commit them, or list what is no source in .gitignore",
                changed=changed,
            )
        if git.text("rev-parse", "HEAD", deadline=within) != commit:
            raise TransientError(f"another commit was checked out in {self._source} meanwhile", hint="Try again")

    def _refuse_absence(self, git: Git, commit: str, prefix: str, within: Deadline) -> None:
        try:
            git.run("cat-file", "-e", f"{commit}:{prefix}", deadline=within)
        except GitFailedError as error:
            raise NotFoundError(
                f"component {self.name}: no file of {self._source} is in commit {commit[:12]}",
                hint="Commit the folder; look whether .gitignore names it",
            ) from error

    def _look(self, ref: Ref, depth: Depth) -> None:
        within = Deadline(_PROBE_WITHIN)
        if depth is Depth.LOAD:
            self.prepare(ref, _PROBE_WITHIN)
        elif depth is Depth.METADATA:
            if not self._trees.path(ref).exists():
                self._require_commit(ref, within)
        elif self._trees.check(ref, within) is not Availability.OK:
            tree, _ = self._content(ref, within)
            if tree.digest != ref.digest:
                raise failed(
                    f"component {self.name}: commit {ref.native[:12]} holds the content {short(tree.digest)},"
                    f" not {short(ref.digest)}",
                    Availability.DAMAGED,
                    _ANOTHER_VERSION,
                )

    def _export(self, ref: Ref, target: Path, within: Deadline) -> None:
        tree, contents = self._content(ref, within)
        for relative, file in tree.files.items():
            place = target / relative
            private_folder(place.parent)
            place.write_bytes(contents[relative])
            place.chmod(0o555 if file.executable else 0o444)

    def _content(self, ref: Ref, within: Deadline) -> tuple[Tree, Mapping[str, bytes]]:
        """Return what a version's commit holds, whatever its digest."""
        commit, path = _checked(ref)
        git = self._require_commit(ref, within)
        try:
            return self._read(git, commit, path, within)
        except GitFailedError as error:
            raise failed(
                f"component {self.name}: commit {commit[:12]} cannot be read: {error.message}",
                Availability.DAMAGED,
                _ANOTHER_VERSION,
            ) from error

    def _require_commit(self, ref: Ref, within: Deadline) -> Git:
        """Return git on the repository, after asking it for the version's commit."""
        commit, path = _checked(ref)
        git = self._git()
        try:
            git.run("rev-parse", "--git-dir", deadline=within)
        except GitFailedError as error:
            if "not a git repository" in error.message:
                raise failed(
                    f"component {self.name}: there is no Git repository at {self._source}",
                    Availability.GONE,
                    "Clone it there again",
                ) from error
            raise PermanentError(f"git refuses {self._source}: {error.message}", hint="Mend that first") from error
        try:
            git.run("cat-file", "-e", f"{commit}:{path}", deadline=within)
        except GitFailedError as error:
            raise failed(
                f"component {self.name}: commit {commit[:12]} with {path or 'its files'} is gone from the repository",
                Availability.GONE,
                _ANOTHER_VERSION,
            ) from error
        return git

    def _git(self) -> Git:
        """Return git on the repository; a later commit may have removed the folder itself."""
        return Git(next(place for place in (self._source, *self._source.absolute().parents) if place.is_dir()))

    def _refs(self, place: str, within: Deadline) -> list[str]:
        """Return the names of the refs under a place; none where there is no repository."""
        try:
            listed = self._git().text("for-each-ref", "--format=%(refname)", f"{place}/", deadline=within)
        except GitFailedError as error:
            if "not a git repository" in error.message:
                return []
            raise PermanentError(f"git refuses {self._source}: {error.message}", hint="Mend that first") from error
        return listed.split()

    def _update_ref(self, *arguments: str, within: Deadline) -> None:
        try:
            self._git().run("update-ref", *arguments, deadline=within)
        except GitFailedError as error:
            raise TransientError(f"git could not write {arguments[0]}: {error.message}", hint="Try again") from error

    def _read(self, git: Git, commit: str, path: str, within: Deadline) -> tuple[Tree, Mapping[str, bytes]]:
        """Return the files of a folder at a commit, and their bytes; raises GitFailedError when git cannot."""
        listed = git.run("ls-tree", "-r", "-z", "-l", "--full-tree", f"{commit}:{path}", deadline=within)
        entries = [self._entry(line) for line in listed.split(b"\0") if line]
        entries = [entry for entry in entries if not is_derived(entry.path)]
        if sum(entry.size for entry in entries) > _LARGEST:
            raise InvalidError(
                f"component {self.name}: {self._source} holds more than {_LARGEST >> 20} MiB at {commit[:12]}",
                hint="Use the kind files for data and models",
            )
        contents = git.blobs([entry.name for entry in entries], within)
        files = {
            entry.path: TreeFile(
                digest=DIGEST_PREFIX + hashlib.sha256(content).hexdigest(), executable=entry.executable
            )
            for entry, content in zip(entries, contents, strict=True)
        }
        return Tree(files=files), dict(zip(files, contents, strict=True))

    def _entry(self, line: bytes) -> "_Entry":
        """Read a line of ``git ls-tree -l``: mode, type, name and size, a tab, and the path."""
        facts, _, raw_path = line.partition(b"\t")
        mode, _, name, size = facts.decode("ascii").split()
        try:
            path = check_path(raw_path.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise InvalidError(f"the path {raw_path!r} is not UTF-8", hint="Rename the file") from error
        if not mode.startswith(_REGULAR):
            what = {"120000": "a symbolic link", "160000": "a submodule"}.get(mode, f"of mode {mode}")
            raise InvalidError(
                f"component {self.name}: {path} is {what}, which may lead anywhere", hint="Commit the file itself"
            )
        if not size.isdigit():  # git says BAD where the blob is missing
            raise GitFailedError(f"the blob of {path} is missing")
        return _Entry(path=path, name=name, size=int(size), executable=bool(int(mode, 8) & 0o100))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """A file of a commit: its path, the name of its blob, its bytes' count, whether it can be executed."""

    path: str
    name: str
    size: int
    executable: bool


def _checked(ref: Ref) -> tuple[str, str]:
    """Return a version's commit and the path of its folder, which may be empty, if they can be handed to git."""
    if not _COMMIT.fullmatch(ref.native):
        raise InvalidError(f"{ref.native!r} is no Git commit", hint="A commit is its full hash, 40 or 64 hex digits")
    path = ref.facets.get("path", "")
    if path:
        check_path(path)
    if form_of(ref) != FOLDER:
        raise InvalidError(f"version {short(ref.digest)} is no folder", hint="Capture it again")
    return ref.native, path
