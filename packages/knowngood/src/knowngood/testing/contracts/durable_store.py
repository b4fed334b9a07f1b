"""
The contract of a Store whose records outlive their process.

Beside what every store keeps: several processes at once, and processes that are killed.
"""

import multiprocessing
import os
import random
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from threading import Event
from typing import Any, ClassVar, Protocol

from knowngood.domain.fleet import FleetState
from knowngood.domain.ledger import verify
from knowngood.ports.store import Store
from knowngood.testing.contracts.store import SYSTEM, StoreContract, StoreHarness, one_more, version_count

__all__ = ["DurableStoreContract"]

# A forked child would share the parent's connections and locks; every process opens its own.
_SPAWN = multiprocessing.get_context("spawn")
_PATIENCE_SECONDS = 60


class _Work(Protocol):
    """What a child process does."""

    def __call__(self, harness: StoreHarness, told: "Connection[Any, Any]") -> None:
        """Work on the store, and tell what happened."""
        ...


class DurableStoreContract(StoreContract):
    """Every promise of ports/store.py; the harness must be picklable, and open the same records in every process."""

    KILLS: ClassVar[int] = 4
    """How many times a process is killed in the middle of changes."""

    def test_everything_is_there_after_reopening(self, harness: StoreHarness, store: Store) -> None:
        with store.change(SYSTEM) as change:
            one_more(change)
        with harness.open() as again:
            assert again.systems() == (SYSTEM,)
            assert again.read(SYSTEM) == store.read(SYSTEM)
            assert again.ledger(SYSTEM) == store.ledger(SYSTEM)
            assert again.system_spec(SYSTEM) == store.system_spec(SYSTEM)

    def test_processes_that_start_at_once_all_open_the_same_new_store(self, harness: StoreHarness) -> None:
        with _children(_begin, harness, 3) as children:
            assert sorted(told.recv() for _, told in children) == [1, 2, 3]
        with harness.open() as store:
            assert version_count(store.read(SYSTEM)) == 3

    def test_processes_that_change_at_once_come_one_after_another(self, harness: StoreHarness, store: Store) -> None:
        with _children(_count_to_forty, harness, 2) as children:
            for _, told in children:
                assert told.recv() == "done"
        entries = store.ledger(SYSTEM)
        assert [entry.body["counted"] for entry in entries] == list(range(1, 81))
        assert version_count(store.read(SYSTEM)) == 80
        assert verify(entries).ok

    def test_a_kill_in_the_middle_of_changes_loses_nothing_that_was_committed(
        self, harness: StoreHarness, store: Store
    ) -> None:
        rng = random.Random(7)
        for _ in range(self.KILLS):
            with _children(_count_for_ever, harness, 1) as ((child, told),):
                committed = [told.recv() for _ in range(rng.randrange(5, 40))][-1]
                _kill(child)
                committed = max(_rest(told), default=committed)
            with harness.open() as reopened:
                head = reopened.head(SYSTEM)
                assert head.length in {committed, committed + 1}, "the last one may have been committed and not told"
                _check_whole(reopened)
        assert version_count(store.read(SYSTEM)) >= self.KILLS

    def test_a_kill_inside_a_change_leaves_nothing_of_it_and_no_lock(self, harness: StoreHarness, store: Store) -> None:
        with _children(_stop_inside, harness, 1) as ((child, told),):
            assert told.recv() == "inside"
            _kill(child)
        assert store.read(SYSTEM) == FleetState()
        with store.change(SYSTEM) as change:
            assert one_more(change) == 1
        _check_whole(store)


def _check_whole(store: Store) -> None:
    """The ledger is a chain, and says exactly what the route says."""
    entries = store.ledger(SYSTEM)
    assert verify(entries).ok
    assert version_count(store.read(SYSTEM)) == len(entries)


@contextmanager
def _children(
    work: _Work, harness: StoreHarness, number: int
) -> Iterator[Sequence[tuple[BaseProcess, "Connection[Any, Any]"]]]:
    children: list[tuple[BaseProcess, Connection[Any, Any]]] = []
    try:
        for _ in range(number):
            ours, theirs = _SPAWN.Pipe(duplex=False)
            process = _SPAWN.Process(target=work, args=(harness, theirs))
            process.start()
            theirs.close()
            children.append((process, ours))
        yield children
    finally:
        for child, ours in children:
            child.join(_PATIENCE_SECONDS)
            if child.is_alive():
                _kill(child)
            child.close()
            ours.close()


def _kill(child: BaseProcess) -> None:
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()


def _rest(told: "Connection[Any, Any]") -> Iterator[int]:
    """Return what a dead child had told."""
    while True:
        try:
            yield told.recv()
        except (EOFError, OSError):  # it ended, perhaps in the middle of a message
            return


def _begin(harness: StoreHarness, told: "Connection[Any, Any]") -> None:
    with harness.open() as store, store.change(SYSTEM) as change:
        change.save_system({"system": SYSTEM})
        counted = one_more(change)
    told.send(counted)


def _count_to_forty(harness: StoreHarness, told: "Connection[Any, Any]") -> None:
    with harness.open() as store:
        for _ in range(40):
            with store.change(SYSTEM) as change:
                one_more(change)
    told.send("done")


def _count_for_ever(harness: StoreHarness, told: "Connection[Any, Any]") -> None:
    with harness.open() as store:
        while True:
            with store.change(SYSTEM) as change:
                sequence = one_more(change)
            told.send(sequence)


def _stop_inside(harness: StoreHarness, told: "Connection[Any, Any]") -> None:
    with harness.open() as store, store.change(SYSTEM) as change:
        one_more(change)
        told.send("inside")
        Event().wait()
