"""
Runner: the port's ``Runner`` on DBOS Transact.

Two sides. The engine carries runs out, in this process; it waits for its database as long as that takes, so nothing of
ours calls it but ``launch``, ``close`` and the runs themselves. All else goes through a client that fails fast.

What was met on the real library, and shapes what stands here: the version of the application is a constant, for a run
that waits must outlive an upgrade (a changed work asks ``DBOS.patch``); values are kept as JSON, for pickles would run
whatever writes into the database; the SQLite file is put into WAL mode beforehand, because the library does not; each
start of a process is an executor of its own, so that two never share runs; ``cancel`` kills without a word to the
work, so ``abort`` is a message.
"""

import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Condition, Event
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer
from dbos import error as dbos_error
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from knowngood.adapters.bounded import Bounded
from knowngood.adapters.dbos.context import ABORT, DbosContext, Stopping
from knowngood.adapters.reach import Reach
from knowngood.ports.clock import Clock
from knowngood.ports.runner import Run, RunState, RunStep, Work
from knowngood_sdk.errors import ConflictError, NotFoundError, PermanentError, TransientError

__all__ = ["DbosRunner"]

_log = logging.getLogger(__name__)
_APPLICATION = "knowngood"  # three characters at least
_VERSION = "runs-1"  # constant: see above
_SCHEMA = "knowngood_runs"
_WORKFLOW = "run"
_SIDE_BY_SIDE = "knowngood"
_IN_TURN = "knowngood-in-turn"
_POLL_SECONDS = 0.2
_ATTEMPTS = 100
"""How often a run may be begun again after its process died, before a person has to look: a guard against a run that
kills whoever carries it."""
_LINGER = timedelta(seconds=10)
_FORGET_AT_ONCE = 500
_STATES = {
    RunState.DEFERRED: ["DELAYED"],
    RunState.QUEUED: ["ENQUEUED"],
    RunState.RUNNING: ["PENDING"],
    RunState.DONE: ["SUCCESS"],
    RunState.FAILED: ["ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"],
}
_STATE_OF = {status: state for state, statuses in _STATES.items() for status in statuses}
# A server that is gone is found in two seconds, also on a connection that was open before.
_FAIL_FAST = {"connect_timeout": "2", "tcp_user_timeout": "2000", "keepalives_idle": "2", "keepalives_interval": "1"}

T = TypeVar("T")


