"""
Under way: a long verb in a thread of its own, with its progress on the way to whoever asked for it.

Who goes away gives the verb up, as Ctrl-C does: a deployment that is not in service yet is taken back, a rollback whose
version was left goes on by itself.
"""

import asyncio
import contextvars
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from knowngood.api.metrics import Metrics
from knowngood.api.observed import REQUEST_ID
from knowngood.api.problem import problem_of
from knowngood.ports.verbs import Document, Tell
from knowngood.verbs.interrupt import Interrupted
from knowngood_sdk.errors import KnownGoodError, NotFoundError, OutcomeUnknownError, TransientError

__all__ = ["EVENTS", "Verb", "Work", "Works", "answer"]

EVENTS = "text/event-stream"
Verb = Callable[[Tell, threading.Event], Document]
"""A verb: it is given what takes its progress, and the event that interrupts it."""

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.25
_BEAT_SECONDS = 5.0
_HEAD_SECONDS = 2.0
"""How long the head of an answer waits: what ends sooner ends with the status that it deserves."""
_MOST = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """
    What is to be done.

    Attributes:
        verb: Name of the verb.
        system: Name of the system.
        act: What does it.
    """

    verb: str
    system: str
    act: Verb


@dataclass(slots=True)
class Works:
    """
    All long verbs of one server.

    Attributes:
        metrics: Where they are counted.
        stopping: Whether the server stops, and takes no new ones.
        on_stop: Called when the server begins to stop.
        interrupts: What interrupts each of those under way.
    """

    metrics: Metrics
    on_stop: tuple[Callable[[], None], ...] = ()
    stopping: threading.Event = field(default_factory=threading.Event)
    interrupts: set[threading.Event] = field(default_factory=set)

    def stop(self, within: float) -> None:
        """Take no new ones; what is under way may end within some seconds and is interrupted then. Returns at once."""
        self.stopping.set()
        for told in self.on_stop:
            told()
        late = threading.Timer(within, self._interrupt)
        late.daemon = True
        late.start()

    def _interrupt(self) -> None:
        for interrupt in tuple(self.interrupts):
            interrupt.set()


class _Running:
    """One of them."""

    def __init__(self, works: Works, work: Work) -> None:
        if works.stopping.is_set():
            raise TransientError("the server is stopping", hint="Ask again in a moment")
        if len(works.interrupts) >= _MOST:
            raise TransientError(f"{_MOST} verbs are under way already", hint="Ask again in a moment")
        self._works = works
        self._work = work
        self._loop = asyncio.get_running_loop()
        self._said: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self._left = False
        self.interrupted = threading.Event()
        works.interrupts.add(self.interrupted)
        works.metrics.under_way.inc()
        act = contextvars.copy_context()
        threading.Thread(target=act.run, args=(self._do,), name=f"{work.verb}:{work.system}", daemon=True).start()

    async def next(self, seconds: float) -> tuple[str, Any] | None:
        """Return what comes next, or None when nothing came in time."""
        try:
            return await asyncio.wait_for(self._said.get(), seconds)
        except TimeoutError:
            return None

    def _do(self) -> None:
        began, outcome, exists = time.monotonic(), "done", True
        try:
            said: tuple[str, Any] = ("result", self._work.act(self._tell, self.interrupted))
        except KnownGoodError as error:
            outcome, said, exists = error.code, ("problem", error), not isinstance(error, NotFoundError)
        except Interrupted:
            outcome, said = "interrupted", ("problem", _interrupted(self._work, left=self._left))
        except BaseException:  # noqa: BLE001 - nobody else is left to tell
            _log.exception("%s of %s failed", self._work.verb, self._work.system)
            outcome, said = "failed", ("problem", KnownGoodError("this failed in a way that was not foreseen"))
        self._works.interrupts.discard(self.interrupted)
        self._works.metrics.under_way.dec()
        if exists:
            self._works.metrics.ended(self._work.verb, self._work.system, outcome, time.monotonic() - began)
        self._say(said)

    def _tell(self, sign: str, line: str) -> None:
        # As ``Verbs.rollback`` says: what is told before a version is left has another sign.
        self._left = self._left or (self._work.verb == "rollback" and sign == "good")
        self._say(("progress", {"sign": sign, "line": line}))

    def _say(self, said: tuple[str, Any]) -> None:
        with suppress(RuntimeError):  # nobody listens any more: the loop has ended
            self._loop.call_soon_threadsafe(self._said.put_nowait, said)


def _interrupted(work: Work, *, left: bool) -> KnownGoodError:
    if left or work.verb == "resume":
        told = "; the version was left" if left else ""
        return OutcomeUnknownError(
            f"the server stops while {work.verb} of {work.system} is under way{told}",
            hint=f"It goes on when a server runs again: kg status {work.system}",
            left=left,
        )
    return OutcomeUnknownError(
        f"{work.verb} of {work.system} was stopped before its end; what was half done is given up",
        hint=f"Look: kg status {work.system}",
    )


async def answer(request: Request, works: Works, work: Work) -> Response:
    """Do a verb, and answer as the request wants it: as events, or as one document at the end."""
    running = _Running(works, work)
    if EVENTS not in request.headers.get("accept", ""):
        said = await _last(request, running)
        if said[0] == "problem":
            raise said[1]
        return JSONResponse(said[1])
    first = await running.next(_HEAD_SECONDS)
    if first is not None and first[0] == "problem":
        raise first[1]
    return StreamingResponse(_events(request, running, first), media_type=EVENTS, headers={"Cache-Control": "no-store"})


async def _last(request: Request, running: _Running) -> tuple[str, Any]:
    try:
        while True:
            said = await running.next(_LOOK_SECONDS)
            if said is not None and said[0] != "progress":
                return said
            if said is None and await request.is_disconnected():
                running.interrupted.set()
    except BaseException:
        running.interrupted.set()
        raise


async def _events(request: Request, running: _Running, first: tuple[str, Any] | None) -> AsyncIterator[bytes]:
    said, silent_since = first, time.monotonic()
    ended = False
    try:
        while not ended:
            if said is not None:
                ended = said[0] != "progress"
                yield _event(*said)
                silent_since = time.monotonic()
            elif time.monotonic() - silent_since > _BEAT_SECONDS:
                yield b": under way\n\n"
                silent_since = time.monotonic()
            if not ended:
                said = await running.next(_LOOK_SECONDS)
                if said is None and await request.is_disconnected():
                    return
    finally:
        if not ended:
            running.interrupted.set()


def _event(name: str, data: Any) -> bytes:
    document = problem_of(data, REQUEST_ID.get()) if name == "problem" else data
    return f"event: {name}\ndata: {json.dumps(document)}\n\n".encode()
