"""The clock of this machine keeps the promises of the port."""

from datetime import UTC, timedelta

from knowngood.adapters.clock import SystemClock
from knowngood.ports.clock import Clock


def test_it_dates_in_utc() -> None:
    clock: Clock = SystemClock()
    assert clock.now().tzinfo is UTC


def test_a_pause_lasts_as_long_as_was_asked() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    clock.pause(timedelta(milliseconds=30))
    assert clock.monotonic() - before >= 0.03


def test_a_pause_of_nothing_returns_at_once() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    clock.pause(timedelta(hours=-1))
    clock.pause(timedelta())
    assert clock.monotonic() - before < 5
