"""A deployment that is stopped or killed, wherever that happens, leaves what was served in service and the way free."""

import itertools
import signal
from collections.abc import Iterator

import pytest

from knowngood.control.fault_point import FaultPoint
from tests.acceptance.pricing import Pricing
from tests.acceptance.stage import until

NUMBERS = itertools.count(2)
BEFORE_TRAFFIC = [FaultPoint.DEPLOY_RECORDED, FaultPoint.DEPLOY_ARMED, FaultPoint.DEPLOY_MINTED]

pytestmark = [pytest.mark.requirement("N2", "N3"), pytest.mark.slow]


@pytest.fixture(autouse=True)
def nothing_half_done(pricing: Pricing) -> Iterator[None]:
    """Whatever a test did, no deployment is under way afterwards and both replicas serve the same version."""
    yield
    status = pricing.status()
    assert len(status["serving"]) == 1
    assert {tuple(replica["serves"]) for replica in status["replicas"]} == {tuple(status["serving"])}


@pytest.mark.parametrize("point", BEFORE_TRAFFIC)
def test_ctrl_c_before_the_candidate_takes_traffic_gives_the_deployment_up(pricing: Pricing, point: str) -> None:
    before = pricing.served()
    pricing.write(next(NUMBERS))
    with pricing.load() as load:
        stopped = pricing.stage.kg("deploy", "pricing", env={"KNOWNGOOD_FAULT": f"{point}:SIGINT"})
    assert stopped.code == 130, stopped.err
    assert "stopped" in stopped.err
    assert load.failed == []
    assert load.mixed == []
    assert pricing.served() == before
    assert pricing.kg("deploy", "pricing")["state"] == "full"


def test_ctrl_c_after_the_candidate_took_its_traffic_takes_nothing_back(pricing: Pricing) -> None:
    before = pricing.served()
    pricing.write(next(NUMBERS))
    stopped = pricing.stage.kg("deploy", "pricing", env={"KNOWNGOOD_FAULT": "deploy.advanced:SIGINT"})
    assert stopped.code == 130
    assert pricing.served() != before


def test_ctrl_c_while_replicas_load_withdraws_the_candidate(pricing: Pricing) -> None:
    before = pricing.served()
    pricing.write(next(NUMBERS), load_seconds=3)
    deploying = pricing.stage.start_kg("deploy", "pricing")
    until(lambda: "waiting for r1, r2 to load" in deploying.text, "the replicas to load")
    deploying.signal(signal.SIGINT)
    # A second one, as people press it, breaks off nothing.
    deploying.signal(signal.SIGINT)
    assert deploying.wait() == 130
    assert "Traceback" not in deploying.text
    assert pricing.served() == before
    blocked = pricing.ledger("deployment-blocked")[-1]
    assert blocked["body"]["why"] == "it was stopped"
    assert pricing.stage.kg("deploy", "pricing", "--abandon").code == 1, "nothing is under way"


@pytest.mark.parametrize("point", BEFORE_TRAFFIC)
def test_after_a_kill_before_the_candidate_takes_traffic_the_next_deployment_just_works(
    pricing: Pricing, point: str
) -> None:
    before = pricing.served()
    pricing.write(next(NUMBERS))
    assert pricing.stage.kg("deploy", "pricing", env={"KNOWNGOOD_FAULT": point}).code == -signal.SIGKILL
    assert pricing.served() == before
    assert pricing.kg("deploy", "pricing")["state"] == "full"


def test_a_deployment_that_was_killed_behind_the_mint_is_given_up_and_not_gone_on_with(pricing: Pricing) -> None:
    before = pricing.served()
    for option, code in (("--promote", 1), ("--abandon", 0)):
        pricing.write(next(NUMBERS))
        killed = pricing.stage.kg("deploy", "pricing", env={"KNOWNGOOD_FAULT": "deploy.minted"})
        assert killed.code == -signal.SIGKILL
        ended = pricing.stage.kg("deploy", "pricing", option)
        assert ended.code == code, ended.err
        assert "had ended half done; it is given up now" in ended.err
        assert pricing.served() == before


def test_what_serves_can_be_left_while_a_killed_deployment_stands_in_front_of_it(pricing: Pricing) -> None:
    good = str(pricing.served())
    bad = pricing.deploy(next(NUMBERS))
    pricing.write(next(NUMBERS))
    killed = pricing.stage.kg("deploy", "pricing", env={"KNOWNGOOD_FAULT": "deploy.minted"})
    assert killed.code == -signal.SIGKILL
    with pricing.load() as load:
        assert pricing.kg("rollback", "pricing", "--to", good, "--override", "it served all along")["version"] == bad
    assert load.failed == []
    assert pricing.served() == good


def test_a_kill_after_the_candidate_took_its_traffic_changes_nothing(pricing: Pricing) -> None:
    pricing.write(next(NUMBERS))
    killed = pricing.stage.kg("deploy", "pricing", env={"KNOWNGOOD_FAULT": "deploy.advanced"})
    assert killed.code == -signal.SIGKILL
    refused = pricing.kg("deploy", "pricing", code=1)["error"]
    assert "is served already" in refused["message"]
    assert pricing.kg("ledger", "verify", "pricing")["ok"]
