"""A release lifts the acts that a person was shown, and no other (rule 18)."""

from typing import Any

import pytest

from knowngood.control.flip import record_trip
from knowngood.control.release_quarantine import acts_in_force, release_quarantine, shown_as
from knowngood.control.roll_back import Wish, roll_back
from knowngood.control.rollback import trip_of
from knowngood_sdk.errors import ConflictError


@pytest.fixture
def left(incident: Any) -> str:
    """Version 2 was left by a person, once."""
    version: str = incident.store.read("pricing").served
    roll_back(incident.plane, "pricing", Wish(actor="ada", why="prices too high"))
    return version


def another_act(incident: Any, version: str) -> None:
    trip = trip_of(incident.plane, "pricing", version, source="break-glass", why="leaks too")
    record_trip(incident.plane, "pricing", trip, "bob")


def release(incident: Any, version: str, shown: str | None) -> Any:
    return release_quarantine(
        incident.plane, "pricing", version, shown=shown, reason="false alarm: holiday", actor="ada"
    )


def test_one_act_alone_is_released_by_the_name_of_the_version(incident: Any, left: str) -> None:
    assert [act.why for act in release(incident, left, None).acts] == ["prices too high"]
    assert incident.store.read("pricing").facts.quarantined == frozenset()


def test_an_act_that_came_after_those_that_were_shown_keeps_the_version_in_quarantine(incident: Any, left: str) -> None:
    shown = shown_as(acts_in_force(incident.store.read("pricing").facts, left))
    incident.wait(1)
    another_act(incident, left)
    with pytest.raises(
        ConflictError, match=r"not those that you were shown: .*prices too high; .*leaks too"
    ) as refused:
        release(incident, left, shown)
    assert incident.store.read("pricing").facts.quarantined == {left}
    assert "--reason 'false alarm: holiday'" in refused.value.hint
    release(incident, left, refused.value.details["shown"])
    assert incident.store.read("pricing").facts.quarantined == frozenset()


def test_of_several_acts_none_is_released_unseen(incident: Any, left: str) -> None:
    another_act(incident, left)
    with pytest.raises(ConflictError, match=r"held by 2 acts: .*leaks too"):
        release(incident, left, None)
    assert incident.store.read("pricing").facts.released == frozenset()


def test_what_is_not_in_quarantine_is_not_released(incident: Any) -> None:
    with pytest.raises(ConflictError, match="not in quarantine"):
        release(incident, "live", None)
