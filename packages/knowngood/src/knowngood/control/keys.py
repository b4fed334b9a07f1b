"""
Keys: begin with them, add one, remove one, change those of the root.

Each of it is a new root, signed by enough keys of the one before, so that replicas follow by themselves. The keys of
roots come from wherever they are kept, for the moment in which they sign.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from knowngood.ports.signer import Key, Signer
from knowngood_sdk.errors import ConflictError, InvalidError, NotFoundError
from knowngood_sdk.model.signed import (
    DocumentKind,
    Envelope,
    Root,
    Signature,
    key_id,
    message_of,
    next_root,
    root_of,
    root_payload,
    short_key,
)

__all__ = ["add_key", "begin", "present_root", "remove_key", "replace_root_keys"]


def present_root(signer: Signer) -> Root:
    """Return the newest root; raises NotFoundError before the first."""
    roots = signer.roots()
    if not roots:
        raise NotFoundError("no key was ever made here", hint="Begin: kg key create --root-key FILE")
    return root_of(roots[-1], signer.verify)


def begin(signer: Signer, root_keys: Sequence[Key], *, threshold: int, now: datetime) -> Root:
    """
    Make the first signing key, and the root that names it.

    Args:
        signer: The port.
        root_keys: The keys of the root.
        threshold: How many of them must sign a later root.
        now: The present instant.

    Raises:
        ConflictError: There is a root already.
        InvalidError: There are fewer keys than the threshold.
    """
    if signer.roots():
        raise ConflictError("there are keys here already", hint="Look: kg key list; another one: kg key add")
    key = signer.make()
    root = Root(
        version=1,
        root_keys=_public(root_keys),
        threshold=threshold,
        signing_keys=_public([key]),
        made_at=_text(now),
    )
    envelope = _sealed(root, root_keys)
    signer.keep_root(envelope)
    return root_of(envelope, signer.verify)


def add_key(signer: Signer, root_keys: Sequence[Key], *, now: datetime) -> tuple[Root, str]:
    """
    Make another signing key, which signs from then on; those before it count until they are removed.

    Returns:
        The new root, and the id of the new key.

    Raises:
        UntrustedError: Too few keys of the root sign.
    """
    present = present_root(signer)
    key = signer.make()
    signing = {**present.signing_keys, **_public([key])}
    return _next(signer, present, replace(present, signing_keys=signing), root_keys, now), key_id(key.public)


def remove_key(signer: Signer, key: str, root_keys: Sequence[Key], *, now: datetime) -> Root:
    """
    Take a signing key out of the root: what it signed counts no more, and what it had driven up binds nobody.

    Args:
        signer: The port.
        key: Its id, or enough of the beginning.
        root_keys: Keys of the root.
        now: The present instant.

    Raises:
        NotFoundError: The root names no such key.
        InvalidError: Several begin so, or it is the last one.
        UntrustedError: Too few keys of the root sign.
    """
    present = present_root(signer)
    found = [id_ for id_ in present.signing_keys if key and id_.startswith(key)]
    if len(found) != 1:
        known = ", ".join(map(short_key, present.signing_keys))
        kind = InvalidError if found else NotFoundError
        raise kind(f"{key!r} names {len(found)} keys of root {present.version}", hint=f"Its keys are: {known}")
    if len(present.signing_keys) == 1:
        raise InvalidError(f"{short_key(found[0])} is the last key", hint="Make another one first: kg key add")
    left = {id_: public for id_, public in present.signing_keys.items() if id_ != found[0]}
    return _next(signer, present, replace(present, signing_keys=left), root_keys, now)


def replace_root_keys(signer: Signer, old: Sequence[Key], new: Sequence[Key], *, threshold: int, now: datetime) -> Root:
    """
    Put other keys in the place of those of the root; both sign.

    Raises:
        UntrustedError: Too few of the old ones, or of the new ones, sign.
        InvalidError: There are fewer new keys than the threshold.
    """
    present = present_root(signer)
    changed = replace(present, root_keys=_public(new), threshold=threshold)
    return _next(signer, present, changed, [*old, *new], now)


def _next(signer: Signer, present: Root, changed: Root, root_keys: Sequence[Key], now: datetime) -> Root:
    envelope = _sealed(replace(changed, version=present.version + 1, made_at=_text(now)), root_keys)
    # Checked as a replica would: what it would refuse is not kept.
    root = next_root(present, envelope, signer.verify)
    signer.keep_root(envelope)
    return root


def _sealed(root: Root, keys: Sequence[Key]) -> Envelope:
    payload = root_payload(root)
    message = message_of(DocumentKind.ROOT, payload)
    by_id = {key_id(key.public): key for key in keys}
    signatures = tuple(Signature(id_, key.sign(message)) for id_, key in sorted(by_id.items()))
    return Envelope(kind=DocumentKind.ROOT, payload=payload, signatures=signatures)


def _public(keys: Sequence[Key]) -> Mapping[str, bytes]:
    return {key_id(key.public): key.public for key in keys}


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
