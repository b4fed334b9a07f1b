"""What befalls one look holds up no other, and keeps no system from being looked at again."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from threading import Event, Thread
from typing import Any

import pytest

from knowngood.control import watching
from knowngood.control.apply import apply
from knowngood.control.oversee import Looked, Overseer
from knowngood.control.watch import Watcher
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


@pytest.fixture
def short_of_threads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Let the host refuse one thread to each watch of ``fraud``; give how often it did."""
    refused: Counter[str] = Counter()

    class Refused(Thread):
        def start(self) -> None:
            if self.name == "watch-fraud" and not refused[self.name]:
                refused[self.name] += 1
                raise RuntimeError("can't start new thread")
            super().start()

    monkeypatch.setattr(watching, "Thread", Refused)
    return refused


def test_a_system_that_no_thread_was_to_be_had_for_is_looked_at_later(
    house: House, short_of_threads: Counter[str]
) -> None:
    apply_to(house, "fraud")
    overseer = house.start("one")
    until(at_rest(overseer, "fraud"), "it to rest")
    assert short_of_threads["watch-fraud"] == 1
    assert overseer._turns._value == TURNS, "its turn was given back"
    short_of_threads.clear()
    stir(house, "fraud")
    until(lambda: short_of_threads["watch-fraud"] == 1, "the host to refuse another one")
    seen = overseer.looked["fraud"].succeeded
    until(lambda: overseer.looked["fraud"].succeeded > seen, "it to be looked at")


def test_a_process_that_stops_while_it_has_no_thread_for_a_system_gives_its_leases_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refused(Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(watching, "Thread", Refused)
    overseer = house.start("one")
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


def test_a_system_whose_trouble_nobody_can_be_told_is_looked_at_again_and_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_watcher: object) -> None:
        raise PermanentError("the ledger of pricing is damaged")

    def nobody_listens(_system: str, _line: str) -> None:
        raise BrokenPipeError("the terminal is gone")

    overseer = house.start("one")
    until(lambda: "pricing" in overseer.looked, "the first look")
    overseer.tell = nobody_listens
    monkeypatch.setattr(Watcher, "tick", fails)
    failed = overseer.looked.get("pricing", Looked()).failed
    until(lambda: overseer.looked["pricing"].failed > failed + 3, "more looks")
