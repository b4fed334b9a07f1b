"""
Signed: documents with the signatures of the keys that vouch for them, and the root that names the keys.

What is signed are the bytes of the payload as they travel, never a form that the reader makes again: a newer writer may
say more than an older reader knows. The kind of a document is a part of what is signed, so that a signature under one
kind is worth nothing under another. A root is signed by keys that the root before it named, as in The Update Framework
(specification 1.0.33, sections 5.3 and 6.1); it says which keys may sign routes and releases from then on.

Everything here is a value or a pure function; the arithmetic of signatures is passed in as a ``Verify``.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from knowngood_sdk.errors import InvalidError, UntrustedError
from knowngood_sdk.model.canonical import canonical_bytes, parse_canonical
from knowngood_sdk.model.fields import entry, integer, listed, mapping, text, texts

__all__ = [
    "MAX_PAYLOAD",
    "MAX_ROOTS",
    "MAX_SIGNATURES",
    "DocumentKind",
    "Envelope",
    "Root",
    "Signature",
    "Statement",
    "Verify",
    "check_threshold",
    "envelope_from_json",
    "envelope_in",
    "key_id",
    "message_of",
    "next_root",
    "root_of",
    "root_payload",
    "root_version",
    "short_key",
    "statement_of",
    "statement_payload",
]

MAX_PAYLOAD = 1024 * 1024
"""Characters of a payload, at most; a route takes a few thousand."""
MAX_SIGNATURES = 16
"""Signatures of a document, at most: each costs a verification."""
MAX_ROOTS = 64
"""Roots that travel with a document, at most; one comes with each change of keys."""

_DOMAIN = "knowngood-signed-1"
_KEY_BYTES = 32
_SIGNATURE_BYTES = 64

Verify = Callable[[bytes, bytes, bytes], bool]
"""``verify(public, signature, message)`` tells whether a signature is that key's (Ed25519); it raises for no bytes."""


class DocumentKind(StrEnum):
    """What a signature is for; one for a kind is none for another."""

    ROOT = "root"
    ROUTE = "route"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Signature:
    """The id of a key, and what it made of a message."""

    key: str
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """
    A payload with its signatures.

    Attributes:
        kind: What it is.
        payload: Canonical JSON; its UTF-8 bytes are what is signed.
        signatures: By whom. Nothing of it is proven before they were checked.
    """

    kind: DocumentKind
    payload: str
    signatures: tuple[Signature, ...]

    @property
    def message(self) -> bytes:
        """The bytes that are signed."""
        return message_of(self.kind, self.payload)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "kind": self.kind.value,
            "payload": self.payload,
            "signatures": [{"key": one.key, "value": one.value.hex()} for one in self.signatures],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """
    What the payload of a route or a release says.

    Attributes:
        version: Rises with every signature under a route of that system; 0 for what has no order.
        signed_at: When it was signed, as ISO 8601 in UTC.
        fresh_until: When it was meant to be renewed at the latest. Later it is old, and says so; it holds on.
        body: What is vouched for.
    """

    version: int
    signed_at: str
    fresh_until: str
    body: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """
    The keys that vouch for anything.

    Attributes:
        version: Rises by one with each root.
        root_keys: Key id -> public key of those that sign roots; kept offline.
        threshold: How many of them must sign.
        signing_keys: Key id -> public key of those that sign routes and releases, any one of which is enough.
        made_at: When it was made, as ISO 8601 in UTC.

    Raises:
        InvalidError: A number is out of range, a key is none, or too few keys are named.
    """

    version: int
    root_keys: Mapping[str, bytes]
    threshold: int
    signing_keys: Mapping[str, bytes]
    made_at: str = ""

    def __post_init__(self) -> None:
        if self.version < 1 or not 1 <= self.threshold <= len(self.root_keys) or not self.signing_keys:
            raise InvalidError(
                f"root {self.version} asks for {self.threshold} of {len(self.root_keys)} root key(s), "
                f"and names {len(self.signing_keys)} signing key(s): that is none",
                hint="At least one key of each sort, and no more signatures than keys",
            )
        if max(len(self.root_keys), len(self.signing_keys)) > MAX_SIGNATURES:
            raise InvalidError(f"root {self.version} names more than {MAX_SIGNATURES} keys of a sort")
        if self.root_keys.keys() & self.signing_keys.keys():
            raise InvalidError(f"root {self.version} has a key that signs both roots and routes", hint="Use two")


def key_id(public: bytes) -> str:
    """Return the id of a public key: the SHA-256 of its 32 bytes, in hexadecimal."""
    if len(public) != _KEY_BYTES:
        raise InvalidError(f"a public key has {_KEY_BYTES} bytes, not {len(public)}")
    return hashlib.sha256(public).hexdigest()


def short_key(key: str) -> str:
    """Return the first twelve digits of a key's id, as people see them."""
    return key[:12]


def message_of(kind: DocumentKind, payload: str) -> bytes:
    """
    Return the bytes that a key signs for a document.

    The kind and the length stand in front of the payload, so that no two documents of any kinds share their bytes.

    Raises:
        InvalidError: The payload is no text that has bytes (a lone surrogate).
    """
    try:
        data = payload.encode()
    except UnicodeEncodeError as error:
        raise InvalidError("a payload with a lone surrogate has no bytes to sign") from error
    return f"{_DOMAIN} {kind.value} {len(data)} ".encode() + data


