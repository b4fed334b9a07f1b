"""Nobody waits longer than was said for a call that hangs, and hanging calls do not pile up."""

from datetime import timedelta
from threading import Event, active_count

import pytest

from knowngood.adapters.bounded import Bounded
from knowngood.testing.replica import until
from knowngood_sdk.errors import TransientError

SHORT = timedelta(milliseconds=50)


def test_what_a_call_returns_or_raises_comes_back() -> None:
    bounded = Bounded("the store")
    assert bounded(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        bounded(lambda: 1 // 0)
    assert bounded(lambda: None) is None


def test_a_call_that_hangs_is_given_up_and_ends_by_itself() -> None:
    gate, ended = Event(), Event()
    bounded = Bounded("the store", SHORT)

    def hang() -> None:
        gate.wait()
        ended.set()

    with pytest.raises(TransientError, match=r"the store does not answer within 0\.05 s: no answer came"):
        bounded(hang)
    assert bounded(lambda: 7) == 7, "others go on"
    gate.set()
    until(ended.is_set, "the call to end")


def test_threads_are_used_again_and_those_that_hang_are_counted() -> None:
    gate = Event()
    bounded = Bounded("the store", SHORT)
    for _ in range(50):
        bounded(lambda: None)
    before = active_count()
    refused = []
    for _ in range(20):
        with pytest.raises(TransientError) as error:
            bounded(gate.wait)
        refused.append("earlier calls still wait" in str(error.value))
    assert any(refused), "the last ones were not even tried"
    assert active_count() - before <= 16
    gate.set()
    until(lambda: active_count() <= before, "the threads to end")
    assert bounded(lambda: 7) == 7
