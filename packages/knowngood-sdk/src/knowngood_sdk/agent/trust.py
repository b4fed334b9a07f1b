"""
Trust on disk: the keys that a replica knows, what it has seen of them, and the arithmetic of their signatures.

A replica asks for signatures from the moment that it was given a root (KNOWNGOOD_TRUST), and goes on asking: the file
``trust.json`` in its folder says so to whoever keeps the folder next, a command that breaks the glass too. What cannot
be checked, for want of the package or of a root that can be read, is refused with the reason; the agent runs all the
same, for trips need no signature.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from knowngood_sdk.errors import InvalidError, KnownGoodError, NotFoundError, PermanentError, UntrustedError
from knowngood_sdk.model.canonical import canonical_bytes
from knowngood_sdk.model.fields import entry, integer, mapping, text, texts
from knowngood_sdk.model.signed import MAX_ROOTS, Envelope, Statement, Verify, envelope_from_json, root_of
from knowngood_sdk.model.trust import Trust
from knowngood_sdk.model.wire import FORMAT, ReleaseDocument, RouteDocument
from knowngood_sdk.serving.disk import read_json, write_whole

__all__ = ["Guard", "ed25519", "read_roots"]

_MAX_FILE = 4 * 1024 * 1024

_log = logging.getLogger("knowngood.agent")


def ed25519() -> Verify:
    """
    Return the arithmetic of Ed25519.

    Raises:
        PermanentError: The package that does it is not installed; the hint says how to install it.
    """
    try:
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - an extra; replicas without keys lack it
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415 - as above
    except ImportError as error:
        raise PermanentError(
            f"signatures cannot be checked here: {error}", hint="Install it: pip install 'knowngood-sdk[signing]'"
        ) from error

    def verify(public: bytes, signature: bytes, message: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True

    return verify


def read_roots(path: Path) -> tuple[Envelope, ...]:
    """
    Read a file of roots: one, or a list of them, oldest first.

    Raises:
        NotFoundError: There is no such file.
        InvalidError: It is none, or has more than it may have.
        TransientError: It cannot be read.
    """
    document = read_json(path, limit=_MAX_FILE)
    if document is None:
        raise NotFoundError(f"there is no root at {path}", hint="Bring the file that kg key create made")
    items = document if isinstance(document, list) else [document]
    if not 1 <= len(items) <= MAX_ROOTS:
        raise InvalidError(f"{path} has {len(items)} roots", hint=f"One to {MAX_ROOTS}, oldest first")
    return tuple(map(envelope_from_json, items))


class Guard:
    """
    Says of each document whether somebody vouches for it whom this replica trusts.

    One thread owns it, as it owns the keeper; ``check_release`` alone may be called from any.

    Args:
        system: Name of the system.
        state_file: ``trust.json`` of the replica folder.
        root_file: The root that came out of band; None where that file says all.

    Attributes:
        trouble: Why nothing can be checked, or what was wrong with a file; empty when all is well.
    """

    def __init__(self, system: str, state_file: Path, root_file: Path | None) -> None:
        self._system = system
        self._state_file = state_file
        self._trust: Trust | None = None
        self._verify: Verify | None = None
        self._root: Envelope | None = None
        self._passed: tuple[str, ...] = ()
        self._kept: tuple[object, ...] = ()
        self.trouble = ""
        try:
            self._verify = ed25519()
            self._begin(self._verify, root_file)
        except KnownGoodError as error:
            # Not the end of the agent: it still takes every trip.
            self.trouble = f"no route can be taken, for nothing vouches for any: {error}"
            _log.critical("%s", self.trouble)

    @classmethod
    def of(cls, system: str, state_file: Path, root_file: Path | None) -> "Guard | None":
        """Return the guard of a replica folder, or None where nobody ever gave it a root."""
        if root_file is None and not state_file.exists():
            return None
        return cls(system, state_file, root_file)

    @property
    def newest(self) -> tuple[int, str]:
        """Version and time of the newest route that was taken; zero and empty before the first."""
        said = self._trust.newest if self._trust else None
        return (said.version, said.signed_at) if said else (0, "")

    def age_warning(self, now: datetime) -> str:
        """Return what to tell people about a route that should have been renewed by now; empty when it is not so."""
        said = self._trust.newest if self._trust else None
        if said is None:
            return ""
        try:
            late = now - datetime.fromisoformat(said.fresh_until)
            age = now - datetime.fromisoformat(said.signed_at)
        except (ValueError, TypeError):
            return f"the newest route does not say when it was signed: {said.signed_at!r:.40}"
        if late.total_seconds() <= 0:
            return ""
        return (
            f"the newest route was signed {age.total_seconds() / 3600:.0f} h ago and not renewed since: the control "
            "plane is away, or somebody holds its documents back; what it says is served on"
        )

    @property
    def root(self) -> int:
        """Version of the present root; 0 where there is none."""
        return self._trust.root.version if self._trust else 0

    def doubt(self, document: RouteDocument) -> str:
        """
        Take note of a route if somebody vouches for it.

        Returns:
            Why it is not to be taken, but for its trips; empty when it is.
        """
        if self._trust is None or self._verify is None:
            return self.trouble
        self._follow(document.roots, self._verify)
        try:
            self._trust = self._trust.route(document, self._verify)
        except (UntrustedError, InvalidError) as error:
            return error.message
        return ""

    def check_release(self, release: ReleaseDocument) -> None:
        """
        Check what a version is before it is loaded; safe for threads.

        Raises:
            UntrustedError: Nobody whom this replica trusts vouches for it.
            InvalidError: What is signed is malformed.
        """
        trust, verify = self._trust, self._verify
        if trust is None or verify is None:
            raise UntrustedError(self.trouble)
        trust.release(release, verify)

    def save(self) -> None:
        """
        Make what was noted durable, if there is anything new.

        Raises:
            TransientError: The disk does not take it; what is in memory holds meanwhile.
        """
        trust, root = self._trust, self._root
        if trust is None or root is None or self._kept == (trust, self._passed):
            return
        newest = trust.newest or Statement(version=0, signed_at="", fresh_until="", body=None)
        document = {
            "format": FORMAT,
            "root": root.to_json(),
            "passed": list(self._passed),
            "seen": dict(trust.seen),
            "newest": {
                "version": newest.version,
                "signed_at": newest.signed_at,
                "fresh_until": newest.fresh_until,
            },
        }
        write_whole(self._state_file, canonical_bytes(document))
        self._kept = (trust, self._passed)

    def _begin(self, verify: Verify, root_file: Path | None) -> None:
        """Go on from what was kept, unless the root that was given is one that it never passed: then from that one."""
        given: tuple[Envelope, ...] = ()
        kept: Trust | None = None
        troubles = []
        try:
            given = read_roots(root_file) if root_file is not None else ()
        except KnownGoodError as error:
            troubles.append(f"the root that was given cannot be read: {error}")
        try:
            kept = self._read(verify)
        except KnownGoodError as error:
            troubles.append(f"what was seen of keys is lost: {error}")
        if kept is not None and (not given or _name(given[0]) in self._passed):
            self._trust = kept
        elif given:
            begun = Trust(system=self._system, root=root_of(given[0], verify))
            if kept is not None:
                begun = replace(kept, root=begun.root).under(begun.root)
            self._trust, self._root, self._passed = begun, given[0], (_name(given[0]),)
        else:
            raise PermanentError("; ".join(troubles) or f"there is no root in {self._state_file}")
        self._follow(given, verify)
        self.trouble = "; ".join(troubles)

    def _follow(self, roots: Sequence[Envelope], verify: Verify) -> None:
        new = [root for root in roots if _name(root) not in self._passed]
        if self._trust is None or not new:
            return
        self._trust, taken, stopped = self._trust.follow(new, verify)
        if stopped:
            _log.warning("a root was not taken: %s", stopped)
        if taken:
            self._root, self._passed = taken[-1], (*self._passed, *map(_name, taken))

    def _read(self, verify: Verify) -> Trust | None:
        document = read_json(self._state_file, limit=_MAX_FILE)
        if document is None:
            return None
        try:
            root = envelope_from_json(entry(document, "root"))
            seen, newest = mapping(document, "seen"), mapping(document, "newest")
            trust = Trust(
                system=self._system,
                root=root_of(root, verify),
                seen={key: integer(seen, key) for key in seen},
                newest=_newest(newest),
            )
            passed = texts(document, "passed")
        except (TypeError, ValueError) as error:
            raise InvalidError(f"{self._state_file} is malformed: {error}") from error
        self._root, self._passed = root, passed
        self._kept = (trust, passed)
        return trust


def _newest(item: Mapping[str, Any]) -> Statement | None:
    version = integer(item, "version")
    said = Statement(
        version=version, signed_at=text(item, "signed_at"), fresh_until=text(item, "fresh_until"), body=None
    )
    return said if version else None


def _name(root: Envelope) -> str:
    return sha256(root.message).hexdigest()
