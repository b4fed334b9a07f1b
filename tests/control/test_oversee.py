"""Processes of a control plane share the work: one owner for a system, one run for a rollback, heirs for the dead."""

from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from threading import Event
from typing import Any

import pytest

from knowngood.adapters.clock import SystemClock
from knowngood.control.exclusive import ExclusiveDeployments
from knowngood.control.oversee import Pace
from knowngood.control.roll_back import roll_back
from knowngood.control.rollback import follow, resume
from knowngood.domain.saga import SagaState, StepName
from knowngood.ports.runner import RunState
from knowngood.testing.memory_runner import MemoryRunner, MemoryRuns
from knowngood.testing.replica import until
from knowngood_sdk.errors import ConflictError, PermanentError
from knowngood_sdk.model.canonical import short
from tests.control.house import PACE, WISH, House, state_of

pytestmark = pytest.mark.requirement("B2", "G2")


class StumblingRunner(MemoryRunner):
    """Fails when it is closed for the first time."""

    stumbled = False

    def close(self) -> None:
        super().close()
        if not self.stumbled:
            self.stumbled = True
            raise RuntimeError("it cannot be closed")


def test_one_process_watches_a_system_and_another_takes_over_when_it_stops(house: House) -> None:
    first = house.start("one")
    until(lambda: first.watching == ("pricing",), "the first one to watch")
    second = house.start("two")
    until(lambda: "worker:two" in house.leases.held(), "the second one to live")
    assert second.watching == ()
    first.stop()
    until(lambda: second.watching == ("pricing",), "the second one to take over")
    assert "worker:one" not in house.leases.held()


def test_leases_are_given_back_also_where_the_runs_do_not_end_well(house: House) -> None:
    first = house.start("one", kind=StumblingRunner)
    until(lambda: first.watching == ("pricing",), "it to watch")
    with pytest.raises(RuntimeError, match="cannot be closed"):
        first.stop()
    assert house.leases.held() == {}


def test_a_rollback_is_one_run_whoever_opens_it_and_is_carried_to_its_end(house: House) -> None:
    house.start("one")
    house.start("two")
    saga = house.rollback()
    until(lambda: len(house.saga(saga).steps) == 4, "the steps before the verification")
    house.scenario.serve(saga.target, 200)
    until(lambda: house.saga(saga).state is SagaState.DONE, "the rollback to end")
    until(lambda: house.runners["one"].run(saga.id).state is RunState.DONE, "its run to end")
    assert [run.id for run in house.runners["one"].runs() if run.kind == "rollback"] == [saga.id]
    ours = [entry for entry in house.scenario.store.ledger("pricing") if entry.body.get("saga") == saga.id]
    assert [entry.body.get("step") for entry in ours[1:]] == [name.value for name in StepName]


def test_the_end_of_a_rollback_that_a_run_carries_is_told_once(house: House) -> None:
    house.start("one")
    saga = house.rollback()
    until(lambda: len(house.saga(saga).steps) == 4, "the steps before the verification")
    house.scenario.serve(saga.target, 200)
    until(lambda: any("is over" in line for line in house.said), "its end to be told")
    seen = house.started[0].looked["pricing"].succeeded
    until(lambda: house.started[0].looked["pricing"].succeeded > seen + 2, "more looks")
    ends = [line for line in house.said if "is over" in line]
    assert ends == [f"rollback {saga.id} is over: {short(saga.target or '')} serves, verified"]


def test_what_was_over_before_a_process_began_is_no_news_to_it(house: House) -> None:
    house.start("one")
    saga = house.rollback()
    until(lambda: len(house.saga(saga).steps) == 4, "the steps before the verification")
    house.scenario.serve(saga.target, 200)
    until(lambda: any("is over" in line for line in house.said), "its end to be told")
    house.started[0].stop()
    house.said.clear()
    second = house.start("two")
    until(lambda: "pricing" in second.looked and second.looked["pricing"].succeeded > 2, "it to look")
    assert not any(saga.id in line for line in house.said)


