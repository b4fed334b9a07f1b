"""A worker leaves a version on its own evidence, once in a generation, and only for a target that works right now."""

import contextlib
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from knowngood_sdk.agent.crew import Crew
from knowngood_sdk.errors import NotReadyError
from knowngood_sdk.model.route import LocalTrip
from knowngood_sdk.model.wire import WorkerReport
from knowngood_sdk.serving.folder import hold
from knowngood_sdk.serving.golden import GoldenLine
from knowngood_sdk.serving.local_trip import Prober
from knowngood_sdk.serving.slot import Slot
from knowngood_sdk.serving.system import System
from tests.sdk.serving.steward import Priced, Steward, until

GRANTED = {"triggers": {name: {"do": "rollback"} for name in ("errors", "nonsense")}}


class Staged:
    """Version 3 serves before version 2 and version 1; versions break when told so."""

    def __init__(self, steward: Steward) -> None:
        self.steward = steward
        self.v3, self.v2, self.v1 = (steward.release(factor) for factor in (3.0, 2.0, 1.0))
        self.broken: set[str] = set()
        self.answers: Callable[[Priced, Any], Any] = Priced.price

    def answer(self, priced: Priced, ride: Any) -> Any:
        return self.answers(priced, ride)

    def handle(self, priced: Priced) -> None:
        if priced.version in self.broken:
            raise RuntimeError("broken")

    @contextmanager
    def serving(self) -> Iterator[System]:
        self.steward.accept(self.v3, self.v2, self.v1)
        kg = System("pricing", directory=self.steward.directory, replica="r1", outputs=(0.0, 100.0))
        kg.loader(Priced)
        kg.golden(self.answer)
        kg.start()
        try:
            until(lambda: kg.ready and len(kg.loaded) == 3, "three slots")
            yield kg
        finally:
            kg.close()

    def serve(self, kg: System, requests: int = 1) -> None:
        """Serve; what is broken fails."""
        for _ in range(requests):
            with contextlib.suppress(RuntimeError), kg.request("rider") as priced:
                self.handle(priced)

    def serve_until(self, kg: System, true: Callable[[], Any], what: str) -> None:
        def served() -> Any:
            self.serve(kg)
            return true()

        until(served, what)


@pytest.fixture
def staged(tmp_path: Path) -> Staged:
    steward = Steward(tmp_path)
    steward.settle(GRANTED)
    return Staged(steward)


@pytest.mark.requirement("C1", "G1")
def test_a_version_that_fails_is_left_in_process_word_and_journal(staged: Staged) -> None:
    with staged.serving() as kg:
        staged.serve(kg, 20)
        staged.broken = {staged.v3}
        staged.serve_until(kg, lambda: kg.pick().version == staged.v2, "the flip")
        journal = staged.steward.folder.journal()
        record = until(lambda: journal.read().local, "the journal")[0]
        assert record.trip == LocalTrip("r1", 1, staged.v3)
        assert "failed" in record.why
        assert staged.steward.word.read() == (1, 1, 10_000)
        until(lambda: "left it on its own evidence" in " ".join(kg.troubles), "the report")
    assert staged.steward.folder.recover().state.latched == 1


@pytest.mark.requirement("J5", "C1")
def test_without_a_grant_the_breach_is_only_reported(staged: Staged) -> None:
    staged.steward.settle({"triggers": {"errors": {"do": "observe"}}})
    with staged.serving() as kg:
        staged.broken = {staged.v3}
        staged.serve_until(kg, lambda: "only reported" in " ".join(kg.troubles), "the report")
        assert kg.pick().version == staged.v3
        until(lambda: [r for r in staged.steward.reports.values() if "only reported" in " ".join(r.warnings)], "report")


@pytest.mark.requirement("C10")
def test_nonsense_outputs_are_left_too(staged: Staged) -> None:
    with staged.serving() as kg:

        def served() -> bool:
            with kg.request("rider") as priced:
                kg.observe(float("nan") if priced.version == staged.v3 else 1.0)
            return bool(kg.pick().version == staged.v2)

        until(served, "the flip")
    assert staged.steward.counts(staged.v3).nonsense >= 20


