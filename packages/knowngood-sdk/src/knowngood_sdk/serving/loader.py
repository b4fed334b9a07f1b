"""
Loader: keeps in memory the versions that the replica may have to serve, most urgent first, one at a time.

It never touches the route: a slot that becomes ready is handed over, and the route decides. A version that could not be
made ready is on record with its reason, and is tried again after a while for as long as it is wanted.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from knowngood_sdk.errors import NotReadyError
from knowngood_sdk.serving.folder import ReplicaFolder
from knowngood_sdk.serving.golden import Answer
from knowngood_sdk.serving.slot import Handles, Slot, Version, load_slot

__all__ = ["Loader"]

_FIRST_RETRY_SECONDS = 5.0
_LONGEST_RETRY_SECONDS = 300.0
_IDLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Failure:
    reason: str
    times: int
    again_at: float


class Loader:
    """
    Loads slots in a thread of its own.

    Args:
        folder: Where releases are described.
        load: The user's loader.
        answer: The user's way to answer golden inputs, or None.
        on_change: Called in the loader's thread after each version that was loaded, dropped, or failed.

    Attributes:
        slots: The ready slots by version; replaced whole, never changed.
    """

    def __init__(
        self,
        folder: ReplicaFolder,
        load: Callable[[Version], Any],
        answer: Answer | None,
        on_change: Callable[[], None],
    ) -> None:
        self._folder = folder
        self._load = load
        self._answer = answer
        self._on_change = on_change
        self._handles = Handles()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopped = False
        self._wanted: tuple[str, ...] = ()
        self._failures: dict[str, _Failure] = {}
        self._thread = threading.Thread(target=self._run, name="kg-load", daemon=True)
        self.slots: Mapping[str, Slot] = {}

    @property
    def failed(self) -> Mapping[str, str]:
        """Wanted version -> why it could not be made ready."""
        with self._lock:
            return {version: failure.reason for version, failure in self._failures.items()}

    def want(self, versions: tuple[str, ...]) -> None:
        """Keep these versions loaded, the most urgent first, and no other."""
        if versions != self._wanted:
            with self._lock:
                self._wanted = versions
                self._failures = {v: failure for v, failure in self._failures.items() if v in versions}
            self._wake.set()

    def take_over(self, slots: Mapping[str, Slot]) -> None:
        """Start with slots that were loaded before this process was forked."""
        self.slots = dict(slots)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self, seconds: float) -> None:
        """Stop; a version that is being loaded is not waited for beyond the time."""
        self._stopped = True
        self._wake.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stopped:
            self._wake.clear()
            self._drop()
            version = self._next()
            if version is None:
                self._wake.wait(self._until_retry())
            else:
                self._make_ready(version)
                self._on_change()

    def _drop(self) -> None:
        kept = {version: slot for version, slot in self.slots.items() if version in self._wanted}
        if len(kept) < len(self.slots):
            # Requests that are under way hold their own slot until they end.
            self.slots = kept
            self._on_change()

    def _next(self) -> str | None:
        now = time.monotonic()
        with self._lock:
            due = (v for v in self._wanted if v not in self._failures or self._failures[v].again_at <= now)
            return next((version for version in due if version not in self.slots), None)

    def _until_retry(self) -> float:
        with self._lock:
            soonest = min((failure.again_at for failure in self._failures.values()), default=None)
        return _IDLE_SECONDS if soonest is None else max(0.0, soonest - time.monotonic())

    def _make_ready(self, version: str) -> None:
        try:
            slot = load_slot(self._folder.release(version), self._load, self._answer, self._handles)
        except BaseException as error:  # noqa: BLE001 - in a thread of its own: whatever it is, it says why it is not ready
            reason = str(error) if isinstance(error, NotReadyError) else f"{type(error).__name__}: {error}"
            with self._lock:
                before = self._failures.get(version)
                times = before.times + 1 if before else 1
                wait = min(_FIRST_RETRY_SECONDS * 2 ** (times - 1), _LONGEST_RETRY_SECONDS)
                if version in self._wanted:
                    self._failures[version] = _Failure(reason, times, time.monotonic() + wait)
        else:
            with self._lock:
                self._failures.pop(version, None)
            self.slots = {**self.slots, version: slot}
