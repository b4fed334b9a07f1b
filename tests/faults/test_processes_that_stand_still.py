"""A process that stood still until it was replaced, and then goes on, changes nothing any more."""

import signal

import pytest

from tests.acceptance.stage import Started
from tests.faults.team import Team

pytestmark = [pytest.mark.requirement("A1", "B2", "G2"), pytest.mark.slow]


def over_despite_a_lock(team: Team, bad: str, frozen: Started, heir: Started) -> bool:
    """
    Tell whether the rollback is over; let the frozen one breathe where it froze with the lock of the file.

    On SQLite a process that stands still inside a write keeps every other writer out until it goes on or is killed;
    another of its threads may have been at one.
    """
    if "is locked" in heir.text and not team.is_over(bad):
        frozen.signal(signal.SIGCONT)
        frozen.signal(signal.SIGSTOP)
    return team.is_over(bad)


@pytest.mark.parametrize("point", ["saga.dependents", "saga.quarantine.before", "flip.pushed"])
def test_what_it_writes_after_it_was_replaced_is_refused(team: Team, point: str) -> None:
    good = team.plane.store.read("pricing").served
    assert good is not None
    frozen = team.server(f"{point}:SIGSTOP", "--lease", "1.5")
    bad = team.deploy(unwell=True)
    team.seconds_until(lambda: frozen.stopped, f"it to stand still at {point}", frozen)
    heir = team.server("", "--lease", "1.5")
    team.seconds_until(lambda: over_despite_a_lock(team, bad, frozen, heir), "the heir to complete the rollback", heir)
    before = team.plane.store.head("pricing")
    frozen.signal(signal.SIGCONT)
    team.seconds_until(lambda: "has changed hands" in frozen.text, "what it writes to be refused", frozen)
    team.seconds_until(lambda: len(team.leases()) == 2, "it to live on beside its heir", frozen)
    assert team.plane.store.head("pricing") == before
    team.assert_left_once(bad, good)
