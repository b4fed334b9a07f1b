"""Counts of several reporters merge exactly, the difference of two reports is a window, and bins leave no gap."""

import math
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.canonical import canonical_bytes, parse_canonical
from knowngood_sdk.model.counts import (
    SKETCH_SIZE,
    SUBBINS,
    Paired,
    Sums,
    VersionCounts,
    bin_bounds,
    distinct,
    log_bin,
    merge_sketches,
)

LARGEST = sys.float_info.max
LAST_BIN = log_bin(LARGEST)
EVERYTHING = VersionCounts(
    requests=9,
    errors=8,
    client_errors=7,
    rescued=6,
    nonsense=5,
    latency={8800: 4, 0: 1},
    latencies=Sums(5, 2.5, 1.5),
    predictions=Sums(3, 30.0, 301.0),
    prediction_bins={-8807: 2, 8808: 1},
    outcomes={"booked": Sums(2, 1.0, 1.0)},
    shadow={"other": Paired(Sums(1, 10.0, 100.0), Sums(1, 12.0, 144.0), Sums(1, 0.2, 0.04), Sums(1, 0.2, 0.04), 3)},
    subjects=(1, 2**64 - 1),
)
EVERYTHING_JSON: dict[str, Any] = {
    "requests": 9,
    "errors": 8,
    "client_errors": 7,
    "rescued": 6,
    "nonsense": 5,
    "latency": {"8800": 4, "0": 1},
    "latencies": [5, 2.5, 1.5],
    "predictions": [3, 30.0, 301.0],
    "prediction_bins": {"-8807": 2, "8808": 1},
    "outcomes": {"booked": [2, 1.0, 1.0]},
    "shadow": {
        "other": {
            "reference": [1, 10.0, 100.0],
            "other": [1, 12.0, 144.0],
            "relative": [1, 0.2, 0.04],
            "absolute": [1, 0.2, 0.04],
            "failed": 3,
        }
    },
    "subjects": ["0000000000000001", "ffffffffffffffff"],
}


def sums() -> st.SearchStrategy[Sums]:
    # Sums of whole numbers are exact, so that equality can be asked for; of other floats they are so up to rounding.
    whole = st.integers(-(2**40), 2**40).map(float)
    return st.builds(Sums, st.integers(0, 99), whole, whole)


def pairs() -> st.SearchStrategy[Paired]:
    return st.builds(Paired, sums(), sums(), sums(), sums(), st.integers(0, 99))


def bins() -> st.SearchStrategy[dict[int, int]]:
    return st.dictionaries(st.sampled_from([-LAST_BIN, -8800, 0, 8800, 8801, LAST_BIN]), st.integers(1, 9), max_size=3)


def counts() -> st.SearchStrategy[VersionCounts]:
    count = st.integers(0, 99)
    name = st.sampled_from(["a", "b"])
    return st.builds(
        VersionCounts,
        requests=count,
        errors=count,
        client_errors=count,
        rescued=count,
        nonsense=count,
        latency=bins(),
        latencies=sums(),
        predictions=sums(),
        prediction_bins=bins(),
        outcomes=st.dictionaries(name, sums(), max_size=2),
        shadow=st.dictionaries(name, pairs(), max_size=2),
        subjects=st.sets(st.integers(0, 2**64 - 1), max_size=4).map(lambda hashes: tuple(sorted(hashes))),
    )


def said(value: VersionCounts) -> VersionCounts:
    """Return the counts without the names under which nothing was counted."""
    return replace(
        value,
        outcomes={name: moments for name, moments in value.outcomes.items() if moments != Sums()},
        shadow={name: pair for name, pair in value.shadow.items() if pair != Paired()},
    )


def finite(**kwargs: Any) -> st.SearchStrategy[float]:
    return st.floats(allow_nan=False, allow_infinity=False, **kwargs)


@given(finite(allow_subnormal=False))
@example(1.0)
@example(math.nextafter(1.0, 0.0))
@example(LARGEST)
@example(sys.float_info.min)
def test_a_value_lies_within_its_bin(value: float) -> None:
    low, high = bin_bounds(log_bin(value))
    if value > 0:
        assert low <= value < high
    elif value < 0:
        assert low < value <= high
    else:
        assert (low, high) == (0.0, 0.0)


