"""
Engine: the life of one system in this process, from the first request to the last, and over a fork.

It starts the worker when it is first needed, so that importing a program starts nothing. A child process that was
forked gets a worker of its own as soon as it serves, with the slots that were loaded before the fork.
"""

import atexit
import functools
import os
import threading
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path

from knowngood_sdk.model.manifest import check_name
from knowngood_sdk.serving.event import Kind
from knowngood_sdk.serving.folder import ReplicaFolder
from knowngood_sdk.serving.slot import Slot
from knowngood_sdk.serving.table import Pick
from knowngood_sdk.serving.worker import Handlers, Worker

__all__ = ["Engine"]

_DIRECTORY = ".knowngood"
_REPLICA = "r1"
_CLIENT_ERRORS = range(400, 500)


class Engine:
    """
    One system in this process. Safe for threads.

    Args:
        system: Name of the system.
        directory: The working folder; KNOWNGOOD_DIR, else ``.knowngood``, when it is None.
        replica: Name of the replica; KNOWNGOOD_REPLICA, else ``r1``, when it is None.
        handlers: Returns what the user declared, when the worker starts.
        client_errors: Exceptions that are the caller's fault.
        in_force: Told each new ``pick(subject=None)``: at first one that starts the worker, then one after each flip.

    Attributes:
        worker: The worker of this process, once it was started.
    """

    def __init__(
        self,
        system: str,
        directory: str | Path | None,
        replica: str | None,
        handlers: Callable[[], Handlers],
        client_errors: tuple[type[Exception], ...],
        in_force: Callable[[Pick], None],
    ) -> None:
        self.system = check_name(system, "system")
        self.worker: Worker | None = None
        self._directory = directory
        self._replica = replica
        self._handlers = handlers
        self._client_errors = client_errors
        self._in_force = in_force
        self._lock = threading.Lock()
        self._inherited: Mapping[str, Slot] = {}
        in_force(self._first_pick)
        myself = weakref.ref(self)
        os.register_at_fork(after_in_child=functools.partial(_after_fork, myself))
        atexit.register(_at_exit, myself)

    def serving(self) -> Worker:
        """Return the worker of this process, started now if it was not."""
        return self.worker or self.start()

    def start(self) -> Worker:
        """
        Start to serve, if that has not been done.

        Raises:
            InvalidError: A name is none, no loader is declared, or the working folder is a newer version's.
        """
        with self._lock:
            if self.worker is None:
                folder = ReplicaFolder.of(
                    self._directory or os.environ.get("KNOWNGOOD_DIR") or _DIRECTORY,
                    self.system,
                    self._replica or os.environ.get("KNOWNGOOD_REPLICA") or _REPLICA,
                )
                worker = Worker(folder, self._handlers(), self._in_force, self._inherited)
                worker.start()
                self.worker, self._inherited = worker, {}
            return self.worker

    def close(self) -> None:
        """Stop beside the requests; what was counted is written. Serving again starts again."""
        with self._lock:
            worker, self.worker = self.worker, None
        if worker is not None:
            worker.close()
            self._in_force(self._first_pick)

    def is_client_error(self, error: BaseException) -> bool:
        """Tell whether an exception is the caller's fault: declared as such, a status of 4xx, or a cancellation."""
        if isinstance(error, self._client_errors) or not isinstance(error, Exception):
            return True
        return getattr(error, "status_code", None) in _CLIENT_ERRORS

    def kind_of(self, error: BaseException) -> int:
        """Return whose fault an exception is, as a kind of event."""
        return Kind.CLIENT_ERROR if self.is_client_error(error) else Kind.ERROR

    def _first_pick(self, subject: str | bytes | None = None) -> Slot:
        return self.serving().router.pick(subject)

    def _let_go(self) -> None:
        """Be what a child process starts from: no threads, no locks that others held, the slots that are there."""
        self._lock = threading.Lock()
        worker, self.worker = self.worker, None
        if worker is not None:
            self._inherited = worker.slots
            worker.disown()
            self._in_force(self._first_pick)


def _after_fork(engine: "weakref.ref[Engine]") -> None:
    alive = engine()
    if alive is not None:
        alive._let_go()  # noqa: SLF001 - its own module; a bound method would keep it alive for ever


def _at_exit(engine: "weakref.ref[Engine]") -> None:
    alive = engine()
    if alive is not None:
        alive.close()
