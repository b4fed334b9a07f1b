"""Whatever a stranger's code raises, also what would end a program, costs a slot or a score and no thread of ours."""

import sys
from pathlib import Path
from typing import Any

import pytest

from knowngood_sdk.errors import NotReadyError
from knowngood_sdk.serving.golden import GoldenLine, check_golden
from knowngood_sdk.serving.system import System, Version
from tests.sdk.serving.steward import Priced, Steward, system, until

ENDING = [SystemExit("bad pickle"), KeyboardInterrupt(), GeneratorExit()]


@pytest.fixture
def steward(tmp_path: Path) -> Steward:
    return Steward(tmp_path)


def failed_and_others_loaded(kg: System, bad: str, good: str) -> str:
    """Wait until one version is on record as failed; the loader must go on with the next."""
    worker = kg._engine.serving()
    until(lambda: bad in worker.failed and good in kg.loaded, f"{kg.loaded}; {kg.troubles}")
    return worker.failed[bad]


@pytest.mark.parametrize("error", ENDING, ids=lambda error: type(error).__name__)
class TestEndings:
    def test_a_loader_that_would_end_the_program_makes_no_slot_and_the_next_is_loaded(
        self, steward: Steward, error: BaseException
    ) -> None:
        bad, good, later = steward.release(2.0), steward.release(1.0), steward.release(3.0)
        steward.accept(good)
        steward.publish(prepare=(bad, later))
        kg = system(steward.directory)

        @kg.loader
        def load(version: Version) -> Priced:
            if version.digest == bad:
                raise error
            return Priced(version)

        kg.start()
        try:
            assert type(error).__name__ in failed_and_others_loaded(kg, bad, later)
        finally:
            kg.close()

    def test_an_answer_that_would_end_the_program_makes_no_slot(self, steward: Steward, error: BaseException) -> None:
        bad, good = steward.release(2.0), steward.release(1.0)
        steward.accept(good)
        steward.publish(prepare=(bad,))
        kg = system(steward.directory)

        @kg.golden
        def answer(priced: Priced, ride: float) -> float:
            if priced.version == bad:
                raise error
            return priced.price(ride)

        kg.start()
        try:
            assert type(error).__name__ in failed_and_others_loaded(kg, bad, good)
        finally:
            kg.close()


def test_a_fallback_that_would_end_the_program_is_none(steward: Steward) -> None:
    kg = system(steward.directory)
    kg.fallback(lambda: sys.exit(3))
    try:
        assert kg.start(wait_seconds=10)
        with pytest.raises(NotReadyError, match="no static fallback"):
            kg.slot()
        assert "the static fallback raised SystemExit: 3" in " ".join(kg.troubles)
        assert [report.fallback for report in steward.reports.values()] == [False]
    finally:
        kg.close()


def test_who_interrupts_the_program_is_heard(steward: Steward) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    kg = system(steward.directory)
    kg.fallback(interrupted)
    with pytest.raises(KeyboardInterrupt):
        kg.start()
    with pytest.raises(KeyboardInterrupt):
        check_golden([GoldenLine(number=1, input=1, output=1)], interrupted, None)