@given(finite(), finite())
def test_a_higher_value_is_never_in_a_lower_bin(one: float, other: float) -> None:
    assert (log_bin(one) <= log_bin(other)) or one > other
    assert log_bin(-one) == -log_bin(one)


@given(st.integers(300, LAST_BIN - 1))
def test_bins_leave_no_gap_and_are_narrow(index: int) -> None:
    low, high = bin_bounds(index)
    assert high == bin_bounds(index + 1)[0]
    assert bin_bounds(-index) == (-high, -low)
    assert low < high <= low * 1.125
    assert log_bin(low) == index
    assert log_bin(math.nextafter(high, 0.0)) == index


@pytest.mark.parametrize(
    ("value", "index", "bounds"),
    [
        # Reports stand on disks: another grid would make other numbers of them.
        (0.0, 0, (0.0, 0.0)),
        (-0.0, 0, (0.0, 0.0)),
        (1.0, 8808, (1.0, 1.125)),
        (1.124, 8808, (1.0, 1.125)),
        (1.125, 8809, (1.125, 1.25)),
        (1.9999, 8815, (1.875, 2.0)),
        (2.0, 8816, (2.0, 2.25)),
        (0.5, 8800, (0.5, 0.5625)),
        (-1.0, -8808, (-1.125, -1.0)),
        (-3.0, -8820, (-3.25, -3.0)),
        (5e-324, 216, (5e-324, 5e-324)),
        (LARGEST, 16_999, (math.ldexp(15, 1020), math.inf)),
    ],
)
def test_the_grid_is_as_it_always_was(value: float, index: int, bounds: tuple[float, float]) -> None:
    assert log_bin(value) == index
    assert bin_bounds(index) == pytest.approx(bounds, rel=1e-15)


def test_the_grid_has_eight_bins_for_each_doubling() -> None:
    assert SUBBINS == 8
    assert log_bin(2.0) - log_bin(1.0) == SUBBINS


def test_moments_tell_mean_and_variance() -> None:
    moments = Sums(4, 20.0, 120.0)  # 2, 4, 6, 8
    assert moments.mean == 5.0
    assert moments.variance == pytest.approx(20 / 3)
    assert Sums(2, 2.0, 4.0).variance == 2.0  # 0, 2
    assert Sums(1, 3.0, 9.0).mean == 3.0
    assert Sums().n == 0


def test_moments_of_too_few_say_that_they_do_not_know() -> None:
    assert math.isnan(Sums().mean)
    assert math.isnan(Sums().variance)
    assert math.isnan(Sums(1, 3.0, 9.0).variance)


def test_a_variance_is_never_negative_and_may_be_beyond_all_numbers() -> None:
    assert Sums(3, 0.3, 0.03 - 1e-9).variance == 0.0
    assert Sums(2, 1e200, math.inf).variance == math.inf
    assert Sums(2, 1e200, 1e300).variance == math.inf
    assert Sums(2, math.inf, math.inf).variance == math.inf


@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=20))
def test_mean_and_variance_are_those_of_the_numbers(values: list[int]) -> None:
    moments = Sums(len(values), float(sum(values)), float(sum(value * value for value in values)))
    mean = sum(values) / len(values)
    assert moments.mean == pytest.approx(mean)
    expected = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    assert moments.variance == pytest.approx(expected, abs=1e-6)


def test_a_pair_tells_how_far_two_versions_are_apart() -> None:
    pair = Paired(
        reference=Sums(4, 40.0, 400.0),
        other=Sums(3, 33.0, 363.0),
        relative=Sums(4, 0.2, 0.5),
        absolute=Sums(4, 1.0, 0.5),
        failed=1,
    )
    assert pair.divergence == 0.25
    assert pair.n == 4
    assert math.isnan(Paired().divergence)
    assert Paired().n == 0


def test_each_number_is_added_to_its_own_kind() -> None:
    doubled = EVERYTHING.plus(EVERYTHING)
    assert doubled == VersionCounts(
        requests=18,
        errors=16,
        client_errors=14,
        rescued=12,
        nonsense=10,
        latency={8800: 8, 0: 2},
        latencies=Sums(10, 5.0, 3.0),
        predictions=Sums(6, 60.0, 602.0),
        prediction_bins={-8807: 4, 8808: 2},
        outcomes={"booked": Sums(4, 2.0, 2.0)},
        shadow={"other": Paired(Sums(2, 20.0, 200.0), Sums(2, 24.0, 288.0), Sums(2, 0.4, 0.08), Sums(2, 0.4, 0.08), 6)},
        subjects=EVERYTHING.subjects,
    )
    assert doubled.minus(EVERYTHING) == EVERYTHING


