"""
Agent: one process for each replica folder.

It keeps file, word, socket and journal, and never makes a worker wait: workers serve on without it, on the route that
they have, and go on tripping by themselves. What it misses while it is down it finds in the published document.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from knowngood_sdk.agent.endpoint import Endpoint
from knowngood_sdk.agent.keeper import Keeper
from knowngood_sdk.agent.protocol import answer_of_report
from knowngood_sdk.agent.uplink import Remote, connected
from knowngood_sdk.errors import InvalidError, TransientError
from knowngood_sdk.model.route import Trip
from knowngood_sdk.model.wire import ReplicaReport, RouteDocument, trip_from_json
from knowngood_sdk.serving.folder import ReplicaFolder

__all__ = ["leave_without_agent", "run"]

_LOOK_SECONDS = 0.02
"""How often the published document, the journal and the word are looked at; a push does not wait for it."""
_LOOK_AROUND_SECONDS = 0.1
"""How often the workers are looked at, to take a generation that waits for them."""
_CLEAR_AWAY_SECONDS = 60.0

_log = logging.getLogger("knowngood.agent")


def run(folder: ReplicaFolder, *, stop: threading.Event | None = None, remote: Remote | None = None) -> None:
    """
    Keep a replica folder until told to stop.

    Args:
        folder: The replica folder; made when it is missing.
        stop: Set to stop, for an agent that is a thread. Without it this is a process of its own, which stops in good
            order on SIGTERM and SIGINT.
        remote: Control planes and peers over the network; None leaves the agent to this host.

    Raises:
        ConflictError: Another agent keeps the folder.
        TransientError: The folder or the socket cannot be made there.
        InvalidError: The path is too long for a socket on this platform, or a URL or address is none.
    """
    with (
        _stopping(stop) as stopped,
        Keeper(folder, root=_root()) as keeper,
        _listening(folder, keeper) as endpoint,
        connected(keeper, folder, remote or Remote(), endpoint.wake) as uplink,
    ):
        _log.info("keeps %s", folder.path)
        around = clear = 0.0
        while not stopped.is_set():
            keeper.look()
            now = time.monotonic()
            if now >= around:
                keeper.look_around()
                around = now + _LOOK_AROUND_SECONDS
            if now >= clear:
                keeper.clear_away_dead()
                clear = now + _CLEAR_AWAY_SECONDS
            report = keeper.write_report()
            if report is not None:
                uplink.tell(report)
            endpoint.serve(_LOOK_SECONDS)
            uplink.advance(keeper)
    _log.info("stopped")


def leave_without_agent(folder: ReplicaFolder, trip: Trip, *, fleet: bool) -> ReplicaReport:
    """
    Break the glass where no agent runs: be the agent for a moment (rules 8 and 9).

    Raises:
        ConflictError: An agent runs: ask it.
        KnownGoodError: As ``Keeper.leave`` and ``Keeper.leave_here``.
    """
    with Keeper(folder) as keeper:
        if fleet:
            keeper.leave(trip)
        else:
            keeper.leave_here(trip)
        return keeper.report()


def _root() -> Path | None:
    """Return the file with the root of the keys that this host trusts; None where it asks for no signatures."""
    named = os.environ.get("KNOWNGOOD_TRUST", "").strip()
    return Path(named) if named else None


def _answer(keeper: Keeper, request: Any) -> Mapping[str, Any]:
    if not isinstance(request, Mapping):
        raise InvalidError(f"a request must be an object, not {type(request).__name__}")
    what = request.get("request")
    if what == "push":
        keeper.take(RouteDocument.from_json(request.get("document")))
    elif what == "leave":
        _leave(keeper, trip_from_json(request.get("trip")), request.get("scope"))
    elif what != "report":
        raise InvalidError(f"request {what!r:.80} is not known", hint="Known are: push, leave, report")
    return answer_of_report(keeper.report())


def _leave(keeper: Keeper, trip: Trip, scope: Any) -> None:
    if scope == "fleet":
        keeper.leave(trip)
    elif scope == "replica":
        keeper.leave_here(trip)
    else:
        raise InvalidError(f"scope {scope!r:.80} is not known", hint="Known are: fleet, replica")


@contextmanager
def _listening(folder: ReplicaFolder, keeper: Keeper) -> Iterator[Endpoint]:
    try:
        endpoint = Endpoint(folder.agent_socket, lambda request: _answer(keeper, request))
    except OSError as error:
        raise TransientError(
            f"the agent cannot listen at {folder.agent_socket}: {error.strerror or error}",
            hint="Check that the folder belongs to this user and its file system holds sockets",
        ) from error
    try:
        yield endpoint
    finally:
        endpoint.close()


@contextmanager
def _stopping(stop: threading.Event | None) -> Iterator[threading.Event]:
    """Give an event that is set on SIGTERM and SIGINT, unless somebody else sets one."""
    if stop is not None:
        yield stop
        return
    stopped = threading.Event()
    before = {number: signal.signal(number, lambda *_: stopped.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
