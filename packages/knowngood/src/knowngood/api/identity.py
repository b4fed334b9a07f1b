"""Identity: who asks, and whether they may."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Protocol

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from knowngood.control.tokens import authenticate as token_of
from knowngood.domain.authority import Permission
from knowngood.domain.level import Level
from knowngood.domain.token import Token, Verb, permits
from knowngood.ports.tokens import Tokens
from knowngood_sdk.errors import NotAuthenticatedError, NotAuthorizedError

__all__ = ["Asking", "Caller", "Identity", "TokenIdentity", "allow", "authenticate", "highest"]

_bearer = HTTPBearer(auto_error=False, description="A token: kg token create")


class Caller(Protocol):
    """Somebody who is known."""

    @property
    def name(self) -> str:
        """Who, as it goes on record."""
        ...

    def may(self, verb: Verb, system: str | None, level: Level | None = None) -> Permission:
        """Tell whether they may do something to a system; None for what is of no system."""
        ...


class Identity(Protocol):
    """Tells who asks."""

    def caller(self, secret: str) -> Caller:
        """
        Return who a secret belongs to.

        Raises:
            NotAuthenticatedError: Nobody, or nobody any more.
            TransientError: That cannot be told at the moment.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bearer:
    """Somebody with a token."""

    token: Token
    environment: str
    now: Callable[[], datetime]

    @property
    def name(self) -> str:
        return self.token.name

    def may(self, verb: Verb, system: str | None, level: Level | None = None) -> Permission:
        return permits(self.token, verb, system=system, level=level, environment=self.environment, now=self.now())


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenIdentity:
    """
    Tells who asks by the tokens that were made.

    Attributes:
        tokens: The port.
        environment: What this server is to tokens.
        now: The present instant.
    """

    tokens: Tokens
    environment: str
    now: Callable[[], datetime]

    def caller(self, secret: str) -> Caller:
        """See ``Identity``."""
        token = token_of(self.tokens, secret, self.now())
        return _Bearer(token=token, environment=self.environment, now=self.now)


def authenticate(
    request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None
) -> Caller:
    """Return who asks; raises NotAuthenticatedError where that is not known."""
    if given is None:
        raise NotAuthenticatedError(
            "this request has no token",
            hint="Send it: Authorization: Bearer kg_..., or set KNOWNGOOD_TOKEN; to get one: kg token create",
        )
    identity: Identity = request.app.state.identity
    caller = identity.caller(given.credentials)
    request.state.caller = caller.name
    return caller


Asking = Annotated[Caller, Depends(authenticate)]


def allow(caller: Caller, verb: Verb, system: str | None, level: Level | None = None) -> None:
    """Raise NotAuthorizedError unless somebody may."""
    permission = caller.may(verb, system, level)
    if not permission.allowed:
        raise NotAuthorizedError(
            permission.reason,
            hint="Use a token whose scope reaches that far: kg token create",
            missing=list(permission.missing),
        )


def highest(caller: Caller, verb: Verb, system: str) -> Level:
    """Return the highest level that somebody may take; raises NotAuthorizedError when there is none."""
    allow(caller, verb, system)
    levels = [level for level in Level if caller.may(verb, system, level).allowed]
    if not levels:
        allow(caller, verb, system, Level.MODEL)
    return max(levels)