@given(counts(), counts())
def test_it_does_not_matter_who_reports_first(one: VersionCounts, other: VersionCounts) -> None:
    assert one.plus(other) == other.plus(one)


@given(counts(), counts(), counts())
def test_it_does_not_matter_who_merges_with_whom(one: VersionCounts, two: VersionCounts, three: VersionCounts) -> None:
    assert one.plus(two).plus(three) == one.plus(two.plus(three))


@given(counts())
def test_who_reports_nothing_changes_nothing(value: VersionCounts) -> None:
    assert value.plus(VersionCounts()) == value
    assert value.minus(VersionCounts()) == value
    assert said(value.minus(value)) == VersionCounts(subjects=value.subjects)


@given(counts(), counts())
def test_what_came_since_a_report_is_the_later_one_without_it(earlier: VersionCounts, since: VersionCounts) -> None:
    later = earlier.plus(since)
    assert said(later.minus(earlier)) == replace(said(since), subjects=later.subjects)


def test_the_subjects_of_a_window_are_those_of_the_later_report() -> None:
    # A full sketch drops hashes of the earlier report that smaller ones have pushed out.
    later, earlier = VersionCounts(subjects=(1, 2)), VersionCounts(subjects=(2, 3))
    assert later.minus(earlier).subjects == (1, 2)
    assert later.plus(earlier).subjects == (1, 2, 3)


@given(sums(), sums())
def test_moments_and_pairs_are_added_once_unless_asked_otherwise(one: Sums, other: Sums) -> None:
    assert one.plus(other) == Sums(one.n + other.n, one.total + other.total, one.squares + other.squares)
    assert one.plus(other, -1).plus(other) == one
    assert Paired(reference=one, failed=3).plus(Paired(reference=other, failed=2)) == Paired(
        reference=one.plus(other), failed=5
    )


def test_a_name_that_one_reporter_alone_knows_is_kept() -> None:
    one = VersionCounts(outcomes={"a": Sums(1, 1.0, 1.0)}, shadow={"v": Paired(failed=1)}, latency={1: 1})
    other = VersionCounts(outcomes={"b": Sums(1, 2.0, 4.0)}, shadow={"w": Paired(failed=2)}, latency={2: 1})
    merged = one.plus(other)
    assert merged.outcomes == {"a": Sums(1, 1.0, 1.0), "b": Sums(1, 2.0, 4.0)}
    assert merged.shadow == {"v": Paired(failed=1), "w": Paired(failed=2)}
    assert merged.latency == {1: 1, 2: 1}
    assert one.minus(other).outcomes["b"] == Sums(-1, -2.0, -4.0)
    assert one.minus(other).latency == {1: 1, 2: -1}
    assert one.minus(one).latency == {}


@pytest.mark.parametrize(
    ("q", "index"),
    [(0.0, 8800), (0.001, 8800), (0.25, 8800), (0.26, 8808), (0.75, 8808), (0.76, 8816), (1.0, 8816)],
)
def test_a_quantile_is_the_end_of_the_bin_in_which_it_falls(q: float, index: int) -> None:
    value = VersionCounts(latency={8816: 1, 8800: 1, 8808: 2})
    assert value.latency_quantile(q) == bin_bounds(index)[1]


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=40), st.floats(0.01, 1.0))
def test_a_quantile_is_at_least_that_of_the_latencies_and_at_most_a_bin_above(latencies: list[float], q: float) -> None:
    value = VersionCounts()
    for latency in latencies:
        value = value.plus(VersionCounts(latency={log_bin(latency): 1}))
    true = sorted(latencies)[math.ceil(q * len(latencies)) - 1]
    assert true < value.latency_quantile(q) <= true * 1.125


@pytest.mark.parametrize("latency", [{}, {8800: 0}])
def test_there_is_no_quantile_of_nothing(latency: Mapping[int, int]) -> None:
    assert math.isnan(VersionCounts(latency=latency).latency_quantile(0.5))


