"""
Key folder: the signing keys of a control plane, and its roots.

::

    <directory>/keys/roots.json      every root, oldest first; public, and what replicas are given
                    /roots.lock      held for the moment in which one is added
                    /<key id>.key    one signing key each, the owner's alone
"""

import os
from pathlib import Path

from knowngood.adapters.signing.key_file import KeyFile, make_key, read_key
from knowngood_sdk.agent.trust import ed25519, read_roots
from knowngood_sdk.errors import ConflictError, NotFoundError, TransientError
from knowngood_sdk.model.canonical import canonical_bytes
from knowngood_sdk.model.signed import Envelope, root_of, root_version, short_key
from knowngood_sdk.serving.disk import make_folder, write_whole, writing
from knowngood_sdk.serving.folder import hold

__all__ = ["ROOTS", "KeyFolder"]

ROOTS = "roots.json"
_KEY = ".key"


class KeyFolder:
    """
    A ``Signer`` over files.

    Args:
        path: The folder; made with the first key.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[tuple[int, int, int], tuple[Envelope, ...]] | None = None

    @property
    def roots_file(self) -> Path:
        """The file that replicas are given."""
        return self._path / ROOTS

    def roots(self) -> tuple[Envelope, ...]:
        """Return every root, oldest first; the file is read again only when it is another one."""
        try:
            found = self.roots_file.stat()
        except OSError:
            # Not there, or not to be reached; reading it tells which.
            return read_roots(self.roots_file) if self.roots_file.exists() else ()
        identity = (found.st_ino, found.st_mtime_ns, found.st_size)
        if self._seen is None or self._seen[0] != identity:
            self._seen = (identity, read_roots(self.roots_file))
        return self._seen[1]

    def current(self) -> KeyFile:
        """Return the newest key here that the newest root names."""
        roots = self.roots()
        named = root_of(roots[-1], self.verify).signing_keys if roots else {}
        here = [read_key(self._file(id_)) for id_ in named if self._file(id_).exists()]
        if not here:
            ids = ", ".join(map(short_key, named)) or "none"
            raise NotFoundError(
                f"there is no key in {self._path} to sign with; the root names {ids}",
                hint="Bring the file of one of them, or make one: kg key add",
            )
        return max(here, key=lambda key: (key.made_at, key.id))

    def held(self) -> frozenset[str]:
        """Return the ids of the keys in the folder."""
        return frozenset(path.stem for path in self._path.glob(f"*{_KEY}"))

    def make(self) -> KeyFile:
        """Make a key and keep it."""
        make_folder(self._path)
        beside = self._path / f".new{_KEY}"
        with writing(beside):
            # What a process that died here left was never named by any root.
            beside.unlink(missing_ok=True)
        key = make_key(beside)
        with writing(beside):
            beside.rename(self._file(key.id))
        return key

    def keep_root(self, root: Envelope) -> None:
        """Keep the next root."""
        make_folder(self._path)
        lock = hold(self._path / "roots.lock")
        if lock is None:
            raise TransientError("another process is changing the keys", hint="Try again: kg key list")
        try:
            self._keep(root)
        finally:
            os.close(lock)

    def _keep(self, root: Envelope) -> None:
        roots = self.roots()
        version = root_version(root)
        if version <= len(roots) and roots[version - 1] == root:
            return
        if version != len(roots) + 1:
            raise ConflictError(
                f"root {version} does not follow the {len(roots)} that are kept", hint="Look: kg key list"
            )
        write_whole(self.roots_file, canonical_bytes([*(one.to_json() for one in roots), root.to_json()]))

    def verify(self, public: bytes, signature: bytes, message: bytes) -> bool:
        """Whether a signature is that key's."""
        return ed25519()(public, signature, message)

    def _file(self, id_: str) -> Path:
        return self._path / f"{id_}{_KEY}"
