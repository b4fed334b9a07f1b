"""A system where nothing moves is left in peace, and what is due later is done by whoever lives then."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from knowngood.control.apply import apply
from knowngood.control.oversee import Looked
from knowngood.domain.saga import SagaState, StepName
from knowngood.domain.system import SystemFile
from knowngood.ports.runner import RunState
from knowngood.testing.memory_runner import MemoryRuns
from knowngood.testing.replica import until
from knowngood_sdk.errors import InvalidError, PermanentError, TransientError
from tests.control.house import House, state_of


class CountingStore:
    """A store that counts how often its route is read, by system."""

    def __init__(self, store: Any, counted: Counter[str]) -> None:
        self._store, self.counted = store, counted

    def read(self, system: str) -> Any:
        self.counted[system] += 1
        return self._store.read(system)

    def fenced(self, held: Any) -> Any:
        return CountingStore(self._store.fenced(held), self.counted)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.mark.requirement("G2")
def test_a_system_where_nothing_moves_is_read_again_once_something_does(house: House) -> None:
    plane, counted = house.scenario.plane, Counter[str]()
    rules = {**house.scenario.rules, "system": "fraud"}
    apply(plane, SystemFile.from_json(rules), root="/", actor="test")
    house.scenario.plane = replace(plane, store=CountingStore(house.scenario.store, counted))
    overseer = house.start("one")

    def at_rest() -> bool:
        before, looks = counted["fraud"], overseer.looked["fraud"].succeeded
        until(lambda: overseer.looked["fraud"].succeeded > looks + 5, "more looks")
        return counted["fraud"] == before

    until(lambda: "fraud" in overseer.looked, "the first look")
    until(at_rest, "it to rest")
    for move in (_note, _publish):
        before = counted["fraud"]
        assert "watch-fraud" not in {thread.name for thread in threading.enumerate()}, "a rest takes no thread"
        move(house, "fraud")
        until(lambda before=before: counted["fraud"] > before, "a look at what moved")  # type: ignore[misc]
        until(at_rest, "it to rest again")
    house.scenario.traffic.join("fraud", "r1", loads=True)
    until(lambda: not at_rest(), "a system with a replica to be read at every look")


def _note(house: House, system: str) -> None:
    with house.scenario.store.change(system) as change:
        change.append("noted", "ann", "2026-01-01T18:00:00Z", {})


def _publish(house: House, system: str) -> None:
    house.scenario.traffic.publish(system, lambda known: replace(known, anchor=(7, "sha256:" + "0" * 64)))


@pytest.mark.requirement("N4", "J2")
def test_a_cool_down_that_was_over_long_ago_is_not_set_again_and_a_duty_is_told_however_late(house: House) -> None:
    house.start("one")
    saga = house.rollback()
    until(lambda: len(house.saga(saga).steps) == 4, "the steps before the verification")
    house.scenario.serve(saga.target, 200)
    until(lambda: house.saga(saga).state is SagaState.DONE, "the rollback to end")
    until(lambda: state_of(house, "cool-down:pricing:1") is RunState.DEFERRED, "the cool-down to be set")
    house.started[0].stop()
    house.scenario.clock.pause(timedelta(days=34))
    house.runs = MemoryRuns()
    second = house.start("two")
    until(lambda: "pricing" in second.looked and second.looked["pricing"].succeeded > 3, "some looks")
    until(lambda: "notify-overdue" in house.scenario.kinds(), "the duty that nobody met to be on record")
    assert [run.kind for run in house.runners["two"].runs() if "cool-down" in run.id] == []
    assert "known-good" not in house.scenario.kinds()


@pytest.mark.requirement("N4", "J2")
def test_what_is_due_later_is_put_on_record_by_whoever_lives_then(house: House) -> None:
    house.start("one")
    saga = house.rollback()
    until(lambda: len(house.saga(saga).steps) == 4, "the steps before the verification")
    house.scenario.serve(saga.target, 200)
    until(lambda: house.saga(saga).state is SagaState.DONE, "the rollback to end")
    until(lambda: state_of(house, f"notify-deadline:{saga.id}") is RunState.DEFERRED, "the deadline to be set")
    until(lambda: state_of(house, "cool-down:pricing:1") is RunState.DEFERRED, "the cool-down to be set")
    house.started[0].stop()
    house.scenario.clock.pause(timedelta(hours=73))
    house.start("two")
    kinds: Callable[[], list[str]] = house.scenario.kinds
    until(lambda: {"notify-overdue", "known-good"} <= set(kinds()), "both to be on record")
    assert kinds().count("known-good") == kinds().count("notify-overdue") == 1


@pytest.mark.requirement("B2")
def test_a_rollback_that_an_older_program_began_is_carried_to_the_end_that_it_knows(house: House) -> None:
    house.start("one")
    saga = house.rollback()
    until(lambda: len(house.saga(saga).steps) == 4, "the steps before the verification")
    house.started[0].stop()
    begun = house.saga(saga)
    first = replace(begun.steps[0], details={k: v for k, v in begun.steps[0].details.items() if k != "planned"})
    older = replace(begun, steps=(first, *begun.steps[1:]))
    house.scenario.store._systems["pricing"].sagas[saga.id] = older
    house.start("two")
    house.scenario.serve(saga.target, 200)
    until(lambda: house.saga(saga).state is SagaState.DONE, "the rollback to end")
    until(lambda: state_of(house, saga.id) is RunState.DONE, "its run to end")
    assert {StepName.STATE, StepName.EFFECTS}.isdisjoint(step.name for step in house.saga(saga).steps)


@pytest.mark.requirement("N4")
def test_a_rollback_goes_on_in_another_run_where_an_older_copy_of_the_store_was_put_back(house: House) -> None:
    house.start("one")
    saga = house.rollback()
    until(lambda: len(house.saga(saga).steps) == 4, "the steps before the verification")
    house.scenario.serve(saga.target, 200)
    until(lambda: state_of(house, saga.id) is RunState.DONE, "its run to end")
    house.started[0].stop()
    over = house.saga(saga)
    # The row as the copy has it; what was done since is over in the store of runs alone.
    earlier = replace(over, state=SagaState.RUNNING, steps=over.steps[:1])
    house.scenario.store._systems["pricing"].sagas[saga.id] = earlier
    house.start("two")
    until(lambda: house.saga(saga).state is SagaState.DONE, "the rollback to end once more")
    until(lambda: state_of(house, f"{saga.id}#2") is RunState.DONE, "its second run to end")
    assert state_of(house, f"{saga.id}#3") is None


def test_a_deadline_that_passed_is_put_on_record_again_where_an_older_copy_was_put_back(house: House) -> None:
    house.start("one")
    saga = house.rollback()
    until(lambda: len(house.saga(saga).steps) == 4, "the steps before the verification")
    house.scenario.serve(saga.target, 200)
    until(lambda: state_of(house, f"notify-deadline:{saga.id}") is RunState.DEFERRED, "the deadline to be set")
    copy = house.scenario.store.ledger("pricing")
    house.scenario.clock.pause(timedelta(hours=73))
    until(lambda: state_of(house, f"notify-deadline:{saga.id}") is RunState.DONE, "the deadline to pass")
    until(lambda: state_of(house, "cool-down:pricing:1") is RunState.DONE, "the cool-down to be over")
    house.started[0].stop()
    house.scenario.store._systems["pricing"].ledger[:] = copy
    kinds: Callable[[], list[str]] = house.scenario.kinds
    assert not {"notify-overdue", "known-good"} & set(kinds())
    house.start("two")
    until(lambda: {"notify-overdue", "known-good"} <= set(kinds()), "both to be on record again")
    house.started[1].stop()
    third = house.start("three")
    until(lambda: "pricing" in third.looked, "a third one to look")
    assert kinds().count("known-good") == kinds().count("notify-overdue") == 1
    assert state_of(house, f"notify-deadline:{saga.id}#3") is None


class DamagedElsewhere(CountingStore):
    """A store in which the ledger of some other system cannot be read."""

    def heads(self) -> Any:
        raise PermanentError("the ledger of fraud cannot be read: the disk image is malformed")

    def fenced(self, held: Any) -> Any:
        return DamagedElsewhere(self._store.fenced(held), self.counted)


@pytest.mark.requirement("G1")
def test_a_ledger_that_is_damaged_keeps_nobody_from_looking_at_other_systems(house: House) -> None:
    plane, counted = house.scenario.plane, Counter[str]()
    house.scenario.plane = replace(plane, store=DamagedElsewhere(house.scenario.store, counted))
    overseer = house.start("one")
    until(lambda: "pricing" in overseer.looked and overseer.looked["pricing"].succeeded > 3, "whole looks")
    assert (overseer.looked["pricing"].failed, counted["pricing"] > 3) == (0, True)


class HalfAway(CountingStore):
    """A store that answers what is asked of rollbacks by saying that it is away."""

    def sagas(self, system: str) -> Any:
        raise TransientError(f"the rollbacks of {system} cannot be read now")

    def fenced(self, held: Any) -> Any:
        return HalfAway(self._store.fenced(held), self.counted)


def test_what_could_not_be_done_is_tried_again_and_again(house: House) -> None:
    plane, counted = house.scenario.plane, Counter[str]()
    apply(plane, SystemFile.from_json({**house.scenario.rules, "system": "fraud"}), root="/", actor="test")
    house.scenario.plane = replace(plane, store=HalfAway(house.scenario.store, counted))
    house.start("one")
    for _ in range(3):
        before = counted["fraud"]
        until(lambda before=before: counted["fraud"] > before + 5, "it to be looked at again")  # type: ignore[misc]


def test_what_replicas_cannot_read_any_more_is_published_anew_though_nothing_else_moves(house: House) -> None:
    plane, traffic = house.scenario.plane, house.scenario.traffic
    apply(plane, SystemFile.from_json({**house.scenario.rules, "system": "fraud"}), root="/", actor="test")
    overseer = house.start("one")
    for _ in range(3):
        looks = overseer.looked.get("fraud", Looked()).succeeded
        until(lambda looks=looks: overseer.looked.get("fraud", Looked()).succeeded > looks + 5, "looks")  # type: ignore[misc]
        traffic.damage("fraud")
        until(lambda: _is_published(traffic, "fraud"), "it to be published anew")


def _is_published(traffic: Any, system: str) -> bool:
    try:
        traffic.published(system)
    except InvalidError:
        return False
    return True
