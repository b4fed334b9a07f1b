"""What must not come into service is blocked on record, and leaves nothing behind."""

from collections.abc import Callable
from typing import Any

import pytest

from knowngood.control.deploy import advance
from knowngood.domain.compatibility import Override
from knowngood.domain.deployment import DeploymentState
from knowngood_sdk.errors import NotReadyError, RefusedError
from knowngood_sdk.model.route import FULL


def verified(pricing: Any, **working: str) -> str:
    pricing.change(**working)
    version: str = pricing.deploy().deployment.version
    pricing.tick()
    pricing.serve(version, 150)
    pricing.tick()
    return version


def previous_is_gone(pricing: Any) -> None:
    pricing.parts["model"].versions.clear()
    pricing.change(model="model 3")


def old_model_on_new_features(pricing: Any) -> None:
    pricing.change(model="model 1")


@pytest.mark.requirement("N1", "A2")
@pytest.mark.parametrize(
    ("prepare", "why"),
    [
        pytest.param(previous_is_gone, "is gone", id="the previous version is gone"),
        pytest.param(old_model_on_new_features, "was never recorded with these features", id="an unproven combination"),
    ],
)
def test_what_the_gate_refuses_is_on_record_as_blocked_and_no_version_is(
    pricing: Any, prepare: Callable[[Any], None], why: str
) -> None:
    verified(pricing)
    verified(pricing, model="model 2", features="features 2")
    prepare(pricing)
    before, recorded = pricing.kinds(), pricing.store.manifests("pricing")
    with pytest.raises((NotReadyError, RefusedError), match=why):
        pricing.deploy()
    assert pricing.kinds()[len(before) :] == ["deployment-blocked"]
    assert why in pricing.store.ledger("pricing")[-1].body["why"]
    assert pricing.store.manifests("pricing") == recorded


@pytest.mark.requirement("A2")
def test_an_old_model_without_a_contract_takes_evidence_or_a_persons_word_on_features_it_was_never_recorded_with(
    pricing: Any,
) -> None:
    verified(pricing)
    served = verified(pricing, model="model 2", features="features 2")
    pricing.change(model="model 1")
    with pytest.raises(RefusedError, match="unproven") as refused:
        pricing.deploy()
    assert pricing.store.read("pricing").served == served
    combination = refused.value.details["combination"]
    word = Override(by="ada", reason="they are the same numbers", combination=combination, at=pricing.plane.now())
    assert pricing.deploy(override=word).deployment.version == combination


def test_a_model_without_a_contract_goes_back_onto_the_features_that_it_was_recorded_with(pricing: Any) -> None:
    verified(pricing)
    verified(pricing, model="model 2", features="features 2")
    pricing.change(model="model 1", features="features 1", config="another curve")
    assert pricing.deploy().deployment.state is DeploymentState.FULL


@pytest.mark.requirement("N2")
def test_nobody_takes_traffic_where_no_replica_runs(pricing: Any) -> None:
    v1 = verified(pricing)
    pricing.change(model="model 2")
    pricing.deploy(split=1_000)
    for replica in ("r1", "r2"):
        pricing.traffic.kill_workers("pricing", replica)
    with pytest.raises(NotReadyError, match="no replica of pricing runs"):
        advance(pricing.plane, "pricing", FULL, "ann")
    assert (pricing.store.read("pricing").served, pricing.store.read("pricing").row.split) == (v1, 1_000)


@pytest.mark.requirement("N2")
def test_a_candidate_is_not_given_more_while_workers_somewhere_serve_on_without_an_agent(pricing: Any) -> None:
    verified(pricing)
    pricing.change(model="model 2")
    pricing.deploy(split=1_000)
    pricing.traffic.kill_agent("pricing", "r2")
    with pytest.raises(NotReadyError, match="kg agent pricing --replica r2"):
        advance(pricing.plane, "pricing", FULL, "ann")
    assert pricing.store.read("pricing").row.split == 1_000


def test_a_second_attempt_at_what_is_in_quarantine_is_on_record(incident: Any) -> None:
    bad = incident.store.read("pricing").served
    incident.tick()
    for _ in range(2):
        incident.serve(bad, 50, errors=20)
        incident.tick()
    with pytest.raises(RefusedError, match="quarantine"):
        incident.deploy(intent="the same, under another name")
    assert incident.kinds()[-1] == "deployment-blocked"
    assert incident.store.ledger("pricing")[-1].body["version"] == bad
