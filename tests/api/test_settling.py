"""A server that has settled does not look through what it loaded again, and collects what becomes garbage."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from knowngood.api.serving import settle


class Ring:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def put_back() -> Iterator[None]:
    before = gc.get_threshold()
    gc.unfreeze()  # what ran before in this process may have settled too
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


@pytest.mark.usefixtures("put_back")
def test_what_is_loaded_is_passed_over_and_what_comes_after_is_not() -> None:
    assert gc.get_freeze_count() == 0
    settle()
    assert gc.get_freeze_count() > 10_000
    gone = weakref.ref(Ring())
    assert gone() is not None, "only a collection finds out that nobody has it"
    for _ in range(500_000):
        if gone() is None:
            break
        _KEPT.append([])
    _KEPT.clear()
    assert gone() is None, "it was collected by itself"


_KEPT: list[list[object]] = []