def test_a_decision_is_told_though_the_store_of_runs_is_away(incident: Any) -> None:
    v2 = incident.store.deployments("pricing")[1].version
    runs = MemoryRuns()
    incident.plane = replace(incident.plane, runner=MemoryRunner(runs, "one", incident.clock))
    incident.restart_watch()
    incident.serve(v2, 200)
    incident.tick()
    runs.away = True
    notes: list[str] = []
    for _ in range(4):
        incident.serve(v2, 50, errors=25)
        notes += incident.tick().notes
    (saga,) = incident.store.sagas("pricing")
    assert f"rollback started: {saga.id}" in notes
    assert [note for note in notes if "later" in note] == [
        "open rollbacks go on later: the store of runs cannot be reached"
    ]
    assert not any("not on record yet" in note for note in notes)
    runs.away = False
    incident.tick()
    assert list(runs.kept) == [saga.id]


def test_whoever_asks_for_a_rollback_only_looks_on_where_runs_carry_it(house: House) -> None:
    house.start("one")
    saga = house.rollback()
    plane = replace(house.scenario.plane, runner=house.runners["one"], clock=SystemClock())
    waiting = follow(plane, saga, timedelta(seconds=1))
    assert (waiting.state, len(waiting.steps)) == (SagaState.RUNNING, 4)
    house.scenario.serve(saga.target, 200)
    over = follow(plane, saga, timedelta(seconds=20))
    assert over.state is SagaState.DONE


def test_the_runs_of_a_process_that_ended_on_this_host_go_on_at_once(house: House) -> None:
    house.start("one")
    saga = house.rollback()
    until(lambda: len(house.saga(saga).steps) == 4, "the first one to carry it")
    house.runners["one"].kill()
    house.started[0]._over.set()  # a process that is killed says nothing to anybody
    house.presence.running.discard("one")
    assert house.leases.claim("deploy:pricing", "one/at/1", timedelta(minutes=1))
    house.start("two")
    until(lambda: house.owner == "two", "the second one to take over, though no lease is over")
    assert "deploy:pricing" not in house.leases.held(), "what it was deploying holds up nobody"
    house.scenario.serve(saga.target, 200)
    until(lambda: house.saga(saga).state is SagaState.DONE, "the rollback to end")
    assert any("one has ended; 1 of its runs go on" in line for line in house.said)
    assert "worker:one" not in house.leases.held()


def test_nobody_waits_for_the_deployment_of_a_process_that_ended_on_this_host(house: House) -> None:
    mine = ExclusiveDeployments(house.leases, "two", house.scenario.clock.now, PACE.lease)
    with ExitStack() as deployers:
        for name, system in (("one", "pricing"), ("elsewhere", "search")):
            deployers.enter_context(
                ExclusiveDeployments(house.leases, name, house.scenario.clock.now, timedelta(hours=1))(system)
            )
        house.presence.enter("one")
        house.presence.running.discard("one")
        house.start("two")
        until(lambda: "deploy:pricing" not in house.leases.held(), "the lease of the dead one to be given back")
        with mine("pricing"), pytest.raises(ConflictError, match="another deployment of search is under way"):
            mine("search").__enter__()


def test_of_a_process_on_another_host_nothing_is_heard_until_its_lease_is_over(house: House) -> None:
    house.start("one")
    saga = house.rollback()
    until(lambda: len(house.saga(saga).steps) == 4, "the first one to carry it")
    house.runners["one"].kill()
    house.started[0]._over.set()
    until(lambda: not any(thread.is_alive() for thread in house.started[0]._threads), "its threads to end")
    house.presence.forget("one")
    second = house.start("two")
    until(lambda: "worker:two" in house.leases.held(), "the second one to live")
    assert second.watching == ()
    house.scenario.clock.pause(PACE.lease)
    house.scenario.serve(saga.target, 200)
    until(lambda: house.saga(saga).state is SagaState.DONE, "the rollback to end")
    until(lambda: house.owner == "two", "the second one to watch")


def test_what_one_who_was_taken_for_dead_writes_is_refused(house: House) -> None:
    house.start("one")
    until(lambda: house.owner == "one", "the first one to watch")
    stale = house.leases.held()["watch:pricing"]
    zombie = house.scenario.store.fenced(stale)
    house.leases.release("watch:pricing", "one")
    house.started[0].stop()
    house.start("two")
    until(lambda: house.owner == "two", "the second one to watch")
    before = house.scenario.store.head("pricing")
    with pytest.raises(ConflictError, match="changed hands"), zombie.change("pricing") as change:
        change.append("said", "one", "2026-01-01T00:00:00Z", {})
    assert house.scenario.store.head("pricing") == before


