"""
Signer: the port to the keys by which a control plane vouches for routes and releases.

A signing key is at work all the time, so it lies where the control plane runs. The keys of roots say which signing keys
count; they are needed once in a while, and lie elsewhere.
"""

from typing import Protocol

from knowngood_sdk.model.signed import Envelope

__all__ = ["Key", "Signer"]


class Key(Protocol):
    """The private half of an Ed25519 key."""

    @property
    def public(self) -> bytes:
        """The public half, 32 bytes."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return the signature of a message, 64 bytes."""
        ...


class Signer(Protocol):
    """
    The signing keys of a control plane, and the roots that name them.

    Reads are safe to repeat. Any method may raise TransientError (the keys cannot be read or written at the moment) and
    PermanentError (a key is damaged or open to others, or the package that signs is not installed).
    """

    def roots(self) -> tuple[Envelope, ...]:
        """Return every root, oldest first; empty before the first."""
        ...

    def current(self) -> Key:
        """
        Return the key that signs now: the newest one here that the newest root names.

        Raises:
            NotFoundError: There is none.
        """
        ...

    def held(self) -> frozenset[str]:
        """Return the ids of the signing keys whose private half is here."""
        ...

    def make(self) -> Key:
        """Make a signing key and keep it, durably; it signs nothing before a root names it."""
        ...

    def keep_root(self, root: Envelope) -> None:
        """
        Keep the next root, durably.

        Raises:
            ConflictError: Another one of its version is kept, or one in between is missing.
        """
        ...

    def verify(self, public: bytes, signature: bytes, message: bytes) -> bool:
        """Whether a signature is that key's; whatever bytes it is given."""
        ...
