"""
The contract of the Runner port.

An adapter's test is a subclass with one fixture::

    class TestMyRunner(RunnerContract):
        @pytest.fixture
        def make_runner(self) -> MakeRunner: ...

What needs a process that dies is tried by the tests of the adapter, with real processes.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from threading import Event, Lock
from time import monotonic
from typing import Any

import pytest

from knowngood.ports.runner import Run, RunContext, Runner, RunState, Work
from knowngood.testing.replica import until
from knowngood_sdk.errors import ConflictError, NotFoundError, PermanentError

__all__ = ["MakeRunner", "RunnerContract"]

MakeRunner = Callable[[str], Runner]
"""Incarnation -> a runner on the same records; one is open at a time."""

_SOON = timedelta(milliseconds=10)
_PAUSE = timedelta(seconds=0.3)


class _Works:
    """Works to be carried out, and what they did, in order."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.open = Event()
        self.broken = True
        self.side_by_side = 0
        self.most = 0
        self._lock = Lock()

    def works(self) -> dict[str, Work]:
        return {
            "plain": self._plain,
            "waits": self._waits,
            "breaks": self._breaks,
            "takes": self._takes,
            "pauses": self._pauses,
            "listens": self._listens,
            "alone": self._alone,
            "aborts": self._aborts,
            "checks": self._checks,
        }

    def do(self, name: str, result: Any = None) -> Callable[[], Any]:
        def act() -> Any:
            self.did.append(name)
            return result

        return act

    def _plain(self, run: RunContext) -> None:
        first = run.step("first", self.do(f"first of {run.id}", {"n": run.payload["n"], "list": [1, None, "ü"]}))
        run.step("second", self.do(f"second got {first['n']}"))

    def _waits(self, run: RunContext) -> None:
        run.step("before", self.do("before"))
        answer = run.until("wait", lambda: "opened" if self.open.is_set() else None, _SOON)
        run.step("after", self.do(f"after it {answer}"))

    def _checks(self, run: RunContext) -> None:
        def act() -> str:
            self.did.append("began")
            while not self.open.wait(_SOON.total_seconds()):
                run.check()
            return "done"

        run.step("long", act)

    def _breaks(self, run: RunContext) -> None:
        run.step("fine", self.do("fine"))
        run.step("broken", self._break)
        run.step("last", self.do("last"))

    def _break(self) -> str:
        self.did.append("tried")
        if self.broken:
            raise PermanentError("a person must look", hint="Look")
        return "mended"

    def _takes(self, run: RunContext) -> None:
        with suppress(PermanentError):
            run.step("broken", self._break)
        run.until("wait", lambda: True if self.open.is_set() else None, _SOON)
        with suppress(PermanentError):
            run.step("broken again", self._break)

    def _pauses(self, run: RunContext) -> None:
        began = run.step("before", monotonic)
        run.pause(_PAUSE)
        run.step("after", self.do(f"after {monotonic() - began >= _PAUSE.total_seconds()}"))

    def _listens(self, run: RunContext) -> None:
        heard = run.receive("word", timedelta(seconds=20))
        none = run.receive("word", timedelta(seconds=0.05))
        run.step("heard", self.do(f"heard {heard} and {none}"))

    def _alone(self, run: RunContext) -> None:
        def act() -> None:
            with self._lock:
                self.side_by_side += 1
                self.most = max(self.most, self.side_by_side)
            self.open.wait(0.1)
            with self._lock:
                self.side_by_side -= 1
            self.did.append(run.id)

        run.step("act", act)

    def _aborts(self, run: RunContext) -> None:
        run.step("before", self.do("before"))
        run.until("wait", lambda: True if self.open.is_set() else None, _SOON)
        if why := run.aborted():
            run.step("cleared away", self.do(f"aborted: {why}"))
            return
        run.step("after", self.do("after"))


