"""A rollback on the real engine: carried by one thread of one program, whichever program began with it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event, Lock
from typing import Any, cast

import pytest

from knowngood.adapters.clock import SystemClock
from knowngood.adapters.dbos import DbosRunner
from knowngood.control.carry import carry
from knowngood.control.roll_back import Wish, roll_back
from knowngood.control.rollback import ROLLBACK, run_open, take_step
from knowngood.domain.saga import Saga, SagaState, StepName
from knowngood.ports.runner import RunContext, RunState
from knowngood.testing.replica import until

pytestmark = pytest.mark.requirement("A1", "G1")

WISH = Wish(actor="ann", why="wrong prices")
SOON = timedelta(milliseconds=20)


@contextmanager
def launched(where: Path, name: str, works: dict[str, Callable[[RunContext], None]]) -> Iterator[DbosRunner]:
    runner = DbosRunner(f"sqlite:///{where}/runs.db", name, SystemClock())
    runner.launch(works)
    try:
        yield runner
    finally:
        runner.close()


def begun(scenario: Any, runner: DbosRunner) -> tuple[Any, Saga]:
    """Leave what serves, and open the run that carries the rest; return the ports, and the rollback."""
    plane = replace(scenario.plane, runner=runner)
    saga: Saga = roll_back(plane, "pricing", WISH).saga
    run_open(plane, "pricing")
    return plane, saga


def test_what_a_program_carried_that_kept_each_step_as_one_of_the_run_is_carried_on(
    incident: Any, tmp_path: Path
) -> None:
    def as_before(run: RunContext) -> None:
        for name in StepName:
            run.until(name, lambda name=name: taken(name), SOON)  # type: ignore[misc]

    def taken(name: StepName) -> str | None:
        saga = on_record()
        if saga.next_step() is name:
            saga = take_step(incident.plane, saga)
        return "done" if name in {step.name for step in saga.steps} else None

    def on_record() -> Saga:
        (saga,) = incident.store.sagas("pricing")
        return cast(Saga, saga)

    with launched(tmp_path, "older", {ROLLBACK: as_before}) as older:
        _, saga = begun(incident, older)
        until(lambda: len(older.run(saga.id).steps) == len(StepName) - 5, "the steps before the verification")
    with launched(tmp_path, "newer", {ROLLBACK: lambda run: carry(incident.plane, run)}) as newer:
        assert newer.recover(["older"]) == (saga.id,)
        incident.serve(saga.target, 200)
        until(lambda: newer.run(saga.id).state is RunState.DONE, "the run to end")
        assert [step.name for step in newer.run(saga.id).steps] == list(StepName)
    assert on_record().state is SagaState.DONE


def test_a_run_that_is_begun_again_while_it_goes_on_goes_on_in_one_thread(tmp_path: Path) -> None:
    looking: list[object] = []
    lock, stop = Lock(), Event()

    def work(run: RunContext) -> None:
        me = object()

        def look() -> str | None:
            with lock:
                looking.append(me)
            return "done" if stop.is_set() else None

        run.until("look", look, SOON)

    def looked_since() -> int:
        with lock:
            looking.clear()
        until(lambda: len(looking) > 20, "more looks")
        return len(set(looking))

    with ExitStack() as stack:
        runner = stack.enter_context(launched(tmp_path, "one", {"look": work}))
        stack.callback(stop.set)
        runner.start("r", "look", {})
        until(lambda: len(looking) > 0, "it to begin")
        for _ in range(3):
            runner.recover(["one"])
        until(lambda: looked_since() == 1, "one thread to be left")
        assert {looked_since() for _ in range(5)} == {1}
        stop.set()
        until(lambda: runner.run("r").state is RunState.DONE, "the run to end")
