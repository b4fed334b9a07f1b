"""
A record that is behind its replicas, as after an older copy was put back, leaves, plans and judges nothing.

What it takes for live no replica serves; what serves stands in a generation that it does not have.
"""

import copy
import re
from dataclasses import dataclass, replace
from typing import Any

import pytest

from knowngood.control.apply import apply
from knowngood.control.break_glass import break_glass
from knowngood.control.deploy import abandon_orphan, promote
from knowngood.control.lag import known_route, lag_of
from knowngood.control.publish import publish
from knowngood.control.reissue import reissue
from knowngood.domain.deployment import DeploymentState
from knowngood.domain.system import SystemFile
from knowngood.ports.verbs import RollbackWish
from knowngood.testing.memory_store import MemoryStore
from knowngood.verbs.reading import plan
from knowngood.verbs.rollback import rollback
from knowngood.verbs.status import status
from knowngood_sdk.errors import ConflictError, NotFoundError
from knowngood_sdk.model.route import FULL, FleetRoute, Trip

SENTENCE = (
    "the record of pricing is behind its replicas: they stand on generation 2, the record ends at 1"
    " (an older copy was put back?)"
)
WISH = RollbackWish(why="wrong prices", wait=False)


@dataclass
class Behind:
    """A system whose record ends at generation 1, with the good version, while its replicas serve a bad one."""

    scenario: Any
    good: str
    bad: str

    def served(self) -> set[str]:
        """What the replicas serve."""
        states = [one.report.state for one in self.scenario.traffic.replicas("pricing").values()]
        return {state.chain[position] for state in states for position in state.positions}

    def quarantined(self) -> frozenset[str]:
        """What is barred on record or where replicas read."""
        published = self.scenario.traffic.published("pricing").facts.quarantined
        barred: frozenset[str] = self.scenario.store.read("pricing").facts.quarantined | published
        return barred

    def lag(self) -> str:
        """How far the record is behind, in a sentence."""
        known = known_route(self.scenario.plane, "pricing")
        return lag_of("pricing", self.scenario.store.read("pricing"), known)

    def told(self) -> Any:
        """What a status says of the record."""
        return status(self.scenario.traffic, "pricing", static_fallback=True)["record_behind"]

    def roll_back(self, wish: RollbackWish = WISH) -> Any:
        """Ask for a rollback as a person does."""
        return rollback(self.scenario.plane, "pricing", wish, actor="ann")

    def break_glass(self) -> str:
        """Leave what the replicas say that they serve; return it."""

        def make(generation: int, version: str) -> Trip:
            at = self.scenario.plane.now()
            return Trip(uid=version, version=version, generation=generation, source="break-glass", at=at, why="wrong")

        return break_glass(self.scenario.traffic, "pricing", make).trip.version


def copied(scenario: Any) -> MemoryStore:
    kept = MemoryStore()
    # What is in it is never changed in place, but the containers.
    for name, one in scenario.store._systems.items():
        kept._systems[name] = replace(one, **{each: copy.copy(getattr(one, each)) for each in one.__slots__})
    return kept


def put_back(scenario: Any, kept: MemoryStore) -> None:
    scenario.store = kept
    scenario.plane = replace(scenario.plane, store=kept)
    scenario.restart_watch()


@pytest.fixture
def behind(pricing: Any) -> Behind:
    good = pricing.deploy().deployment.version
    pricing.serve(good, 200)
    pricing.tick()
    pricing.tick()
    kept = copied(pricing)
    pricing.change(model="model 2", features="features 2", config="config 2")
    bad = pricing.deploy().deployment.version
    put_back(pricing, kept)
    return Behind(pricing, good, bad)


