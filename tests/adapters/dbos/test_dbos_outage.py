"""Nothing waits for a store of runs that is away: the first who asks for two seconds, the others not at all."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from threading import Event

import pytest

from knowngood.adapters.clock import SystemClock
from knowngood.adapters.dbos import DbosRunner
from knowngood.ports.runner import RunContext, RunState
from knowngood.testing.replica import until
from knowngood_sdk.errors import TransientError
from tests.faults.team import patience
from tests.postgres import OwnServer
from tests.stalling import Proxy, in_front_of

pytestmark = [pytest.mark.requirement("G2"), pytest.mark.slow]


@pytest.fixture
def proxy(own_postgres: OwnServer) -> Iterator[Proxy]:
    with own_postgres.empty_database() as url, in_front_of(url) as proxy:
        yield proxy


def seconds(act: Callable[[], object]) -> float:
    began = time.monotonic()
    with pytest.raises(TransientError):
        act()
    return time.monotonic() - began


def test_only_the_first_who_asks_waits_and_runs_go_on_when_it_is_back(proxy: Proxy) -> None:
    gate = Event()
    did: list[str] = []

    def work(run: RunContext) -> None:
        run.step("before", lambda: did.append("before"))
        run.until("wait", lambda: True if gate.is_set() else None, timedelta(milliseconds=10))
        run.step("after", lambda: did.append("after"))

    runner = DbosRunner(proxy.url, "one", SystemClock())
    runner.launch({"work": work})
    try:
        runner.start("r", "work", {})
        until(lambda: did == ["before"], "the run to begin")
        proxy.stall()
        assert seconds(lambda: runner.start("s", "work", {})) < patience(2.5)
        for act in (runner.runs, lambda: runner.run("r"), lambda: runner.start("t", "work", {})):
            assert seconds(act) < patience(0.1)
        gate.set()
        proxy.go_on()
        until(lambda: _state(runner, "r") is RunState.DONE, "the run to end")
        assert did == ["before", "after"]
    finally:
        proxy.go_on()
        runner.close()


def test_our_own_runs_are_begun_again_and_what_still_waits_records_nothing(proxy: Proxy) -> None:
    began: list[int] = []
    gate = Event()

    def work(run: RunContext) -> None:
        def look() -> bool | None:
            began.append(1)
            return True if gate.is_set() else None

        run.until("wait", look, timedelta(milliseconds=20))

    runner = DbosRunner(proxy.url, "one", SystemClock())
    runner.launch({"work": work})
    try:
        runner.start("r", "work", {})
        until(lambda: bool(began), "the run to begin")
        assert runner.recover(["one"]) == ("r",)
        until(lambda: runner.run("r").state is RunState.RUNNING, "it to be begun again")
        gate.set()
        until(lambda: runner.run("r").state is RunState.DONE, "it to end")
        assert [step.name for step in runner.run("r").steps] == ["wait"]
    finally:
        runner.close()


def test_a_runner_that_was_not_launched_or_cannot_be_says_so(proxy: Proxy) -> None:
    runner = DbosRunner(proxy.url, "one", SystemClock())
    with pytest.raises(TransientError, match="does not carry out runs yet"):
        runner.start("r", "work", {})
    proxy.close()
    with pytest.raises(TransientError):
        runner.launch({})
    runner.close()


def _state(runner: DbosRunner, run: str) -> RunState | None:
    try:
        return runner.run(run).state
    except TransientError:
        return None
