"""
Objects: bytes under the name of their own digest, written once and never changed.

Layout: ``objects/sha256/<first 2 hex digits>/<other 62>``, each file read-only.
"""

import hashlib
import os
from pathlib import Path

from knowngood.adapters.files.durable import Deadline, incoming_name, private_folder, sync_folder, write_atomically
from knowngood.domain.component import Availability
from knowngood_sdk.errors import TransientError
from knowngood_sdk.model.canonical import DIGEST_PREFIX, check_digest

__all__ = ["Objects", "hash_file"]

_CHUNK = 1 << 20
_READ_ONLY = 0o444


class Objects:
    """
    The content-addressed store of a working folder.

    Attributes:
        root: Its folder.
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder / "objects" / "sha256"

    def path(self, digest: str) -> Path:
        """Return where an object stands, or would stand."""
        hexadecimal = check_digest(digest).removeprefix(DIGEST_PREFIX)
        return self.root / hexadecimal[:2] / hexadecimal[2:]

    def check(self, digest: str, deadline: Deadline) -> Availability:
        """Read an object and compare it with its digest: ok, gone or damaged."""
        path = self.path(digest)
        if not path.is_file():
            return Availability.GONE
        return Availability.OK if hash_file(path, deadline) == digest else Availability.DAMAGED

    def put_bytes(self, content: bytes, deadline: Deadline) -> str:
        """Keep some bytes; return their digest."""
        digest = DIGEST_PREFIX + hashlib.sha256(content).hexdigest()
        if self.check(digest, deadline) is not Availability.OK:
            write_atomically(self.path(digest), content, mode=_READ_ONLY)
        return digest

    def put_file(self, source: Path, deadline: Deadline) -> str:
        """
        Keep a copy of a file; return its digest.

        The bytes are hashed while they are copied, so the digest is that of the copy. A damaged object of the same
        digest is replaced.

        Raises:
            TransientError: The file changed while it was read.
        """
        incoming = private_folder(self.root) / incoming_name()
        hashed = hashlib.sha256()
        try:
            with source.open("rb") as reader, incoming.open("xb") as writer:
                before = os.fstat(reader.fileno())
                while chunk := reader.read(_CHUNK):
                    deadline.check(f"copying {source}")
                    hashed.update(chunk)
                    writer.write(chunk)
                after = os.fstat(reader.fileno())
                if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                    raise TransientError(f"{source} changed while it was read", hint="Wait until it is written")
                os.fchmod(writer.fileno(), _READ_ONLY)
                writer.flush()
                os.fsync(writer.fileno())
            digest = DIGEST_PREFIX + hashed.hexdigest()
            if self.check(digest, deadline) is not Availability.OK:
                target = self.path(digest)
                private_folder(target.parent)
                incoming.replace(target)
                sync_folder(target.parent)
        finally:
            incoming.unlink(missing_ok=True)
        return digest


def hash_file(path: Path, deadline: Deadline) -> str:
    """Return the digest of a file's bytes, reading 1 MiB at a time."""
    hashed = hashlib.sha256()
    buffer = bytearray(_CHUNK)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            deadline.check(f"reading {path}")
            hashed.update(view[:count])
    return DIGEST_PREFIX + hashed.hexdigest()
