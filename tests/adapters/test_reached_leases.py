"""Leases in a store that is away are refused at once, and whoever finds it away there tells all others."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from threading import Event

import pytest

from knowngood.adapters.reach import Reach
from knowngood.adapters.reached_leases import ReachedLeases
from knowngood.ports.lease import Leases
from knowngood.testing.contracts.lease import LeasesContract
from knowngood.testing.memory import MemoryClock
from knowngood.testing.memory_leases import MemoryLeases
from knowngood_sdk.errors import TransientError

pytestmark = pytest.mark.requirement("G2")

MINUTE = timedelta(minutes=1)
CALLS: dict[str, Callable[[Leases], object]] = {
    "claim": lambda leases: leases.claim("deploy:pricing", "a", MINUTE),
    "renew": lambda leases: leases.renew(["deploy:pricing"], "a", MINUTE),
    "release": lambda leases: leases.release("deploy:pricing", "a"),
    "held": lambda leases: leases.held(),
}


@pytest.fixture
def reach() -> Iterator[Reach]:
    over = Event()
    yield Reach("the store", lambda: over.wait(20))
    over.set()


class TestReachedLeases(LeasesContract):
    @pytest.fixture
    def clock(self) -> MemoryClock:
        return MemoryClock()

    @pytest.fixture
    def leases(self, clock: MemoryClock, reach: Reach) -> Leases:
        return ReachedLeases(MemoryLeases(clock), reach)

    @pytest.fixture
    def pass_time(self, clock: MemoryClock) -> Callable[[timedelta], None]:
        return clock.pause


@pytest.mark.parametrize("call", CALLS)
def test_what_is_known_to_be_away_is_not_asked(reach: Reach, call: str) -> None:
    leases = ReachedLeases(MemoryLeases(MemoryClock()), reach)
    reach.lost(TransientError("no answer came"))
    with pytest.raises(TransientError, match="no answer came"):
        CALLS[call](leases)


@pytest.mark.parametrize("call", CALLS)
def test_who_waits_in_vain_tells_all_others(reach: Reach, call: str) -> None:
    kept = MemoryLeases(MemoryClock())
    kept.away = True
    with pytest.raises(TransientError, match="cannot be reached"):
        CALLS[call](ReachedLeases(kept, reach))
    assert reach.gone


def test_a_row_that_somebody_has_locked_is_no_outage(reach: Reach) -> None:
    class Locked(MemoryLeases):
        def release(self, name: str, holder: str) -> None:
            raise TransientError(f"{name} of {holder} is locked", locked=True)

    with pytest.raises(TransientError, match="is locked"):
        ReachedLeases(Locked(MemoryClock()), reach).release("deploy:pricing", "a")
    assert not reach.gone
