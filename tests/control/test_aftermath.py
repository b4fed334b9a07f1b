"""After a rollback: what the bad version derived is gone, what it had still to do is cancelled, the rest is counted."""

from dataclasses import replace
from typing import Any

import pytest

from knowngood.control.quarantine import quarantine
from knowngood.control.rollback import resume, run_open
from knowngood.control.watch import Watcher
from knowngood.domain.effect import Effect, EffectState
from knowngood.domain.saga import Saga, SagaState, StepName, StepOutcome
from knowngood.domain.state import StateClass
from knowngood.testing.memory_aftermath import MemoryEffects, MemoryState
from knowngood_sdk.errors import NotFoundError, PermanentError, TransientError

pytestmark = pytest.mark.requirement("A3", "A4")
"""What is left of both requirements is the adapters, and the verbs by which a person decides."""


class World:
    """A system whose version 2 wrote and did things, and was found bad."""

    def __init__(self, scenario: Any) -> None:
        self.scenario = scenario
        self.cache = MemoryState("cache", StateClass.DERIVED)
        self.profiles = MemoryState("profiles", StateClass.ACCUMULATED)
        self.mails = MemoryEffects("mails")
        scenario.plane = replace(
            scenario.plane,
            states=lambda _spec, _root=None: {"cache": self.cache, "profiles": self.profiles},
            effects=lambda _spec, _root=None: {"mails": self.mails},
        )
        self.good, self.bad = (made.version for made in scenario.store.deployments("pricing")[:2])
        for version in (self.good, self.bad):
            for number in range(3):
                self.cache.write(version, f"{version}:rider {number}", "12.30")
        self.profiles.write(self.good, "rider 1", "3 rides")
        self.profiles.write(self.bad, "rider 1", "9 rides")
        for number, state in enumerate([EffectState.HELD] * 3 + [EffectState.EXECUTED] * 2):
            self.mails.add(act(number, self.bad, state))
        self.mails.add(act(9, self.good, EffectState.HELD))

    def roll_back(self) -> Saga:
        """Let the watcher leave version 2, and carry the rollback as far as it comes."""
        self.scenario.watcher = Watcher(self.scenario.plane, "pricing")
        for _ in range(8):
            served = self.scenario.store.read("pricing").served
            self.scenario.serve(served, 60, errors=30 if served == self.bad else 0)
            self.scenario.tick()
        return self.saga()

    def leave(self) -> None:
        """Let the watcher leave version 2, and let nobody come who shows whether version 1 is well."""
        self.scenario.watcher = Watcher(self.scenario.plane, "pricing")
        while self.scenario.store.read("pricing").served == self.bad:
            self.scenario.serve(self.bad, 60, errors=30)
            self.scenario.tick()
        self.scenario.tick()

    def saga(self) -> Saga:
        (saga,) = self.scenario.store.sagas("pricing")
        return saga  # type: ignore[no-any-return]

    def step(self, name: StepName) -> Any:
        return next(step for step in self.saga().steps if step.name is name)


def act(number: int, version: str, state: EffectState) -> Effect:
    return Effect(
        id=f"mail-{number}",
        version=version,
        what="mail",
        subject=f"rider {number}",
        at="2026-01-01T18:00:00Z",
        state=state,
        compensable=number % 2 == 0,
    )


@pytest.fixture
def world(incident: Any) -> World:
    return World(incident)


def test_what_the_bad_version_derived_is_discarded_and_the_good_one_stays_warm(world: World) -> None:
    assert world.roll_back().state is SagaState.DONE
    assert (world.cache.written(world.bad).items, world.cache.written(world.good).items) == (0, 3)
    seen = world.step(StepName.STATE)
    assert (seen.outcome, seen.details["state"]["cache"]["items"]) == (StepOutcome.DONE, 3)


def test_what_it_accumulated_is_counted_and_left_to_a_person(world: World) -> None:
    world.roll_back()
    assert world.profiles.read("rider 1") == "9 rides"
    seen = world.step(StepName.STATE).details["state"]["profiles"]
    assert (seen["items"], seen["class"], seen["for_a_person"]) == (1, "accumulated", True)


def test_what_it_had_still_to_do_is_cancelled_and_what_it_did_is_listed(world: World) -> None:
    world.roll_back()
    assert [act.id for act in world.mails.caused_by(world.bad, state=EffectState.HELD)] == []
    assert [act.id for act in world.mails.caused_by(world.good, state=EffectState.HELD)] == ["mail-9"]
    seen = world.step(StepName.EFFECTS).details["effects"]["mails"]
    assert seen == {
        "cancelled": 0,
        "counts": {"mail": {"cancelled": 3, "executed": 2}},
        "incurable": 1,
        "for_a_person": True,
    }
    entry = next(e for e in world.scenario.store.ledger("pricing") if e.body.get("step") == "effects")
    assert entry.body["effects"]["mails"]["counts"] == {"mail": {"cancelled": 3, "executed": 2}}


