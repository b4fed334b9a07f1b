"""Key file: one private key, in a file that only its owner reads."""

import contextlib
import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from knowngood_sdk.errors import ConflictError, InvalidError, NotFoundError, PermanentError
from knowngood_sdk.model.canonical import canonical_bytes
from knowngood_sdk.model.fields import integer, text
from knowngood_sdk.model.signed import key_id, short_key
from knowngood_sdk.model.wire import FORMAT
from knowngood_sdk.serving.disk import NO_LINK, OWNER_FILE, make_folder, read_json, sync_folder, writing

__all__ = ["KeyFile", "make_key", "read_key"]

_KIND = "ed25519"
_MAX_FILE = 4096
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class KeyFile:
    """
    A private key that was read.

    Args:
        private: Its 32 bytes.
        made_at: When it was made, as ISO 8601 in UTC.

    Raises:
        PermanentError: The package that signs is not installed.
    """

    def __init__(self, private: bytes, made_at: str) -> None:
        self._key = _ed25519().from_private_bytes(private)
        self.public: bytes = self._key.public_key().public_bytes_raw()
        self.made_at = made_at

    @property
    def id(self) -> str:
        """The id of the key."""
        return key_id(self.public)

    def sign(self, message: bytes) -> bytes:
        """Return the signature of a message, 64 bytes."""
        signature: bytes = self._key.sign(message)
        return signature

    def __repr__(self) -> str:
        return f"KeyFile({short_key(self.id)})"


def make_key(path: Path) -> KeyFile:
    """
    Make a key and keep it in a new file (mode 0600), durably.

    Raises:
        ConflictError: There is a file already; a key is never written over.
        TransientError: The file cannot be written.
        PermanentError: The package that signs is not installed.
    """
    made_at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    private = _ed25519().generate().private_bytes_raw()
    key = KeyFile(private, made_at)
    document = {
        "format": FORMAT,
        "kind": _KIND,
        "private": private.hex(),
        "public": key.public.hex(),
        "made_at": made_at,
    }
    make_folder(path.absolute().parent)
    with writing(path):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK, OWNER_FILE)
        except FileExistsError as error:
            raise ConflictError(f"there is a file {path} already", hint="A key is never written over") from error
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(canonical_bytes(document) + b"\n")
                file.flush()
                os.fsync(descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        sync_folder(path.absolute().parent)
    return key


def read_key(path: Path) -> KeyFile:
    """
    Read a key.

    Raises:
        NotFoundError: There is no such file.
        PermanentError: Others than its owner may read it, or the package that signs is not installed.
        InvalidError: It holds no key.
        TransientError: It cannot be read.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no key at {path}", hint="Bring it, or make one: kg key create") from error
    if mode & _OTHERS:
        raise PermanentError(
            f"the key {path} may be read by others than its owner (mode {mode:04o})",
            hint=f"chmod 600 {path}; and if anybody did read it, remove that key: kg key remove",
        )
    document: Any = read_json(path, limit=_MAX_FILE)
    try:
        if integer(document, "format") > FORMAT or text(document, "kind") != _KIND:
            raise InvalidError(f"{path} holds no key that this program knows", hint="Upgrade knowngood here")
        key = KeyFile(bytes.fromhex(text(document, "private")), text(document, "made_at"))
        public = bytes.fromhex(text(document, "public"))
    except (TypeError, ValueError) as error:
        # Not the error's own words: they could hold a part of the key.
        raise InvalidError(
            f"{path} holds no key", hint="It was edited or torn; bring it from where it is kept"
        ) from error
    if key.public != public:
        raise InvalidError(f"the two halves in {path} are not of one key", hint="It was edited")
    return key


def _ed25519() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise PermanentError(
            f"nothing can be signed here: {error}", hint="Install it: pip install 'knowngood[signing]'"
        ) from error
    return Ed25519PrivateKey
