"""
Routing cost: times every way to route a call, in a process of its own, and OpenFeature's beside them.

Run as ``python -m benchmarks.routing_cost`` with a JSON order on standard input. Each round times every way once, in
an order that is drawn anew, so that a noisy neighbour or a changing clock rate hits all alike. Every loop makes the
same call of a model; what it costs over the direct call of the same round is the overhead.
"""

import asyncio
import gc
import importlib
import importlib.util
import json
import random
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.host import SYSTEM, until
from benchmarks.service import Priced, kg, wait_served
from knowngood_sdk.serving.counting import Counting
from knowngood_sdk.serving.event import Kind

__all__ = ["Way", "measure"]

Loop = Callable[[int], None]
SUBJECT = "rider-4711"
_CHUNK_NS = 15_000_000
_WARM = 200
_FOLDED = 50_000
_FOLDS = 5


@dataclass(frozen=True, slots=True)
class Way:
    """
    One way to make a call.

    Attributes:
        name: Its name.
        base: Name of the way whose time is subtracted; empty for a base itself.
        loop: Makes n calls.
    """

    name: str
    base: str
    loop: Loop


def measure(ways: list[Way], rounds: int, draw: random.Random) -> dict[str, list[float]]:
    """Return for each way its nanoseconds of processor time for a call, one value for each round."""
    sizes = {way.name: _size(way.loop) for way in ways}
    times: dict[str, list[float]] = {way.name: [] for way in ways}
    for _ in range(rounds):
        draw.shuffle(ways)
        for way in ways:
            # What other ways left behind is not this one's.
            gc.collect()
            began = time.thread_time_ns()
            way.loop(sizes[way.name])
            times[way.name].append((time.thread_time_ns() - began) / sizes[way.name])
    return times


def _size(loop: Loop) -> int:
    loop(_WARM)
    began = time.perf_counter_ns()
    loop(_WARM)
    return max(_WARM, int(_WARM * _CHUNK_NS / (time.perf_counter_ns() - began)))


def static_ways(model: Priced) -> list[Way]:
    """Return the ways to call while one version serves everybody."""

    def direct(n: int) -> None:
        predict = model.predict
        for _ in range(n):
            predict(2.0)

    def picked(n: int) -> None:
        for _ in range(n):
            kg.pick().value.predict(2.0)

    def slotted(n: int) -> None:
        for _ in range(n):
            kg.slot().predict(2.0)

    return [
        Way("direct", "", direct),
        Way("static, kg.pick()", "direct", picked),
        Way("static, kg.slot()", "direct", slotted),
    ]


class _Floor:
    """A context manager that pins a context variable, reads the clock twice and appends one event: no router in it."""

    __slots__ = ("_began", "_model", "_token")
    pinned: ContextVar[Any] = ContextVar("pinned", default=None)
    count: Callable[[Any], None] = deque[Any](maxlen=1).append

    def __init__(self, model: Priced) -> None:
        self._model = model
        self._began = time.perf_counter_ns()

    def __enter__(self) -> Priced:
        self._token = self.pinned.set(self)
        return self._model

    def __exit__(self, *_: object) -> None:
        self.pinned.reset(self._token)
        now = time.perf_counter_ns()
        self.count(("v1", 0, now - self._began, SUBJECT))


def request_ways(model: Priced) -> list[Way]:
    """Return the ways to serve whole requests while one version serves everybody."""

    def floor(n: int) -> None:
        for _ in range(n):
            with _Floor(model) as value:
                value.predict(2.0)

    def requested(n: int) -> None:
        for _ in range(n):
            with kg.request(SUBJECT) as value:
                value.predict(2.0)

    def called(n: int) -> None:
        def work(value: Priced) -> float:
            return value.predict(2.0)

        for _ in range(n):
            kg.call(work, SUBJECT)

    return [
        Way("pinned, counted, trip logic: with kg.request(subject)", "direct", requested),
        Way("  of it the interpreter's: with, context variable, two clocks, one event", "direct", floor),
        Way("the same with in-request fallback: kg.call(work, subject)", "direct", called),
    ]


