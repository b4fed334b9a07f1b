"""A bad version is left whatever bytes its reason has, and once it is left, no hint makes the good one be left."""

import itertools
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.acceptance.control import Control, start_control
from tests.acceptance.pricing import Pricing
from tests.acceptance.stage import Started, until

NUMBERS = itertools.count(2)
LATIN_1 = "zur\udcfcck"
"""What Python makes of ``zurück`` from a terminal that sends Latin-1."""

pytestmark = [pytest.mark.requirement("G1"), pytest.mark.slow]


@contextmanager
def asking_a_server(pricing: Pricing) -> Iterator[Control]:
    """Let commands ask a server of the folder while the block runs."""
    with start_control(pricing.stage, env={"KNOWNGOOD_GRACE_SECONDS": "1"}) as control:
        pricing.stage.client.update(control.client)
        try:
            yield control
        finally:
            pricing.stage.client.clear()


def newest_trip(pricing: Pricing) -> tuple[str, str]:
    """Source and reason of what was left last, once it is on record."""
    body = pricing.ledger("tripped")[-1]["body"]
    return body["source"], body["why"]


def left_and_waiting(pricing: Pricing) -> Started:
    """A rollback that left the version and waits for its verification, which nobody's requests bring about."""
    rollback = pricing.stage.start_kg("rollback", "pricing")
    until(lambda: "verifying" in rollback.text or not rollback.running, "the verification to begin")
    assert "2/2 left" in rollback.text
    return rollback


def completed(pricing: Pricing, bad: str) -> bool:
    """Whether the rollback that left a version is over, and well."""
    found = pricing.rollback_of(bad)
    return found is not None and found["state"] == "done"


def test_a_rollback_whose_reason_is_in_another_encoding_leaves_and_is_on_record(pricing: Pricing) -> None:
    good = pricing.served()
    pricing.deploy(next(NUMBERS), "--intent", LATIN_1)
    with pricing.load():
        done = pricing.stage.kg("rollback", "pricing", "--why", LATIN_1)
    assert done.code == 0, done.err
    assert "could not be kept" not in done.err
    assert pricing.served() == good
    assert newest_trip(pricing) == ("person", "zur\ufffdck")


def test_the_glass_breaks_in_spite_of_every_setting_and_who_broke_it_is_on_record(pricing: Pricing) -> None:
    good = pricing.served()
    bad = pricing.deploy(next(NUMBERS))
    wrong = {"KNOWNGOOD_URL": "127.0.0.1:8400", "KNOWNGOOD_TOKEN_FILE": "gone", "KNOWNGOOD_ACTOR": "m\udcfcller"}
    done = pricing.stage.kg("rollback", "pricing", "--break-glass", "--why", "bad \udcff byte", env=wrong)
    assert done.code == 0, done.err
    assert "⚠ there is no token file gone\n" in done.err
    assert "2/2 left" in done.out
    assert pricing.served() == good
    with pricing.load():
        assert pricing.kg("rollback", "pricing")["version"] == bad
    assert newest_trip(pricing) == ("break-glass", "bad \ufffd byte (m\ufffdller)")


def test_a_server_takes_a_reason_in_another_encoding_and_says_who_broke_the_glass(pricing: Pricing) -> None:
    good = pricing.served()
    with asking_a_server(pricing):
        bad = pricing.deploy(next(NUMBERS))
        assert pricing.kg("rollback", "pricing", "--break-glass", "--why", LATIN_1)["left"] == ["r1", "r2"]
        assert pricing.served() == good
        with pricing.load():
            until(lambda: completed(pricing, bad), "the rollback to be completed")
    assert newest_trip(pricing) == ("break-glass", "zur\ufffdck (ann)")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_that_is_lost_after_the_version_was_left_is_no_reason_to_leave_again(
    pricing: Pricing, number: signal.Signals
) -> None:
    good = pricing.served()
    with asking_a_server(pricing) as control:
        bad = pricing.deploy(next(NUMBERS))
        rollback = left_and_waiting(pricing)
        control.process.signal(number)
        assert rollback.wait() == 7, rollback.text
        control.process.wait()
    assert "The version was left; its verification goes on when a server runs again: kg status pricing" in rollback.text
    assert "on a host that has replicas: env -u KNOWNGOOD_URL kg status pricing" in rollback.text
    assert "--break-glass" not in rollback.text
    assert "given up" not in rollback.text
    assert pricing.served() == good
    with asking_a_server(pricing), pricing.load():
        until(lambda: completed(pricing, bad), "the rollback to go on")
    assert pricing.served() == good


def test_a_server_that_is_lost_before_anything_was_left_is(pricing: Pricing) -> None:
    with asking_a_server(pricing) as control:
        bad = pricing.deploy(next(NUMBERS))
        control.process.signal(signal.SIGSTOP)
        rollback = pricing.stage.start_kg("rollback", "pricing")
        until(lambda: control.process.stopped, "the server to stand still")
        control.process.end()
        assert rollback.wait() in {1, 7}, rollback.text
    assert "kg rollback pricing --break-glass" in rollback.text
    assert "The version was left" not in rollback.text
    assert pricing.served() == bad
    with pricing.load():
        assert pricing.kg("rollback", "pricing")["version"] == bad
