"""However many ask with one token at once, the store is asked once; each is answered by what their own token is."""

import asyncio
import threading
from dataclasses import dataclass, field

import pytest

from knowngood.api.identity import Asked, Caller, TokenIdentity
from knowngood.control.tokens import revoke
from knowngood.testing.memory_tokens import MemoryTokens
from knowngood.testing.replica import until
from knowngood_sdk.errors import NotAuthenticatedError
from tests.control.test_tokens import HOST, NOW, give

MANY = 1000


@dataclass
class Slow:
    """Tells who asks as its ``inner`` does, and no sooner than it may."""

    inner: TokenIdentity
    may: threading.Event = field(default_factory=threading.Event)
    asked: list[str] = field(default_factory=list)

    def known(self, secret: str) -> Caller | None:
        return self.inner.known(secret)

    def caller(self, secret: str) -> Caller:
        self.asked.append(secret)
        assert self.may.wait(20)
        return self.inner.caller(secret)


def slow(tokens: MemoryTokens) -> Slow:
    return Slow(TokenIdentity(tokens=tokens, environment="", now=lambda: NOW))


async def waiting(identity: Slow) -> None:
    """Return when those that were just begun wait, and the store was asked."""
    await asyncio.sleep(0)
    await asyncio.to_thread(until, lambda: bool(identity.asked), "the store is asked")


def test_a_thousand_with_one_token_ask_the_store_once() -> None:
    tokens = MemoryTokens()
    minted, identity = give(tokens), slow(tokens)

    async def asking() -> list[Caller]:
        asked = Asked(identity)
        tasks = [asyncio.create_task(asked.caller(minted.secret)) for _ in range(MANY)]
        await waiting(identity)
        identity.may.set()
        return [*await asyncio.gather(*tasks), await asked.caller(minted.secret)]

    assert {caller.name for caller in asyncio.run(asking())} == {minted.token.name}
    assert identity.asked == [minted.secret]


def test_each_token_is_asked_for_by_itself() -> None:
    tokens = MemoryTokens()
    one, other, identity = give(tokens), give(tokens, 2, name="bert"), slow(tokens)
    revoke(tokens, other.token, giver=HOST, why="lost laptop")

    async def asking() -> list[Caller | BaseException]:
        asked = Asked(identity)
        tasks = [asyncio.create_task(asked.caller(secret)) for secret in (one.secret, other.secret) * 2]
        await waiting(identity)
        identity.may.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = asyncio.run(asking())
    assert [type(each) is NotAuthenticatedError for each in found] == [False, True] * 2
    assert sorted(identity.asked) == sorted([one.secret, other.secret])


def test_what_was_refused_is_asked_again_by_whoever_comes_next() -> None:
    tokens = MemoryTokens()
    minted, identity = give(tokens), slow(tokens)
    revoke(tokens, minted.token, giver=HOST, why="lost laptop")
    identity.may.set()

    async def asking() -> None:
        asked = Asked(identity)
        for _ in range(2):
            with pytest.raises(NotAuthenticatedError, match="revoked"):
                await asked.caller(minted.secret)

    asyncio.run(asking())
    assert len(identity.asked) == 2


def test_one_who_goes_away_takes_the_answer_from_nobody() -> None:
    tokens = MemoryTokens()
    minted, identity = give(tokens), slow(tokens)

    async def asking() -> Caller:
        asked = Asked(identity)
        first, second = (asyncio.create_task(asked.caller(minted.secret)) for _ in range(2))
        await waiting(identity)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        identity.may.set()
        return await second

    assert asyncio.run(asking()).name == minted.token.name
    assert identity.asked == [minted.secret]
