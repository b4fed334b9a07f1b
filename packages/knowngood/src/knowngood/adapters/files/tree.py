"""
Tree: the files of a folder as one value, with one digest over sorted paths, modes and bytes.

The digest does not depend on the tool that kept the folder, so the same files out of Git and out of a folder are the
same content. ``__pycache__`` is left out: the interpreter writes it beside the code that it loads.
"""

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from knowngood.adapters.files.durable import Deadline
from knowngood.adapters.files.objects import hash_file
from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.canonical import canonical_bytes, check_digest, digest_of

__all__ = ["Tree", "TreeFile", "check_path", "is_derived", "scan"]

_FORMAT = "knowngood-tree-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeFile:
    """
    One file of a tree.

    Attributes:
        digest: Digest of its bytes.
        executable: Whether its owner may execute it.
    """

    digest: str
    executable: bool = False


@dataclass(frozen=True, kw_only=True)
class Tree:
    """
    The files of a folder.

    Attributes:
        files: Relative path with ``/`` between its parts -> file; never empty.

    Raises:
        InvalidError: There is no file, or a path leads out of the folder.
    """

    files: Mapping[str, TreeFile]

    def __post_init__(self) -> None:
        if not self.files:
            raise InvalidError("the folder holds no file", hint="A version needs at least one")
        for path in self.files:
            check_path(path)
        object.__setattr__(self, "files", MappingProxyType(dict(self.files)))

    @cached_property
    def digest(self) -> str:
        """Identity of the content."""
        return digest_of(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form; its canonical bytes are what the digest is taken over."""
        files = {path: [file.digest, "755" if file.executable else "644"] for path, file in self.files.items()}
        return {"format": _FORMAT, "files": files}

    def to_bytes(self) -> bytes:
        """Return the canonical JSON form."""
        return canonical_bytes(self.to_json())

    @classmethod
    def from_json(cls, document: Any) -> "Tree":
        """Read what ``to_json`` wrote; raises InvalidError for anything else."""
        match document:
            case {"format": "knowngood-tree-1", "files": dict(entries)}:
                return cls(files={path: _tree_file(path, entry) for path, entry in entries.items()})
            case _:
                raise InvalidError("this is no list of a folder's files", hint="Capture the folder again")


def _tree_file(path: str, entry: Any) -> TreeFile:
    match entry:
        case [str(digest), "644" | "755" as mode]:
            return TreeFile(digest=check_digest(digest), executable=mode == "755")
        case _:
            raise InvalidError(f"the list of files says {entry!r} of {path}", hint="Capture the folder again")


def check_path(path: str) -> str:
    """
    Return the path when it stays inside the folder that it is relative to.

    Raises:
        InvalidError: It is absolute, climbs with ``..``, has parts that name nothing, or is a repository's own.
    """
    if "\0" in path or any(part in {"", ".", "..", ".git"} for part in path.split("/")):
        raise InvalidError(f"{path!r} cannot be part of a version", hint="Rename it, or remove it from the folder")
    return path


def is_derived(path: str) -> bool:
    """Whether a path is one that the interpreter writes by itself."""
    return "__pycache__" in path.split("/")


def scan(folder: Path, deadline: Deadline, digest_file: Callable[[Path, Deadline], str] = hash_file) -> Tree:
    """
    Read a folder.

    Args:
        folder: It; links to files are followed, links to folders are refused.
        deadline: For the whole.
        digest_file: What gives a file's digest; one that also keeps a copy may be given.

    Raises:
        InvalidError: It holds something that is no file, or no file at all.
    """
    files: dict[str, TreeFile] = {}
    for where, folders, names in os.walk(folder, onerror=_raise):
        for linked in (name for name in folders if Path(where, name).is_symlink()):
            raise InvalidError(f"{Path(where, linked)} is a link to a folder", hint="Put the files themselves there")
        for name in names:
            path = Path(where, name)
            relative = path.relative_to(folder).as_posix()
            if is_derived(relative):
                continue
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise InvalidError(f"{path} is no file", hint="Remove it from the folder")
            executable = bool(status.st_mode & stat.S_IXUSR)
            files[check_path(relative)] = TreeFile(digest=digest_file(path, deadline), executable=executable)
    if not files:
        raise InvalidError(f"the folder {folder} holds no file", hint="A version needs at least one")
    return Tree(files=files)


def _raise(error: OSError) -> None:
    raise error
