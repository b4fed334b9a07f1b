"""A run carries a rollback: each step is done once, whoever else comes in between, and little is asked of the store."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, NoReturn

import pytest

from knowngood.control.carry import carry
from knowngood.control.publish import publish_anchor
from knowngood.control.roll_back import Wish, roll_back
from knowngood.control.rollback import take_step
from knowngood.domain.saga import Saga, SagaState, StepName
from knowngood.testing.contracts.store import noted
from knowngood.testing.memory_leases import MemoryLeases
from knowngood_sdk.errors import PermanentError

WISH = Wish(actor="ann", why="wrong prices")
LOOKS = 20


class Stop(BaseException):
    """The process is to stop."""


@dataclass
class Run:
    """A run that looks until there is an answer; what comes ``before`` a step, or between two looks, is the test's."""

    payload: Mapping[str, Any]
    next_step: Callable[[], str]
    before: Mapping[str, Callable[[], object]] = field(default_factory=dict)
    between: Callable[[], object] = lambda: None
    over: list[str] = field(default_factory=list)
    id: str = "run"

    def until(self, name: str, look: Callable[[], Any], every: timedelta) -> Any:  # noqa: ARG002 - as in the port
        for _ in range(LOOKS):
            if (seen := look()) is not None:
                self.over.append(name)
                return seen
            self.between()
        raise AssertionError(f"{name} waits still after {LOOKS} looks")

    def check(self) -> None:
        self.before.get(self.next_step(), lambda: None)()

    def leave(self) -> NoReturn:
        raise Stop


class CountingStore:
    """A store that counts what it is asked."""

    def __init__(self, store: Any) -> None:
        self._store, self.asked = store, Counter[str]()

    @contextmanager
    def change(self, system: str) -> Iterator[Any]:
        self.asked["change"] += 1
        with self._store.change(system) as change:
            yield change

    def __getattr__(self, name: str) -> Any:
        self.asked[name] += 1
        return getattr(self._store, name)


def begun(scenario: Any) -> Saga:
    """Leave what serves; nobody carries the rest yet."""
    saga: Saga = roll_back(scenario.plane, "pricing", WISH).saga
    return saga


def run_of(scenario: Any, saga: Saga, **more: Any) -> Any:
    """Return the run that is opened for a rollback."""
    payload = {"system": saga.system, "saga": saga.id}
    return Run(payload, lambda: str(on_record(scenario, saga).next_step()), **more)


def serving(scenario: Any, saga: Saga) -> Callable[..., None]:
    """Return what lets the version that it led to serve enough to be verified."""
    return lambda *_: scenario.serve(saga.target, 200)


def on_record(scenario: Any, saga: Saga) -> Saga:
    found: Saga = next(one for one in scenario.store.sagas("pricing") if one.id == saga.id)
    return found


def steps_in_the_ledger(scenario: Any) -> list[str]:
    return [entry.body["step"] for entry in scenario.store.ledger("pricing") if entry.kind == "rollback-step"]


def stops() -> None:
    raise Stop


@pytest.mark.requirement("A1")
def test_a_rollback_is_read_once_and_each_step_is_put_on_record_in_one_change(incident: Any) -> None:
    saga = begun(incident)
    store = CountingStore(incident.store)
    run = run_of(incident, saga, before={StepName.FAN_OUT: serving(incident, saga)})
    carry(replace(incident.plane, store=store), run)
    assert steps_in_the_ledger(incident) == list(StepName)
    # The first step changes what is on record of deployments too.
    assert (store.asked["sagas"], store.asked["change"]) == (1, len(StepName) + 1)
    assert store.asked["head"] == 2, "only what publishes the route asks: the first step and the last"
    assert incident.traffic.published("pricing").anchor == incident.store.head("pricing")
    assert run.over == ["steps"], "what is on record needs no checkpoint beside it"


@pytest.mark.requirement("A1")
@pytest.mark.parametrize("name", list(StepName)[1:])
def test_what_another_process_did_right_before_a_step_is_not_put_on_record_again(incident: Any, name: StepName) -> None:
    saga = begun(incident)

    def another() -> None:
        take_step(incident.plane, on_record(incident, saga))

    carry(incident.plane, run_of(incident, saga, before={name: another}, between=serving(incident, saga)))
    assert steps_in_the_ledger(incident) == list(StepName)
    assert on_record(incident, saga).state is SagaState.DONE


