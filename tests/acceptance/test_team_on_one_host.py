"""A control plane whose folder has replicas of its own, and others over HTTP: what each end sees of the rest."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from knowngood.control.fault_point import FaultPoint
from tests.acceptance.control import Control, start_control
from tests.acceptance.pricing import Pricing
from tests.acceptance.stage import Stage, until

pytestmark = [pytest.mark.requirement("A1", "N2"), pytest.mark.slow]


@pytest.fixture
def pricing(tmp_path: Path) -> Iterator[Pricing]:
    """Applied, with version 1 in the working places and one replica on this host; nothing is deployed."""
    pricing = Pricing(Stage(tmp_path))
    pricing.prepare()
    pricing.start("r1")
    pricing.joined()
    yield pricing
    pricing.stage.close()


@contextmanager
def asked(pricing: Pricing, **env: str) -> Iterator[Control]:
    """Run a server while the block runs, and let commands ask it."""
    with start_control(pricing.stage, env=env) as control:
        pricing.stage.client.update(control.client)
        yield control
        pricing.stage.client.clear()


def test_a_deployment_whose_server_was_killed_is_seen_and_holds_up_nobody_when_another_one_runs(
    pricing: Pricing,
) -> None:
    patient = {"KNOWNGOOD_LEASE_SECONDS": "600"}
    with asked(pricing, KNOWNGOOD_FAULT=FaultPoint.DEPLOY_MINTED, **patient) as doomed:
        assert pricing.stage.kg("deploy", "pricing").code == 7
        assert doomed.process.wait() == -signal.SIGKILL
    assert "is being deployed, and serves nobody yet" in pricing.stage.kg("status", "pricing").out
    with asked(pricing, **patient):
        until(lambda: pricing.stage.kg("deploy", "pricing").code == 0, "the next deployment to be let in")
        assert "is being deployed" not in pricing.stage.kg("status", "pricing").out