@pytest.mark.parametrize(
    "wish",
    [
        pytest.param(WISH, id="to where the plan leads"),
        pytest.param(replace(WISH, to="live"), id="to a version"),
        pytest.param(replace(WISH, to="fallback"), id="to the static fallback"),
        pytest.param(replace(WISH, override="I know it"), id="whatever is proven"),
    ],
)
def test_a_rollback_is_refused_and_bars_nothing(behind: Behind, wish: RollbackWish) -> None:
    for _ in range(2):
        with pytest.raises(ConflictError, match=re.escape(SENTENCE)) as caught:
            behind.roll_back(wish)
        assert "kg rollback pricing --break-glass" in str(caught.value.hint)
    assert behind.quarantined() == frozenset()
    assert behind.served() == {behind.bad}


def test_nothing_is_planned(behind: Behind) -> None:
    with pytest.raises(ConflictError, match=re.escape(SENTENCE)):
        plan(behind.scenario.plane, "pricing", suspect=None, level=None)


def test_the_replicas_show_it_where_what_was_published_is_lost_too(behind: Behind) -> None:
    behind.scenario.traffic.damage("pricing")
    assert behind.lag() == SENTENCE
    behind.scenario.tick()
    assert behind.told() == {"known": 2, "recorded": 1}
    with pytest.raises(ConflictError, match=re.escape(SENTENCE)):
        behind.roll_back()


def test_replicas_that_run_count_before_those_that_do_not(behind: Behind) -> None:
    behind.scenario.traffic.damage("pricing")
    for name in ("r1", "r2"):
        behind.scenario.traffic.kill_agent("pricing", name)
        behind.scenario.traffic.kill_workers("pricing", name)
    assert behind.lag() == SENTENCE, "they come back with what they know"
    behind.scenario.traffic.join("pricing", "r3")
    assert behind.lag() == "", "nobody serves what the two know"


def test_a_breach_of_what_the_record_has_for_live_bars_nothing_and_the_lag_is_told_once(behind: Behind) -> None:
    notes: list[str] = []
    for _ in range(6):
        behind.scenario.serve(behind.good, 200, errors=150)
        tick = behind.scenario.tick()
        notes += tick.notes
        assert tick.decision is None
    assert notes.count(SENTENCE) == 1
    assert behind.quarantined() == frozenset()
    assert behind.served() == {behind.bad}


def test_a_status_says_so_from_the_first_look_on_and_until_a_deployment_stands_above(behind: Behind) -> None:
    assert behind.told() is None, "nobody has compared them yet"
    behind.scenario.tick()
    assert behind.told() == {"known": 2, "recorded": 1}
    behind.scenario.change(model="model 3")
    behind.scenario.deploy()
    assert behind.told() is None
    assert behind.lag() == ""


def test_a_status_says_so_no_longer_once_a_newer_copy_was_put_back(pricing: Any) -> None:
    pricing.deploy()
    older = copied(pricing)
    pricing.change(model="model 2")
    behind = Behind(pricing, "", pricing.deploy().deployment.version)
    newer = pricing.store
    put_back(pricing, older)
    pricing.tick()
    assert behind.told() is not None
    put_back(pricing, newer)
    pricing.tick()
    assert (behind.told(), behind.lag()) == (None, "")


def test_who_publishes_late_what_was_on_record_before_does_not_take_the_record_for_behind(pricing: Any) -> None:
    pricing.deploy()
    earlier = pricing.store.read("pricing")
    pricing.change(model="model 2")
    behind = Behind(pricing, "", pricing.deploy().deployment.version)
    publish(pricing.plane, "pricing", earlier)
    assert behind.told() is None


def test_a_deployment_stands_above_and_can_be_taken_back(behind: Behind) -> None:
    behind.scenario.change(model="model 3", features="features 3", config="config 3")
    fix = behind.scenario.deploy().deployment
    assert (fix.generation, behind.served()) == (3, {fix.version})
    done = behind.roll_back()
    assert (done["version"], done["target"], behind.served()) == (fix.version, behind.good, {behind.good})


