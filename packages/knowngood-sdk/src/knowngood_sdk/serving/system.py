"""
System: what a Python server uses of knowngood.

::

    kg = System("pricing")

    @kg.loader
    def load(version):
        return Pricing(version.handle("model", lambda part: joblib.load(part.path)), version.config.document)

    app.add_middleware(kg.Asgi, subject="x-rider-id")

    @app.post("/price")
    def price(quote: Quote) -> Price:
        return kg.observe(kg.slot().price(quote))
"""

import asyncio
import contextlib
import functools
import logging
import math
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.canonical import short
from knowngood_sdk.serving.asgi import Asgi
from knowngood_sdk.serving.engine import Engine
from knowngood_sdk.serving.event import Kind
from knowngood_sdk.serving.golden import Answer
from knowngood_sdk.serving.limits import LocalLimits
from knowngood_sdk.serving.pin import baggage_with
from knowngood_sdk.serving.request import Desk, Request
from knowngood_sdk.serving.shadow import Score
from knowngood_sdk.serving.slot import STATIC_FALLBACK, Part, Slot, Version
from knowngood_sdk.serving.table import Pick
from knowngood_sdk.serving.worker import Handlers

__all__ = ["LocalLimits", "Part", "Slot", "System", "Version"]

_log = logging.getLogger("knowngood")
_T = TypeVar("_T")
_F = TypeVar("_F", bound=Callable[..., Any])
_STATIC_NAMES = (STATIC_FALLBACK, "static-fallback")