@given(st.lists(st.sets(st.integers(0, 2**64 - 1), max_size=20), max_size=4))
def test_sketches_merge_into_the_sketch_of_all_subjects(groups: list[set[int]]) -> None:
    merged = merge_sketches([sorted(group) for group in groups])
    assert merged == tuple(sorted(set().union(*groups)))
    assert merge_sketches([merged, *groups]) == merged


def test_a_sketch_keeps_the_smallest_hashes() -> None:
    assert merge_sketches([range(SKETCH_SIZE, 0, -1), [0, 1]]) == tuple(range(SKETCH_SIZE))
    assert SKETCH_SIZE == 256


@pytest.mark.parametrize(
    ("sketch", "number"),
    [
        ((), 0),
        ((7,), 1),
        (tuple(range(SKETCH_SIZE - 1)), SKETCH_SIZE - 1),
        # 256 hashes in the lower half of all: about twice 255.
        ((*range(SKETCH_SIZE - 1), 2**63 - 1), 510),
        ((*range(SKETCH_SIZE - 1), 2**64 - 1), 255),
        (tuple(range(SKETCH_SIZE)), 255 * 2**56),
    ],
)
def test_distinct_subjects_are_counted_while_they_are_few_and_then_estimated(
    sketch: tuple[int, ...], number: int
) -> None:
    assert distinct(sketch) == number


def test_counts_are_written_short() -> None:
    assert VersionCounts().to_json() == {}
    assert EVERYTHING.to_json() == EVERYTHING_JSON
    assert VersionCounts(latency={3: 0, 4: 1}).to_json() == {"latency": {"4": 1}}
    assert VersionCounts(outcomes={"booked": Sums()}).to_json() == {"outcomes": {"booked": [0, 0.0, 0.0]}}


@given(counts())
@example(EVERYTHING)
def test_counts_are_read_as_they_were_written(value: VersionCounts) -> None:
    value = replace(
        value,
        latencies=value.latencies if value.latencies.n else Sums(),
        predictions=value.predictions if value.predictions.n else Sums(),
    )
    assert VersionCounts.from_json(value.to_json()) == value
    assert VersionCounts.from_json(parse_canonical(canonical_bytes(value.to_json()))) == value


def test_moments_that_no_number_can_hold_are_written_as_the_largest_that_one_can() -> None:
    value = VersionCounts(predictions=Sums(2, -math.inf, math.inf), outcomes={"a": Sums(1, math.inf, LARGEST)})
    again = VersionCounts.from_json(parse_canonical(canonical_bytes(value.to_json())))
    assert again.predictions == Sums(2, -LARGEST, LARGEST)
    assert again.outcomes == {"a": Sums(1, LARGEST, LARGEST)}


@pytest.mark.parametrize("name", EVERYTHING_JSON)
def test_a_field_that_is_left_out_is_nothing(name: str) -> None:
    rest = {key: value for key, value in EVERYTHING_JSON.items() if key != name}
    nothing = {name: getattr(VersionCounts(), name)}
    assert VersionCounts.from_json(rest) == replace(EVERYTHING, **nothing)


@pytest.mark.parametrize("name", EVERYTHING_JSON["shadow"]["other"])
def test_a_pair_that_lacks_a_field_is_malformed(name: str) -> None:
    pair = {key: value for key, value in EVERYTHING_JSON["shadow"]["other"].items() if key != name}
    with pytest.raises(InvalidError, match=f"^counts are malformed: {name} is missing$"):
        VersionCounts.from_json({"shadow": {"v": pair}})


@pytest.mark.parametrize(("document", "kind"), [(None, "NoneType"), ([], "list"), ("{}", "str"), (3, "int")])
def test_what_is_no_object_is_refused(document: object, kind: str) -> None:
    with pytest.raises(InvalidError, match=f"^counts must be an object, not {kind}$"):
        VersionCounts.from_json(document)


