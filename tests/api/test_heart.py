"""The heart of a stream: it beats in silence, gives up who does not read, and costs no timer for what is sent."""

import asyncio
import time
from collections.abc import Callable

from knowngood.api.heart import Heart

LONG = 60.0


def test_it_beats_after_a_silence_and_again() -> None:
    async def beaten() -> float:
        rung, began = asyncio.Event(), time.monotonic()
        heart = Heart(rung, 0.02, LONG)
        async with asyncio.timeout(10):
            for _ in range(3):
                await rung.wait()
                rung.clear()
                heart.sending()
                heart.sent()
        heart.stop()
        return time.monotonic() - began

    assert asyncio.run(beaten()) >= 3 * 0.02


def test_who_does_not_take_what_is_sent_is_given_up() -> None:
    async def given_up() -> tuple[bool, float]:
        began = time.monotonic()
        heart = Heart(asyncio.Event(), LONG, 0.05)
        heart.sending()
        try:
            async with asyncio.timeout(10):
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            return heart.gave_up, time.monotonic() - began
        return False, 0.0

    gave_up, took = asyncio.run(given_up())
    assert gave_up
    assert 0.05 <= took < 10


def test_who_takes_it_is_not_given_up_however_long_nothing_is_sent() -> None:
    async def kept() -> bool:
        rung = asyncio.Event()
        heart = Heart(rung, 0.1, 0.01)  # it looks ten times before it beats
        async with asyncio.timeout(10):
            for _ in range(3):
                heart.sending()
                heart.sent()
                await rung.wait()
                rung.clear()
        heart.stop()
        return heart.gave_up

    assert not asyncio.run(kept())


def test_a_thousand_events_take_no_timer() -> None:
    async def timers() -> int:
        loop = asyncio.get_running_loop()
        heart = Heart(asyncio.Event(), LONG, LONG)
        set_: list[Callable[..., object]] = []
        before = loop.call_at

        def counting(when: float, act: Callable[..., object]) -> asyncio.TimerHandle:
            set_.append(act)
            return before(when, act)

        loop.call_at = counting  # type: ignore[method-assign,assignment]
        for _ in range(1000):
            heart.sending()
            heart.sent()
        heart.stop()
        return len(set_)

    assert asyncio.run(timers()) == 0


def test_after_its_end_nothing_is_given_up() -> None:
    async def ended() -> bool:
        heart = Heart(asyncio.Event(), 0.01, 0.01)
        heart.sending()
        heart.stop()
        late, loop = asyncio.Event(), asyncio.get_running_loop()
        loop.call_later(0.05, late.set)
        await late.wait()
        return heart.gave_up

    assert not asyncio.run(ended())
