"""The journal keeps every acknowledged trip, whatever a crash cuts off."""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from knowngood_sdk.errors import TransientError
from knowngood_sdk.model.route import FleetRoute, LocalTrip, Stand, Trip
from knowngood_sdk.serving.journal import Journal, LocalRecord

V1, V2 = ("sha256:" + digit * 64 for digit in "12")


def trip(uid: str) -> Trip:
    return Trip(uid=uid, version=V2, generation=3, source="person", at="2026-01-01T00:00:00Z", why="prices, 40 % up")


def local_record(generation: int) -> LocalRecord:
    return LocalRecord(trip=LocalTrip("r1", generation, V2), at="2026-01-01T00:00:00Z", why="errors: 30 of 40")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_no_file_is_no_trip(path: Path) -> None:
    assert Journal(path).read().trips == ()


def test_trips_come_back_in_order_and_an_offset_goes_on_where_it_stopped(path: Path) -> None:
    journal = Journal(path)
    journal.append(trip("t1"))
    journal.append(local_record(3))
    first = journal.read()
    assert (first.trips, first.local, first.damaged) == ((trip("t1"),), (local_record(3),), ())
    journal.append(trip("t2"))
    second = journal.read(first.offset)
    assert (second.trips, second.local) == ((trip("t2"),), ())
    assert second.offset == path.stat().st_size
    assert journal.read(second.offset).trips == ()


def test_lines_that_are_added_together_are_of_any_kind(path: Path) -> None:
    journal = Journal(path)
    stand = Stand(V1, FleetRoute(3, 1, 10_000), 2)
    journal.append(trip("t1"), stand, local_record(3))
    tail = journal.read()
    assert (tail.trips, tail.stands, tail.local) == ((trip("t1"),), (stand,), (local_record(3),))


@pytest.mark.parametrize("cut", [1, 10, 100])
def test_a_torn_last_line_is_reported_and_neither_hides_what_came_before_nor_what_comes_after(
    path: Path, cut: int
) -> None:
    journal = Journal(path)
    journal.append(trip("t1"))
    journal.append(trip("t2"))
    os.truncate(path, path.stat().st_size - cut)
    torn = journal.read()
    assert torn.trips[0].uid == "t1"
    assert len(torn.damaged) == (0 if cut == 1 else 1)
    journal.append(trip("t3"))
    assert [found.uid for found in journal.read().trips] == (["t1", "t2", "t3"] if cut == 1 else ["t1", "t3"])
    assert "t3" in [found.uid for found in journal.read(torn.offset).trips]


@pytest.mark.parametrize(
    "line", [b"{}", b"[]", b"null", b"garbage", b'{"check": "0", "entry": {"fleet": {}}}', b"\xff"]
)
def test_a_line_that_is_none_is_passed_over_and_reported(path: Path, line: bytes) -> None:
    path.write_bytes(line + b"\n")
    Journal(path).append(trip("t1"))
    tail = Journal(path).read()
    assert [found.uid for found in tail.trips] == ["t1"]
    assert len(tail.damaged) == 1


def test_an_edited_line_does_not_agree_with_its_check(path: Path) -> None:
    Journal(path).append(trip("t1"))
    path.write_bytes(path.read_bytes().replace(V2.encode(), V1.encode()))
    assert Journal(path).read().trips == ()


def test_a_shorter_file_than_before_is_read_from_its_start(path: Path) -> None:
    Journal(path).append(trip("t1"))
    assert len(Journal(path).read(10**6).trips) == 1


def test_a_folder_that_cannot_be_written_is_an_error_that_names_the_file(path: Path) -> None:
    with pytest.raises(TransientError, match=r"journal\.jsonl cannot be written"):
        Journal(path.parent / "missing" / "journal.jsonl").append(trip("t1"))


def append_many(path: Path, name: str) -> None:
    for number in range(50):
        Journal(path).append(trip(f"{name}{number}"))


def test_processes_that_append_side_by_side_lose_no_line(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=append_many, args=(path, name)) for name in "abc"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    tail = Journal(path).read()
    assert len(tail.facts.trips) == 150
    assert tail.damaged == ()


@pytest.mark.requirement("G1")
def test_a_writer_that_is_killed_loses_nothing_that_it_acknowledged(path: Path) -> None:
    program = (
        "import sys, pathlib; from knowngood_sdk.serving.journal import Journal; "
        "from knowngood_sdk.model.route import Trip\n"
        "for n in range(10**6):\n"
        "    Journal(pathlib.Path(sys.argv[1])).append(Trip(uid=str(n), version='v', generation=1, source='person', "
        "at='', why=''))\n"
        "    print(n, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        acknowledged = [process.stdout.readline() for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        acknowledged += process.stdout.readlines()
        process.wait()
    kept = {found.uid for found in Journal(path).read().trips}
    assert {line.decode().strip() for line in acknowledged if line.endswith(b"\n")} <= kept