class RunnerContract:
    """Every promise of ports/runner.py that needs no second process, tried on a real runner."""

    @pytest.fixture
    def make_runner(self) -> MakeRunner:
        """Give what makes the runner under test; a subclass does."""
        raise pytest.UsageError("a subclass of RunnerContract gives the fixture make_runner")

    @pytest.fixture
    def works(self) -> _Works:
        return _Works()

    @pytest.fixture
    def runner(self, make_runner: MakeRunner, works: _Works) -> Iterator[Runner]:
        runner = make_runner("first")
        runner.launch(works.works())
        yield runner
        works.open.set()
        runner.close()

    def test_a_run_does_its_steps_in_order_and_keeps_what_they_returned(self, runner: Runner, works: _Works) -> None:
        runner.start("r", "plain", {"n": 7})
        done = _ended(runner, "r")
        assert (done.state, done.kind, done.payload, done.error) == (RunState.DONE, "plain", {"n": 7}, "")
        assert [(step.name, step.error) for step in done.steps] == [("first", ""), ("second", "")]
        assert done.steps[0].result == {"n": 7, "list": [1, None, "ü"]}
        assert works.did == ["first of r", "second got 7"]

    def test_starting_a_run_again_does_nothing(self, runner: Runner, works: _Works) -> None:
        for number in range(3):
            runner.start("r", "plain", {"n": number})
        _ended(runner, "r")
        runner.start("r", "plain", {"n": 3})
        assert runner.run("r").state is RunState.DONE
        assert runner.run("r").payload == {"n": 0}
        assert works.did == ["first of r", "second got 0"]

    def test_a_run_waits_and_says_who_carries_it_out(self, runner: Runner, works: _Works) -> None:
        runner.start("r", "waits", {})
        until(lambda: "before" in works.did, "the first step")
        running = runner.run("r")
        assert (running.state, running.holder) == (RunState.RUNNING, "first")
        assert [run.id for run in runner.runs(state=RunState.RUNNING)] == ["r"]
        works.open.set()
        assert _ended(runner, "r").holder == ""
        assert works.did[-1] == "after it opened"
        assert runner.runs(state=RunState.RUNNING) == ()

    def test_whoever_recovers_a_run_goes_on_after_the_last_step_that_is_over(
        self, make_runner: MakeRunner, works: _Works
    ) -> None:
        first = make_runner("one")
        first.launch(works.works())
        first.start("r", "waits", {})
        until(lambda: "before" in works.did, "the first step")
        first.close()
        second = make_runner("two")
        second.launch(works.works())
        try:
            assert second.run("r").holder == "one"
            assert second.recover(["nobody"]) == ()
            assert second.recover(["one"]) == ("r",)
            assert second.recover(["one"]) == ()
            until(lambda: second.run("r").holder == "two", "the second one to carry it out")
            works.open.set()
            assert _ended(second, "r").state is RunState.DONE
        finally:
            second.close()
        assert works.did == ["before", "after it opened"]

    def test_a_step_that_is_left_because_its_process_stops_is_begun_again_by_whoever_comes_next(
        self, make_runner: MakeRunner, works: _Works
    ) -> None:
        first = make_runner("first")
        first.launch(works.works())
        first.start("r", "checks", {})
        until(lambda: works.did == ["began"], "the step to begin")
        first.close()
        second = make_runner("second")
        try:
            second.launch(works.works())
            second.recover(["first"])
            until(lambda: works.did == ["began", "began"], "the step to begin again")
            works.open.set()
            until(lambda: second.run("r").state is RunState.DONE, "the run to be done")
            assert [(step.name, step.result) for step in second.run("r").steps] == [("long", "done")]
        finally:
            works.open.set()
            second.close()

    def test_a_run_that_fails_says_why_and_is_resumed_from_the_step_that_failed(
        self, runner: Runner, works: _Works
    ) -> None:
        runner.start("r", "breaks", {})
        failed = _ended(runner, "r")
        assert failed.state is RunState.FAILED
        assert "a person must look" in failed.error
        assert [step.name for step in failed.steps] == ["fine", "broken"]
        assert "a person must look" in failed.steps[-1].error
        works.broken = False
        runner.resume("r")
        done = _ended(runner, "r")
        assert (done.state, done.error) == (RunState.DONE, "")
        assert [step.name for step in done.steps] == ["fine", "broken", "last"]
        assert works.did == ["fine", "tried", "tried", "last"]

    def test_only_what_failed_is_resumed(self, runner: Runner) -> None:
        runner.start("r", "plain", {"n": 1})
        _ended(runner, "r")
        with pytest.raises(ConflictError, match="did not fail"):
            runner.resume("r")

    def test_a_work_may_take_the_error_of_a_step(self, runner: Runner, works: _Works) -> None:
        works.open.set()
        runner.start("r", "takes", {})
        assert _ended(runner, "r").state is RunState.DONE
        assert works.did == ["tried", "tried"]

    def test_the_error_of_a_step_is_over_too_and_comes_back_in_its_words(
        self, make_runner: MakeRunner, works: _Works
    ) -> None:
        first = make_runner("one")
        first.launch(works.works())
        first.start("r", "takes", {})
        until(lambda: len(first.run("r").steps) == 1, "the first step")
        first.close()
        works.open.set()
        second = make_runner("two")
        second.launch(works.works())
        try:
            second.recover(["one"])
            assert _ended(second, "r").state is RunState.DONE
        finally:
            second.close()
        assert works.did == ["tried", "tried"], "once for each of the two steps"

    def test_a_pause_passes(self, runner: Runner, works: _Works) -> None:
        runner.start("r", "pauses", {})
        _ended(runner, "r")
        assert works.did == ["after True"]

    def test_a_message_is_received_once_whatever_is_sent_twice(self, runner: Runner, works: _Works) -> None:
        runner.start("r", "listens", {})
        for _ in range(2):
            runner.signal("r", "word", {"to": "you"}, key="k")
        _ended(runner, "r")
        assert works.did == ["heard {'to': 'you'} and None"]

    def test_an_abort_is_seen_between_two_steps_and_the_run_clears_away(self, runner: Runner, works: _Works) -> None:
        runner.start("r", "aborts", {})
        until(lambda: "before" in works.did, "the first step")
        runner.abort("r", "no longer wanted")
        works.open.set()
        assert _ended(runner, "r").state is RunState.DONE
        assert works.did == ["before", "aborted: no longer wanted"]

    def test_runs_in_turn_never_overlap(self, runner: Runner, works: _Works) -> None:
        for number in range(4):
            runner.start(f"r{number}", "alone", {}, after="pricing")
        for number in range(4):
            _ended(runner, f"r{number}")
        assert works.most == 1
        assert sorted(works.did) == ["r0", "r1", "r2", "r3"]

    def test_a_deferred_run_starts_when_it_is_due_and_may_be_moved(self, runner: Runner, works: _Works) -> None:
        now = datetime.now(UTC)
        runner.defer("r", "plain", {"n": 1}, now + timedelta(days=3))
        runner.defer("other", "plain", {"n": 2}, now + timedelta(days=3))
        assert runner.run("r").state is RunState.DEFERRED
        runner.defer("r", "plain", {"n": 1}, now + timedelta(seconds=0.5))
        _ended(runner, "r")
        assert datetime.now(UTC) >= now + timedelta(seconds=0.5)
        assert works.did == ["first of r", "second got 1"]
        runner.defer("r", "plain", {"n": 1}, now + timedelta(days=1))
        assert runner.run("r").state is RunState.DONE
        assert [run.id for run in runner.runs(state=RunState.DEFERRED)] == ["other"]

    def test_what_is_due_already_starts_at_once(self, runner: Runner) -> None:
        runner.defer("r", "plain", {"n": 1}, datetime.now(UTC) - timedelta(days=1))
        assert _ended(runner, "r").state is RunState.DONE

    @pytest.mark.parametrize("act", ["run", "signal", "abort", "resume"])
    def test_a_run_that_was_never_started_is_not_found(self, runner: Runner, act: str) -> None:
        acts: dict[str, Callable[[], object]] = {
            "run": lambda: runner.run("nothing"),
            "signal": lambda: runner.signal("nothing", "word", 1, key="k"),
            "abort": lambda: runner.abort("nothing", "why"),
            "resume": lambda: runner.resume("nothing"),
        }
        with pytest.raises(NotFoundError, match="nothing"):
            acts[act]()

    def test_runs_come_newest_first_and_no_more_than_asked_for(self, runner: Runner) -> None:
        for number in range(3):
            runner.start(f"r{number}", "plain", {"n": number})
            _ended(runner, f"r{number}")
        assert [run.id for run in runner.runs()] == ["r2", "r1", "r0"]
        assert [run.id for run in runner.runs(limit=2)] == ["r2", "r1"]
        assert [run.id for run in runner.runs(state=RunState.DONE, limit=1)] == ["r2"]

    def test_what_ended_long_ago_is_forgotten_and_what_goes_on_stays(self, runner: Runner) -> None:
        runner.start("old", "plain", {"n": 1})
        _ended(runner, "old")
        runner.defer("waits", "plain", {"n": 1}, datetime.now(UTC) + timedelta(days=1))
        assert runner.forget(datetime.now(UTC) - timedelta(days=1)) == 0
        assert runner.forget(datetime.now(UTC) + timedelta(seconds=1)) == 1
        assert [run.id for run in runner.runs()] == ["waits"]


def _ended(runner: Runner, run: str) -> Run:
    """Return a run once it is over."""
    until(lambda: runner.run(run).state in {RunState.DONE, RunState.FAILED}, f"{run} to be over")
    return runner.run(run)
