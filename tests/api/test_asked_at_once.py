"""However many ask with one token at once, the store is asked once; each is answered by what their own token is."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from knowngood.api.identity import Asked, Caller, TokenIdentity
from knowngood.api.observed import REQUEST_ID
from knowngood.control.tokens import revoke
from knowngood.testing.memory_tokens import MemoryTokens
from knowngood.testing.replica import until
from knowngood_sdk.errors import NotAuthenticatedError, TransientError
from tests.control.test_tokens import HOST, NOW, give

MANY = 1000
LONG = 60.0
SHORT = 0.05
MOST = 3


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


@dataclass
class Troubled:
    """Tells who asks as its ``inner`` does, once it has gone through its troubles, one for each time it is asked."""

    inner: TokenIdentity
    troubles: list[Callable[[], object]]
    asked: int = 0

    def known(self, secret: str) -> Caller | None:
        return self.inner.known(secret)

    def caller(self, secret: str) -> Caller:
        number, self.asked = self.asked, self.asked + 1
        if number < len(self.troubles):
            self.troubles[number]()
        return self.inner.caller(secret)


@dataclass
class Elsewhere:
    """Knows others by what it is shown, which has no form of ours."""

    inner: TokenIdentity
    token: str

    def known(self, secret: str) -> Caller | None:
        assert secret
        return None

    def caller(self, secret: str) -> Caller:
        assert secret.startswith("eyJ")
        return self.inner.caller(self.token)


def away() -> None:
    raise TransientError("the store is away")


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
        asked = Asked(identity, LONG)
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
        asked = Asked(identity, LONG)
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
        asked = Asked(identity, LONG)
        for _ in range(2):
            with pytest.raises(NotAuthenticatedError, match="revoked"):
                await asked.caller(minted.secret)

    asyncio.run(asking())
    assert len(identity.asked) == 2


def test_one_who_goes_away_takes_the_answer_from_nobody() -> None:
    tokens = MemoryTokens()
    minted, identity = give(tokens), slow(tokens)

    async def asking() -> Caller:
        asked = Asked(identity, LONG)
        first, second = (asyncio.create_task(asked.caller(minted.secret)) for _ in range(2))
        await waiting(identity)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        identity.may.set()
        return await second

    assert asyncio.run(asking()).name == minted.token.name
    assert identity.asked == [minted.secret]


def test_a_look_up_that_hangs_holds_up_nobody_else() -> None:
    tokens = MemoryTokens()
    minted = give(tokens)
    hung = threading.Event()
    identity = Troubled(TokenIdentity(tokens=tokens, environment="", now=lambda: NOW), [lambda: hung.wait(20)])

    async def asking() -> None:
        asked = Asked(identity, SHORT)
        first = asyncio.create_task(asked.caller(minted.secret))
        await asyncio.to_thread(until, lambda: identity.asked == 1, "the first one asks the store")
        others = await asyncio.gather(*[asked.caller(minted.secret) for _ in range(MANY)])
        assert {caller.name for caller in others} == {minted.token.name}
        assert not first.done()
        hung.set()
        assert (await first).name == minted.token.name

    asyncio.run(asking())
    assert identity.asked <= MOST


def test_a_store_that_hangs_is_not_asked_by_everybody() -> None:
    tokens = MemoryTokens()
    minted, identity = give(tokens), slow(tokens)

    async def asking() -> list[Caller]:
        asked = Asked(identity, SHORT)
        tasks = [asyncio.create_task(asked.caller(minted.secret)) for _ in range(MANY)]
        await asyncio.to_thread(until, lambda: len(identity.asked) == MOST, "as many look-ups as may be at a time")
        done, _ = await asyncio.wait(tasks, timeout=4 * SHORT, return_when=asyncio.FIRST_COMPLETED)
        assert not done
        identity.may.set()
        return await asyncio.gather(*tasks)

    assert {caller.name for caller in asyncio.run(asking())} == {minted.token.name}
    assert len(identity.asked) == MOST


@pytest.mark.parametrize(("failures", "served"), [(1, MANY - 1), (2, 0)])
def test_a_store_that_fails_for_a_moment_is_asked_once_more_for_all_who_waited(failures: int, served: int) -> None:
    tokens = MemoryTokens()
    minted = give(tokens)
    identity = Troubled(TokenIdentity(tokens=tokens, environment="", now=lambda: NOW), [away] * failures)

    async def asking() -> list[Caller | BaseException]:
        asked = Asked(identity, LONG)
        return await asyncio.gather(*[asked.caller(minted.secret) for _ in range(MANY)], return_exceptions=True)

    found = asyncio.run(asking())
    assert sum(not isinstance(each, TransientError) for each in found) == served
    assert identity.asked == 2


def test_an_identity_may_know_secrets_of_any_form() -> None:
    tokens = MemoryTokens()
    minted = give(tokens)

    async def asking() -> Caller:
        return await Asked(Elsewhere(slow(tokens).inner, minted.secret)).caller("eyJhbGciOi.ein Schlüssel")

    assert asyncio.run(asking()).name == minted.token.name


def test_a_look_up_is_no_part_of_the_request_that_began_it() -> None:
    tokens = MemoryTokens()
    minted = give(tokens)
    seen: list[str] = []
    identity = Troubled(
        TokenIdentity(tokens=tokens, environment="", now=lambda: NOW), [lambda: seen.append(REQUEST_ID.get())]
    )

    async def asking() -> None:
        REQUEST_ID.set("the first")
        await Asked(identity).caller(minted.secret)

    asyncio.run(asking())
    assert seen == [""]
