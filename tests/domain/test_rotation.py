"""At least half of the live replicas stay in the balancer, whoever is sick (rule 13)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood.domain.rotation import may_leave, must_return

NAMES = st.frozensets(st.sampled_from([f"r{number}" for number in range(8)]))


@pytest.mark.parametrize(
    ("live", "out", "may"),
    [
        pytest.param("a", "", False, id="the only one"),
        pytest.param("ab", "", True, id="one of two"),
        pytest.param("abc", "", True, id="one of three"),
        pytest.param("abc", "b", False, id="the second of three"),
        pytest.param("abcd", "b", True, id="the second of four"),
        pytest.param("ab", "z", True, id="who is out and does not run counts for nothing"),
        pytest.param("bc", "", False, id="it does not run"),
    ],
)
def test_who_may_leave(live: str, out: str, *, may: bool) -> None:
    assert may_leave("a", frozenset(live), frozenset(out)) == may


@pytest.mark.parametrize(
    ("live", "out", "back"),
    [
        pytest.param("ab", "a", "", id="one of two"),
        pytest.param("a", "a", "a", id="the other one died"),
        pytest.param("abc", "ab", "b", id="the fourth died"),
        pytest.param("bc", "a", "", id="who is out does not run"),
    ],
)
def test_who_must_return(live: str, out: str, back: str) -> None:
    assert must_return(frozenset(live), frozenset(out)) == frozenset(back)


@given(NAMES, NAMES)
def test_after_the_return_half_of_them_are_in_and_nobody_more_came_back_than_had_to(
    live: frozenset[str], out: frozenset[str]
) -> None:
    back = must_return(live, out)
    inside = live - (out - back)
    assert 2 * len(inside) >= len(live)
    assert not back or 2 * (len(inside) - 1) < len(live)
