"""
Identity: who asks, and whether they may.

What was learned of a token holds for some seconds, and while the store cannot be asked for an hour: a database that is
down must not keep a person from a rollback.
"""

import asyncio
import contextvars
import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Protocol

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from knowngood.control.tokens import authenticate as token_of
from knowngood.domain.authority import Permission
from knowngood.domain.level import Level
from knowngood.domain.token import Token, TokenState, Verb, fingerprint, permits
from knowngood.ports.tokens import Tokens
from knowngood_sdk.errors import NotAuthenticatedError, NotAuthorizedError, TransientError

__all__ = [
    "Asked",
    "Asking",
    "Caller",
    "Identity",
    "ReplicaCaller",
    "TokenIdentity",
    "allow",
    "authenticate",
    "authenticate_replica",
    "highest",
]

_bearer = HTTPBearer(auto_error=False, description="A token: kg token create")
_FRESH_SECONDS = 3.0
_STALE_SECONDS = 3600.0
_MOST_KNOWN = 10_000
_PATIENCE_SECONDS = 0.25
_MOST_LOOK_UPS = 3
"""Look-ups of one token at a time: a store that hangs must not take all threads, which others need too."""


class Caller(Protocol):
    """Somebody who is known."""

    @property
    def name(self) -> str:
        """Who, as it goes on record."""
        ...

    def may(self, verb: str, system: str | None, level: Level | None = None) -> bool:
        """Whether they may do something to a system; None for what is of no system."""
        ...

    def permission(self, verb: str, system: str | None, level: Level | None = None) -> Permission:
        """Tell the same, with what is missing."""
        ...


class Identity(Protocol):
    """Tells who asks. Both methods may be called from any thread."""

    def known(self, secret: str) -> Caller | None:
        """Return who a secret belongs to where that is known without asking anybody, at once; else None."""
        ...

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

    def may(self, verb: str, system: str | None, level: Level | None = None) -> bool:
        return self.permission(verb, system, level).allowed

    def permission(self, verb: str, system: str | None, level: Level | None = None) -> Permission:
        return permits(self.token, Verb(verb), system=system, level=level, environment=self.environment, now=self.now())


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaCaller:
    """
    An agent that calls: it reads routes and reports, and nothing else.

    Attributes:
        caller: Whose token it has.
    """

    caller: Caller

    def may(self, verb: str, system: str) -> bool:
        """Whether it may ``read`` what is meant for replicas, or ``report``."""
        return self.caller.may({"read": Verb.ROUTE}.get(verb, verb), system)


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
    _learned: dict[str, tuple[Token, float]] = field(default_factory=dict)
    _learning: threading.Lock = field(default_factory=threading.Lock)

    def learn(self) -> None:
        """Learn all tokens, so that whoever has one is known also when the store goes away."""
        for token in self.tokens.all():
            self._keep(token)

    def known(self, secret: str) -> Caller | None:
        """See ``Identity``."""
        learned = self._learned.get(fingerprint(secret))
        if learned is None or time.monotonic() - learned[1] > _FRESH_SECONDS:
            return None
        return self._caller(learned[0]) if learned[0].state(self.now()) is TokenState.ACTIVE else None

    def caller(self, secret: str) -> Caller:
        """See ``Identity``."""
        learned = self._learned.get(fingerprint(secret))
        try:
            token = token_of(self.tokens, secret, self.now())
        except TransientError:
            recent = learned is not None and time.monotonic() - learned[1] < _STALE_SECONDS
            if learned is None or not recent or learned[0].state(self.now()) is not TokenState.ACTIVE:
                raise
            return self._caller(learned[0])
        except NotAuthenticatedError:
            with self._learning:
                self._learned.pop(fingerprint(secret), None)
            raise
        self._keep(token)
        return self._caller(token)

    def _caller(self, token: Token) -> Caller:
        return _Bearer(token=token, environment=self.environment, now=self.now)

    def _keep(self, token: Token) -> None:
        with self._learning:
            if len(self._learned) >= _MOST_KNOWN:
                self._learned.clear()
            self._learned[token.sha256] = (token, time.monotonic())


