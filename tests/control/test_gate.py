"""The gate blocks a deployment whose components cannot keep what the system needs."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from knowngood.control.apply import apply
from knowngood.domain.component import PinStrength
from knowngood.domain.system import SystemFile
from knowngood_sdk.errors import NotReadyError
from knowngood_sdk.model.wire import RouteDocument


@pytest.mark.requirement("N1", "G1")
@pytest.mark.parametrize(
    ("caps", "message"),
    [
        pytest.param({"pin": PinStrength.NONE}, "cannot be pinned", id="nothing keeps it for the cool-down"),
        pytest.param({"reversible": False}, "cannot go back", id="it cannot go back"),
        pytest.param({"propagation": timedelta(seconds=61)}, "too late", id="its readers follow too late"),
    ],
)
def test_a_component_that_cannot_keep_the_promise_blocks_the_deployment(
    pricing: Any, caps: dict[str, Any], message: str
) -> None:
    pricing.parts["features"].caps = replace(pricing.parts["features"].caps, **caps)
    with pytest.raises(NotReadyError, match=message):
        pricing.deploy()
    assert pricing.store.read("pricing").row.generation == 0


@pytest.mark.requirement("N1")
def test_readers_that_follow_within_a_minute_are_in_time(pricing: Any) -> None:
    part = pricing.parts["features"]
    part.caps = replace(part.caps, propagation=timedelta(seconds=60))
    assert pricing.deploy().deployment.generation == 1


@pytest.mark.requirement("N1")
def test_a_worker_that_cannot_make_the_candidate_ready_blocks_it_and_the_route_stays(pricing: Any) -> None:
    served = pricing.deploy().deployment.version
    pricing.change(model="broken")
    wanted = pricing.traffic.publish

    def publish(system: str, change: Callable[[RouteDocument], RouteDocument], *, anew: bool = False) -> None:
        for version in change(RouteDocument(system=system)).prepare:
            pricing.traffic.fail("pricing", "r2", version, "the pickle does not load")
        wanted(system, change, anew=anew)

    pricing.traffic.publish = publish
    with pytest.raises(NotReadyError, match=r"r2 cannot make .* ready: the pickle does not load"):
        pricing.deploy()
    assert pricing.store.read("pricing").served == served
    assert pricing.traffic.published("pricing").prepare == ()


@pytest.mark.requirement("N1")
def test_a_replica_whose_agent_does_not_answer_blocks_the_deployment(pricing: Any) -> None:
    pricing.deploy()
    pricing.change(model="model 2")
    pricing.traffic.kill_agent("pricing", "r2")
    with pytest.raises(NotReadyError, match="r2: no agent runs"):
        pricing.deploy()


@pytest.mark.requirement("N2", "G2")
def test_a_candidate_that_does_not_fit_beside_the_standby_is_blocked_with_the_figures(make_scenario: Any) -> None:
    rules = {**make_scenario().rules, "standby": {"keep": "72h", "memory": "1GiB"}}
    pricing = make_scenario(rules=rules)
    pricing.deploy()
    pricing.change(model="model 2")
    pricing.traffic.weigh("pricing", "r1", 1200 * 2**20)
    with pytest.raises(NotReadyError, match=r"1200 MiB on replica r1; standby.memory allows 1024 MiB"):
        pricing.deploy()


@pytest.mark.requirement("N1")
def test_a_declared_fallback_that_a_worker_does_not_have_blocks_the_deployment(pricing: Any) -> None:
    pricing.traffic.take_fallback("pricing", "r2")
    with pytest.raises(NotReadyError) as refused:
        pricing.deploy()
    assert "the static fallback that pricing declares is missing in a worker of replica r2" in str(refused.value)
    assert "Declare @kg.fallback in its server" in str(refused.value)
    assert pricing.kinds()[-1] == "deployment-blocked"


@pytest.mark.requirement("N1")
def test_a_fallback_that_is_not_declared_is_not_missed(make_scenario: Any) -> None:
    pricing = make_scenario()
    pricing.deploy()
    rules = {key: value for key, value in pricing.rules.items() if key != "fallback"}
    apply(pricing.plane, SystemFile.from_json(rules), root="/", actor="test")
    pricing.traffic.take_fallback("pricing", "r2")
    pricing.change(model="model 2")
    pricing.deploy()
