"""Counts are exact under threads, use the shared bins, and know how many people were served."""

import math
import sys
import threading
from collections import Counter
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood_sdk.model.counts import SKETCH_SIZE, distinct, log_bin, merge_sketches
from knowngood_sdk.serving.counting import Counting
from knowngood_sdk.serving.event import Event, Kind
from knowngood_sdk.serving.recent import Bounds
from knowngood_sdk.serving.trials import Stretch


def request(kind: int = Kind.OK, elapsed: float | None = 1e6, subject: str | None = None) -> Event:
    return ("v1", kind, elapsed, subject)


@pytest.mark.requirement("L4m")
def test_no_increment_is_lost_between_threads() -> None:
    counting = Counting("pricing")
    done = threading.Event()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)

    def serve() -> None:
        for number in range(5_000):
            counting.add(request(Kind.ERROR if number % 5 == 0 else Kind.OK))

    def fold() -> None:
        while not done.is_set():
            counting.fold()

    try:
        threads = [threading.Thread(target=serve) for _ in range(4)]
        folders = [threading.Thread(target=fold) for _ in range(2)]
        for thread in (*threads, *folders):
            thread.start()
        for thread in threads:
            thread.join()
        done.set()
        for thread in folders:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert counting.fold()
    counts = counting.counts()["v1"]
    assert (counts.requests, counts.errors, counts.latencies.n) == (20_000, 4_000, 20_000)
    assert counting.requests == counting.events == 20_000


def test_each_kind_of_ending_is_counted_as_what_it_is() -> None:
    counting = Counting("pricing")
    for kind in (Kind.OK, Kind.ERROR, Kind.CLIENT_ERROR, Kind.RESCUED, Kind.SHARED):
        counting.add(request(kind))
    counting.fold()
    counts = counting.counts()["v1"]
    assert (counts.requests, counts.errors, counts.client_errors, counts.rescued) == (5, 3, 1, 1)


def test_only_what_the_version_itself_did_is_evidence_against_it() -> None:
    counting = Counting("pricing")
    for kind in (Kind.OK, *(Kind.ERROR, Kind.CLIENT_ERROR, Kind.RESCUED, Kind.SHARED) * 10):
        counting.add(request(kind))
    counting.fold()
    assert counting.recent("v1").errors.beyond_chance(20, 20) == Stretch(trials=20, bad=20)


def test_evidence_against_other_bounds_is_gathered_from_nothing() -> None:
    counting = Counting("pricing")
    for _ in range(20):
        counting.add(request(Kind.ERROR))
    counting.fold()
    counting.hold_against(Bounds())
    assert counting.recent("v1").errors.beyond_chance(20, 20) is not None
    counting.hold_against(Bounds(errors=0.1))
    assert counting.recent("v1").errors.beyond_chance(20, 20) is None
    assert counting.recent("v1").errors.limit == counting.recent("v2").errors.limit == 0.1


@given(st.lists(st.floats(1e-7, 1e5), max_size=50))
def test_latencies_fall_into_the_shared_bins(seconds: list[float]) -> None:
    counting = Counting("pricing")
    for value in seconds:
        counting.add(request(elapsed=value * 1e9))
    counting.fold()
    counts = counting.counts().get("v1")
    assert (dict(counts.latency) if counts else {}) == Counter(log_bin(value * 1e9 * 1e-9) for value in seconds)


@given(st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=50))
def test_outputs_fall_into_the_shared_bins_and_their_moments_are_right(outputs: list[float]) -> None:
    counting = Counting("pricing")
    for value in outputs:
        counting.add(("v1", Kind.OUTPUT, value, None))
    counting.add(("v1", Kind.NONSENSE, None, None))
    counting.fold()
    counts = counting.counts()["v1"]
    assert dict(counts.prediction_bins) == Counter(map(log_bin, outputs))
    assert counts.predictions.n == len(outputs)
    rounding = 1e-12 * math.fsum(map(abs, outputs))
    assert counts.predictions.total == pytest.approx(math.fsum(outputs), abs=1e-9 + rounding)
    assert (counts.nonsense, counts.requests) == (1, 0)


