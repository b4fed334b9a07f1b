"""
Ledger: the append-only record of all that was decided and done to one system.

Each entry carries the hash of the one before, over the canonical form of everything in it, so that an entry that was
edited, removed or moved shows. What a chain cannot show by itself is that its end was cut off, or that all of it was
written anew: that takes an *anchor*, length and head as somebody outside of the store once heard them. Every replica
keeps one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.canonical import canonical_bytes, digest_of, parse_canonical, short

__all__ = ["EMPTY", "Anchor", "Entry", "Verification", "append", "verify"]


class Anchor(NamedTuple):
    """
    How far a ledger went at some moment.

    Attributes:
        length: Number of its entries.
        head: Hash of the last one; empty while there is none.
    """

    length: int
    head: str


EMPTY = Anchor(0, "")
"""The anchor of a ledger without entries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """
    One thing that was decided or done.

    Attributes:
        system: Name of the system.
        sequence: Position in the system's ledger, from 1.
        at: When, as ISO 8601 in UTC.
        actor: Who: a person's name, or the part of the program that acted.
        kind: What happened, as a kebab-case word.
        body: What there is to know about it; JSON.
        previous: Hash of the entry before; empty for the first.
        hash: Digest over the canonical form of all the rest.
    """

    system: str
    sequence: int
    at: str
    actor: str
    kind: str
    body: Mapping[str, Any]
    previous: str
    hash: str

    @property
    def anchor(self) -> Anchor:
        """How far the ledger went when this was its last entry."""
        return Anchor(self.sequence, self.hash)

    @property
    def intact(self) -> bool:
        """Whether the hash is that of what stands here; never raises, whatever stands here."""
        try:
            return self.hash == self.computed_hash()
        except InvalidError:
            return False

    def computed_hash(self) -> str:
        """Return the hash that belongs to what stands here; raises InvalidError when the body has no JSON form."""
        return digest_of(self._hashed())

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {**self._hashed(), "hash": self.hash}

    @classmethod
    def from_json(cls, document: Any) -> "Entry":
        """Read what ``to_json`` wrote; raises InvalidError for anything else. Whether it is intact is not checked."""
        try:
            return cls(
                system=str(document["system"]),
                sequence=int(document["sequence"]),
                at=str(document["at"]),
                actor=str(document["actor"]),
                kind=str(document["kind"]),
                body=dict(document["body"]),
                previous=str(document["previous"]),
                hash=str(document["hash"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidError(f"the ledger entry is malformed: {type(error).__name__} {error}") from error

    def _hashed(self) -> dict[str, Any]:
        return {
            "system": self.system,
            "sequence": self.sequence,
            "at": self.at,
            "actor": self.actor,
            "kind": self.kind,
            "body": dict(self.body),
            "previous": self.previous,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """
    What became of a ledger when it was checked.

    Attributes:
        checked: How far it is whole: length and head of the entries before the first problem.
        problem: What is wrong with it, for people; empty when nothing is.
        sequence: Position of the first problem, or None.
    """

    checked: Anchor
    problem: str = ""
    sequence: int | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing was found wrong."""
        return not self.problem


def append(system: str, head: Anchor, *, at: str, actor: str, kind: str, body: Mapping[str, Any]) -> Entry:
    """
    Make the entry that follows a head.

    Args:
        system: Name of the system.
        head: The ledger as it is; ``EMPTY`` for the first entry.
        at: When, as ISO 8601 in UTC.
        actor: Who acts.
        kind: What happens, as a kebab-case word.
        body: What there is to know about it. It is copied, in the form in which it will be read again.

    Raises:
        InvalidError: The body has no JSON form, or nobody is named as the one who acts.
    """
    if not actor.strip():
        raise InvalidError(f"an entry {kind} names nobody who acted", hint="Say who acts: KNOWNGOOD_ACTOR, or a token")
    entry = Entry(
        system=system,
        sequence=head.length + 1,
        at=at,
        actor=actor,
        kind=kind,
        body=parse_canonical(canonical_bytes(body)),
        previous=head.head,
        hash="",
    )
    return replace(entry, hash=entry.computed_hash())


def verify(entries: Iterable[Entry], *anchors: Anchor) -> Verification:
    """
    Check a whole ledger.

    Args:
        entries: All entries of one system, in the order in which they are kept.
        anchors: Lengths and heads that were kept outside of the store. An old one is as good as a new one for the
            entries that it covers.

    Returns:
        The first problem found. Without anchors a ledger whose end was cut off is whole.
    """
    held: dict[int, set[str]] = {}
    for length, hash_ in anchors:
        held.setdefault(length, set()).add(hash_)
    head, system = EMPTY, ""
    for entry in entries:
        system = system or entry.system
        problem = _problem(entry, head, system) or _contradiction(entry, held.get(entry.sequence, set()))
        if problem:
            return Verification(checked=head, problem=problem, sequence=head.length + 1)
        head = entry.anchor
    longest = max(held, default=0)
    if longest > head.length:
        return Verification(
            checked=head,
            problem=f"the end was cut off: {head.length} entries are left of at least {longest}",
            sequence=head.length + 1,
        )
    return Verification(checked=head)


def _problem(entry: Entry, head: Anchor, system: str) -> str:
    """Return what is wrong with an entry that should follow a head, or an empty text."""
    expected = head.length + 1
    if entry.system != system:
        return f"entry {entry.sequence} belongs to system {entry.system!r}, not to {system!r}"
    if entry.sequence != expected:
        return f"entry {entry.sequence} stands where entry {expected} belongs: one was removed or moved"
    if not entry.intact:
        return f"entry {expected} was edited: its hash is not that of what it says"
    if entry.previous != head.head:
        return (
            f"entry {expected} does not follow entry {head.length}: that one was replaced, or this one was moved here"
        )
    return ""


def _contradiction(entry: Entry, hashes: set[str]) -> str:
    """Return how an entry contradicts what was heard of it outside, or an empty text."""
    strange = sorted(hashes - {entry.hash})
    if not strange:
        return ""
    known, here = short(strange[0]), short(entry.hash)
    return f"entry {entry.sequence} was rewritten: outside it is known as {known}, here it is {here}"
