"""
What every WrittenState adapter promises.

Subclass the contract and give it the fixture ``places``: a way to a new, empty place of either class.
"""

from datetime import timedelta
from typing import Protocol

import pytest

from knowngood.domain.state import StateClass
from knowngood.ports.written_state import WrittenState
from knowngood_sdk.errors import ConflictError

__all__ = ["Place", "Places", "WrittenStateContract"]

BAD, GOOD = "sha256:" + "b" * 64, "sha256:" + "a" * 64
_SOON = timedelta(seconds=30)


class Place(Protocol):
    """State that a system writes and reads."""

    @property
    def state(self) -> WrittenState:
        """The adapter under test."""
        ...

    def write(self, version: str, key: str, value: str) -> None:
        """Write as a version does."""
        ...

    def read(self, version: str, key: str) -> str | None:
        """Read as a version does; None where nothing stands."""
        ...


class Places(Protocol):
    """Makes places."""

    def __call__(self, state_class: StateClass) -> Place:
        """Return a new one."""
        ...


class WrittenStateContract:
    """Promises of ``knowngood.ports.written_state.WrittenState``; the fixture is ``places``."""

    def test_what_a_version_wrote_is_found_by_it(self, places: Places) -> None:
        place = places(StateClass.DERIVED)
        assert place.state.written(BAD).items == 0
        for number in range(3):
            place.write(BAD, f"rider {number}", "17.20")
        place.write(GOOD, "rider 9", "12.30")
        assert (place.state.written(BAD).items, place.state.written(GOOD).items) == (3, 1)

    def test_what_a_version_derived_is_discarded_and_nothing_else(self, places: Places) -> None:
        place = places(StateClass.DERIVED)
        place.write(GOOD, "rider 1", "12.30")
        place.write(BAD, "rider 1", "17.20")
        repaired = place.state.repair(BAD, generation=3, deadline=_SOON)
        assert (repaired.items, repaired.left) == (1, 0)
        assert place.state.written(BAD).items == 0
        assert (place.read(BAD, "rider 1"), place.read(GOOD, "rider 1")) == (None, "12.30")

    def test_what_stood_there_before_is_put_back(self, places: Places) -> None:
        place = places(StateClass.ACCUMULATED)
        place.write(GOOD, "rider 1", "3 rides")
        place.write(BAD, "rider 1", "9 rides")
        place.write(BAD, "rider 2", "9 rides")
        assert place.state.repair(BAD, generation=3, deadline=_SOON).items == 2
        assert (place.read(GOOD, "rider 1"), place.read(GOOD, "rider 2")) == ("3 rides", None)

    def test_what_was_written_since_stays(self, places: Places) -> None:
        place = places(StateClass.ACCUMULATED)
        place.write(BAD, "rider 1", "9 rides")
        place.write(GOOD, "rider 1", "4 rides")
        place.state.repair(BAD, generation=3, deadline=_SOON)
        assert place.read(GOOD, "rider 1") == "4 rides"

    @pytest.mark.parametrize("state_class", StateClass)
    def test_twice_is_once(self, places: Places, state_class: StateClass) -> None:
        place = places(state_class)
        place.write(GOOD, "rider 1", "12.30")
        place.write(BAD, "rider 1", "17.20")
        place.state.repair(BAD, generation=3, deadline=_SOON)
        assert place.state.repair(BAD, generation=3, deadline=_SOON).items == 0
        assert place.read(GOOD, "rider 1") == "12.30"

    def test_whoever_was_overtaken_is_refused_and_nothing_changes(self, places: Places) -> None:
        place = places(StateClass.DERIVED)
        place.state.repair(BAD, generation=4, deadline=_SOON)
        place.write(BAD, "rider 1", "12.40")
        with pytest.raises(ConflictError):
            place.state.repair(BAD, generation=3, deadline=_SOON)
        assert place.read(BAD, "rider 1") == "12.40"

    def test_a_later_rollback_of_another_version_overtakes_nobody(self, places: Places) -> None:
        place = places(StateClass.DERIVED)
        place.write(BAD, "rider 1", "17.20")
        place.state.repair(GOOD, generation=4, deadline=_SOON)
        assert place.state.repair(BAD, generation=3, deadline=_SOON).items == 1
