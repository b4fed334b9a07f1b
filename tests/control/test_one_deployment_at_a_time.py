"""Among all processes of a control plane one deployment of a system is under way; who waits is told for what."""

from datetime import timedelta
from typing import Any

import pytest

from knowngood.control.exclusive import ExclusiveDeployments, let_go
from knowngood.testing.memory_leases import MemoryLeases
from knowngood_sdk.errors import ConflictError

TTL = timedelta(seconds=15)


def test_the_next_one_is_told_who_deploys_since_when_and_when_it_is_free(incident: Any) -> None:
    clock = incident.clock
    leases = MemoryLeases(clock)
    since = clock.now().isoformat(timespec="seconds")
    with ExclusiveDeployments(leases, "host-1-4711-ab", clock.now, TTL)("pricing"):
        clock.pause(timedelta(seconds=3))
        other = ExclusiveDeployments(leases, "host-2-99-cd", clock.now, TTL)
        with pytest.raises(ConflictError) as caught, other("pricing"):
            pass
    assert f"process host-1-4711-ab carries it out since {since}" in caught.value.message
    assert "it is free in 12 s" in caught.value.message


def test_what_a_process_of_an_older_program_holds_is_told_all_the_same(incident: Any) -> None:
    leases = MemoryLeases(incident.clock)
    assert leases.claim("deploy:pricing", "host-1-4711-ab/12345678", TTL)
    other = ExclusiveDeployments(leases, "host-2-99-cd", incident.clock.now, TTL)
    with (
        pytest.raises(ConflictError, match=r"process host-1-4711-ab carries it out; if .* free in 15 s"),
        other("pricing"),
    ):
        pass


def test_deployments_of_a_process_that_ended_hold_up_nobody_and_those_of_others_stay(incident: Any) -> None:
    leases = MemoryLeases(incident.clock)
    for system, holder in (("pricing", "host-1/at/1"), ("surge", "host-12/at/2")):
        assert leases.claim(f"deploy:{system}", holder, TTL)
    let_go(leases, "host-1")
    assert set(leases.held()) == {"deploy:surge"}