def test_fields_that_it_does_not_know_are_refused_by_name() -> None:
    with pytest.raises(InvalidError, match=r"^counts have unknown fields: 3, wheels, wings$"):
        VersionCounts.from_json({"requests": 1, "wings": 2, "wheels": 4, 3: 5})


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("requests", -1, "requests must be 0 or more, not -1"),
        ("errors", 1.5, "errors must be a whole number, not 1.5"),
        ("client_errors", "1", "client_errors must be a whole number, not '1'"),
        ("rescued", None, "rescued must be a whole number, not None"),
        ("nonsense", True, "nonsense must be a whole number, not True"),
        ("latency", [], "latency must be an object, not a list"),
        ("latency", {"17000": 1}, "latency has no bin 17000; the grid ends at 16999"),
        ("latency", {"-17000": 1}, "latency has no bin -17000; the grid ends at 16999"),
        ("latency", {"99999999": 1}, "latency has no bin 99999999; the grid ends at 16999"),
        ("latency", {"9" * 90: 1}, f"latency has no bin {'9' * 80}; the grid ends at 16999"),
        ("latency", {"": 1}, "latency has no bin ; the grid ends at 16999"),
        ("latency", {"+1": 1}, "latency has no bin +1; the grid ends at 16999"),
        ("latency", {"1": 1, "01": 1}, "latency has no bin 01; the grid ends at 16999"),
        ("latency", {"-0": 1}, "latency has no bin -0; the grid ends at 16999"),
        ("latency", {"\u0661": 1}, "latency has no bin \u0661; the grid ends at 16999"),
        ("latency", {"5": -1}, "5 must be 0 or more, not -1"),
        ("prediction_bins", {"5": 0.5}, "5 must be a whole number, not 0.5"),
        ("prediction_bins", {"1e3": 1}, "prediction_bins has no bin 1e3; the grid ends at 16999"),
        ("latencies", [1, 2.0], "latencies must be [n, sum, sum of squares]"),
        ("latencies", [1, 2.0, 3.0, 4.0], "latencies must be [n, sum, sum of squares]"),
        ("latencies", {"n": 1}, "latencies must be [n, sum, sum of squares]"),
        ("latencies", None, "latencies must be [n, sum, sum of squares]"),
        ("predictions", [-1, 0, 0], "predictions must be 0 or more, not -1"),
        ("predictions", [1, "2", 3], "predictions must be a number, not '2'"),
        ("predictions", [1, 2, math.nan], "predictions must be finite, not nan"),
        ("predictions", [1.0, 2, 3], "predictions must be a whole number, not 1.0"),
        ("outcomes", ["booked"], "outcomes must be an object, not a list"),
        ("outcomes", {"booked": 1}, "booked must be [n, sum, sum of squares]"),
        ("shadow", "v", "shadow must be an object, not 'v'"),
        ("shadow", {"v": []}, "an object with reference is expected, not a list"),
        ("subjects", "00", "subjects must be a list, not '00'"),
        ("subjects", [1], "subjects must be a list of texts"),
        ("subjects", ["1"], "subjects must be up to 256 hashes of 16 hex digits, rising"),
        ("subjects", ["0" * 15], "subjects must be up to 256 hashes of 16 hex digits, rising"),
        ("subjects", ["0" * 17], "subjects must be up to 256 hashes of 16 hex digits, rising"),
        ("subjects", ["F" * 16], "subjects must be up to 256 hashes of 16 hex digits, rising"),
        ("subjects", ["1" * 16, "0" * 16], "subjects must be up to 256 hashes of 16 hex digits, rising"),
        ("subjects", ["1" * 16, "1" * 16], "subjects must be up to 256 hashes of 16 hex digits, rising"),
        ("subjects", [f"{n:016x}" for n in range(257)], "subjects must be up to 256 hashes of 16 hex digits, rising"),
    ],
)
def test_counts_that_are_malformed_are_refused_by_their_field(field: str, value: object, message: str) -> None:
    with pytest.raises(InvalidError) as refused:
        VersionCounts.from_json({field: value})
    assert str(refused.value) == f"counts are malformed: {message}"


def test_the_ends_of_what_can_be_counted_are_read() -> None:
    value = VersionCounts.from_json(
        {"latency": {"16999": 0, "-16999": 2}, "subjects": [f"{n:016x}" for n in range(SKETCH_SIZE)]}
    )
    assert value.latency == {16_999: 0, -16_999: 2}
    assert value.subjects == tuple(range(SKETCH_SIZE))