def split_ways(model: Priced) -> list[Way]:
    """Return the ways to call while a candidate has a share."""

    def direct(n: int) -> None:
        predict = model.predict
        for _ in range(n):
            predict(2.0)

    def picked(n: int) -> None:
        for _ in range(n):
            kg.pick(SUBJECT).value.predict(2.0)

    def requested(n: int) -> None:
        for _ in range(n):
            with kg.request(SUBJECT) as value:
                value.predict(2.0)

    return [
        Way("direct (split)", "", direct),
        Way("sticky split, kg.pick(subject)", "direct (split)", picked),
        Way("sticky split, pinned, counted, trip logic", "direct (split)", requested),
    ]


def asgi_ways(model: Priced) -> list[Way]:
    """Return the ways to serve an ASGI request, without a server around it."""
    scope = {"type": "http", "path": "/price", "headers": [(b"host", b"bench"), (b"x-rider-id", SUBJECT.encode())]}
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
    body = {"type": "http.response.body", "body": b"ok"}

    async def send(_message: Any) -> None:
        return

    async def receive() -> Any:
        return {"type": "http.request"}

    async def bare(_scope: Any, _receive: Any, send: Any) -> None:
        model.predict(2.0)
        await send(start)
        await send(body)

    async def routed(_scope: Any, _receive: Any, send: Any) -> None:
        kg.slot().predict(2.0)
        await send(start)
        await send(body)

    wrapped = kg.Asgi(routed, subject="x-rider-id")

    def loop(app: Callable[[Any, Any, Any], Awaitable[None]]) -> Loop:
        async def drive(n: int) -> None:
            for _ in range(n):
                await app(scope, receive, send)

        return lambda n: asyncio.run(drive(n))

    return [Way("ASGI, direct", "", loop(bare)), Way("ASGI middleware, all of it", "ASGI, direct", loop(wrapped))]


def peer_ways(model: Priced) -> list[Way]:
    """Return the ways to choose a version by OpenFeature's in-memory provider; none where it is not installed."""
    if importlib.util.find_spec("openfeature") is None:
        return []
    api = importlib.import_module("openfeature.api")
    new_context = importlib.import_module("openfeature.evaluation_context").EvaluationContext
    memory = importlib.import_module("openfeature.provider.in_memory_provider")
    flag = memory.InMemoryFlag("live", {"live": "v1", "candidate": "v2"})
    api.set_provider(memory.InMemoryProvider({"version": flag}))
    client = api.get_client()
    slots = {"v1": model, "v2": model}

    def plain(n: int) -> None:
        for _ in range(n):
            slots[client.get_string_value("version", "v1")].predict(2.0)

    def fresh(n: int) -> None:
        for _ in range(n):
            context = new_context(targeting_key=SUBJECT)
            slots[client.get_string_value("version", "v1", context)].predict(2.0)

    return [
        Way("OpenFeature, in memory, no context", "direct", plain),
        Way("OpenFeature, in memory, fresh context", "direct", fresh),
    ]


def folding_ns() -> float:
    """Return what taking in one counted request costs beside the requests, in ns of processor time."""
    counting = Counting(SYSTEM)
    took = []
    for _ in range(_FOLDS):
        for number in range(_FOLDED):
            counting.add(("v1", Kind.OK, 1000.0 + number % 1000, f"rider-{number}"))
        began = time.thread_time_ns()
        counting.fold()
        took.append((time.thread_time_ns() - began) / _FOLDED)
    return sorted(took)[_FOLDS // 2]


def _all_but_split(model: Priced) -> list[Way]:
    return [*static_ways(model), *request_ways(model), *asgi_ways(model), *peer_ways(model)]


def main() -> None:
    """Measure as ordered, and write the times."""
    order = json.load(sys.stdin)
    kg.start()
    until(Path(order["go"]).exists, "the word to begin")
    wait_served()
    model = kg.pick(SUBJECT).value
    ways = split_ways(model) if order["split"] else _all_but_split(model)
    document = {
        "bases": {way.name: way.base for way in ways},
        "times": measure(ways, order["rounds"], random.Random(order["seed"])),
        "folding": folding_ns(),
    }
    log = Path(order["log"])
    beside = log.with_suffix(".part")
    beside.write_text(json.dumps(document), encoding="utf-8")
    beside.replace(log)
    kg.close()


if __name__ == "__main__":
    main()
