"""The standby answers for a failed call once, in time, unmixed, and for a fifth of the requests at most."""

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from knowngood_sdk.serving.rescue import RescueBudget
from knowngood_sdk.serving.system import System
from tests.sdk.serving.steward import Priced, Steward, until


class Budgeted:
    def __init__(self) -> None:
        self.requests = 0
        self.budget = RescueBudget(lambda: self.requests)


@pytest.mark.parametrize(("requests", "rescued"), [(0, 2), (10, 2), (20, 4), (100, 20), (1_000, 200), (50_000, 200)])
def test_a_budget_is_a_fifth_and_two_to_start_with(requests: int, rescued: int) -> None:
    budgeted = Budgeted()
    budgeted.requests = requests
    assert sum(budgeted.budget.take() for _ in range(500)) == rescued


@pytest.mark.parametrize("failing_from", [0, 100, 5_000])
def test_never_more_than_a_fifth_of_the_last_thousand(failing_from: int) -> None:
    budgeted = Budgeted()
    budgeted.requests = failing_from
    taken = []
    for number in range(5_000):
        if budgeted.budget.take():
            taken.append(number)
        budgeted.requests += 1
    for first in range(0, 4_000, 50):
        assert sum(first <= number < first + 1_000 for number in taken) <= 200
    assert len(taken) >= 900


def test_threads_share_one_budget() -> None:
    budgeted = Budgeted()
    budgeted.requests = 1_000
    taken: list[bool] = []
    threads = [
        threading.Thread(target=lambda: taken.extend(budgeted.budget.take() for _ in range(100))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == 200


class Staged:
    """Version two serves and version one stands by."""

    def __init__(self, kg: System, steward: Steward, bad: str, good: str) -> None:
        self.kg, self.steward, self.bad, self.good = kg, steward, bad, good
        self.asked: list[str] = []

    def work(self, priced: Priced) -> float:
        """Fail on the bad version."""
        self.asked.append(priced.version)
        if priced.version == self.bad:
            raise RuntimeError("bad")
        return priced.price(1.0)


@pytest.fixture
def staged(tmp_path: Path) -> Iterator[Staged]:
    steward = Steward(tmp_path)
    bad, good = steward.release(2.0), steward.release(1.0)
    steward.accept(bad, good)
    with steward.system() as kg:
        until(lambda: kg.ready and len(kg.loaded) == 2, "both slots")
        yield Staged(kg, steward, bad, good)


@pytest.mark.requirement("G1")
def test_a_failed_call_is_answered_by_the_standby_and_counted_against_the_version_that_failed(staged: Staged) -> None:
    assert staged.kg.call(staged.work, "rider") == 1.0
    assert staged.asked == [staged.bad, staged.good]
    counts = until(lambda: (c := staged.steward.counts(staged.bad)).requests and c, "counts")
    assert (counts.requests, counts.errors, counts.rescued) == (1, 1, 1)
    assert staged.steward.counts(staged.good).requests == 0


def test_work_that_is_awaited_is_rescued_too(staged: Staged) -> None:
    async def work(priced: Priced) -> float:
        await asyncio.sleep(0)
        return staged.work(priced)

    assert asyncio.run(staged.kg.acall(work, "rider")) == 1.0


def test_what_the_standby_cannot_do_either_is_told_as_it_first_was_and_is_no_evidence(staged: Staged) -> None:
    def work(priced: Priced) -> float:
        raise RuntimeError(priced.version)

    for _ in range(2):
        with pytest.raises(RuntimeError, match=staged.bad):
            staged.kg.call(work)
    counts = until(lambda: (c := staged.steward.counts(staged.bad)).requests == 2 and c, "counts")
    assert (counts.errors, counts.rescued) == (2, 0)
    assert [one.bad for one in staged.kg._engine.serving().counting.recent(staged.bad).errors._sums] == [0, 0, 0]


def test_a_callers_mistake_is_not_tried_again(tmp_path: Path) -> None:
    steward = Steward(tmp_path)
    version, standby = steward.release(2.0), steward.release(1.0)
    steward.accept(version, standby)
    asked: list[str] = []

    def work(priced: Priced) -> float:
        asked.append(priced.version)
        raise LookupError

    with steward.system(client_errors=(LookupError,)) as kg:
        until(lambda: kg.ready and len(kg.loaded) == 2, "both slots")
        with pytest.raises(LookupError):
            kg.call(work)
        counts = until(lambda: (c := steward.counts(version)).requests and c, "counts")
    assert asked == [version]
    assert (counts.errors, counts.client_errors) == (0, 1)


@pytest.mark.requirement("A1")
def test_a_request_that_has_used_its_version_is_not_rescued_for_the_answer_would_be_a_mixture(staged: Staged) -> None:
    def handle() -> None:
        with staged.kg.request("rider"):
            staged.kg.slot()
            staged.kg.call(staged.work)

    with pytest.raises(RuntimeError):
        handle()
    assert staged.asked == [staged.bad]


@pytest.mark.requirement("A1")
def test_after_a_rescue_the_rest_of_the_request_stays_with_the_standby(staged: Staged) -> None:
    with staged.kg.request("rider"):
        staged.kg.call(staged.work)
        assert staged.kg.version == staged.good
        assert staged.kg.slot().version == staged.good
        staged.kg.call(staged.work)
    assert staged.asked == [staged.bad, staged.good, staged.good]


def test_no_second_attempt_starts_after_the_deadline(staged: Staged) -> None:
    with pytest.raises(RuntimeError):
        staged.kg.call(staged.work, within_seconds=0.0)
    assert staged.asked == [staged.bad]


def test_a_second_attempt_that_is_awaited_is_given_up_when_the_time_is_over(staged: Staged) -> None:
    async def work(priced: Priced) -> float:
        if priced.version == staged.good:
            await asyncio.sleep(30)
        return staged.work(priced)

    began = time.monotonic()
    with pytest.raises(RuntimeError, match="bad"):
        asyncio.run(staged.kg.acall(work, within_seconds=0.3))
    assert time.monotonic() - began < 10
    counts = until(lambda: (c := staged.steward.counts(staged.bad)).requests and c, "counts")
    assert (counts.errors, counts.rescued) == (1, 0)


def test_a_second_attempt_that_is_awaited_has_the_time_that_is_left(staged: Staged) -> None:
    async def work(priced: Priced) -> float:
        await asyncio.sleep(0.01)
        return staged.work(priced)

    assert asyncio.run(staged.kg.acall(work, within_seconds=30)) == 1.0


def test_beyond_the_budget_a_failure_stays_a_failure(staged: Staged) -> None:
    failed = 0
    for _ in range(40):
        try:
            staged.kg.call(staged.work)
        except RuntimeError:
            failed += 1
    rescued = staged.asked.count(staged.good)
    # What was counted by then, which happens beside the requests, adds a fifth of it.
    assert 2 <= rescued <= 8
    assert failed == 40 - rescued
