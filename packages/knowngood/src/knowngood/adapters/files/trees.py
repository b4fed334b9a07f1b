"""
Trees: immutable local content where loaders read it.

A version's content stands under ``trees/<hex of its digest>``: a folder's files right there, a single file under its
own name (loaders look at suffixes). It is checked before it appears, and appears as a whole.
"""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from knowngood.adapters.files.durable import Deadline, failed, incoming_name, private_folder, sync_folder
from knowngood.adapters.files.objects import hash_file
from knowngood.adapters.files.tree import scan
from knowngood.domain.component import Availability
from knowngood_sdk.errors import InvalidError, TransientError
from knowngood_sdk.model.canonical import DIGEST_PREFIX, short
from knowngood_sdk.model.manifest import Ref

__all__ = ["FILE", "FOLDER", "Trees", "form_of", "link_or_copy"]

FILE = "file"
FOLDER = "folder"


class Trees:
    """
    The local content of a working folder.

    Attributes:
        root: Its folder.
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder / "trees"

    def path(self, ref: Ref) -> Path:
        """
        Return where a version's content stands, or would stand.

        Raises:
            InvalidError: The ref's facets ``form`` and ``name`` are not as a capture writes them.
        """
        place = self.root / ref.digest.removeprefix(DIGEST_PREFIX)
        return place / _file_name(ref) if form_of(ref) == FILE else place

    def check(self, ref: Ref, deadline: Deadline) -> Availability:
        """Read the content that stands there and compare it with the digest: ok, gone or damaged."""
        path = self.path(ref)
        if not path.exists():
            return Availability.GONE
        try:
            digest = hash_file(path, deadline) if form_of(ref) == FILE else scan(path, deadline).digest
        except (InvalidError, IsADirectoryError, NotADirectoryError):  # no file, no folder, or a strange thing in it
            return Availability.DAMAGED
        return Availability.OK if digest == ref.digest else Availability.DAMAGED

    def ensure(self, ref: Ref, fill: Callable[[Path], None], deadline: Deadline) -> Path:
        """
        Return the path of a version's content, after checking it or putting it there.

        Args:
            ref: The version.
            fill: Writes the content to a path that does not exist yet.
            deadline: For the whole.

        Raises:
            PermanentError: What ``fill`` wrote does not match the digest.
        """
        target = self.path(ref)
        if self.check(ref, deadline) is Availability.OK:
            return target
        incoming = private_folder(self.root) / incoming_name()
        try:
            fill(incoming)
            self._check_incoming(ref, incoming, deadline)
            if form_of(ref) == FILE:
                private_folder(target.parent)
                incoming.replace(target)
                sync_folder(target.parent)
            else:
                self._publish_folder(ref, incoming, deadline)
            sync_folder(self.root)
        finally:
            _remove(incoming)
        return target

    def _check_incoming(self, ref: Ref, incoming: Path, deadline: Deadline) -> None:
        digest = hash_file(incoming, deadline) if form_of(ref) == FILE else scan(incoming, deadline).digest
        if digest != ref.digest:
            raise failed(
                f"the content of {short(ref.digest)} is damaged: its bytes have the digest {short(digest)}",
                Availability.DAMAGED,
                "Capture it again from its source, or choose another version",
            )

    def _publish_folder(self, ref: Ref, incoming: Path, deadline: Deadline) -> None:
        target = self.path(ref)
        try:
            incoming.rename(target)
        except OSError as error:
            if error.errno not in {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR}:
                raise
            if self.check(ref, deadline) is not Availability.OK:  # else another process was as quick
                self._replace(target, incoming)

    def _replace(self, target: Path, incoming: Path) -> None:
        damaged = self.root / incoming_name()
        try:
            target.rename(damaged)
            incoming.rename(target)
        except OSError as error:
            raise TransientError(f"{target} is being replaced by another process", hint="Try again") from error
        finally:
            _remove(damaged)


def form_of(ref: Ref) -> str:
    """
    Return whether a version is one file or a folder.

    Raises:
        InvalidError: Its facets do not say.
    """
    form = ref.facets.get("form", "")
    if form not in {FILE, FOLDER}:
        raise InvalidError(
            f"version {short(ref.digest)} has the form {form!r}", hint=f"The facet form is {FILE} or {FOLDER}"
        )
    return form


def _file_name(ref: Ref) -> str:
    name = ref.facets.get("name", "")
    if name in {"", ".", ".."} or "/" in name or "\0" in name or name.startswith(".incoming-"):
        raise InvalidError(
            f"{name!r} cannot be the name of version {short(ref.digest)}'s file", hint="Capture it again"
        )
    return name


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def link_or_copy(source: Path, target: Path, *, executable: bool = False) -> None:
    """Give a file a second name; copy it where links are impossible, or where its mode must differ."""
    if not executable:
        try:
            os.link(source, target)
        except OSError as error:
            if error.errno not in {errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP}:
                raise
        else:
            return
    shutil.copyfile(source, target)
    target.chmod(0o555 if executable else 0o444)
