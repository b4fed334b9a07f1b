"""What befalls one look holds up no other, and keeps no system from being looked at again."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from threading import Event, Thread
from typing import Any

import pytest

from knowngood.control import watching
from knowngood.control.apply import apply
from knowngood.control.oversee import Overseer
from knowngood.domain.system import SystemFile
from knowngood.testing.replica import until
from knowngood_sdk.errors import PermanentError
from tests.control.house import House
from tests.control.test_resting_and_timers import CountingStore

pytestmark = pytest.mark.requirement("G1")

TURNS = 8


def apply_to(house: House, *systems: str) -> None:
    for system in systems:
        rules = {**house.scenario.rules, "system": system}
        apply(house.scenario.plane, SystemFile.from_json(rules), root="/", actor="test")


def stir(house: House, *systems: str) -> None:
    """Put something on record of systems that rest."""
    for system in systems:
        with house.scenario.store.change(system) as change:
            change.append("noted", "ann", "2026-01-01T18:00:00Z", {})


def at_rest(overseer: Overseer, *systems: str) -> Callable[[], bool]:
    return lambda: all(system in overseer._watches and overseer._watches[system].rests for system in systems)


class ShortOfThreads:
    """A host that refuses a thread now and then."""

    def __init__(self) -> None:
        self.refuses = True
        self.refused = 0

    def __call__(self, **what: Any) -> Thread:
        host = self

        class Asked(Thread):
            def start(self) -> None:
                if host.refuses:
                    host.refused += 1
                    raise RuntimeError("can't start new thread")
                super().start()

        return Asked(**what)


def test_a_system_that_no_thread_was_to_be_had_for_is_looked_at_later(house: House) -> None:
    host = ShortOfThreads()
    apply_to(house, "fraud")
    overseer = house.start("one", threads=host)
    until(lambda: host.refused > 2, "the host to refuse threads")
    host.refuses = False
    until(lambda: "fraud" in overseer.looked, "it to be looked at")
    until(at_rest(overseer, "fraud"), "it to rest")
    until(lambda: overseer._turns._value == TURNS, "each turn to be given back")
    host.refuses, host.refused = True, 0
    stir(house, "fraud")
    until(lambda: host.refused > 0, "the host to refuse another one")
    seen = overseer.looked["fraud"].succeeded
    host.refuses = False
    until(lambda: overseer.looked["fraud"].succeeded > seen, "it to be looked at")


def test_a_process_that_stops_while_it_has_no_thread_for_a_system_gives_its_leases_back(house: House) -> None:
    overseer = house.start("one", threads=ShortOfThreads())
    until(lambda: "pricing" in overseer.watching, "it to be claimed")
    overseer.stop()
    assert not house.leases.held()


def test_first_looks_that_hang_keep_nobody_else_from_theirs(house: House) -> None:
    hang, go_on = [f"hangs-{number}" for number in range(TURNS)], Event()

    class Hanging(CountingStore):
        def read(self, system: str) -> Any:
            if system in hang and stirred.is_set():
                hanging.add(system)
                go_on.wait(20)
            return super().read(system)

        def fenced(self, held: Any) -> Any:
            return Hanging(self._store.fenced(held), self.counted)

    stirred, hanging = Event(), set[str]()
    apply_to(house, *hang, "fraud")
    house.scenario.plane = replace(house.scenario.plane, store=Hanging(house.scenario.store, Counter()))
    overseer = house.start("one")
    until(at_rest(overseer, *hang, "fraud"), "all to rest")
    stirred.set()
    try:
        stir(house, *hang)
        until(lambda: hanging == set(hang), "eight looks to hang")
        house.scenario.clock.pause(watching._LONG_TURN * 2)
        until(lambda: overseer._turns._value == TURNS, "their turns to be given to others")
        seen = overseer.looked["fraud"].succeeded
        stir(house, "fraud")
        until(lambda: overseer.looked["fraud"].succeeded > seen, "another system to be looked at")
    finally:
        go_on.set()


def test_a_system_whose_trouble_nobody_can_be_told_is_looked_at_again_and_again(house: House) -> None:
    damaged = Event()

    class Damaged(CountingStore):
        def sagas(self, system: str) -> Any:
            if damaged.is_set():
                raise PermanentError(f"the rollbacks of {system} cannot be read")
            return self._store.sagas(system)

        def fenced(self, held: Any) -> Any:
            return Damaged(self._store.fenced(held), self.counted)

    def nobody_listens(_system: str, _line: str) -> None:
        raise BrokenPipeError("the terminal is gone")

    house.scenario.plane = replace(house.scenario.plane, store=Damaged(house.scenario.store, Counter()))
    overseer = house.start("one")
    until(lambda: "pricing" in overseer.looked, "the first look")
    overseer.tell = nobody_listens
    damaged.set()
    failed = overseer.looked["pricing"].failed
    until(lambda: overseer.looked["pricing"].failed > failed + 3, "more looks")
