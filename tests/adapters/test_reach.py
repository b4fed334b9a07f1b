"""Whether something can be reached is found out by one for all, and of what stands in one place at once."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from threading import Event, Thread

import pytest

from knowngood.adapters.reach import Reach
from knowngood.testing.replica import until
from knowngood_sdk.errors import PermanentError, TransientError

pytestmark = pytest.mark.requirement("G2")

SILENT = TransientError("no answer came", hint="Look whether it runs")


class Place:
    """Something outside: it keeps who looks at it waiting until it is told what to answer."""

    def __init__(self, what: str) -> None:
        self.reach = Reach(what, self._look, every=timedelta(milliseconds=5))
        self.answers: Exception | None = None
        self.looks = 0
        self.answering = Event()

    def _look(self) -> None:
        self.looks += 1
        assert self.answering.wait(20)
        if self.answers is not None:
            raise self.answers

    def answer(self, error: Exception | None = None) -> None:
        self.answers = error
        self.answering.set()

    @property
    def refuses(self) -> bool:
        return refused(self.reach.check)


def refused(check: Callable[[], None]) -> bool:
    try:
        check()
    except TransientError:
        return True
    return False


@pytest.fixture
def store() -> Iterator[Place]:
    place = Place("the store")
    yield place
    place.reach.close()
    place.answering.set()


@pytest.fixture
def runs(store: Place) -> Iterator[Place]:
    place = Place("the store of runs")
    store.reach.beside(place.reach)
    yield place
    place.reach.close()
    place.answering.set()


def test_nothing_is_refused_before_anybody_waited_in_vain(store: Place) -> None:
    store.reach.check()
    assert (store.reach.gone, store.reach.presumed, store.looks) == (False, False, 0)


def test_what_was_waited_for_in_vain_is_refused_until_it_is_back(store: Place) -> None:
    store.reach.lost(SILENT)
    assert (store.reach.gone, store.reach.presumed) == (True, False)
    with pytest.raises(TransientError, match="no answer came") as refusal:
        store.reach.check()
    assert refusal.value.hint == "Look whether it runs"
    store.answer(SILENT)
    until(lambda: store.looks > 3, "it to be looked for again and again")
    assert store.reach.gone
    store.answer()
    until(lambda: not store.reach.gone, "it to be found back")
    store.reach.check()


def test_a_doubt_refuses_nobody(store: Place) -> None:
    store.reach.doubted()
    until(lambda: store.looks == 1, "somebody to look")
    assert (store.reach.gone, store.reach.presumed, store.refuses) == (False, False, False)


def test_a_doubt_that_comes_true_is_an_outage(store: Place) -> None:
    store.reach.doubted()
    store.answer(SILENT)
    until(lambda: store.reach.gone, "it to be found gone")
    assert store.refuses


def test_what_answers_with_trouble_is_there(store: Place) -> None:
    store.reach.lost(SILENT)
    store.answer(PermanentError("it is damaged"))
    until(lambda: not store.reach.gone, "it to be found back")


def test_where_one_is_gone_nobody_waits_for_the_other_in_vain(store: Place, runs: Place) -> None:
    runs.reach.lost(SILENT)
    assert (store.reach.gone, store.reach.presumed) == (False, True), "nobody asked it yet"
    with pytest.raises(TransientError, match="the store stands where the store of runs does, which is away: no answer"):
        store.reach.check()
    assert store.looks == 1, "and that is found out at once"


def test_what_answers_for_itself_is_not_gone_with_the_other(store: Place, runs: Place) -> None:
    store.answer()
    runs.reach.lost(SILENT)
    until(lambda: not store.reach.presumed, "it to answer")
    store.reach.check()
    runs.answer(SILENT)
    until(lambda: runs.looks > 3, "the other to be looked for again and again")
    assert runs.reach.gone
    assert (store.looks, store.reach.presumed) == (1, False), "an outage is told once, not at every look"


def test_what_is_found_gone_with_the_other_comes_back_by_itself(store: Place, runs: Place) -> None:
    runs.reach.lost(SILENT)
    store.answer(SILENT)
    until(lambda: store.reach.gone, "it to be found gone too")
    runs.answer()
    until(lambda: not runs.reach.gone, "the other to be back")
    assert store.reach.gone
    store.answer()
    until(lambda: not store.reach.gone, "it to be back")
    assert not store.refuses


def test_a_doubt_that_comes_true_is_told_to_what_stands_beside_it(store: Place, runs: Place) -> None:
    store.reach.doubted()
    assert not runs.refuses
    store.answer(SILENT)
    until(lambda: runs.refuses, "the other to be taken for gone")


def test_what_is_closed_is_presumed_nothing_of(store: Place, runs: Place) -> None:
    runs.reach.close()
    store.reach.lost(SILENT)
    assert not runs.refuses
    assert runs.looks == 0


@pytest.mark.parametrize(
    "trouble", [PermanentError("the disk image is malformed"), ZeroDivisionError("a mistake of ours")]
)
def test_a_look_that_fails_for_another_reason_leaves_no_doubt_behind(store: Place, trouble: Exception) -> None:
    for looks in (1, 2):
        store.answering.clear()
        store.reach.lost(SILENT)
        assert store.refuses
        store.answer(trouble)
        until(lambda: not store.refuses, "it to be asked again")
        assert (store.reach.gone, store.looks) == (False, looks)


def test_where_nobody_can_look_nothing_is_taken_for_gone() -> None:
    no_more_threads, looks = Event(), []

    class Refused(Thread):
        def start(self) -> None:
            if no_more_threads.is_set():
                raise RuntimeError("can't start new thread")
            super().start()

    def look() -> None:
        looks.append(1)
        raise SILENT

    store = Reach("the store", look, every=timedelta(milliseconds=5), threads=Refused)
    no_more_threads.set()
    store.lost(SILENT)
    assert not refused(store.check), "nobody would ever find it back"
    no_more_threads.clear()
    store.lost(SILENT)
    assert refused(store.check)
    until(lambda: len(looks) > 1, "it to be looked for")
    store.close()