def envelope_in(item: Any) -> Envelope:
    """Read what ``Envelope.to_json`` wrote; raises TypeError or ValueError, and does no more than count and copy."""
    payload = text(item, "payload")
    signatures = listed(item, "signatures")
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"payload has more than {MAX_PAYLOAD} characters")
    if len(signatures) > MAX_SIGNATURES:
        raise ValueError(f"signatures are more than {MAX_SIGNATURES}")
    return Envelope(
        kind=DocumentKind(text(item, "kind")),
        payload=payload,
        signatures=tuple(Signature(_hexadecimal(one, "key", _KEY_BYTES).hex(), _value(one)) for one in signatures),
    )


def envelope_from_json(document: Any) -> Envelope:
    """Read what ``Envelope.to_json`` wrote; raises InvalidError for anything else."""
    try:
        return envelope_in(document)
    except (TypeError, ValueError) as error:
        raise InvalidError(f"the signed document is malformed: {error}") from error


def check_threshold(envelope: Envelope, keys: Mapping[str, bytes], threshold: int, verify: Verify) -> frozenset[str]:
    """
    Check that enough keys vouch for a document.

    Args:
        envelope: The document.
        keys: Key id -> public key of those that count.
        threshold: How many different ones it takes.
        verify: The arithmetic.

    Returns:
        The ids of those that do.

    Raises:
        UntrustedError: Too few do; the message says why the others do not count.
        InvalidError: The payload has no bytes.
    """
    message = envelope.message
    good: set[str] = set()
    doubts = []
    for signature in envelope.signatures:
        public = keys.get(signature.key)
        if public is None:
            doubts.append(f"key {short_key(signature.key)} is not known here")
        elif len(signature.value) == _SIGNATURE_BYTES and verify(public, signature.value, message):
            good.add(signature.key)
        else:
            doubts.append(f"the signature of key {short_key(signature.key)} does not fit what it says")
    if len(good) < threshold:
        why = "; ".join(dict.fromkeys(doubts)) or "nobody signed it"
        needed = "" if threshold == 1 else f"{len(good)} of {threshold} signatures count: "
        raise UntrustedError(
            f"the {envelope.kind} is not vouched for: {needed}{why}",
            hint="Keys come and go by roots that the keys before them signed: kg key list shows the present ones",
        )
    return frozenset(good)


def statement_payload(statement: Statement) -> str:
    """Return the payload that says a statement; raises InvalidError when the body has no JSON form."""
    document = {
        "version": statement.version,
        "signed_at": statement.signed_at,
        "fresh_until": statement.fresh_until,
        "body": statement.body,
    }
    return canonical_bytes(document).decode()


def statement_of(payload: str) -> Statement:
    """Read what ``statement_payload`` wrote; raises InvalidError for anything else. Check the signatures first."""
    document = parse_canonical(payload)
    try:
        return Statement(
            version=integer(document, "version"),
            signed_at=text(document, "signed_at"),
            fresh_until=text(document, "fresh_until"),
            body=entry(document, "body"),
        )
    except (TypeError, ValueError) as error:
        raise InvalidError(f"the signed statement is malformed: {error}") from error


def root_payload(root: Root) -> str:
    """Return the payload that says a root."""
    document = {
        "version": root.version,
        "made_at": root.made_at,
        "root": {"keys": _keys_json(root.root_keys), "threshold": root.threshold},
        "signing": {"keys": _keys_json(root.signing_keys)},
    }
    return canonical_bytes(document).decode()


def root_of(envelope: Envelope, verify: Verify) -> Root:
    """
    Read a root that is trusted by itself: the first one, which comes to a replica out of band.

    Raises:
        InvalidError: It is none, or malformed.
        UntrustedError: Its own keys do not vouch for it: it was damaged, or put together by somebody else.
    """
    root = _root(envelope)
    check_threshold(envelope, root.root_keys, root.threshold, verify)
    return root


def next_root(root: Root, envelope: Envelope, verify: Verify) -> Root:
    """
    Go from a root to the one behind it.

    Raises:
        InvalidError: It is none, or malformed.
        UntrustedError: It is not the next one, or too few keys of the present root, or of itself, vouch for it.
    """
    new = _root(envelope)
    if new.version != root.version + 1:
        raise UntrustedError(f"root {new.version} does not follow root {root.version}", hint="Bring those in between")
    check_threshold(envelope, root.root_keys, root.threshold, verify)
    check_threshold(envelope, new.root_keys, new.threshold, verify)
    return new


def root_version(envelope: Envelope) -> int:
    """Return the version that a root says it has, unproven; raises InvalidError when it is malformed."""
    return _root(envelope).version


def _root(envelope: Envelope) -> Root:
    if envelope.kind is not DocumentKind.ROOT:
        raise InvalidError(f"a root is expected, not a {envelope.kind}")
    document = parse_canonical(envelope.payload)
    try:
        root, signing = mapping(document, "root"), mapping(document, "signing")
        return Root(
            version=integer(document, "version"),
            made_at=text(document, "made_at"),
            root_keys=_keys(texts(root, "keys")),
            threshold=integer(root, "threshold"),
            signing_keys=_keys(texts(signing, "keys")),
        )
    except (TypeError, ValueError) as error:
        raise InvalidError(f"the root is malformed: {error}") from error


def _keys_json(keys: Mapping[str, bytes]) -> list[str]:
    return [keys[key].hex() for key in sorted(keys)]


def _keys(texts_: Iterable[str]) -> dict[str, bytes]:
    keys = [bytes.fromhex(one) for one in texts_]
    return {key_id(public): public for public in keys}


def _hexadecimal(item: Any, name: str, size: int) -> bytes:
    value = bytes.fromhex(text(item, name))
    if len(value) != size:
        raise ValueError(f"{name} has {len(value)} bytes, not {size}")
    return value


def _value(item: Any) -> bytes:
    return _hexadecimal(item, "value", _SIGNATURE_BYTES)
