"""The file with the report follows an answer within a moment, and waits for nothing else."""

import pytest

from knowngood_sdk.agent.saying import Saying, Says
from knowngood_sdk.model.wire import WorkerReport

WORKER = {"w1": WorkerReport(worker="w1", pid=1)}
BEFORE, AFTER = Says(WORKER, ("v2",)), Says(WORKER, ("v1",))


@pytest.fixture
def saying() -> Saying:
    saying = Saying()
    assert saying.is_due(BEFORE, 100.0)
    return saying


def test_what_is_new_is_due_at_once_and_what_is_not_after_a_second(saying: Saying) -> None:
    assert not saying.is_due(BEFORE, 100.9)
    assert saying.is_due(BEFORE, 101.0)
    assert saying.is_due(AFTER, 101.1)


def test_what_was_answered_is_due_a_moment_later(saying: Saying) -> None:
    saying.answered(AFTER, 100.2)
    assert not saying.is_due(AFTER, 100.25)
    assert saying.is_due(AFTER, 100.31)
    assert not saying.is_due(AFTER, 100.4), "it is filed"


def test_what_is_new_beside_what_was_answered_is_due_at_once(saying: Saying) -> None:
    saying.answered(AFTER, 100.2)
    assert saying.is_due(Says(WORKER, ("v1", "a worker left it too")), 100.21)


def test_answers_without_pause_do_not_put_the_file_off_for_longer_than_a_second(saying: Saying) -> None:
    answers = [100.05 + 0.05 * number for number in range(30)]
    filed = []
    for now in answers:
        saying.answered(AFTER, now)
        filed += [now] if saying.is_due(AFTER, now) else []
    assert filed[:1] == pytest.approx([101.0], abs=0.06)


def test_other_workers_are_filed_at_once(saying: Saying) -> None:
    others = Says({"w2": WorkerReport(worker="w2", pid=2)}, ("v1",))
    saying.answered(others, 100.2)
    assert saying.is_due(others, 100.2)


def test_before_anything_is_filed_an_answer_puts_nothing_off() -> None:
    saying = Saying()
    saying.answered(BEFORE, 100.0)
    assert saying.is_due(BEFORE, 100.0)
