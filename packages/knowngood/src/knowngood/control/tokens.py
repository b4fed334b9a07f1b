"""
Tokens: make, rotate, revoke, list, and tell by one who asks.

Whoever gives a token gives no more than they have: the caller's own scope is a limit to what they can make, rotate or
revoke. The user of this host who may write the store needs no token, and so has no limit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from knowngood.domain.spelling import did_you_mean
from knowngood.domain.token import (
    OVERLAP,
    Minted,
    Order,
    Scope,
    Token,
    TokenState,
    Verb,
    fingerprint,
    mint,
)
from knowngood.ports.tokens import Act, Tokens, Written
from knowngood_sdk.errors import ConflictError, InvalidError, NotAuthenticatedError, NotAuthorizedError, NotFoundError

__all__ = ["Giver", "authenticate", "create", "named", "revoke", "rotate", "seen_by"]

_SHORTEST = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Giver:
    """
    Who makes, rotates or revokes.

    Attributes:
        name: Who, as it goes on record.
        now: The present instant.
        scope: What they may do themselves; None for the user of this host who owns the store.
    """

    name: str
    now: datetime
    scope: Scope | None = None


def create(tokens: Tokens, random: bytes, order: Order, giver: Giver) -> Minted:
    """
    Make a token; its secret is in the answer, and nowhere else.

    Args:
        tokens: The port.
        random: 32 bytes of the operating system's randomness.
        order: For whom, what it may do, and how long.
        giver: Who makes it.

    Raises:
        NotAuthorizedError: It would reach further than the giver does.
        InvalidError: The name or the life is none.
    """
    _check_covered(giver, order.scope, "make")
    made = mint(random, order, by=giver.name, now=giver.now)
    body = {
        "token": made.token.id,
        "name": order.name,
        "scope": order.scope.to_json(),
        "expires_at": _until(made.token),
    }
    tokens.write(Written(before=None, after=made.token), act=_act("token-created", giver, body))
    return made


def rotate(
    tokens: Tokens, random: bytes, token: Token, *, giver: Giver, overlap: timedelta = OVERLAP, life: timedelta | None
) -> Minted:
    """
    Make the token that follows another one, of the same name and scope; the old one holds on for a while.

    Args:
        tokens: The port.
        random: 32 bytes of the operating system's randomness.
        token: The old one, as it was read.
        giver: Who rotates.
        overlap: How long the old one still holds; never longer than it would have. Zero ends it at once.
        life: How long the new one holds; None for as long as the old one was made for.

    Raises:
        ConflictError: The old one holds no more, or was changed meanwhile.
        NotAuthorizedError: It reaches further than the giver does.
        InvalidError: The overlap is negative, or the life is out of range.
    """
    _check_covered(giver, token.scope, "rotate")
    _check_holds(token, giver.now)
    if overlap < _SHORTEST:
        raise InvalidError(f"an overlap of {overlap} is none", hint="Give the time that the old token still holds: 24h")
    life = token.expires_at - token.created_at if life is None else life
    order = Order(name=token.name, scope=token.scope, life=life)
    made = mint(random, order, by=giver.name, now=giver.now, follows=token.id)
    old = token.rotated(giver.now + overlap)
    body = {
        "token": made.token.id,
        "follows": token.id,
        "name": token.name,
        "expires_at": _until(made.token),
        "old_expires_at": _until(old),
    }
    new = Written(before=None, after=made.token)
    tokens.write(new, Written(before=token, after=old), act=_act("token-rotated", giver, body))
    return made


def revoke(tokens: Tokens, token: Token, *, giver: Giver, why: str = "") -> Token:
    """
    End a token at once.

    Returns:
        It, as it is on record; one that was revoked already stays as it was, and nothing is written.

    Raises:
        ConflictError: It was changed meanwhile.
        NotAuthorizedError: It reaches further than the giver does.
    """
    _check_covered(giver, token.scope, "revoke")
    over = token.revoked(giver.now, giver.name)
    if over != token:
        body = {"token": token.id, "name": token.name, "why": why}
        tokens.write(Written(before=token, after=over), act=_act("token-revoked", giver, body))
    return over


def named(tokens: Tokens, word: str) -> Token:
    """
    Return the token that a person means.

    Args:
        tokens: The port.
        word: Its id, or the name that it was made for.

    Raises:
        NotFoundError: There is none.
        InvalidError: Several of that name were made, and none or more than one of them was not revoked.
    """
    found = tokens.find(word)
    if found is not None:
        return found
    known = tokens.all()
    of_name = [token for token in known if token.name == word]
    if not of_name:
        words = {token.name for token in known} | {token.id for token in known}
        raise NotFoundError(f"there is no token {word!r}", hint=did_you_mean(word, words))
    held = [token for token in of_name if token.revoked_at is None]
    candidates = held or of_name
    if len(candidates) > 1:
        ids = ", ".join(token.id for token in candidates)
        raise InvalidError(f"{len(candidates)} tokens are made for {word}: {ids}", hint="Name the one by its id")
    return candidates[0]


def seen_by(tokens: Tokens, giver: Giver) -> tuple[Token, ...]:
    """Return the tokens that somebody may rotate and revoke, oldest first."""
    return tuple(token for token in tokens.all() if giver.scope is None or giver.scope.covers(token.scope))


def authenticate(tokens: Tokens, secret: str, now: datetime) -> Token:
    """
    Tell who asks.

    Raises:
        NotAuthenticatedError: It is no token, was mistyped, is not known here, or holds no more. A typing error is told
            without a look at the store.
        TransientError: The store cannot be asked; then nobody is let in.
    """
    sha256 = fingerprint(secret)
    # Found by a part of its fingerprint, compared by the whole: what takes how long tells nothing of the rest.
    token = tokens.find(sha256[:12])
    if token is None or not token.is_secret(sha256):
        raise NotAuthenticatedError(
            "no such token is known here",
            hint="It may be another environment's; who may make one: kg token create",
        )
    state = token.state(now)
    if state is not TokenState.ACTIVE:
        since = token.revoked_at if state is TokenState.REVOKED else token.expires_at
        raise NotAuthenticatedError(
            f"token {token.id} of {token.name} {'was revoked' if state is TokenState.REVOKED else 'expired'} "
            f"at {since:%Y-%m-%d %H:%M} UTC",
            hint="Use the one that follows it, or ask for another: kg token create",
        )
    return token


def _check_covered(giver: Giver, scope: Scope, what: str) -> None:
    if giver.scope is None:
        return
    if Verb.TOKENS not in giver.scope.verbs or not giver.scope.covers(scope):
        raise NotAuthorizedError(
            f"{giver.name} may not {what} a token that reaches further than their own",
            hint="It takes somebody whose token has the verb tokens, and its verbs, systems, level and environment",
        )


def _check_holds(token: Token, now: datetime) -> None:
    state = token.state(now)
    if state is not TokenState.ACTIVE:
        raise ConflictError(
            f"token {token.id} of {token.name} is {state}; there is nothing to follow",
            hint="Make a new one: kg token create",
        )


def _act(kind: str, giver: Giver, body: Mapping[str, Any]) -> Act:
    return Act(kind=kind, actor=giver.name, at=_iso(giver.now), body=body)


def _until(token: Token) -> str:
    return _iso(token.expires_at)


def _iso(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
