"""A rollback that is killed, wherever that happens, is gone on with by whoever comes next; nothing is done twice."""

import itertools
import signal
from collections.abc import Iterator

import pytest

from knowngood.control.fault_point import FaultPoint
from knowngood.domain.saga import StepName
from tests.acceptance.pricing import Load, Pricing
from tests.acceptance.stage import until

NUMBERS = itertools.count(2)
# Each kill goes on where the one before died: a flip that was only decided is decided again, what the first replica
# knows is learned and recorded, and each step of the rollback is the next one's.
CHAINS = {
    "from the decision to the last step": [
        p for p in FaultPoint if p.startswith(("flip.", "saga.")) and p.count(".") == 1 and p != "flip.pushed"
    ],
    "between the replicas and the record": [FaultPoint.FLIP_PUSHED],
}

pytestmark = [pytest.mark.requirement("A1", "B2", "G2"), pytest.mark.slow]


@pytest.fixture
def load(pricing: Pricing) -> Iterator[Load]:
    """Riders ask while the test goes on; each gets an answer of one whole version."""
    with pricing.load(every=0.02) as load:
        yield load
    assert load.failed == []
    assert load.mixed == []


def assert_left_once(pricing: Pricing, version: str, good: str | None) -> None:
    """The version was left, one rollback is on record with each step once, and what was known good serves."""
    rollback = pricing.rollback_of(version)
    assert rollback is not None
    assert rollback["state"] == "done"
    assert {step["outcome"] for step in rollback["steps"]} <= {"done", "skipped"}
    ours = [entry for entry in pricing.ledger() if entry["body"].get("saga") == rollback["id"]]
    assert [entry["kind"] for entry in ours] == ["rollback-started", *["rollback-step"] * len(StepName)]
    assert [entry["body"].get("step") for entry in ours[1:]] == [name.value for name in StepName]
    status = pricing.status()
    assert status["serving"] == [good]
    assert version in status["quarantined"]
    assert [replica["serves"] for replica in status["replicas"]] == [[good], [good]]


@pytest.mark.usefixtures("load")
@pytest.mark.parametrize("points", CHAINS.values(), ids=CHAINS)
def test_kg_rollback_that_is_killed_and_called_again(pricing: Pricing, points: list[FaultPoint]) -> None:
    good = pricing.served()
    version = pricing.deploy(next(NUMBERS))
    for point in points:
        killed = pricing.stage.kg("rollback", "pricing", env={"KNOWNGOOD_FAULT": point})
        assert killed.code == -signal.SIGKILL, f"{point}: {killed.err}"
    again = pricing.kg("rollback", "pricing")
    assert again["version"] == version
    assert again["resumed"]
    assert_left_once(pricing, version, good)
    acts = [entry for entry in pricing.ledger("decided") if version[7:19] in str(entry["body"]["plan"])]
    assert len(acts) == 1, "the reasons of the act that was carried out, once"


@pytest.mark.usefixtures("load")
@pytest.mark.parametrize("points", CHAINS.values(), ids=CHAINS)
def test_kg_watch_that_is_killed_and_started_again(pricing: Pricing, points: list[FaultPoint]) -> None:
    good = pricing.served()
    version = pricing.deploy(next(NUMBERS), unwell=True)
    for point in points:
        watch = pricing.stage.start_kg("watch", "pricing", "--every", "0.1", env={"KNOWNGOOD_FAULT": point})
        assert watch.wait() == -signal.SIGKILL, f"{point}: {watch.text}"
    watch = pricing.stage.start_kg("watch", "pricing", "--every", "0.1")
    until(lambda: (pricing.rollback_of(version) or {}).get("state") == "done", "the rollback to be over")
    watch.end()
    assert_left_once(pricing, version, good)
    acts = [entry for entry in pricing.ledger("decided") if entry["body"].get("version") == version]
    assert [entry["body"]["trigger"] for entry in acts] == ["health"]


@pytest.mark.usefixtures("load")
def test_ctrl_c_while_a_rollback_is_verified_stops_the_waiting_alone(pricing: Pricing) -> None:
    good = pricing.served()
    version = pricing.deploy(next(NUMBERS))
    stopped = pricing.stage.kg("rollback", "pricing", env={"KNOWNGOOD_FAULT": "saga.verify:SIGINT"})
    assert stopped.code == 130
    assert pricing.served() == good
    assert pricing.kg("rollback", "pricing")["resumed"]
    assert_left_once(pricing, version, good)


@pytest.mark.usefixtures("load")
def test_a_kill_between_the_deployment_of_the_target_and_the_trip_is_completed(pricing: Pricing) -> None:
    oldest = str(pricing.served())
    pricing.deploy(next(NUMBERS))
    pricing.deploy(next(NUMBERS))
    pricing.deploy(next(NUMBERS))
    bad = pricing.deploy(next(NUMBERS))
    killed = pricing.stage.kg("rollback", "pricing", "--to", oldest, env={"KNOWNGOOD_FAULT": "rollback.deployed"})
    assert killed.code == -signal.SIGKILL, killed.err
    again = pricing.kg("rollback", "pricing", "--to", oldest)
    assert (again["version"], again["target"], again["resumed"]) == (bad, oldest, True)
    assert_left_once(pricing, bad, oldest)


@pytest.mark.usefixtures("load")
def test_a_rollback_need_not_be_waited_for(pricing: Pricing) -> None:
    version = pricing.deploy(next(NUMBERS))
    started = pricing.kg("rollback", "pricing", "--no-wait", code=3)
    assert (started["version"], started["state"]) == (version, "running")
    late = pricing.kg("rollback", "pricing", "--timeout", "60")
    assert (late["resumed"], late["state"]) == (True, "done")
