"""A rollback goes where its plan says, whoever decided it, and the plan of a named target is that target's."""

from typing import Any

import pytest

from knowngood.control.roll_back import Wish, roll_back
from knowngood.domain.evidence import Grade, standing_of
from knowngood_sdk.errors import NotAuthorizedError, NotReadyError
from tests.control.conftest import RULES


def verified(pricing: Any, **working: str) -> str:
    """Deploy what stands in the working places and let its own traffic verify it."""
    version = deployed(pricing, **working)
    pricing.tick()
    pricing.serve(version, 150)
    pricing.tick()
    return version


def deployed(pricing: Any, **working: str) -> str:
    """Deploy what stands in the working places; nothing has verified it yet."""
    pricing.change(**working)
    version: str = pricing.deploy().deployment.version
    return version


def fails(pricing: Any, version: str) -> None:
    pricing.tick()
    for _ in range(2):
        pricing.serve(version, 50, errors=30)
        pricing.tick()


def decision(pricing: Any) -> Any:
    return [entry.body for entry in pricing.store.ledger("pricing") if entry.kind == "decided"][-1]


@pytest.mark.requirement("B2", "J5")
def test_automation_passes_over_what_was_never_verified_although_it_stands_behind(pricing: Any) -> None:
    known = verified(pricing)
    unverified = deployed(pricing, model="model 2")
    bad = deployed(pricing, model="model 3")
    assert pricing.store.read("pricing").way_back == unverified
    fails(pricing, bad)
    state = pricing.store.read("pricing")
    assert (state.served, decision(pricing)["target"]) == (known, known)
    standing = standing_of(known, pricing.store.evidence("pricing"), state.facts, now=pricing.clock.now())
    assert standing.grade is Grade.VERIFIED
    assert state.facts.quarantined == {bad}


@pytest.mark.requirement("N3")
def test_a_canary_goes_back_to_what_serves_the_rest_of_the_traffic_verified_or_not(pricing: Any) -> None:
    verified(pricing)
    serving = deployed(pricing, model="model 2")
    pricing.change(model="model 3")
    candidate = pricing.deploy(split=1_000).deployment.version
    fails(pricing, candidate)
    assert pricing.store.read("pricing").served == serving
    assert "it serves the rest of the traffic" in str(decision(pricing)["plan"])


def test_a_target_that_cannot_be_loaded_is_told_and_tried_again_and_nothing_else_is_gone_to(pricing: Any) -> None:
    verified(pricing)
    deployed(pricing, model="model 2")
    bad = deployed(pricing, model="model 3")
    pricing.parts["model"].versions.clear()
    with pytest.raises(NotReadyError, match="gone"):
        fails(pricing, bad)
    assert pricing.store.read("pricing").served == bad


@pytest.mark.requirement("J3", "J4")
def test_authority_follows_from_what_going_to_the_named_target_changes(make_scenario: Any) -> None:
    table = {"files": "table.csv", "role": "data"}
    pricing = make_scenario(rules={**RULES, "components": {**RULES["components"], "table": table}})
    oldest = verified(pricing)
    verified(pricing, table="table 2")
    verified(pricing, model="model 2")
    live = verified(pricing, model="model 3")
    with pytest.raises(NotAuthorizedError, match="level 4"):
        roll_back(pricing.plane, "pricing", Wish(actor="ada", why="the old table was right", target=oldest))
    assert pricing.store.read("pricing").served == live


@pytest.mark.requirement("B2")
def test_a_named_target_that_was_never_verified_takes_a_persons_word(pricing: Any) -> None:
    verified(pricing)
    unverified = deployed(pricing, model="model 2")
    live = verified(pricing, model="model 3")
    wish = Wish(actor="ada", why="worse", target=unverified)
    with pytest.raises(NotReadyError, match="only armed") as refused:
        roll_back(pricing.plane, "pricing", wish)
    assert "--override" in refused.value.hint
    assert pricing.store.read("pricing").served == live
    roll_back(
        pricing.plane, "pricing", Wish(actor="ada", why="worse", target=unverified, override="I ran it all night")
    )
    assert pricing.store.read("pricing").served == unverified
    assert decision(pricing)["target"] == decision(pricing)["plan"]["target"] == unverified
    assert "I ran it all night" in str(decision(pricing)["plan"])


def test_what_is_on_record_for_the_static_fallback_names_no_other_target(pricing: Any) -> None:
    pricing.deploy()
    done = roll_back(pricing.plane, "pricing", Wish(actor="ada", why="broken", target="fallback"))
    assert done.plan is None
    assert (decision(pricing)["target"], decision(pricing)["plan"]) == ("fallback", None)
