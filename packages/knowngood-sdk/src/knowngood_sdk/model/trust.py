"""
Trust: what a replica that knows keys takes from others, and what it does not.

Trips are taken from whoever was let in; everything else of a route, and every release, only when a key of the present
root vouches for it. What each key has signed is remembered by its highest number, so that an older document is told
from a newer one. The memory of a key goes with the key: numbers that a thief drove up bind nobody once it is removed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from knowngood_sdk.errors import InvalidError, UntrustedError
from knowngood_sdk.model.canonical import canonical_bytes
from knowngood_sdk.model.route import Facts
from knowngood_sdk.model.signed import (
    MAX_ROOTS,
    DocumentKind,
    Envelope,
    Root,
    Statement,
    Verify,
    check_threshold,
    next_root,
    root_version,
    statement_of,
)
from knowngood_sdk.model.wire import ReleaseDocument, RouteDocument

__all__ = ["Trust", "joined_signed", "signed_version"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """
    The keys that count for one system, and how far they were heard.

    Attributes:
        system: Name of the system.
        root: The present root.
        seen: Key id -> highest version of a route that was taken under it.
        newest: What the newest route that was taken says of itself; its body is left out. None before the first.
    """

    system: str
    root: Root
    seen: Mapping[str, int] = field(default_factory=dict)
    newest: Statement | None = None

    @property
    def floor(self) -> int:
        """The version below which a route is an older one."""
        return max(self.seen.values(), default=0)

    def follow(self, roots: Sequence[Envelope], verify: Verify) -> tuple["Trust", tuple[Envelope, ...], str]:
        """
        Go from root to root as far as each vouches for the next.

        Args:
            roots: Roots, oldest first; those that are past are passed over.
            verify: The arithmetic of signatures.

        Returns:
            What holds then, the roots that were taken, and why it went no further; empty when all were taken.
        """
        trust = self
        taken: list[Envelope] = []
        for envelope in roots[:MAX_ROOTS]:
            try:
                if root_version(envelope) > trust.root.version:
                    trust = trust.under(next_root(trust.root, envelope, verify))
                    taken.append(envelope)
            except (UntrustedError, InvalidError) as error:
                return trust, tuple(taken), error.message
        return trust, tuple(taken), ""

    def under(self, root: Root) -> "Trust":
        """Return it under another root; what removed keys have signed is forgotten."""
        return replace(self, root=root, seen={key: seen for key, seen in self.seen.items() if key in root.signing_keys})

    def route(self, document: RouteDocument, verify: Verify) -> "Trust":
        """
        Check a route; its trips need no check.

        Returns:
            What is known once it was taken.

        Raises:
            UntrustedError: Nobody who counts vouches for what it says, it is another system's, or an older one.
            InvalidError: What is signed is malformed.
        """
        statement, signers = self._stated(document.signed, DocumentKind.ROUTE, verify)
        body = RouteDocument.from_json(statement.body)
        if body.system != self.system:
            raise UntrustedError(f"what is signed is the route of system {body.system!r}, not of {self.system!r}")
        if body != document.vouched:
            raise UntrustedError("the document says other things than what is signed", hint="Publish it again")
        if statement.version < self.floor:
            raise UntrustedError(
                f"it is older than what is known here: version {statement.version}, after version {self.floor}",
                hint="Somebody sends old documents, or the store was put back: the next publication mends that",
            )
        seen = {**self.seen, **dict.fromkeys(signers, statement.version)}
        return replace(self, seen=seen, newest=replace(statement, body=None))

    def release(self, release: ReleaseDocument, verify: Verify) -> None:
        """
        Check what a version is before it is loaded. It has no order: a version is what it is.

        Raises:
            UntrustedError: Nobody who counts vouches for it, or for other things than it says.
            InvalidError: What is signed is malformed.
        """
        statement, _ = self._stated(release.signed, DocumentKind.RELEASE, verify)
        if release.manifest.system != self.system:
            raise UntrustedError(f"it is a release of system {release.manifest.system!r}, not of {self.system!r}")
        says = release.vouched
        body = statement.body if isinstance(statement.body, Mapping) else {}
        if canonical_bytes({name: body.get(name) for name in says}) != canonical_bytes(says):
            raise UntrustedError("the release says other things than what is signed", hint="Deploy it again")

    def _stated(
        self, envelope: Envelope | None, kind: DocumentKind, verify: Verify
    ) -> tuple[Statement, frozenset[str]]:
        if envelope is None:
            raise UntrustedError(
                f"the {kind} is not signed, and this replica takes signed ones alone",
                hint="Give the control plane a key: kg key create",
            )
        if envelope.kind is not kind:
            raise UntrustedError(f"what is signed is a {envelope.kind}, where a {kind} is expected")
        signers = check_threshold(envelope, self.root.signing_keys, 1, verify)
        return statement_of(envelope.payload), signers


def signed_version(document: RouteDocument) -> int:
    """Return the version that a route is signed under, unproven; 0 where it is not, or what is signed is malformed."""
    if document.signed is None:
        return 0
    try:
        return statement_of(document.signed.payload).version
    except InvalidError:
        return 0


def joined_signed(known: RouteDocument, heard: RouteDocument) -> RouteDocument:
    """
    Return what two documents of one system say together, where something is signed.

    What is signed is taken whole from the one of the higher version, for a part of it beside a part of the other is
    vouched for by nobody. Trips need no signature, and come from both.
    """
    newer = heard if signed_version(heard) >= signed_version(known) else known
    trips = known.trips.merge(heard.trips).trips
    roots = max(known.roots, heard.roots, key=len)
    return replace(newer, facts=Facts(trips, newer.facts.released), roots=roots)
