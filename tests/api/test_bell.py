"""The bell of an event loop: everybody who is rung for wakes, and the loop itself is woken as seldom as that allows."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable

from knowngood.api.bell import Bell, Bells

MANY = 1000


def test_a_thousand_are_woken_by_one_call_of_the_loop() -> None:
    async def counted() -> int:
        bell, loop = Bells().here(), asyncio.get_running_loop()
        calls: list[Callable[..., object]] = []
        before = loop.call_soon_threadsafe

        def counting(act: Callable[..., object]) -> asyncio.Handle:
            calls.append(act)
            return before(act)

        loop.call_soon_threadsafe = counting  # type: ignore[method-assign,assignment]
        waiting = [asyncio.Event() for _ in range(MANY)]
        for each in waiting:
            bell.ring(each)
        async with asyncio.timeout(10):
            for each in waiting:
                await each.wait()
        return len(calls)

    assert asyncio.run(counted()) == 1


def test_nobody_sleeps_on_whichever_threads_ring_while_others_are_passed_on() -> None:
    async def woken() -> int:
        bells = Bells()
        bell, waiting = bells.here(), [asyncio.Event() for _ in range(MANY)]
        parts = [waiting[number::4] for number in range(4)]
        threads = [threading.Thread(target=lambda part=part: deque(map(bell.ring, part))) for part in parts]
        for thread in threads:
            thread.start()
        async with asyncio.timeout(10):
            for each in waiting:
                await each.wait()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        assert bells.here() is bell
        return sum(each.is_set() for each in waiting)

    assert asyncio.run(woken()) == MANY


def test_a_loop_that_has_ended_is_rung_in_vain() -> None:
    async def made() -> tuple[Bell, asyncio.Event]:
        return Bells().here(), asyncio.Event()

    bell, event = asyncio.run(made())
    bell.ring(event)
    assert not event.is_set()