@pytest.mark.requirement("A1")
def test_all_the_rest_that_another_process_did_in_between_is_passed_over(incident: Any) -> None:
    saga = begun(incident)

    def another() -> None:
        incident.serve(saga.target, 200)
        for _ in list(StepName)[2:]:
            take_step(incident.plane, on_record(incident, saga))

    carry(incident.plane, run_of(incident, saga, before={list(StepName)[2]: another}))
    assert steps_in_the_ledger(incident) == list(StepName)


@pytest.mark.requirement("A1")
@pytest.mark.parametrize("name", list(StepName))
def test_a_process_that_stops_ends_before_the_next_step_and_another_one_goes_on_from_there(
    incident: Any, name: StepName
) -> None:
    saga = begun(incident)
    with pytest.raises(Stop):
        carry(incident.plane, run_of(incident, saga, before={name: stops}, between=serving(incident, saga)))
    assert on_record(incident, saga).next_step() is name
    carry(incident.plane, run_of(incident, saga, between=serving(incident, saga)))
    assert steps_in_the_ledger(incident) == list(StepName)


@pytest.mark.requirement("A1")
def test_a_rollback_that_waits_is_read_at_each_look(incident: Any) -> None:
    saga = begun(incident)
    store = CountingStore(incident.store)

    def gets_stuck() -> None:
        with incident.store.change("pricing") as change:
            change.save_saga(on_record(incident, saga).stuck("somebody has to look"))
            noted(change)

    with pytest.raises(PermanentError, match="somebody has to look"):
        carry(replace(incident.plane, store=store), run_of(incident, saga, between=gets_stuck))
    assert store.asked["sagas"] == 2
    assert on_record(incident, saga).next_step() is StepName.VERIFY


@pytest.mark.requirement("A1")
def test_a_run_that_an_older_program_opened_keeps_a_checkpoint_of_each_step(incident: Any) -> None:
    saga = begun(incident)
    take_step(incident.plane, saga)
    run = run_of(incident, saga, between=serving(incident, saga), over=[StepName.RECORD])
    carry(incident.plane, run)
    assert run.over[1:] == steps_in_the_ledger(incident) == list(StepName)


@pytest.mark.requirement("A1")
def test_whoever_was_taken_for_dead_does_nothing_more_of_a_rollback_that_others_carry(incident: Any) -> None:
    saga = begun(incident)
    leases = incident.store.leases = MemoryLeases(incident.clock)
    held = leases.claim("worker:one", "one", timedelta(seconds=15))
    mine = replace(incident.plane, store=incident.store.fenced(held))

    def others_carry_it() -> None:
        leases.release("worker:one", "one")
        leases.claim("worker:one", "another", timedelta(seconds=15))
        take_step(incident.plane, on_record(incident, saga))
        steps.append(on_record(incident, saga).next_step())

    steps: list[StepName | None] = []
    with pytest.raises(Stop):
        carry(mine, run_of(incident, saga, before={StepName.FAN_OUT: others_carry_it}))
    assert on_record(incident, saga).next_step() == steps[0], "it went on with nothing"


@pytest.mark.requirement("J1")
class TestAnchor:
    def appended(self, scenario: Any) -> Any:
        with scenario.store.change("pricing") as change:
            return change.append("noted", "ann", scenario.plane.now(), {})

    def test_an_entry_that_follows_what_is_published_is_published_without_a_question(self, incident: Any) -> None:
        publish_anchor(incident.plane, "pricing")
        entry = self.appended(incident)
        store = CountingStore(incident.store)
        publish_anchor(replace(incident.plane, store=store), "pricing", entry)
        assert incident.traffic.published("pricing").anchor == entry.anchor
        assert not store.asked

    def test_an_entry_behind_which_there_is_another_never_takes_its_place(self, incident: Any) -> None:
        publish_anchor(incident.plane, "pricing")
        first, second = self.appended(incident), self.appended(incident)
        publish_anchor(incident.plane, "pricing", second)
        publish_anchor(incident.plane, "pricing", first)
        assert incident.traffic.published("pricing").anchor == second.anchor

    def test_where_another_history_is_published_the_store_is_asked(self, incident: Any) -> None:
        entry = self.appended(incident)
        for known in ((entry.sequence - 1, "sha256:other"), (entry.sequence + 5, entry.previous)):
            incident.traffic.publish("pricing", lambda one, known=known: replace(one, anchor=known))
            publish_anchor(incident.plane, "pricing", entry)
            assert incident.traffic.published("pricing").anchor == incident.store.head("pricing")