class System:
    """
    One AI product in this process.

    Args:
        name: Name of the system.
        directory: The working folder; KNOWNGOOD_DIR, else ``.knowngood``, when it is None.
        replica: Name of the replica that this process belongs to; KNOWNGOOD_REPLICA, else ``r1``, when it is None.
        outputs: Lowest and highest sensible output; one outside, and NaN, infinity or what is no number, is nonsense.
        client_errors: Exceptions that are the caller's fault and no evidence against a version; any exception with a
            ``status_code`` of 4xx is one too.

    Attributes:
        Asgi: The ASGI middleware: ``app.add_middleware(kg.Asgi, subject="x-rider-id")``.
        pick: ``pick(subject=None) -> Slot``: what serves a subject now, neither pinned nor counted; raises
            NotReadyError as ``slot``. It is another function after each flip: ask for it each time.
        request: ``with kg.request(subject) as value: …``: one request, pinned and counted; see ``Desk.request``.
        limits: When a worker leaves a version by itself; what the applied system file declares is added. To be set
            before the start.

    Raises:
        InvalidError: The name is none, or the range is empty.
    """

    pick: Pick

    def __init__(
        self,
        name: str,
        *,
        directory: str | Path | None = None,
        replica: str | None = None,
        outputs: tuple[float, float] | None = None,
        client_errors: tuple[type[Exception], ...] = (),
    ) -> None:
        low, high = outputs or (-math.inf, math.inf)
        if not low <= high:
            raise InvalidError(f"outputs of {name} are declared from {low} to {high}", hint="Give the lowest first")
        # An infinity is nonsense in any range.
        self._low, self._high = max(low, -sys.float_info.max), min(high, sys.float_info.max)
        self.limits = LocalLimits()
        self._loader: Callable[[Version], Any] | None = None
        self._fallback: Callable[[], Any] | None = None
        self._answer: Answer | None = None
        self._score: Score | None = None
        self._engine = Engine(name, directory, replica, self._handlers, client_errors, self._put_in_force)
        desk = Desk(self._engine)
        self._pin = desk.pin
        self.request = desk.request
        self.Asgi = functools.partial(Asgi, desk=desk)

    # What the program declares.

    def loader(self, load: _F) -> _F:
        """Declare ``load(version) -> value``: makes what requests use of one system version."""
        self._loader = load
        return load

    def fallback(self, make: _F) -> _F:
        """Declare ``make() -> value``: the static fallback, which answers when no version can."""
        self._fallback = make
        return make

    def golden(self, answer: _F) -> _F:
        """Declare ``answer(value, input) -> output``: answers a golden input, without side effects."""
        self._answer = answer
        return answer

    def score(self, score: _F) -> _F:
        """Declare ``score(value, request) -> number``: by it versions are compared in shadow, without side effects."""
        self._score = score
        return score

    # Life.

    def start(self, wait_seconds: float = 0.0) -> bool:
        """
        Start to serve; the middleware does it with the application, anything else with its first request.

        Args:
            wait_seconds: Longest time to wait until the versions are loaded.

        Returns:
            Whether requests can be served now.

        Raises:
            InvalidError: No loader is declared, a name is none, or the working folder is a newer version's.
        """
        return self._engine.start().opened.wait(wait_seconds)

    def close(self) -> None:
        """Stop beside the requests and write what was counted; serving again starts again."""
        self._engine.close()

    @property
    def ready(self) -> bool:
        """Whether this process has started and can serve."""
        worker = self._engine.worker
        return worker is not None and worker.router.ready

    @property
    def in_rotation(self) -> bool:
        """
        Whether a balancer should send requests here: what an endpoint for readiness answers by.

        False also while the control plane holds this replica out, because it left a version that the others serve
        well. What comes all the same is answered as ever.
        """
        worker = self._engine.worker
        return worker is not None and worker.router.ready and not worker.held_out

    @property
    def loaded(self) -> frozenset[str]:
        """System versions that are ready in this process."""
        worker = self._engine.worker
        # The router's, not the loader's, which are a moment ahead: what stands here can serve and rescue.
        return frozenset(worker.router.slots) if worker is not None else frozenset()

    @property
    def troubles(self) -> tuple[str, ...]:
        """What could not be done beside the requests, and why versions could not be loaded; also in the report."""
        worker = self._engine.worker
        if worker is None:
            return ()
        failed = (f"version {short(version)}: {reason}" for version, reason in worker.failed.items())
        return (*worker.troubles.texts, *failed)

    # What a request does.

    def slot(self, subject: str | bytes | None = None) -> Any:
        """
        Return what the loader made of the version that serves the present request.

        The same for the whole request, whatever is flipped meanwhile. Outside of a request each call asks anew.

        Args:
            subject: Who is served, where no middleware has said so.

        Raises:
            NotReadyError: Nothing can serve: no version is ready, and no static fallback is declared.
        """
        pin = self._pin.get()
        if pin is None:
            return self.pick(subject).value
        pin.touched = True
        return pin.slot.value

    def call(
        self, work: Callable[[Any], _T], subject: str | bytes | None = None, *, within_seconds: float | None = None
    ) -> _T:
        """
        Do the whole work of a request that has no side effects; when it fails, the standby answers.

        There is one more attempt at most, for at most a fifth of the last 1,000 requests (2 calls while there are fewer
        than 10), and none once ``slot`` was used in the same request, for the answer would be a mixture.

        Args:
            work: Answers with what it is given, and uses nothing else of the version.
            subject: Who is served, where no middleware has said so.
            within_seconds: No second attempt starts later than this after the request began.

        Raises:
            Exception: What ``work`` raised, if nothing could make it good.
            NotReadyError: Nothing can serve.
        """
        pin = self._pin.get()
        if pin is None:
            with self.request(subject):
                return self.call(work, within_seconds=within_seconds)
        touched, pin.touched = pin.touched, True
        try:
            return work(pin.slot.value)
        except Exception as error:
            standby = None if touched else self._standby(pin, error, within_seconds)
            if standby is None:
                raise
            with _second(pin, error):
                return work(standby.value)

    async def acall(
        self,
        work: Callable[[Any], Awaitable[_T]],
        subject: str | bytes | None = None,
        *,
        within_seconds: float | None = None,
    ) -> _T:
        """Do as ``call`` with work that is awaited; a second attempt is also given up when the time is over."""
        pin = self._pin.get()
        if pin is None:
            with self.request(subject):
                return await self.acall(work, within_seconds=within_seconds)
        touched, pin.touched = pin.touched, True
        try:
            return await work(pin.slot.value)
        except Exception as error:
            standby = None if touched else self._standby(pin, error, within_seconds)
            if standby is None:
                raise
            with _second(pin, error):
                left = None if within_seconds is None else within_seconds - _elapsed_seconds(pin)
                async with asyncio.timeout(left):
                    return await work(standby.value)

    def count(
        self, slot: Slot, began: int, *, subject: str | bytes | None = None, error: BaseException | None = None
    ) -> None:
        """
        Count a request that was served from ``pick``, for programs that keep the slot in their own hands.

        Args:
            slot: What served it.
            began: When it began, of ``time.perf_counter_ns``.
            subject: Who was served.
            error: What it raised, if it failed.
        """
        elapsed = time.perf_counter_ns() - began
        worker = self._engine.worker
        if worker is not None:
            kind = Kind.OK if error is None else self._engine.kind_of(error)
            worker.count((slot.version, kind, elapsed, subject))
            if kind == Kind.ERROR or elapsed > worker.slow_ns:
                worker.alarm.set()

    def observe(self, value: _T, *, request: Any = None) -> _T:
        """
        Count an output of the present request's version, and return it.

        Args:
            value: One number; anything else is counted as nonsense.
            request: What ``score`` needs to answer the same request by other versions; nobody may change it afterwards.
        """
        try:
            worker = self._engine.serving()
            number = self._sensible(value)
            kind = Kind.NONSENSE if number is None else Kind.OUTPUT
            worker.count((self._version(), kind, number, None))
            if number is None:
                worker.alarm.set()
            if request is not None:
                worker.shadow.sample(request)
        except Exception as error:  # noqa: BLE001 - to count is no reason to fail a request
            self._tell("observe", error)
        return value

    def outcome(self, name: str, amount: float = 1.0, version: str | None = None) -> None:
        """
        Count what came of an answer, such as a ride that was booked.

        Args:
            name: Name of the business metric.
            amount: How much, a finite number.
            version: Version that gave the answer, as its header said; None is the present request's.
        """
        try:
            worker = self._engine.serving()
            number = float(amount)
            served = self._version() if version is None else version
            if served in _STATIC_NAMES:
                served = STATIC_FALLBACK
            # What comes from outside must not make the counts grow: neither a name that is no version, nor a NaN.
            if math.isfinite(number) and (served == STATIC_FALLBACK or worker.knows(served)):
                worker.count((served, Kind.OUTCOME, number, name))
            else:
                worker.troubles.note("outcome", f"an outcome {name} of {number} for {served!r:.80} was not counted")
        except Exception as error:  # noqa: BLE001 - to count is no reason to fail a request
            self._tell("outcome", error)

    @property
    def version(self) -> str:
        """System version of the present request, or the one that serves now; empty for the static fallback."""
        pin = self._pin.get()
        return self.pick().version if pin is None else pin.slot.version

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers for calls to other services inside, so that they serve the present request by the same version."""
        pin = self._pin.get()
        baggage = baggage_with(pin.slot.version, pin.baggage) if pin is not None else ""
        return {"baggage": baggage} if baggage else {}

    # Inside.

    def _put_in_force(self, pick: Pick) -> None:
        self.pick = pick

    def _handlers(self) -> Handlers:
        if self._loader is None:
            raise InvalidError(
                f"no loader is declared for {self._engine.system}", hint="Declare @kg.loader def load(version)"
            )
        return Handlers(
            load=self._loader, fallback=self._fallback, answer=self._answer, score=self._score, limits=self.limits
        )

    def _standby(self, pin: Request, error: Exception, within_seconds: float | None) -> Slot | None:
        """Return the slot that may answer instead, with the request pinned to it; None when there is none."""
        if pin.failed is not None or self._engine.is_client_error(error):
            return None
        worker = self._engine.serving()
        worker.alarm.set()
        if within_seconds is not None and _elapsed_seconds(pin) > within_seconds:
            return None
        standby = worker.router.table.behind.get(pin.slot.version)
        if standby is None or not worker.budget.take():
            return None
        pin.lend(standby)
        return standby

    def _sensible(self, value: Any) -> float | None:
        """Return an output as a number, or None when it makes no sense."""
        if type(value) is not float:
            if isinstance(value, str | bytes | bytearray):
                return None
            try:
                value = float(value)
            except (TypeError, ValueError, OverflowError):
                return None
        return value if self._low <= value <= self._high else None

    def _version(self) -> str:
        pin = self._pin.get()
        return self.pick().version if pin is None else pin.slot.version

    def _tell(self, topic: str, error: Exception) -> None:
        worker = self._engine.worker
        if worker is not None:
            worker.troubles.note(topic, f"{topic}: {error}")
        else:
            _log.warning("%s: %s", topic, error)


def _elapsed_seconds(pin: Request) -> float:
    return (time.perf_counter_ns() - pin.began) / 1e9


@contextlib.contextmanager
def _second(pin: Request, first: Exception) -> Iterator[None]:
    """Make a second attempt; when it fails too, the failure is shared, and the first one is told."""
    try:
        yield
    except Exception:  # noqa: BLE001 - whatever it was, the first error is the one to tell
        pin.take_back()
        raise first from None
