"""Notary: keys that sign documents in tests, rightly or however an attacker would."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from knowngood_sdk.model.signed import (
    DocumentKind,
    Envelope,
    Root,
    Signature,
    Statement,
    key_id,
    message_of,
    root_payload,
    statement_payload,
)
from knowngood_sdk.model.wire import ReleaseDocument, RouteDocument

SIGNED_AT = "2026-01-01T18:00:00.000Z"
FRESH_UNTIL = "2099-01-01T00:00:00.000Z"


class TestKey:
    """A key that is the same in every run, told by a number."""

    __test__ = False

    def __init__(self, number: int) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(number.to_bytes(32, "big"))
        self.public = self._private.public_key().public_bytes_raw()
        self.id = key_id(self.public)

    def sign(self, message: bytes) -> bytes:
        return self._private.sign(message)

    def seal(self, kind: DocumentKind, payload: str) -> Envelope:
        signature = Signature(self.id, self.sign(message_of(kind, payload)))
        return Envelope(kind=kind, payload=payload, signatures=(signature,))


ROOT_KEY, OTHER_ROOT_KEY, THIRD_ROOT_KEY = TestKey(1), TestKey(2), TestKey(3)
KEY, NEXT_KEY, STRANGER = TestKey(11), TestKey(12), TestKey(99)


def by_id(*keys: TestKey) -> Mapping[str, bytes]:
    return {key.id: key.public for key in keys}


def root(
    version: int = 1,
    *,
    signing: tuple[TestKey, ...] = (KEY,),
    keys: tuple[TestKey, ...] = (ROOT_KEY,),
    threshold: int = 1,
    by: tuple[TestKey, ...] = (ROOT_KEY,),
) -> Envelope:
    """A root, signed by whom the test says."""
    said = Root(version=version, root_keys=by_id(*keys), threshold=threshold, signing_keys=by_id(*signing))
    return signed_by(DocumentKind.ROOT, root_payload(said), *by)


def signed_by(kind: DocumentKind, payload: str, *keys: TestKey) -> Envelope:
    signatures = tuple(signature for key in keys for signature in key.seal(kind, payload).signatures)
    return Envelope(kind=kind, payload=payload, signatures=signatures)


@dataclass(frozen=True, slots=True)
class Notary:
    """Signs for a control plane, with one key and the roots that it knows."""

    key: TestKey = KEY
    roots: tuple[Envelope, ...] = field(default_factory=tuple)

    def statement(self, version: int, body: Any, **changed: str) -> Statement:
        times = {"signed_at": SIGNED_AT, "fresh_until": FRESH_UNTIL, **changed}
        return Statement(version=version, body=body, **times)

    def sign(
        self,
        document: RouteDocument,
        version: int,
        times: Mapping[str, str] | None = None,
        *,
        kind: DocumentKind = DocumentKind.ROUTE,
    ) -> RouteDocument:
        statement = self.statement(version, document.vouched.to_json(), **(times or {}))
        return replace(document, signed=self.key.seal(kind, statement_payload(statement)), roots=self.roots)

    def sign_release(self, release: ReleaseDocument) -> ReleaseDocument:
        statement = self.statement(0, release.vouched)
        return replace(release, signed=self.key.seal(DocumentKind.RELEASE, statement_payload(statement)))


def roots_file(path: Path, *roots: Envelope) -> Path:
    """Write the file that a replica is given out of band."""
    path.write_text(json.dumps([one.to_json() for one in roots]))
    return path