def test_a_process_that_finds_its_leases_taken_stops_watching_and_begins_anew(house: House) -> None:
    first = house.start("one")
    until(lambda: house.owner == "one", "the first one to watch")
    fence = house.leases.held()["watch:pricing"].fence
    for name in ("worker:one", "watch:pricing"):
        house.leases.release(name, "one")
        assert house.leases.claim(name, "two", timedelta(seconds=1)) is not None
    until(lambda: first.watching == (), "it to stop")
    for name in ("worker:one", "watch:pricing"):
        house.leases.release(name, "two")
    until(lambda: first.watching == ("pricing",), "it to begin anew")
    assert house.leases.held()["watch:pricing"].fence > fence
    assert any("takes this one for dead" in line for line in house.said)


def test_a_look_that_hangs_holds_up_no_other_system_and_the_next_one_begins_anew(house: House) -> None:
    gate, hung = Event(), Event()
    replicas = house.scenario.traffic.replicas

    def hang_once(system: str) -> Any:
        if system == "pricing" and not hung.is_set():
            hung.set()
            gate.wait(60)
        return replicas(system)

    with house.scenario.store.change("fraud") as change:
        change.save_system(house.scenario.store.system_spec("pricing") | {"root": "/"})
    house.scenario.traffic.replicas = hang_once
    first = house.start("one", replace(PACE, patience=timedelta(seconds=5)))
    until(lambda: set(first.watching) == {"fraud", "pricing"} and hung.is_set(), "both to be watched")
    until(lambda: "fraud" in first.looked, "the other to be looked at")
    assert "pricing" not in first.looked
    stale = house.leases.held()["watch:pricing"]
    house.scenario.clock.pause(timedelta(seconds=6))
    until(lambda: "pricing" in first.looked, "the system to be looked at again")
    until(lambda: house.leases.held()["watch:fraud"].expires_in > timedelta(), "the other's lease to be renewed")
    assert house.leases.held()["watch:pricing"].fence > stale.fence
    assert sum("a look hangs" in line for line in house.said) == 1
    with pytest.raises(ConflictError, match="changed hands"), house.scenario.store.fenced(stale).change("pricing"):
        pytest.fail("what still hangs wrote")
    gate.set()


def test_a_look_that_hangs_keeps_its_system_until_its_lease_is_over_and_is_told_once(house: House) -> None:
    gate, hung = Event(), Event()
    replicas = house.scenario.traffic.replicas

    def hang(system: str) -> Any:
        hung.set()
        gate.wait(60)
        return replicas(system)

    house.scenario.traffic.replicas = hang
    pace = Pace(every=timedelta(seconds=0.01), lease=timedelta(seconds=0.3), patience=timedelta(seconds=0.1))
    first = house.start("one", pace)
    until(hung.is_set, "the look to hang")
    fence = house.leases.held()["watch:pricing"].fence
    house.scenario.clock.pause(timedelta(seconds=0.2))
    until(lambda: any("a look hangs" in line for line in house.said), "it to be told")
    house.renew("one")
    assert first.watching == ("pricing",)
    assert house.leases.held()["watch:pricing"].fence == fence
    assert sum("a look hangs" in line for line in house.said) == 1
    gate.set()


def test_looks_that_hang_one_after_the_other_are_not_heaped_up(house: House) -> None:
    gate = Event()
    looks: list[str] = []
    replicas = house.scenario.traffic.replicas

    def hang(system: str) -> Any:
        looks.append(system)
        gate.wait(60)
        return replicas(system)

    house.scenario.traffic.replicas = hang
    first = house.start("one", replace(PACE, patience=timedelta(seconds=5)))
    for count in (1, 2, 3):
        until(lambda: len(looks) == count, f"look {count} to hang")  # noqa: B023 - it is called in this turn
        house.scenario.clock.pause(timedelta(seconds=6))
    until(lambda: sum("a look hangs" in line for line in house.said) == 3, "the third to be told")
    house.renew("one")
    assert len(looks) == 3
    gate.set()
    until(lambda: "pricing" in first.looked, "the system to be looked at again")


