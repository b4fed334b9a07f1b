"""
The contracts of the Leases port, and of a store that goes by it.

An adapter's test is a subclass with one fixture::

    class TestMyLeases(LeasesContract):
        @pytest.fixture
        def leases(self) -> Leases: ...

    class TestMyFencedStore(FencedStoreContract):
        @pytest.fixture
        def shared(self) -> Shared: ...
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from threading import Event

import pytest

from knowngood.domain.ledger import EMPTY
from knowngood.ports.lease import Held, Leases
from knowngood.ports.store import Store
from knowngood.testing.contracts.store import SYSTEM, one_more
from knowngood_sdk.errors import ConflictError

__all__ = ["FencedStoreContract", "LeasesContract", "Shared"]

_LONG = timedelta(minutes=5)
_SHORT = timedelta(milliseconds=100)
_NAME = "watch:pricing"


class LeasesContract:
    """Every promise of ports/lease.py, tried on real leases."""

    @pytest.fixture
    def leases(self) -> Leases:
        """Give the leases under test; a subclass does."""
        raise pytest.UsageError("a subclass of LeasesContract gives the fixture leases")

    @pytest.fixture
    def pass_time(self) -> Callable[[timedelta], None]:
        """Let time pass by the clock of the leases; one that is turned by hand overrides it."""
        return _really_wait

    def test_a_lease_that_nobody_holds_is_taken(self, leases: Leases) -> None:
        held = leases.claim(_NAME, "a", _LONG)
        assert held is not None
        assert (held.name, held.holder, held.fence) == (_NAME, "a", 1)
        assert timedelta() < held.expires_in <= _LONG

    def test_somebody_elses_lease_cannot_be_taken(self, leases: Leases) -> None:
        _claimed(leases, "a")
        assert leases.claim(_NAME, "b", _LONG) is None
        assert leases.held()[_NAME].holder == "a"

    def test_renewing_keeps_the_fence_and_gives_more_time(
        self, leases: Leases, pass_time: Callable[[timedelta], None]
    ) -> None:
        first = _claimed(leases, "a", _SHORT)
        assert _claimed(leases, "a").fence == first.fence
        pass_time(_SHORT * 2)
        assert leases.claim(_NAME, "b", _LONG) is None

    def test_many_are_renewed_at_once_and_none_is_taken_by_that(self, leases: Leases) -> None:
        mine = {name: leases.claim(name, "a", _LONG) for name in ("watch:fraud", "watch:pricing", "watch:ranking")}
        leases.release("watch:ranking", "a")
        leases.claim("watch:spam", "b", _LONG)
        renewed = leases.renew([*mine, "watch:spam", "watch:new"], "a", 2 * _LONG)
        assert {name: held.fence for name, held in renewed.items()} == {"watch:fraud": 1, "watch:pricing": 1}
        left = {name: held.expires_in for name, held in leases.held().items()}
        assert left.keys() == {"watch:fraud", "watch:pricing", "watch:spam"}
        assert min(left["watch:fraud"], left["watch:pricing"]) > _LONG >= left["watch:spam"]
        assert leases.renew([], "a", _LONG) == {}

    def test_a_lease_that_is_over_changes_hands_and_its_fence_rises(
        self, leases: Leases, pass_time: Callable[[timedelta], None]
    ) -> None:
        first = _claimed(leases, "a", _SHORT)
        pass_time(_SHORT * 2)
        second = _claimed(leases, "b")
        assert second.fence > first.fence
        assert leases.claim(_NAME, "a", _LONG) is None

    def test_one_that_is_over_and_that_nobody_took_is_renewed_with_the_same_fence(
        self, leases: Leases, pass_time: Callable[[timedelta], None]
    ) -> None:
        first = _claimed(leases, "a", _SHORT)
        pass_time(_SHORT * 2)
        assert _claimed(leases, "a").fence == first.fence

    def test_one_that_was_given_back_is_free_and_its_fence_goes_on_rising(self, leases: Leases) -> None:
        first = _claimed(leases, "a")
        leases.release(_NAME, "a")
        assert leases.held() == {}
        second = _claimed(leases, "b")
        leases.release(_NAME, "b")
        leases.release(_NAME, "b")
        assert first.fence < second.fence < _claimed(leases, "a").fence

    def test_nobody_gives_back_what_is_somebody_elses(self, leases: Leases) -> None:
        _claimed(leases, "a")
        leases.release(_NAME, "b")
        leases.release("watch:fraud", "b")
        assert leases.held()[_NAME].holder == "a"

    def test_all_are_listed_also_those_that_are_over(
        self, leases: Leases, pass_time: Callable[[timedelta], None]
    ) -> None:
        leases.claim("worker:1", "a", _SHORT)
        leases.claim("worker:2", "b", _LONG)
        leases.claim("Worker:3", "c", _LONG)
        leases.claim("watch:pricing", "b", _LONG)
        pass_time(_SHORT * 2)
        assert set(leases.held()) == {"worker:1", "worker:2", "Worker:3", "watch:pricing"}
        workers = leases.held("worker:")
        assert {name: (held.holder, held.fence) for name, held in workers.items()} == {
            "worker:1": ("a", 1),
            "worker:2": ("b", 1),
        }
        assert workers["worker:1"].expires_in <= timedelta()
        assert timedelta() < workers["worker:2"].expires_in <= _LONG

    def test_of_many_who_claim_at_once_one_is_given_it(self, leases: Leases) -> None:
        with ThreadPoolExecutor(8) as pool:
            claimed = list(pool.map(lambda n: leases.claim(_NAME, f"holder-{n}", _LONG), range(16)))
        (winner,) = [held for held in claimed if held is not None]
        assert leases.held()[_NAME].holder == winner.holder


@dataclass(frozen=True)
class Shared:
    """A store, and the leases that it goes by."""

    store: Store
    leases: Leases


class FencedStoreContract:
    """What ports/store.py promises of ``fenced``."""

    @pytest.fixture
    def shared(self) -> Iterator[Shared]:
        """Give the store and the leases under test; a subclass does."""
        raise pytest.UsageError("a subclass of FencedStoreContract gives the fixture shared")

    @pytest.fixture
    def store(self, shared: Shared) -> Store:
        """Give the store, with one system applied."""
        with shared.store.change(SYSTEM) as change:
            change.save_system({"system": SYSTEM})
        return shared.store

    def test_the_holder_of_a_lease_may_change_what_is_on_record(self, shared: Shared, store: Store) -> None:
        fenced = store.fenced(_claimed(shared.leases, "a"))
        for number in (1, 2):
            with fenced.change(SYSTEM) as change:
                assert one_more(change) == number
            _claimed(shared.leases, "a")
        assert fenced.head(SYSTEM) == store.head(SYSTEM) != EMPTY
        assert fenced.systems() == (SYSTEM,)

    def test_who_was_replaced_comes_too_late(self, shared: Shared, store: Store) -> None:
        fenced = store.fenced(_claimed(shared.leases, "a"))
        _hand_over(shared.leases, "a", "b")
        with pytest.raises(ConflictError, match="watch:pricing has changed hands"), fenced.change(SYSTEM):
            pytest.fail("another process is in charge")
        assert store.head(SYSTEM) == EMPTY

    def test_who_gave_a_lease_back_and_took_it_anew_writes_with_the_new_fence_alone(
        self, shared: Shared, store: Store
    ) -> None:
        before = _claimed(shared.leases, "a")
        _hand_over(shared.leases, "a", "a")
        after = _claimed(shared.leases, "a")
        with pytest.raises(ConflictError, match="changed hands"), store.fenced(before).change(SYSTEM):
            pytest.fail("the lease was taken anew")
        with store.fenced(after).change(SYSTEM) as change:
            one_more(change)
        assert store.head(SYSTEM).length == 1

    def test_a_lease_that_was_given_back_or_never_taken_is_nobodys(self, shared: Shared, store: Store) -> None:
        held = _claimed(shared.leases, "a")
        shared.leases.release(_NAME, "a")
        for late in (held, replace(held, name="watch:fraud")):
            with pytest.raises(ConflictError, match="changed hands"), store.fenced(late).change(SYSTEM):
                pytest.fail("nobody is in charge")
        assert store.head(SYSTEM) == EMPTY


def _claimed(leases: Leases, holder: str, ttl: timedelta = _LONG) -> Held:
    held = leases.claim(_NAME, holder, ttl)
    assert held is not None
    return held


def _hand_over(leases: Leases, before: str, after: str) -> None:
    leases.release(_NAME, before)
    _claimed(leases, after)


def _really_wait(time: timedelta) -> None:
    Event().wait(time.total_seconds())