def test_a_connection_without_a_latency_is_counted_and_not_timed() -> None:
    counting = Counting("pricing")
    counting.add(request(elapsed=None))
    counting.fold()
    assert (counting.counts()["v1"].requests, counting.counts()["v1"].latencies.n) == (1, 0)


def test_outcomes_go_to_the_version_that_served() -> None:
    counting = Counting("pricing")
    counting.add(("v1", Kind.OUTCOME, 1.0, "rides"))
    counting.add(("v2", Kind.OUTCOME, 2.5, "rides"))
    counting.fold()
    assert counting.counts()["v1"].outcomes["rides"].total == 1.0
    assert counting.counts()["v2"].outcomes["rides"].total == 2.5
    assert counting.requests == 0


@pytest.mark.requirement("L4m")
def test_people_are_counted_once_in_whichever_worker_they_were_served() -> None:
    workers = [Counting("pricing") for _ in range(2)]
    for number in range(200):
        for worker in workers:
            worker.add(request(subject=f"rider-{number}"))
            worker.add(("v1", Kind.OK, 1.0, f"rider-{number}".encode()))
    for worker in workers:
        worker.fold()
    assert distinct(merge_sketches([worker.counts()["v1"].subjects for worker in workers])) == 200


def test_a_subject_is_one_person_whatever_the_program_gives_for_it() -> None:
    counting = Counting("pricing")
    subjects: list[Any] = [42, "42", b"42", UUID(int=7), str(UUID(int=7)), "\ud800"]
    for subject in subjects:
        counting.add(("v1", Kind.OK, 1.0, subject))
    counting.fold()
    counts = counting.counts()["v1"]
    assert (counts.requests, len(counts.subjects), counting.trouble) == (6, 3, "")


def test_an_event_that_cannot_be_taken_in_costs_no_other_and_is_told() -> None:
    class Nameless:
        def __str__(self) -> str:
            raise LookupError("no name")

    strange: list[Any] = [
        ("v1", Kind.OK, 1.0, Nameless()),
        ("v1", Kind.ERROR, "soon", "rider"),
        ("v1", Kind.OK, -math.inf, "rider"),
        ("v1", Kind.OUTPUT, "many", None),
        ("v1", Kind.OUTCOME, 1.0, Nameless()),
    ]
    counting = Counting("pricing")
    for event in strange:
        counting.add(request())
        counting.add(event)
    counting.add(("v2", Kind.OK, 1.0, None))
    counting.fold()
    counts = counting.counts()
    assert (counts["v1"].requests, counts["v1"].errors, counts["v2"].requests) == (8, 1, 1)
    assert math.isfinite(counts["v1"].latencies.total)
    assert counting.trouble == "of 5 event(s) not everything could be counted: LookupError: no name"
    assert counting.fold()
    assert counting.requests == 9


def test_many_people_are_counted_to_some_percent_in_bounded_memory() -> None:
    counting = Counting("pricing")
    for number in range(20_000):
        counting.add(request(subject=f"rider-{number}"))
    counting.fold()
    subjects = counting.counts()["v1"].subjects
    assert len(subjects) == SKETCH_SIZE
    assert list(subjects) == sorted(subjects)
    assert distinct(subjects) == pytest.approx(20_000, rel=0.25)


@pytest.mark.requirement("A2")
def test_pairs_are_summed_under_the_reference() -> None:
    counting = Counting("pricing")
    counting.pair("v1", "v2", 10.0, 12.0)
    counting.pair("v1", "v2", -10.0, -9.0)
    counting.pair("v1", "v2", 10.0, None)
    counting.pair("v1", "v2", 0.0, 0.0)
    counting.pair("v1", "v2", 0.0, -3.0)
    paired = counting.counts()["v1"].shadow["v2"]
    assert (paired.n, paired.failed) == (4, 1)
    assert paired.divergence == pytest.approx((0.2 + 0.1 + 0.0 + 1.0) / 4)
    assert paired.relative.total == pytest.approx(0.2 + 0.1 + 0.0 - 1.0)