def test_a_place_that_is_away_is_asked_again_and_the_rollback_waits_for_it(world: World) -> None:
    world.cache.fails = TransientError("the cache does not answer")
    waiting = world.roll_back()
    assert (waiting.state, waiting.next_step()) == (SagaState.RUNNING, StepName.STATE)
    world.cache.fails = None
    world.scenario.tick()
    assert world.saga().state is SagaState.DONE
    assert world.cache.written(world.bad).items == 0


def test_what_cannot_be_done_is_said_and_the_rest_goes_on(world: World) -> None:
    world.cache.fails = PermanentError("the cache was removed")
    world.mails.fails = PermanentError("the table of mails is gone")
    assert world.roll_back().state is SagaState.DONE
    for name, message in ((StepName.STATE, "cache: the cache was removed"), (StepName.EFFECTS, "mails: the table")):
        seen = world.step(name)
        assert seen.outcome is StepOutcome.FAILED
        assert message in seen.details["why"]


def test_an_adapter_that_is_gone_is_for_a_person_and_the_rollback_is_resumed_from_there(world: World) -> None:
    plane = world.scenario.plane

    def gone(_spec: Any, _root: Any = None) -> Any:
        raise NotFoundError("no adapter for state of kind redis is installed", hint="Install it")

    world.scenario.plane = replace(plane, states=gone)
    stuck = world.roll_back()
    assert (stuck.state, stuck.next_step()) == (SagaState.STUCK, StepName.STATE)
    assert "no adapter for state of kind redis is installed" in stuck.needs
    world.scenario.plane = plane
    resume(plane, stuck, "ann")
    assert world.roll_back().state is SagaState.DONE


def test_one_that_was_overtaken_by_a_later_generation_touches_nothing_and_ends(world: World) -> None:
    for generations in (world.cache.generations, world.mails.generations):
        generations[world.bad] = 99
    assert world.roll_back().state is SagaState.DONE
    assert world.cache.written(world.bad).items == 3
    assert len(world.mails.caused_by(world.bad, state=EffectState.HELD)) == 3
    assert "generation 99" in world.step(StepName.STATE).details["state"]["cache"]["overtaken"]
    assert "generation 99" in world.step(StepName.EFFECTS).details["effects"]["mails"]["overtaken"]


def test_a_later_rollback_of_another_version_takes_nothing_away_from_it(world: World) -> None:
    for generations in (world.cache.generations, world.mails.generations):
        generations[world.good] = 99
    assert world.roll_back().state is SagaState.DONE
    assert world.cache.written(world.bad).items == 0
    assert list(world.mails.caused_by(world.bad, state=EffectState.HELD)) == []


def test_what_is_held_is_cancelled_before_anybody_waits_for_the_metrics(world: World) -> None:
    world.leave()
    assert world.saga().next_step() is StepName.VERIFY
    assert list(world.mails.caused_by(world.bad, state=EffectState.HELD)) == []
    assert world.step(StepName.QUARANTINE).details == {"frozen": {"mails": 3}}


def test_a_record_that_is_away_holds_up_no_quarantine_and_is_asked_again(world: World) -> None:
    world.mails.fails = TransientError("the outbox does not answer")
    world.leave()
    assert world.saga().next_step() is StepName.VERIFY
    assert world.step(StepName.QUARANTINE).details == {"frozen": {"mails": "the outbox does not answer"}}
    world.mails.fails = None
    assert world.roll_back().state is SagaState.DONE
    assert world.step(StepName.EFFECTS).details["effects"]["mails"]["cancelled"] == 3


def test_what_a_barred_standby_once_did_is_left_as_it_is(world: World) -> None:
    quarantine(world.scenario.plane, "pricing", world.good, reason="found bad afterwards", actor="ann")
    run_open(world.scenario.plane, "pricing")
    assert (world.cache.written(world.good).items, world.step(StepName.STATE).outcome) == (3, StepOutcome.SKIPPED)
    assert world.mails.caused_by(world.good)[0].state is EffectState.HELD


def test_a_system_that_declares_neither_says_so(incident: Any) -> None:
    served = incident.store.deployments("pricing")[1].version
    for _ in range(8):
        now = incident.store.read("pricing").served
        incident.serve(now, 60, errors=30 if now == served else 0)
        incident.tick()
    (saga,) = incident.store.sagas("pricing")
    said = {step.name: (step.outcome, step.details.get("reason")) for step in saga.steps}
    assert said[StepName.STATE] == (StepOutcome.SKIPPED, "the system declares no state")
    assert said[StepName.EFFECTS] == (StepOutcome.SKIPPED, "the system declares no effects")
