"""What riders wrote down becomes figures: failures, mixtures, harm, the last bad answer, and what 20 trials allow."""

from collections.abc import Callable, Mapping

import pytest

from knowngood.demo.figures import (
    admitted_after,
    binomial_upper,
    bins_of,
    first_answer,
    first_bad_answer,
    harm_of,
    last_answer,
    served_of,
)
from knowngood.demo.load import Request

Visit = Callable[..., Request]
PRICES = {17: 4.4, 18: 4.2, 19: 3.2}


def test_failures_mixtures_and_versions_are_counted_from_the_log(visit: Visit, versions: Mapping[str, str]) -> None:
    log = [
        visit(1),
        visit(2, mixed=True),
        visit(3, version="static-fallback", price=2.0),
        visit(4, status=0, version="", price=None, error="ConnectError"),
        visit(5, status=500, version="", price=None),
    ]
    served = served_of(log)
    assert (served.requests, served.failed, served.mixed, served.fallback) == (5, 2, 1, 1)
    assert served.by_version == {versions["known"]: 2, "static-fallback": 1}


@pytest.mark.requirement("L4m")
def test_a_rider_is_affected_by_a_price_more_than_ten_percent_off_the_known_one(
    visit: Visit, versions: Mapping[str, str]
) -> None:
    bad = versions["bad"]
    log = [
        visit(1, version=bad, price=4.4 * 1.1),
        visit(2, version=bad, price=4.4 * 1.11, took=True),
        visit(3, version=bad, price=3.0),
        visit(4, price=9.9),
    ]
    harm = harm_of(log, bad, PRICES)
    assert (harm.quoted, harm.affected) == (3, 2)
    assert harm.conversion == pytest.approx(1 / 3)
    assert harm.price_shift == pytest.approx((4.84 + 4.884 + 3.0) / (3 * 4.4) - 1)


def test_a_version_that_nobody_met_did_no_harm(visit: Visit, versions: Mapping[str, str]) -> None:
    harm = harm_of([visit(1)], versions["bad"], PRICES)
    assert (harm.quoted, harm.affected, harm.price_shift, harm.conversion) == (0, 0, None, None)


def test_first_and_last_bad_answer_go_by_when_they_were_complete(visit: Visit, versions: Mapping[str, str]) -> None:
    bad = versions["bad"]
    log = [visit(1, version=bad, answered_at=9.0), visit(2, version=bad, answered_at=7.0), visit(3, answered_at=99.0)]
    assert (first_bad_answer(log, bad, PRICES), first_answer(log, bad), last_answer(log, bad)) == (7.0, 7.0, 9.0)
    assert (first_bad_answer(log[2:], bad, PRICES), last_answer(log[2:], bad)) == (None, None)


def test_only_requests_sent_after_the_moment_count_as_admitted_after_it(
    visit: Visit, versions: Mapping[str, str]
) -> None:
    bad = versions["bad"]
    log = [visit(1, version=bad, sent_at=10.0, answered_at=20.0), visit(2, version=bad, sent_at=15.1)]
    assert admitted_after(log, bad, 15.0) == 1
    assert admitted_after(log, bad, 15.0, target="http://somewhere.else") == 0
    assert admitted_after(log, versions["known"], 0.0) == 0


def test_bins_hold_what_riders_of_some_minutes_saw(visit: Visit, versions: Mapping[str, str]) -> None:
    bad = versions["bad"]
    log = [visit(1), visit(2, version=bad, price=5.0), visit(14, status=0, version="", price=None)]
    first, last = bins_of(log, PRICES, seconds=600.0)
    assert (first.riders, first.price, first.known_price, first.conversion) == (2, 4.7, 4.4, 0.5)
    assert first.by_version == {versions["known"]: 1, bad: 1}
    assert (last.riders, last.failed, last.price, last.conversion) == (1, 1, None, None)
    assert last.from_seconds > first.from_seconds


@pytest.mark.parametrize(
    ("successes", "trials", "upper"),
    [
        pytest.param(0, 20, 0.1391, id="none of twenty: the rule of three, exactly"),
        pytest.param(1, 20, 0.2161, id="one of twenty"),
        pytest.param(0, 1, 0.95, id="one trial says next to nothing"),
        pytest.param(20, 20, 1.0, id="all of them"),
        pytest.param(19, 20, 0.9974, id="all but one"),
    ],
)
def test_upper_bound_of_a_rate_is_that_of_clopper_and_pearson(successes: int, trials: int, upper: float) -> None:
    assert binomial_upper(successes, trials) == pytest.approx(upper, abs=1e-4)


def test_more_trials_without_a_failure_allow_a_lower_bound() -> None:
    bounds = [binomial_upper(0, trials) for trials in (5, 20, 80)]
    assert bounds == sorted(bounds, reverse=True)