def test_a_long_pause_between_two_looks_is_no_look_that_hangs(house: House) -> None:
    first = house.start("one", replace(PACE, every=timedelta(hours=1), patience=timedelta(seconds=5)))
    until(lambda: "pricing" in first.looked, "the first look to end")
    fence = house.leases.held()["watch:pricing"].fence
    house.scenario.clock.pause(timedelta(minutes=10))
    until(lambda: house.leases.held()["watch:pricing"].expires_in > timedelta(), "its lease to be renewed")
    assert house.leases.held()["watch:pricing"].fence == fence
    assert not any("hangs" in line for line in house.said)


def test_a_rollback_that_waits_for_a_person_says_what_for_and_goes_on_from_that_step(house: House) -> None:
    house.start("one")
    replicas = house.scenario.traffic.replicas
    broken = Event()
    broken.set()

    def fail(system: str) -> Any:
        if broken.is_set() and any(s.steps and not s.needs for s in house.scenario.store.sagas(system)):
            raise PermanentError("the folder of replicas is gone", hint="Put it back")
        return replicas(system)

    house.scenario.traffic.replicas = fail
    saga = house.rollback()
    until(lambda: house.saga(saga).state is SagaState.STUCK, "it to be stuck")
    until(lambda: house.runners["one"].run(saga.id).state is RunState.FAILED, "its run to have failed")
    stuck = house.saga(saga)
    assert stuck.needs == "fan-out: the folder of replicas is gone. Put it back"
    assert "the folder of replicas is gone" in house.runners["one"].run(saga.id).error
    waiting = f"rollback {saga.id} waits for a person: fan-out: the folder of replicas is gone. Put it back"
    until(lambda: waiting in house.said, "that to be told")
    broken.clear()
    plane = replace(house.scenario.plane, runner=house.runners["one"])
    resume(plane, stuck, "bob")
    until(lambda: len(house.saga(saga).steps) == 4, "it to go on")
    house.scenario.serve(saga.target, 200)
    until(lambda: house.saga(saga).state is SagaState.DONE, "it to end")
    until(lambda: any(f"rollback {saga.id} is over" in line for line in house.said), "its end to be told")
    assert house.said.count(waiting) == 1
    resumed = [entry for entry in house.scenario.store.ledger("pricing") if entry.kind == "rollback-resumed"]
    assert [(entry.actor, entry.body["step"]) for entry in resumed] == [("bob", "fan-out")]


def test_what_nobody_foresaw_in_a_step_waits_for_a_person_and_is_not_tried_for_ever(house: House) -> None:
    house.start("one")
    replicas = house.scenario.traffic.replicas
    looks: list[str] = []

    def fail(system: str) -> Any:
        if any(len(s.steps) == 1 and not s.needs for s in house.scenario.store.sagas(system)):
            looks.append(system)
            raise KeyError("r3")
        return replicas(system)

    house.scenario.traffic.replicas = fail
    saga = house.rollback()
    until(lambda: house.saga(saga).state is SagaState.STUCK, "it to wait for a person")
    until(lambda: state_of(house, saga.id) is RunState.FAILED, "its run to have failed")
    assert house.saga(saga).needs == "fan-out: nobody foresaw KeyError: 'r3'. The log says where it came from"
    until(lambda: any("waits for a person: fan-out: nobody foresaw" in line for line in house.said), "it to be told")
    tried = len(looks)
    seen = house.started[0].looked["pricing"].succeeded
    until(lambda: house.started[0].looked["pricing"].succeeded > seen + 2, "more looks")
    assert (len(looks), state_of(house, saga.id)) == (tried, RunState.FAILED)


def test_only_what_waits_for_a_person_is_resumed(incident: Any) -> None:
    saga = roll_back(incident.plane, "pricing", WISH).saga
    with pytest.raises(ConflictError, match="does not wait for a person"):
        resume(incident.plane, saga, "bob")


def test_leases_that_cannot_be_reached_stop_no_watch(house: House) -> None:
    first = house.start("one")
    until(lambda: first.watching == ("pricing",), "it to watch")
    house.leases.away = True
    until(lambda: any("cannot be reached" in line for line in house.said), "it to be told")
    until(lambda: first._away_since is not None, "it to be noticed by who renews leases")
    assert first.watching == ("pricing",)
    house.scenario.clock.pause(timedelta(seconds=5))
    house.leases.away = False
    until(lambda: any("the store is back" in line for line in house.said), "it to take up its own runs")
    assert first.watching == ("pricing",)
