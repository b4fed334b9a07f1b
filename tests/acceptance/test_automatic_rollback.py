"""Without a person: a version that fails is left by every replica at once, and by the fleet for good."""

import pytest

from tests.acceptance.pricing import Pricing
from tests.acceptance.stage import until

pytestmark = [pytest.mark.requirement("C1", "D1", "G1", "J5"), pytest.mark.slow]


def test_what_every_replica_left_on_its_own_evidence_the_fleet_leaves_too(pricing: Pricing) -> None:
    good = pricing.served()
    watch = pricing.stage.start_kg("watch", "pricing", "--every", "0.2")
    with pricing.load() as load:
        broken = pricing.deploy(2, broken=True)
        until(lambda: (pricing.rollback_of(broken) or {}).get("state") == "done", "the rollback to be over")
    watch.end()
    assert load.mixed == []
    assert {one.status for one in load.failed} <= {500}
    # Each replica needs ten failures in a row or twenty requests; the riders send some two hundred a second.
    assert len(load.failed) <= 60
    tripped = pricing.ledger("tripped")[-1]["body"]
    assert tripped["version"] == broken
    assert (tripped["source"], tripped["why"]) in [
        ("widening", "r1, r2 of 2 live replica(s) left it on their own evidence"),
        ("trigger", tripped["why"]),
    ]
    status = pricing.status()
    assert status["serving"] == [good]
    assert status["quarantined"] == [broken]


def test_a_version_that_was_left_is_no_way_back_of_the_next(pricing: Pricing) -> None:
    good = pricing.served()
    fixed = pricing.deploy(3)
    status = pricing.status()
    assert status["chain"] == [fixed, good]


def test_the_bad_version_is_refused_whatever_its_intent_is_called(pricing: Pricing) -> None:
    before = pricing.stage.files()
    pricing.write(2, broken=True)
    refused = pricing.stage.kg("deploy", "pricing", "--intent", "try it again")
    assert refused.code == 5
    assert "is in quarantine" in refused.err
    assert "kg quarantine release" in refused.err
    assert pricing.stage.files() == before
