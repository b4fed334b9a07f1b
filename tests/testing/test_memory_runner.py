"""The in-memory runner keeps the port's contract, and dies as a process does."""

from datetime import UTC, datetime, timedelta
from threading import Event

import pytest

from knowngood.ports.runner import RunContext, RunState
from knowngood.testing.contracts.runner import MakeRunner, RunnerContract
from knowngood.testing.memory import MemoryClock
from knowngood.testing.memory_runner import MemoryRunner, MemoryRuns
from knowngood.testing.replica import until
from knowngood_sdk.errors import TransientError


class _Clock(MemoryClock):
    """The real time, for what is deferred by it."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return datetime.now(UTC).timestamp()


class TestMemoryRunner(RunnerContract):
    @pytest.fixture
    def make_runner(self) -> MakeRunner:
        runs = MemoryRuns()
        return lambda incarnation: MemoryRunner(runs, incarnation, _Clock())


def test_what_a_killed_runner_goes_on_with_is_refused_its_records() -> None:
    runs, gate = MemoryRuns(), Event()
    ended: list[str] = []

    def work(run: RunContext) -> None:
        run.step("slow", lambda: gate.wait(10))
        ended.append(run.id)

    zombie, heir = (MemoryRunner(runs, name, MemoryClock()) for name in ("zombie", "heir"))
    zombie.launch({"work": work})
    zombie.start("r", "work", {})
    until(lambda: zombie.run("r").holder == "zombie", "the run to begin")
    heir.launch({"work": work})
    assert heir.recover(["zombie"]) == ("r",)
    until(lambda: heir.run("r").holder != "", "the run to be begun again")
    gate.set()
    until(lambda: heir.run("r").state is RunState.DONE, "the run to end")
    for runner in (zombie, heir):
        runner.close()
    assert ended == ["r"], "the step that was cut off was refused"
    assert [step.name for step in heir.run("r").steps] == ["slow"]


def test_nothing_is_known_while_the_records_cannot_be_reached() -> None:
    runs = MemoryRuns()
    runner = MemoryRunner(runs, "one", MemoryClock())
    runs.away = True
    for act in (
        lambda: runner.start("r", "work", {}),
        lambda: runner.run("r"),
        runner.runs,
        lambda: runner.defer("r", "work", {}, datetime.now(UTC) + timedelta(days=1)),
    ):
        with pytest.raises(TransientError):
            act()
