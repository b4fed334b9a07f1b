"""
Token: who asks, and how far they may go.

A token is ``kg_``, 32 random bytes and a checksum, in letters and digits. The checksum tells a slip of the keyboard
before anything is looked up; only the SHA-256 of the whole is kept, so what is on record opens no door. What it may do
is its scope: verbs, systems, a highest level and an environment. A scope narrows; the table of authority
(``knowngood.domain.authority``) still asks what it asks of everybody.
"""

import hashlib
import hmac
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from knowngood.domain.authority import Permission
from knowngood.domain.level import Level
from knowngood.domain.spelling import did_you_mean
from knowngood_sdk.errors import InvalidError, NotAuthenticatedError
from knowngood_sdk.model.manifest import check_name

__all__ = [
    "ANY",
    "OVERLAP",
    "PREFIX",
    "PROGRAM",
    "RANDOM_BYTES",
    "REPLICA_VERBS",
    "SETS",
    "Minted",
    "Order",
    "Scope",
    "Token",
    "TokenState",
    "Verb",
    "check_life",
    "fingerprint",
    "mint",
    "permits",
    "verbs_of",
]

PREFIX = "kg_"
RANDOM_BYTES = 32
ANY = "*"
"""Stands for every system, or every environment."""
OVERLAP = timedelta(hours=24)
"""How long the old token holds beside the new one, unless somebody says otherwise."""

PROGRAM = frozenset({"automation", "reconciler", "saga"})
"""Names under which the program itself acts: nobody else's entries may stand under them."""

_LONGEST_LIFE = timedelta(days=3660)
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# 62**43 is the first power above 2**256, and 62**6 the first above 2**32.
_RANDOM_DIGITS = 43
_CHECK_DIGITS = 6
_LENGTH = len(PREFIX) + _RANDOM_DIGITS + _CHECK_DIGITS
_ID_DIGITS = 12
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._@+-]{0,62}[A-Za-z0-9])?")


class Verb(StrEnum):
    """What somebody may be allowed to do."""

    READ = "read"
    APPLY = "apply"
    DEPLOY = "deploy"
    PROMOTE = "promote"
    ABANDON = "abandon"
    ROLLBACK = "rollback"
    BREAK_GLASS = "break-glass"
    RESUME = "resume"
    READMIT = "readmit"
    REISSUE = "reissue"
    RELEASE = "release"
    TOKENS = "tokens"
    REPORT = "report"  # a replica: what it acknowledges and counts
    ROUTE = "route"  # a replica: routes, rules, and what it loads


REPLICA_VERBS = frozenset({Verb.REPORT, Verb.ROUTE})
"""What only a replica does. No token has these and others: a model server's secret must not deploy, nor a person's
forge a report."""

SETS: Mapping[str, frozenset[Verb]] = MappingProxyType(
    {
        "viewer": frozenset({Verb.READ}),
        "on-call": frozenset(
            {
                Verb.READ,
                Verb.ROLLBACK,
                Verb.BREAK_GLASS,
                Verb.ABANDON,
                Verb.RESUME,
                Verb.READMIT,
                Verb.REISSUE,
            }
        ),
        "deployer": frozenset({Verb.READ, Verb.DEPLOY, Verb.PROMOTE, Verb.ABANDON}),
        "owner": frozenset(Verb) - REPLICA_VERBS,
        "replica": REPLICA_VERBS,
    }
)
"""Sets of verbs that have a name."""

_LEAST_LEVEL: Mapping[Verb, Level] = MappingProxyType({Verb.BREAK_GLASS: Level.SYSTEM})
"""Verbs that reach a level whatever the plan says: breaking the glass takes the whole system, and makes no plan."""