@pytest.mark.requirement("C10", "J5")
def test_a_breach_that_is_only_reported_does_not_hide_one_that_may_be_acted_on(staged: Staged) -> None:
    staged.steward.settle({"triggers": {"errors": {"do": "observe"}, "nonsense": {"do": "rollback"}}})
    with staged.serving() as kg:
        staged.broken = {staged.v3}
        staged.serve_until(kg, lambda: "only reported" in " ".join(kg.troubles), "the report of the errors")

        def served() -> bool:
            staged.serve(kg)
            if kg.pick().version == staged.v3:
                kg.observe(math.nan)
            return bool(kg.pick().version == staged.v2)

        until(served, "the flip for the nonsense")
        record = until(lambda: staged.steward.folder.journal().read().local, "the journal")[0]
    assert "made no sense" in record.why


def test_two_breaches_of_a_version_are_one_trip(staged: Staged) -> None:
    with staged.serving() as kg:
        staged.broken = {staged.v3}
        for _ in range(30):
            kg.observe(math.nan)
            staged.serve(kg)
        staged.serve_until(kg, lambda: kg.pick().version == staged.v2, "the flip")
        until(lambda: "left it on its own evidence" in " ".join(kg.troubles), "the report")
        assert "degraded" not in " ".join(kg.troubles)
        assert len(staged.steward.folder.journal().read().local) == 1


def test_the_next_version_is_never_left_by_itself_in_the_same_generation(staged: Staged) -> None:
    with staged.serving() as kg:
        staged.broken = {staged.v3}
        staged.serve_until(kg, lambda: kg.pick().version == staged.v2, "the flip")
        staged.broken = {staged.v3, staged.v2}
        staged.serve_until(kg, lambda: "degraded" in " ".join(kg.troubles), "the panic")
        assert kg.pick().version == staged.v2
        assert len(staged.steward.folder.journal().read().local) == 1


def test_late_errors_of_the_version_that_was_left_never_trip_the_next(staged: Staged) -> None:
    with staged.serving() as kg:
        late = [kg.request("rider") for _ in range(40)]
        for request in late:
            request.__enter__()
        staged.broken = {staged.v3}
        staged.serve_until(kg, lambda: kg.pick().version == staged.v2, "the flip")
        for request in late:
            request.__exit__(RuntimeError, RuntimeError("late"), None)
        until(lambda: staged.steward.counts(staged.v3).errors >= 40, "late errors")
        assert kg.pick().version == staged.v2
        assert "degraded" not in " ".join(kg.troubles)


def test_a_target_that_fails_its_golden_input_now_is_no_target(staged: Staged) -> None:
    with staged.serving() as kg:
        staged.answers = lambda _priced, _ride: 0.0
        staged.broken = {staged.v3}
        staged.serve_until(kg, lambda: "degraded" in " ".join(kg.troubles), "the panic")
        assert kg.pick().version == staged.v3
        staged.answers = Priced.price
        staged.serve_until(kg, lambda: kg.pick().version == staged.v2, "the flip, once the target works again")


def test_a_target_that_is_not_ready_in_every_worker_is_no_target(staged: Staged) -> None:
    folder = staged.steward.folder
    with staged.serving() as kg:
        descriptor = hold(folder.worker_lock("other"))
        assert descriptor is not None
        folder.write_worker(WorkerReport(worker="other", pid=1, ready=frozenset({staged.v3, staged.v1})))
        staged.broken = {staged.v3}
        staged.serve_until(kg, lambda: kg.pick().version != staged.v3, "the flip")
        assert kg.pick().version == staged.v1
        os.close(descriptor)


def test_callers_mistakes_trip_nothing(staged: Staged) -> None:
    class NotFoundHereError(Exception):
        status_code = 404

    with staged.serving() as kg:
        for _ in range(100):
            with pytest.raises(NotFoundHereError), kg.request("rider"):
                raise NotFoundHereError
        counts = until(lambda: (c := staged.steward.counts(staged.v3)).requests == 100 and c, "counts")
        assert (counts.errors, counts.client_errors) == (0, 100)
        assert kg.pick().version == staged.v3