class Asked:
    """
    Who asks, found out once for all who ask with one token at a time.

    What was learned of a token grows old for a thousand replicas at the same instant: each would ask the store.
    To be used in one event loop.

    Args:
        identity: Tells who asks.
        patience: Seconds after which a look-up counts as one that hangs, though the store may answer others.
    """

    def __init__(self, identity: Identity, patience: float = _PATIENCE_SECONDS) -> None:
        self._identity = identity
        self._patience = patience
        self._under_way: dict[str, set[asyncio.Task[Caller]]] = {}

    async def caller(self, secret: str) -> Caller:
        """Return who a secret belongs to; raises as ``Identity.caller``."""
        known = self._identity.known(secret)
        if known is not None:
            return known
        # Not by its fingerprint as a token: another identity has other secrets.
        name = hashlib.sha256(secret.encode()).hexdigest()
        waited: set[asyncio.Task[Caller]] = set()
        failed = False
        # Where what they wait for hangs, or fails for the first time, one of them begins another that all others join.
        while (tasks := self._under_way.get(name)) and (tasks - waited or len(tasks) >= _MOST_LOOK_UPS):
            waited = set(tasks)
            patience = self._patience if len(tasks) < _MOST_LOOK_UPS else None
            done, _ = await asyncio.wait(waited, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if failed or not isinstance(task.exception(), TransientError):
                    return task.result()
                failed = True
            known = self._identity.known(secret)
            if known is not None:
                return known
        # One who goes away meanwhile takes the answer from nobody else.
        return await asyncio.shield(self._begin(name, secret))

    def _begin(self, name: str, secret: str) -> "asyncio.Task[Caller]":
        # In a context of its own: it is no part of the request that happens to be the first.
        looking = run_in_threadpool(self._identity.caller, secret)
        task = asyncio.create_task(looking, context=contextvars.Context())
        self._under_way.setdefault(name, set()).add(task)
        task.add_done_callback(lambda done: self._over(name, done))
        return task

    def _over(self, name: str, done: "asyncio.Task[Caller]") -> None:
        tasks = self._under_way[name]
        tasks.remove(done)
        if not tasks:
            del self._under_way[name]
        if not done.cancelled():
            done.exception()  # looked at, also where everybody who asked has gone


async def authenticate(
    request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None
) -> Caller:
    """Return who asks; raises NotAuthenticatedError where that is not known."""
    if given is None:
        raise NotAuthenticatedError(
            "this request has no token",
            hint="Send it: Authorization: Bearer kg_..., or set KNOWNGOOD_TOKEN; to get one: kg token create",
        )
    asked: Asked = request.app.state.asked
    caller = await asked.caller(given.credentials)
    request.state.caller = caller.name
    return caller


Asking = Annotated[Caller, Depends(authenticate)]


async def authenticate_replica(request: Request) -> ReplicaCaller:
    """Return the agent that calls; raises as ``authenticate``."""
    return ReplicaCaller(caller=await authenticate(request, await _bearer(request)))


def allow(caller: Caller, verb: Verb, system: str | None, level: Level | None = None) -> None:
    """Raise NotAuthorizedError unless somebody may."""
    permission = caller.permission(verb, system, level)
    if not permission.allowed:
        raise NotAuthorizedError(
            permission.reason,
            hint="Use a token whose scope reaches that far: kg token create",
            missing=list(permission.missing),
        )


def highest(caller: Caller, verb: Verb, system: str) -> Level:
    """Return the highest level that somebody may take; raises NotAuthorizedError when there is none."""
    allow(caller, verb, system)
    levels = [level for level in Level if caller.may(verb, system, level)]
    if not levels:
        allow(caller, verb, system, Level.MODEL)
    return max(levels)