class TokenState(StrEnum):
    """Whether a token holds."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


def verbs_of(words: Iterable[str]) -> frozenset[Verb]:
    """
    Return the verbs that some words name.

    Args:
        words: Names of sets (``on-call``) and of single verbs (``release``).

    Raises:
        InvalidError: A word is neither, or there is none.
    """
    known = {**{verb.value: frozenset({verb}) for verb in Verb}, **SETS}
    verbs: frozenset[Verb] = frozenset()
    for word in words:
        if word not in known:
            raise InvalidError(f"{word!r} is neither a set of verbs nor a verb", hint=did_you_mean(word, known))
        verbs |= known[word]
    return verbs


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """
    How far a token reaches.

    Attributes:
        verbs: What may be done.
        systems: Names of the systems, or ``*`` alone for all of them.
        highest: Highest level of a rollback.
        environment: Where it holds, such as ``production``; ``*`` for everywhere.

    Raises:
        InvalidError: There is no verb or no system, a name is none, or verbs of replicas are mixed with others.
    """

    verbs: frozenset[Verb]
    systems: frozenset[str]
    highest: Level = Level.SYSTEM
    environment: str = ANY

    def __post_init__(self) -> None:
        if not self.verbs or not self.systems:
            raise InvalidError(
                "a scope must name what may be done and to which systems",
                hint="Give both: --scope on-call --system pricing",
            )
        if self.verbs & REPLICA_VERBS and not self.verbs <= REPLICA_VERBS:
            others = ", ".join(sorted(self.verbs - REPLICA_VERBS))
            raise InvalidError(
                f"a replica's token may report and read routes, and nothing else: not {others}",
                hint="Make two tokens",
            )
        if ANY in self.systems and len(self.systems) > 1:
            raise InvalidError(
                f"{ANY} is every system: {', '.join(sorted(self.systems - {ANY}))} beside it is too much"
            )
        for name in sorted(self.systems - {ANY}):
            check_name(name, "system")
        if self.environment != ANY:
            check_name(self.environment, "environment")

    def reaches(self, system: str) -> bool:
        """Whether a system is in it."""
        return ANY in self.systems or system in self.systems

    def covers(self, other: "Scope") -> bool:
        """
        Whether who has this scope may give the other one to somebody: nobody gives more than they have.

        Who may make tokens may make those of replicas, which have verbs of their own.
        """
        verbs = self.verbs | (REPLICA_VERBS if Verb.TOKENS in self.verbs else frozenset())
        return (
            other.verbs <= verbs
            and all(self.reaches(system) for system in other.systems)
            and other.highest <= self.highest
            and self.environment in {ANY, other.environment}
        )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "verbs": sorted(self.verbs),
            "systems": sorted(self.systems),
            "highest": int(self.highest),
            "environment": self.environment,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """
    A token as it is on record; its secret is not.

    Attributes:
        id: First twelve hex digits of ``sha256``; what people call it by.
        name: For whom it was made; the actor of every ledger entry that it leads to.
        sha256: SHA-256 of the secret, 64 hex digits.
        scope: What it may do.
        created_at: When it was made.
        created_by: Who made it.
        expires_at: From then on it holds no more.
        follows: Id of the token that it was made to replace, or empty.
        revoked_at: When it was revoked, or None.
        revoked_by: Who revoked it, or empty.
    """

    id: str
    name: str
    sha256: str
    scope: Scope
    created_at: datetime
    created_by: str
    expires_at: datetime
    follows: str = ""
    revoked_at: datetime | None = None
    revoked_by: str = ""

    def state(self, now: datetime) -> TokenState:
        """Return whether it holds at a moment; that of its expiry is the first at which it does not."""
        if self.revoked_at is not None:
            return TokenState.REVOKED
        return TokenState.EXPIRED if now >= self.expires_at else TokenState.ACTIVE

    def is_secret(self, sha256: str) -> bool:
        """Whether a fingerprint is that of its secret; takes as long whatever the answer."""
        return hmac.compare_digest(self.sha256, sha256)

    def rotated(self, until: datetime) -> "Token":
        """Return it as it holds once another one follows it: until then at the latest, and never longer than before."""
        return replace(self, expires_at=min(self.expires_at, _whole(until)))

    def revoked(self, now: datetime, by: str) -> "Token":
        """Return it revoked; one that was revoked already stays as it is."""
        return self if self.revoked_at is not None else replace(self, revoked_at=_whole(now), revoked_by=by)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form, as it is kept; what people are shown leaves ``sha256`` out."""
        return {
            "id": self.id,
            "name": self.name,
            "sha256": self.sha256,
            "scope": self.scope.to_json(),
            "created_at": _text(self.created_at),
            "created_by": self.created_by,
            "expires_at": _text(self.expires_at),
            "follows": self.follows,
            "revoked_at": None if self.revoked_at is None else _text(self.revoked_at),
            "revoked_by": self.revoked_by,
        }

    @classmethod
    def from_json(cls, document: Any) -> "Token":
        """Read what ``to_json`` wrote; raises InvalidError for anything else."""
        try:
            scope = document["scope"]
            return cls(
                id=str(document["id"]),
                name=str(document["name"]),
                sha256=str(document["sha256"]),
                scope=Scope(
                    verbs=frozenset(map(Verb, scope["verbs"])),
                    systems=frozenset(map(str, scope["systems"])),
                    highest=Level(scope["highest"]),
                    environment=str(scope["environment"]),
                ),
                created_at=_instant(document["created_at"]),
                created_by=str(document["created_by"]),
                expires_at=_instant(document["expires_at"]),
                follows=str(document["follows"]),
                revoked_at=None if document["revoked_at"] is None else _instant(document["revoked_at"]),
                revoked_by=str(document["revoked_by"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidError(f"the token on record is malformed: {type(error).__name__} {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """
    What token is to be made.

    Attributes:
        name: For whom.
        scope: What it may do.
        life: How long it holds.
    """

    name: str
    scope: Scope
    life: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Minted:
    """A new token, and its secret: the one time that anybody sees it."""

    token: Token
    secret: str


def mint(random: bytes, order: Order, *, by: str, now: datetime, follows: str = "") -> Minted:
    """
    Make a token.

    Args:
        random: 32 bytes of the operating system's randomness.
        order: For whom, what it may do, and how long.
        by: Who makes it.
        now: The present instant.
        follows: Id of the token that it replaces, or empty.

    Raises:
        InvalidError: The name is none or is the program's own, the life is out of range, or there are not 32 bytes.
    """
    if len(random) != RANDOM_BYTES:
        raise InvalidError(f"a token is made of {RANDOM_BYTES} random bytes, not {len(random)}")
    if not _NAME.fullmatch(order.name):
        raise InvalidError(
            f"{order.name!r} is no name for whom a token is made",
            hint="Use letters, digits and . _ - + @ inside; 64 characters at most: anna, ci, anna@example.org",
        )
    if order.name in PROGRAM:
        raise InvalidError(
            f"{order.name} is a name under which knowngood itself acts", hint="Name a person or a program"
        )
    check_life(order.life)
    body = PREFIX + _digits(int.from_bytes(random, "big"), _RANDOM_DIGITS)
    secret = body + _checksum(body)
    sha256 = fingerprint(secret)
    token = Token(
        id=sha256[:_ID_DIGITS],
        name=order.name,
        sha256=sha256,
        scope=order.scope,
        created_at=_whole(now),
        created_by=by,
        expires_at=_whole(now + order.life),
        follows=follows,
    )
    return Minted(token=token, secret=secret)


def check_life(life: timedelta) -> None:
    """Raise InvalidError unless a token may hold so long: above zero, and ten years at most."""
    if not timedelta(0) < life <= _LONGEST_LIFE:
        raise InvalidError(
            f"a token cannot hold for {life}", hint="Give a time above 0 and up to ten years: --expires 90d"
        )


def fingerprint(secret: str) -> str:
    """
    Return the SHA-256 of a secret by which its token is found, 64 hex digits.

    Raises:
        NotAuthenticatedError: It is no token of ours, or was mistyped. The message never repeats it.
    """
    body, check = secret[:-_CHECK_DIGITS], secret[-_CHECK_DIGITS:]
    # As bytes: a comparison of texts refuses what is not ASCII.
    if len(secret) != _LENGTH or not hmac.compare_digest(_checksum(body).encode(), check.encode(errors="replace")):
        raise NotAuthenticatedError(
            "what was given is no token, or one with a typing error",
            hint=f"A token begins with {PREFIX} and has {_LENGTH} characters; copy the whole of it",
        )
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def permits(
    token: Token, verb: Verb, *, system: str | None, level: Level | None, environment: str, now: datetime
) -> Permission:
    """
    Tell whether a token may do something.

    Args:
        token: Whose.
        verb: What.
        system: To which system; None for what is of no system (tokens), where ``Scope.covers`` draws the line.
        level: Level of the rollback, once the plan has told it; None before, and for verbs that have none.
        environment: Where this control plane runs.
        now: The present instant.

    Returns:
        The answer, with everything that is missing at once.
    """
    scope = token.scope
    depth = max(level or 0, _LEAST_LEVEL.get(verb, 0))
    missing = []
    if token.state(now) is not TokenState.ACTIVE:
        missing.append(f"a token that holds, for this one is {token.state(now)}")
    if scope.environment not in {ANY, environment}:
        missing.append(f"a token for {environment}, for this one is for {scope.environment}")
    if verb not in scope.verbs:
        sets = sorted(name for name, verbs in SETS.items() if verb in verbs)
        missing.append(f"the verb {verb}, which {_any_of(sets)} has")
    if system is not None and not scope.reaches(system):
        missing.append(f"the system {system}, for this one has {', '.join(sorted(scope.systems))}")
    if depth > scope.highest:
        missing.append(f"level {depth:d}, for this one ends at level {scope.highest:d}")
    what = f"{verb} {system}" if system is not None else str(verb)
    if missing:
        reason = f"{token.name} may not {what}: it takes {'; '.join(missing)}"
        return Permission(allowed=False, reason=reason, missing=tuple(missing))
    return Permission(allowed=True, reason=f"{token.name} may {what}, by token {token.id}")


def _any_of(names: list[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _checksum(body: str) -> str:
    """Return the CRC-32 of a text, in digits: another one for any character that differs, or any two that swapped."""
    return _digits(zlib.crc32(body.encode(errors="replace")), _CHECK_DIGITS)


def _digits(number: int, count: int) -> str:
    digits = ""
    for _ in range(count):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits


def _whole(instant: datetime) -> datetime:
    """Return an instant to the millisecond, as it is kept: what is read again is equal to what was written."""
    return instant.astimezone(UTC).replace(microsecond=instant.microsecond // 1000 * 1000)


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
