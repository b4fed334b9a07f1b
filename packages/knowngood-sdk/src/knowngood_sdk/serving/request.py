"""
Request: one request, pinned to one slot from its first line to its last, and counted as what it ends as.

The pin is drawn once, when the request comes in, and carried in a context variable; threads of a pool and tasks inherit
it. What is flipped meanwhile is for the next request.
"""

from contextvars import ContextVar, Token
from time import perf_counter_ns
from types import TracebackType
from typing import Any

from knowngood_sdk.errors import ConflictError
from knowngood_sdk.serving.engine import Engine
from knowngood_sdk.serving.event import Kind
from knowngood_sdk.serving.slot import Slot
from knowngood_sdk.serving.table import Table
from knowngood_sdk.serving.worker import Worker

__all__ = ["Desk", "Request"]


class Desk:
    """
    Where the requests of one system come in.

    Args:
        engine: The system in this process.

    Attributes:
        engine: The system in this process.
        pin: The request that the present context serves.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.pin: ContextVar[Request | None] = ContextVar(f"knowngood-{engine.system}", default=None)

    def request(self, subject: str | bytes | None = None, *, pin: str | None = None) -> "Request":
        """
        Admit a request: ``with desk.request(subject) as value: ...``.

        Args:
            subject: Who is served; the same subject stays on the same side of a split. What is neither text nor bytes
                (a number, a UUID) is taken by its text.
            pin: System version that the request is pinned to, only ever one that was told from inside; one that nobody
                here ever heard of belongs to another system.

        Raises:
            NotReadyError: Nothing can serve.
            ConflictError: The version of the pin is gone; pick again for the whole request.
        """
        engine = self.engine
        worker = engine.worker or engine.start()
        # As ``pick``, written out, for the table is wanted too.
        router = worker.router
        table = router.table
        if router.cell[0] != table.word:
            table = router.current()
        # Filled in from here: an ``__init__`` would be one call more for each request, and a slow one.
        request = Request()
        request.desk = self
        request.worker = worker
        request.table = table
        request.slot = table.only or table.choose(subject)
        request.subject = subject
        request.touched = request.odd = False
        if pin is not None:
            request.honour(pin)
        request.began = perf_counter_ns()
        return request


class Request:
    """
    One request. Entered, it is what its context serves, and gives the value of its slot; left, it is counted.

    ``Desk.request`` makes it. What few requests need stands in the class until it is set, so that the others do not
    pay for it.

    Attributes:
        desk: Where it came in.
        worker: What counts it.
        subject: Who is served.
        slot: What serves it.
        table: The route that it was admitted on.
        began: When it was admitted, of ``perf_counter_ns``.
        touched: Whether its handler has used the slot: then another version would make a mixture.
        odd: Whether anything below was set.
        kind: How it ends when it raises nothing.
        latency_ns: Its latency when that is not the time until it is left.
        timed: Whether its latency says anything; a connection that stays open has none.
        client_gone: Whether the caller left; then what is raised is not the version's fault.
        baggage: What other services put into its baggage.
        failed: The slot whose call the standby answered instead.
        shared: Whether the standby failed on the same call.
        counted: Whether it says anything about a version; a health check does not.
    """

    __slots__ = (
        "__dict__",
        "_token",
        "began",
        "desk",
        "odd",
        "slot",
        "subject",
        "table",
        "touched",
        "worker",
    )
    began: int
    desk: Desk
    odd: bool
    slot: Slot
    subject: str | bytes | None
    table: Table
    touched: bool
    worker: Worker
    _token: "Token[Request | None]"

    kind: int = Kind.OK
    latency_ns: float | None = None
    timed = True
    client_gone = False
    baggage = ""
    failed: Slot | None = None
    shared = False
    counted = True

    def __enter__(self) -> Any:
        self._token = self.desk.pin.set(self)
        return self.slot.value

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        elapsed = perf_counter_ns() - self.began
        try:
            if error is not None or self.odd:
                self._end(error, elapsed)
                return
            worker = self.worker
            worker.count((self.slot.version, 0, elapsed, self.subject))
            if elapsed > worker.slow_ns:
                worker.alarm.set()
        finally:
            try:  # noqa: SIM105 - what suppresses errors would be the most expensive call of a request
                self.desk.pin.reset(self._token)
            except ValueError:
                # It was entered in another context, as a framework does that runs both ends of a generator in threads
                # of a pool: that context has gone with its thread, and with it the pin.
                pass

    def lend(self, standby: Slot) -> None:
        """Let the standby answer instead of the slot whose call failed."""
        self.failed, self.slot, self.odd = self.slot, standby, True

    def take_back(self) -> None:
        """Return to the slot whose call the standby could not make good: the failure is shared."""
        self.slot, self.failed, self.shared = self.failed or self.slot, None, True

    def _end(self, error: BaseException | None, elapsed: float) -> None:
        """Count a request that did not go its common way."""
        if not self.counted:
            return
        elapsed = self.latency_ns or elapsed
        worker, version, kind = self.worker, self.slot.version, self.kind
        if error is not None:
            kind = Kind.CLIENT_ERROR if self.client_gone else self.desk.engine.kind_of(error)
        if self.failed is not None and kind == Kind.OK:
            version, kind = self.failed.version, Kind.RESCUED
        elif self.shared and kind == Kind.ERROR:
            kind = Kind.SHARED
        worker.count((version, kind, elapsed if self.timed else None, self.subject))
        if kind not in {Kind.OK, Kind.CLIENT_ERROR} or elapsed > worker.slow_ns:
            worker.alarm.set()

    def honour(self, pin: str) -> None:
        """Serve by the version of a pin; raises ConflictError when it is gone."""
        slot = self.worker.slots.get(pin)
        if slot is not None:
            self.slot = slot
        elif self.worker.knows(pin):
            raise ConflictError(f"stale pin: version {pin} is gone here", hint="Pick again for the whole request")