def test_breaking_the_glass_leaves_what_serves_and_is_recorded_as_what_it_was(behind: Behind) -> None:
    assert behind.break_glass() == behind.bad
    assert behind.served() == {behind.good}
    behind.scenario.tick()
    assert behind.quarantined() == {behind.bad}
    (saga,) = behind.scenario.store.sagas("pricing")
    steps = {step.name.value: step for step in saga.steps}
    assert (saga.version, saga.target, saga.state.value) == (behind.bad, behind.good, "done")
    assert steps["verify"].outcome.value == "failed", "nobody may take for verified what cannot be judged"
    assert "it was left in generation 2, which the record does not know" in steps["verify"].details["reason"]
    assert steps["people"].outcome.value == "done"
    with pytest.raises(ConflictError, match=re.escape(SENTENCE)):
        behind.roll_back()


def test_where_the_record_does_not_even_know_what_serves_then_that_is_told_all_the_same(behind: Behind) -> None:
    kept = copied(behind.scenario)
    behind.scenario.change(model="model 3", features="features 3", config="config 3")
    lost = behind.scenario.deploy().deployment.version
    behind.scenario.change(model="model 4", features="features 4", config="config 4")
    worst = behind.scenario.deploy().deployment.version
    put_back(behind.scenario, kept)
    assert behind.break_glass() == worst
    behind.scenario.tick()
    assert behind.served() == {lost}
    (saga,) = behind.scenario.store.sagas("pricing")
    assert (saga.version, saga.target, saga.state.value) == (worst, lost, "done")
    behind.scenario.change(model="model 5")
    assert behind.scenario.deploy().deployment.generation == 5
    assert behind.lag() == ""


def test_after_the_glass_was_broken_a_reissue_lets_the_record_lead_again(behind: Behind) -> None:
    behind.break_glass()
    behind.scenario.tick()
    again = reissue(behind.scenario.plane, "pricing", actor="ann", why="the record was put back")
    assert (again.version, again.generation) == (behind.good, 3)
    assert behind.served() == {behind.good}
    assert behind.lag() == ""
    behind.scenario.change(model="model 4")
    fix = behind.scenario.deploy().deployment.version
    assert behind.roll_back()["version"] == fix
    assert behind.served() == {behind.good}


def test_a_candidate_that_took_traffic_since_the_copy_is_not_given_up(pricing: Any) -> None:
    good = pricing.deploy().deployment.version
    pricing.serve(good, 200)
    pricing.tick()
    pricing.tick()
    pricing.change(model="model 2")
    version = pricing.deploy(split=1000).deployment.version
    kept = copied(pricing)
    system = kept._systems["pricing"]
    system.state = replace(system.state, row=FleetRoute(2, 0, 0))
    system.deployments[2] = replace(system.deployments[2], state=DeploymentState.ARMED, split=0)
    put_back(pricing, kept)
    assert abandon_orphan(pricing.plane, "pricing", "reconciler") is None
    pricing.tick()
    assert pricing.traffic.published("pricing").route == FleetRoute(2, 0, 1000)
    with pytest.raises(ConflictError, match="they are further on in generation 2 than the record"):
        rollback(pricing.plane, "pricing", WISH, actor="ann")
    assert not pricing.store.read("pricing").facts.trips
    promote(pricing.plane, "pricing", "ann")
    assert pricing.traffic.published("pricing").route == FleetRoute(2, 0, FULL)
    assert rollback(pricing.plane, "pricing", WISH, actor="ann")["version"] == version


def test_an_empty_record_says_that_that_of_the_replicas_is_another(behind: Behind) -> None:
    put_back(behind.scenario, MemoryStore())
    apply(behind.scenario.plane, SystemFile.from_json(behind.scenario.rules), root="/", actor="test")
    with pytest.raises(NotFoundError, match="serves no version on this record, and its replicas stand on generation 2"):
        behind.roll_back()
    assert behind.told() == {"known": 2, "recorded": 0}