class DbosRunner:
    """
    Durable execution, one in a process.

    Args:
        url: ``sqlite:///…`` or ``postgresql://…``; on Postgres the runs have a schema of their own.
        incarnation: This start of this process, unique for ever.
        clock: The time.
        patience: Longest time that a call waits for the database.

    Attributes:
        reach: Whether the database can be reached, for what stands in the same one.
    """

    def __init__(self, url: str, incarnation: str, clock: Clock, *, patience: timedelta = timedelta(seconds=2)) -> None:
        self.incarnation = incarnation
        self._url = _failing_fast(url)
        self._clock = clock
        self._bounded = Bounded("the store of runs", patience)
        self.reach = Reach("the store of runs", self._probe)
        self._works: Mapping[str, Work] = {}
        self._stop = Event()
        self._under_way = 0
        self._newest: dict[str, object] = {}
        self._changed = Condition()
        self._client: DBOSClient | None = None
        self._launched = False
        self._library: DBOS | None = None

    def launch(self, works: Mapping[str, Work]) -> None:
        """See the port."""
        self._works = works
        self._stop.clear()
        _make_file(self._url)
        library = DBOS(
            config={
                "name": _APPLICATION,
                "system_database_url": self._url,
                "dbos_system_schema": _SCHEMA,
                "executor_id": self.incarnation,
                "application_version": _VERSION,
                "serializer": DBOSPortableJSONSerializer(),
                "log_level": "WARNING",
            }
        )
        # What it has to say goes where our own log goes, and not beside it.
        log = logging.getLogger("dbos")
        log.propagate = True
        for handler in list(log.handlers):
            log.removeHandler(handler)

        # A function, for the library writes on what it is given, and a method takes no attributes.
        def run(kind: str, payload: dict[str, Any]) -> None:
            self._carry_out(kind, payload)

        DBOS.workflow(name=_WORKFLOW, max_recovery_attempts=_ATTEMPTS)(run)
        try:
            with _translated():
                DBOS.migrate(self._url, schema=_SCHEMA)
                # Before the launch, for a queue that is new to a running engine is not looked at for a second.
                client = self._connected()
                client.register_queue(_SIDE_BY_SIDE, polling_interval_sec=_POLL_SECONDS)
                client.register_queue(_IN_TURN, polling_interval_sec=_POLL_SECONDS, partition_concurrency=1)
                DBOS.launch()
        except BaseException:
            DBOS.destroy(destroy_registry=True)
            raise
        self._library = library
        self._launched = True

    def close(self) -> None:
        """See the port."""
        self._stop.set()
        with self._changed:
            if not self._changed.wait_for(lambda: self._under_way == 0, _LINGER.total_seconds()):
                _log.warning("%d runs are still in a step; whoever comes next goes on with them", self._under_way)
        self._launched = False
        self.reach.close()
        if self._library is not None:
            # Threads that look for a database that is away look once more, and end; they would hold up the process.
            self._library._sys_db._retry_connection_errors = False  # noqa: SLF001 - it is settable for clients alone
            self._library = None
        DBOS.destroy(destroy_registry=True)
        if self._client is not None:
            self._client.destroy()
            self._client = None

    def start(self, run: str, kind: str, payload: Mapping[str, Any], *, after: str = "") -> None:
        """See the port."""
        options: dict[str, Any] = {"queue_name": _IN_TURN, "queue_partition_key": after} if after else {}
        self._enqueue(run, kind, payload, options)

    def defer(self, run: str, kind: str, payload: Mapping[str, Any], at: datetime) -> None:
        """See the port."""
        left = max((at - self._clock.now()).total_seconds(), 0.001)
        self._enqueue(run, kind, payload, {"delay_seconds": left})
        status = self._status(run)
        due = int(at.timestamp() * 1000)
        if status.status == "DELAYED" and abs((status.delay_until_epoch_ms or 0) - due) > _MOVED_MILLISECONDS:
            self._ask(lambda client: client.set_workflow_delay(run, delay_until_epoch_ms=due))

    def signal(self, run: str, topic: str, message: Any, *, key: str) -> None:
        """See the port."""
        self._ask(lambda client: client.send(run, message, topic, key))

    def abort(self, run: str, why: str) -> None:
        """See the port."""
        self.signal(run, ABORT, why, key=f"{run}:abort")

    def resume(self, run: str) -> None:
        """See the port."""
        status = self._status(run)
        if _STATE_OF[status.status] is not RunState.FAILED:
            raise ConflictError(f"run {run} did not fail: it is {_STATE_OF[status.status]}")
        if status.status != "ERROR":
            self._ask(lambda client: client.resume_workflow(run, queue_name=_SIDE_BY_SIDE))
            return
        steps = self._ask(lambda client: client.list_workflow_steps(run))
        last = max(steps, key=lambda step: step["function_id"], default=None)
        again = 1 if last is None else last["function_id"] + (0 if last["error"] else 1)
        where = {"queue_name": status.queue_name or _SIDE_BY_SIDE, "queue_partition_key": status.queue_partition_key}
        self._ask(lambda client: client.rewind_workflow(run, start_step=again, **where))

    def run(self, run: str) -> Run:
        """See the port."""
        status = self._status(run)
        steps = self._ask(lambda client: client.list_workflow_steps(run))
        return _run(status, steps)

    def runs(self, *, state: RunState | None = None, limit: int = 100) -> Sequence[Run]:
        """See the port."""
        wanted = _STATES[state] if state else None
        found = self._ask(lambda client: client.list_workflows(status=wanted, limit=limit, sort_desc=True))
        return tuple(_run(status, ()) for status in found)

    def recover(self, dead: Sequence[str]) -> Sequence[str]:
        """
        See the port.

        The one call of the library that is marked as internal; each of its promises that we need has a test.
        """
        if not dead:
            return ()

        def taken() -> tuple[str, ...]:
            return tuple(handle.get_workflow_id() for handle in DBOS._recover_pending_workflows(list(dead)))  # noqa: SLF001

        return self._reached(taken)

    def forget(self, before: datetime) -> int:
        """See the port."""
        over = ["SUCCESS", *_STATES[RunState.FAILED]]
        moment = before.astimezone(UTC).isoformat()
        forgotten = 0
        while True:
            found = self._ask(
                lambda client: client.list_workflows(
                    status=over, completed_before=moment, limit=_FORGET_AT_ONCE, load_input=False, load_output=False
                )
            )
            ids = [status.workflow_id for status in found]
            if not ids:
                return forgotten
            self._ask(lambda client, ids=ids: client.delete_workflows(ids))
            forgotten += len(ids)

    def _carry_out(self, kind: str, payload: dict[str, Any]) -> None:
        """Carry out one run; what DBOS calls, in a thread of its own."""
        run = DBOS.workflow_id
        assert run is not None  # noqa: S101 - it is called by DBOS alone
        this = object()
        with self._changed:
            self._under_way += 1
            # One that was begun again after the store was away goes on in the newest thread alone.
            self._newest[run] = this
        try:
            if kind not in self._works:
                raise PermanentError(
                    f"nobody here knows how to carry out a run of kind {kind!r}",
                    hint="A newer control plane started it: stop the older one, then resume the run",
                )
            over, newest = partial(self._steps_over, run), lambda: self._newest.get(run) is this
            self._works[kind](DbosContext(run, payload, self._stop, self._clock, over=over, newest=newest))
        except Stopping:
            _log.info("run %s is left to whoever comes next", run)
            raise
        finally:
            with self._changed:
                self._under_way -= 1
                if self._newest.get(run) is this:
                    del self._newest[run]
                self._changed.notify_all()

    def _steps_over(self, run: str) -> tuple[str, ...]:
        return tuple(step.name for step in self.run(run).steps)

    def _enqueue(self, run: str, kind: str, payload: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        what: dict[str, Any] = {
            "workflow_name": _WORKFLOW,
            "queue_name": _SIDE_BY_SIDE,
            "workflow_id": run,
            "app_version": _VERSION,
            **options,
        }
        self._ask(lambda client: client.enqueue(what, kind, dict(payload)))

    def _status(self, run: str) -> Any:
        found = self._ask(lambda client: client.list_workflows(workflow_ids=[run]))
        if not found:
            raise _no_run(run)
        return found[0]

    def _ask(self, question: Any) -> Any:
        """Ask the client, and wait for two seconds at most; not at all while the database is known to be away."""
        return self._reached(lambda: question(self._connected()))

    def _reached(self, act: Callable[[], T]) -> T:
        if not self._launched:
            raise TransientError("this process does not carry out runs yet", hint="Try again when it does")
        self.reach.check()
        try:
            with _translated():
                return self._bounded(act)
        except TransientError as error:
            self.reach.lost(error)
            raise

    def _probe(self) -> None:
        with _translated():
            self._bounded(lambda: self._connected().check_connection())

    def _connected(self) -> DBOSClient:
        if self._client is None:
            self._client = DBOSClient(
                system_database_url=self._url,
                dbos_system_schema=_SCHEMA,
                serializer=DBOSPortableJSONSerializer(),
                application_name=_APPLICATION,
                retry_connection_errors=False,
                lazy=True,
            )
        return self._client


_MOVED_MILLISECONDS = 1000


def _run(status: Any, steps: Sequence[Any]) -> Run:
    arguments = (status.input or {}).get("args", ())
    kind, payload = arguments if len(arguments) == 2 else ("", {})  # noqa: PLR2004 - kind and payload, as enqueued
    state = _STATE_OF[status.status]
    error = str(status.error) if status.error else ""
    if status.status == "MAX_RECOVERY_ATTEMPTS_EXCEEDED":
        error = f"whoever carried it out died, {_ATTEMPTS} times over"
    return Run(
        id=status.workflow_id,
        kind=kind,
        payload=payload,
        state=state,
        holder=(status.executor_id or "") if state is RunState.RUNNING else "",
        error=error or ("it was cancelled" if status.status == "CANCELLED" else ""),
        steps=tuple(
            RunStep(name=step["function_name"], result=step["output"], error=str(step["error"] or ""))
            for step in sorted(steps, key=lambda step: int(step["function_id"]))
            if not step["function_name"].startswith("DBOS.")
        ),
    )


def _no_run(run: str) -> NotFoundError:
    return NotFoundError(f"there is no run {run!r}", hint="It was never started, or was forgotten since")


def _failing_fast(url: str) -> str:
    """Return the address with the time limits of the driver; what it says already stays."""
    if not url.startswith("postgresql"):
        return url
    parts = urlsplit(url)
    query = {**_FAIL_FAST, **dict(parse_qsl(parts.query))}
    return urlunsplit(parts._replace(query=urlencode(query, quote_via=quote)))


def _make_file(url: str) -> None:
    """Put a SQLite file into WAL mode: in another, a writer stalls all readers, and the library leaves it as it is."""
    if not url.startswith("sqlite:///"):
        return
    path = Path(url.removeprefix("sqlite:///"))
    try:
        with closing(sqlite3.connect(path, timeout=2)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    except sqlite3.Error as error:
        raise TransientError(f"the store of runs {path} cannot be opened: {error}") from error


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the library's errors into ours, in this one place."""
    try:
        yield
    except dbos_error.DBOSNonExistentWorkflowError as error:
        raise NotFoundError(str(error), hint="It was never started, or was forgotten since") from error
    except DBAPIError as error:
        raise TransientError(f"the store of runs fails: {error.orig}") from error
    except (SQLAlchemyError, OSError) as error:
        raise TransientError(f"the store of runs cannot be reached: {error}") from error
    except dbos_error.DBOSException as error:
        raise PermanentError(f"the runner refuses: {error}") from error