def test_a_new_generation_starts_without_old_evidence(staged: Staged) -> None:
    staged.steward.settle({})
    with staged.serving() as kg:
        staged.broken = {staged.v3}
        staged.serve(kg, 50)
        staged.broken = set()
        staged.steward.settle(GRANTED)
        staged.steward.accept(staged.v3, staged.v2)
        until(lambda: kg._engine.serving().router.state.fleet.generation == 2, "generation 2")
        staged.serve(kg, 5)
        until(lambda: staged.steward.counts(staged.v3).requests >= 55, "counts")
        assert kg.pick().version == staged.v3


@pytest.mark.requirement("G1")
def test_a_trip_that_the_disk_refuses_is_in_force_all_the_same_and_made_durable_later(staged: Staged) -> None:
    journal = staged.steward.folder.journal_file
    with staged.serving() as kg:
        journal.mkdir()
        staged.broken = {staged.v3}
        staged.serve_until(kg, lambda: kg.pick().version == staged.v2, "the flip")
        until(lambda: "not durable" in " ".join(kg.troubles), "the trouble")
        journal.rmdir()
        until(lambda: staged.steward.folder.journal().read().local, "the journal")
        until(lambda: "not durable" not in " ".join(kg.troubles), "the end of the trouble")


@pytest.mark.requirement("G1")
def test_from_the_fault_to_the_last_failure_it_takes_a_moment(staged: Staged) -> None:
    """A thousand requests a second; generous here, measured in the benchmarks."""
    with staged.serving() as kg:
        pause = threading.Event()
        for _ in range(300):
            staged.serve(kg)
            pause.wait(0.001)
        staged.broken = {staged.v3}
        began = time.monotonic()
        failed = 0
        while kg.pick().version == staged.v3:
            staged.serve(kg)
            failed += 1
            pause.wait(0.001)
            assert time.monotonic() - began < 5
        assert failed >= 10


def slot(answered: float, *, golden: bool = True) -> Slot:
    lines = (GoldenLine(number=1, input=1.0, output=1.0),) if golden else ()
    return Slot(version="v1", value=answered, headers=(), golden=lines)


def test_a_probe_is_one_golden_input_in_time() -> None:
    prober = Prober()
    prober.probe(slot(1.0), lambda value, _input: value)
    with pytest.raises(NotReadyError, match="fails too: golden line 1"):
        prober.probe(slot(2.0), lambda value, _input: value)
    with pytest.raises(NotReadyError, match="no golden input"):
        prober.probe(slot(1.0, golden=False), lambda value, _input: value)
    with pytest.raises(NotReadyError, match="no golden input"):
        prober.probe(slot(1.0), None)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), ValueError("bad")])
def test_a_target_that_wants_to_end_the_program_fails_too(error: BaseException) -> None:
    def answer(_value: Any, _input: Any) -> Any:
        raise error

    with pytest.raises(NotReadyError, match=f"fails too: .*{type(error).__name__}"):
        Prober().probe(slot(1.0), answer)


def test_a_probe_that_hangs_is_given_up_and_no_other_is_begun_before_it_ends() -> None:
    hang = threading.Event()
    prober, began = Prober(), time.monotonic()
    asked: list[int] = []

    def answer(value: Any, _input: Any) -> Any:
        asked.append(1)
        return hang.wait(30) and value

    with pytest.raises(NotReadyError, match="did not answer a golden input within"):
        prober.probe(slot(1.0), answer, seconds=0.05)
    for _ in range(5):
        with pytest.raises(NotReadyError, match="has not answered the golden input that it was asked before"):
            prober.probe(slot(1.0), answer)
    assert time.monotonic() - began < 5
    hang.set()

    def answers_again() -> bool:
        with contextlib.suppress(NotReadyError):
            prober.probe(slot(1.0), answer)
            return True
        return False

    until(answers_again, "the thread that hung to end")
    assert len(asked) == 2


def test_what_a_worker_only_reports_is_in_the_report_of_its_agent(staged: Staged) -> None:
    staged.steward.settle({})
    crew = Crew(staged.steward.folder)
    with staged.serving() as kg:
        staged.broken = {staged.v3}
        staged.serve_until(
            kg, lambda: crew.look() and "only reported" in " ".join(crew.warnings), "the agent's warning"
        )
