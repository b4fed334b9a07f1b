"""
Fingerprint: the digest that a manifest records for a file or a folder, computed from the bytes themselves.

A training script writes the fingerprint of the features that it used into the model's contract; a loader stamps what it
really read. Both must agree with what was captured, so the form is fixed: a file is the SHA-256 of its bytes; a folder
is the digest of the canonical JSON that lists each file's path, digest and whether it is executable.
"""

import hashlib
import os
import stat
from pathlib import Path

from knowngood_sdk.errors import InvalidError, NotFoundError
from knowngood_sdk.model.canonical import DIGEST_PREFIX, digest_of

__all__ = ["fingerprint"]

_FORMAT = "knowngood-tree-1"


def fingerprint(path: str | Path) -> str:
    """
    Return ``sha256:<64 hex>`` of a file or a folder.

    What the interpreter writes beside the code that it loads (``__pycache__``) is left out.

    Raises:
        NotFoundError: There is nothing at the path.
        InvalidError: The folder holds no file.
    """
    root = Path(path)
    if root.is_file():
        return _of_file(root)
    if not root.is_dir():
        raise NotFoundError(f"there is nothing at {root}", hint="Give the path of a file or a folder")
    files: dict[str, list[str]] = {}
    for where, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            file = Path(where, name)
            mode = "755" if file.stat().st_mode & stat.S_IXUSR else "644"
            files[file.relative_to(root).as_posix()] = [_of_file(file), mode]
    if not files:
        raise InvalidError(f"the folder {root} holds no file", hint="Give a folder with at least one file")
    return digest_of({"format": _FORMAT, "files": files})


def _of_file(path: Path) -> str:
    with path.open("rb") as file:
        return DIGEST_PREFIX + hashlib.file_digest(file, "sha256").hexdigest()
