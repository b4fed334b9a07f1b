"""A keeper reads what others add to the journal, all of it and once, and what it adds itself not at all."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood_sdk.agent.reading import Reading
from knowngood_sdk.model.route import Trip
from knowngood_sdk.serving.journal import Journal

V1 = "sha256:" + "1" * 64


def trip(uid: str) -> Trip:
    return Trip(uid=uid, version=V1, generation=3, source="person", at="2026-01-01T00:00:00Z", why="prices, 40 % up")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def look(reading: Reading) -> list[str]:
    """Look as a keeper does; return the uids of what was found."""
    if not reading.changed():
        return []
    tail = reading.tail()
    reading.has_read(tail)
    return [found.uid for found in tail.trips]


def test_what_it_adds_itself_is_not_read(path: Path) -> None:
    reading = Reading(Journal(path), path)
    assert not reading.changed(), "there is no file"
    for number in range(3):
        reading.append(trip(f"mine-{number}"), trip(f"mine-too-{number}"))
        assert not reading.changed()
    assert reading.tail().trips == ()


def test_what_another_added_before_is_read(path: Path) -> None:
    reading = Reading(Journal(path), path)
    reading.append(trip("mine-1"))
    Journal(path).append(trip("worker's"))
    reading.append(trip("mine-2"))
    assert "worker's" in look(reading)
    reading.append(trip("mine-3"))
    assert not reading.changed(), "all that stood before was read"


def test_what_another_added_before_the_first_look_is_read(path: Path) -> None:
    Journal(path).append(trip("worker's"))
    reading = Reading(Journal(path), path)
    reading.append(trip("mine"))
    assert "worker's" in look(reading)


def test_what_another_added_right_behind_is_read(path: Path) -> None:
    reading = Reading(Journal(path), path)
    reading.append(trip("mine"))
    Journal(path).append(trip("worker's"))
    assert look(reading) == ["worker's"]


def test_a_torn_end_before_its_own_lines_is_told(path: Path) -> None:
    Journal(path).append(trip("torn"))
    os.truncate(path, path.stat().st_size - 10)
    reading = Reading(Journal(path), path)
    assert look(reading) == []
    reading.append(trip("mine"))
    assert reading.changed()
    assert len(reading.tail().damaged) == 1


def test_a_journal_that_was_put_in_its_place_is_read_from_its_beginning(path: Path) -> None:
    reading = Reading(Journal(path), path)
    reading.append(trip("t1"))
    beside = path.with_name("beside")
    Journal(beside).append(trip("t2"))  # as long as what was read
    beside.replace(path)
    reading.append(trip("mine"))
    assert look(reading) == ["t2", "mine"]


def test_what_could_not_be_taken_is_found_again(path: Path) -> None:
    reading = Reading(Journal(path), path)
    Journal(path).append(trip("worker's"))
    assert reading.changed()
    assert not reading.changed()
    reading.look_again()
    assert look(reading) == ["worker's"]


@given(acts=st.lists(st.sampled_from(["mine", "theirs", "look"]), max_size=12))
def test_every_line_of_another_is_read_once_in_any_order_of_acts(
    tmp_path_factory: pytest.TempPathFactory, acts: list[str]
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    reading, other = Reading(Journal(path), path), Journal(path)
    found: list[str] = []
    for number, act in enumerate([*acts, "look"]):
        if act == "mine":
            reading.append(trip(f"mine-{number}"))
        elif act == "theirs":
            other.append(trip(f"theirs-{number}"))
        else:
            found += look(reading)
    assert [uid for uid in found if uid.startswith("theirs")] == [
        f"theirs-{number}" for number, act in enumerate(acts) if act == "theirs"
    ]
