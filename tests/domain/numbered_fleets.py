"""Versions that are called by a digit, trips by it and a letter, and fleets on chains of them."""

import pytest
from hypothesis import strategies as st

from knowngood.domain.fleet import FleetState, merge
from knowngood_sdk.errors import KnownGoodError
from knowngood_sdk.model.route import FULL, Facts, FleetRoute, Generation, LocalTrip, Trip

V1, V2, V3, V4 = VERSIONS = tuple(f"sha256:{digit * 64}" for digit in "1234")
UIDS = [digit + act for digit in "1234" for act in "ab"]
SHORT = {version: digit * 12 for version, digit in zip(VERSIONS, "1234", strict=True)}
EVERYWHERE = frozenset(VERSIONS)


def chain_of(digits: str) -> tuple[str, ...]:
    return tuple(VERSIONS[int(digit) - 1] for digit in digits)


def act(uid: str) -> Trip:
    """An act of leaving the version whose digit its uid begins with."""
    (version,) = chain_of(uid[0])
    return Trip(uid=uid, version=version, generation=1, source="person", at="2026-01-01T00:00:00Z", why="wrong prices")


def facts(*uids: str, released: str = "") -> Facts:
    return Facts({uid: act(uid) for uid in uids}, frozenset(released.split()))


def fleet(
    chain: str = "321",
    *,
    at: tuple[int, int] = (0, FULL),
    known: Facts | None = None,
    saw: str = "",
    saw_local: frozenset[LocalTrip] = frozenset(),
) -> FleetState:
    """A fleet on generation 1, at a step and a split."""
    made = Generation(number=1, chain=chain_of(chain), saw_quarantine=frozenset(chain_of(saw)), saw_local=saw_local)
    return FleetState(row=FleetRoute(1, *at), generations={1: made}, facts=known or Facts())


def says(error: pytest.ExceptionInfo[KnownGoodError]) -> tuple[str, str]:
    return error.value.message, error.value.hint


uids = st.lists(st.sampled_from(UIDS), unique=True, max_size=5)
chains = st.permutations("1234").flatmap(lambda order: st.integers(1, 4).map(lambda size: "".join(order[:size])))
places = st.tuples(st.integers(0, 4), st.sampled_from([0, 1, 1_000, FULL - 1, FULL]))
known = st.builds(lambda names, released: facts(*names, released=" ".join(set(names) & set(released))), uids, uids)
fleets = st.builds(lambda chain, at, told: merge(fleet(chain, at=at, known=told), Facts())[0], chains, places, known)
