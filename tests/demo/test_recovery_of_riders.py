"""With the product and without it, what riders got after the decision is read by one and the same definition."""

from collections.abc import Callable, Mapping

import pytest

from knowngood.demo.load import Request
from knowngood.demo.recovery import Recovery

Visit = Callable[..., Request]
PRICES = {17: 4.4, 18: 4.2}
MODELS = {"known": "sha256:model-1", "bad": "sha256:model-2"}


def recovery(log: list[Request], decided_at: float) -> Recovery:
    return Recovery.of(log, decided_at=decided_at, models=MODELS, known_prices=PRICES)


def test_both_ends_are_told_by_the_model_that_answered(visit: Visit, versions: Mapping[str, str]) -> None:
    """A price says too little: where the curve is level, both versions may ask the same."""
    decided_at = visit(3).sent_at
    log = [
        visit(2),
        visit(2.5, versions["bad"]),
        visit(2.9, versions["bad"], price=4.4, answered_at=decided_at + 0.4),
        visit(3.5, status=0, version="", price=None, model=""),
        visit(4),
    ]
    found = recovery(log, decided_at)
    assert found.last_bad_answer_seconds == pytest.approx(0.4)
    assert found.first_good_price_seconds == pytest.approx(1.05)
    assert (found.requests, found.failed_requests, found.bad_prices) == (2, 1, 0)
    assert found.arrival_gap_seconds == pytest.approx(0.5)


def test_only_a_bad_price_after_the_decision_is_counted_as_one(visit: Visit, versions: Mapping[str, str]) -> None:
    bad = versions["bad"]
    decided_at = visit(3).sent_at
    found = recovery([visit(1, bad), visit(2.99, bad), visit(3.1, bad, price=4.5)], decided_at)
    assert (found.bad_prices, found.requests) == (1, 1)


def test_a_last_bad_answer_before_the_decision_lies_below_zero(visit: Visit, versions: Mapping[str, str]) -> None:
    found = recovery([visit(2, versions["bad"])], visit(3).sent_at)
    assert found.last_bad_answer_seconds == pytest.approx(-0.95)
    assert (found.first_good_price_seconds, found.arrival_gap_seconds) == (None, None)


def test_a_log_without_riders_says_nothing() -> None:
    found = recovery([], 0.0)
    assert (found.last_bad_answer_seconds, found.requests) == (None, 0)
