"""A rollback while a canary is tried leaves the candidate, and nothing has to be deployed for it."""

from typing import Any

import pytest

from knowngood.control.roll_back import Wish, roll_back
from knowngood_sdk.errors import ConflictError


@pytest.fixture
def canary(pricing: Any) -> Any:
    """Version 1 is verified and serves; version 2 takes a tenth of the traffic."""
    v1 = pricing.deploy().deployment.version
    pricing.serve(v1, 200)
    pricing.tick()
    pricing.tick()
    pricing.change(model="model 2", features="features 2", config="config 2")
    pricing.deploy(split=1_000)
    return pricing


@pytest.mark.requirement("N3")
def test_the_candidate_is_left_for_the_version_that_serves_beside_it(canary: Any) -> None:
    served = canary.store.read("pricing").served
    candidate = canary.store.read("pricing").candidate
    before = canary.store.read("pricing").row.generation
    rolled = roll_back(canary.plane, "pricing", Wish(actor="ann", why="it looks wrong"))
    after = canary.store.read("pricing")
    assert (rolled.saga.version, rolled.saga.target) == (candidate, served)
    assert (after.served, after.candidate, after.row.generation) == (served, None, before)
    assert after.facts.quarantined == {candidate}


def test_the_static_fallback_is_not_reached_past_the_version_beside_a_canary(canary: Any) -> None:
    with pytest.raises(ConflictError, match="stands behind what is served"):
        roll_back(canary.plane, "pricing", Wish(actor="ann", why="it looks wrong", target="fallback"))
