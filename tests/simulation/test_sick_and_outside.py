"""Fleets of one, two, three and ten: who leaves, who is held out, and how whoever stayed outside comes in."""

import pytest

from knowngood.testing.simulation.actions import act
from knowngood.testing.simulation.promise import BrokenPromiseError, Promise
from knowngood.testing.simulation.rest import judge_rest
from knowngood.testing.simulation.rules import Rules
from knowngood.testing.simulation.run import Worlds, come_to_rest
from knowngood.testing.simulation.scenario import Scenario
from knowngood.testing.simulation.world import World, live


def started(replicas: int, **more: object) -> World:
    """A fleet that has been through two deployments."""
    return Worlds(Rules()).start(Scenario(replicas=replicas, **more))  # type: ignore[arg-type]


def falls_ill(world: World, name: str, version: str = "v2") -> None:
    """Let a worker leave a version, and its agent report that."""
    act(world, ("local", name, version))
    while world.replicas[name].worker_writes:
        act(world, ("worker-step", name))
    act(world, ("look", name))
    while world.replicas[name].to_write:
        act(world, ("step", name))
    for message in [m for m in world.messages if m.to == "control"]:
        act(world, ("deliver", str(message.number)))


def looks(world: World) -> None:
    """Let whoever watches make one pass."""
    act(world, ("reconcile", "c1"))
    while world.processes["c1"] is not None:
        act(world, ("go", "c1"))


@pytest.mark.requirement("G3")
@pytest.mark.parametrize(
    ("replicas", "ill", "leaves"),
    [
        pytest.param(1, 1, True, id="one of one"),
        pytest.param(2, 1, False, id="one of two"),
        pytest.param(2, 2, True, id="both of two"),
        pytest.param(3, 1, False, id="one of three"),
        pytest.param(3, 2, True, id="two of three"),
        pytest.param(10, 1, False, id="one of ten"),
        pytest.param(10, 2, True, id="two of ten"),
    ],
)
def test_enough_move_the_fleet_and_a_lone_one_leaves_the_balancer(replicas: int, ill: int, *, leaves: bool) -> None:
    world = started(replicas)
    names = list(world.replicas)[:ill]
    for name in names:
        falls_ill(world, name)
    looks(world)
    assert world.store.served == ("v1" if leaves else "v2")
    assert world.held_out == (frozenset() if leaves else frozenset(names))
    assert len(world.incidents) == (0 if leaves else ill)
    looks(world)
    assert len(world.incidents) == (0 if leaves else ill), "once"


@pytest.mark.requirement("G3")
def test_once_it_was_started_anew_it_is_let_in_and_minted_for() -> None:
    world = started(3)
    falls_ill(world, "r1")
    looks(world)
    assert world.held_out == {"r1"}
    come_to_rest(world)
    judge_rest(world)
    assert world.held_out == frozenset()
    assert {r.agent.fleet.generation for r in world.replicas.values() if r.agent} == {world.store.row.generation}
    assert world.store.row.generation == 3
    assert world.store.served == "v2"


def test_a_fleet_that_is_away_judges_nobody() -> None:
    world = started(2, budget={"cut": 2})
    falls_ill(world, "r1")
    for name in ("r1", "r2"):
        act(world, ("cut", name))
    assert list(live(world)) == []
    looks(world)
    assert (world.incidents, world.held_out) == ({}, frozenset())


@pytest.mark.requirement("G3", "N2")
def test_a_newcomer_leaves_at_once_what_any_of_its_peers_knows_to_be_bad() -> None:
    world = started(3, polls=False)
    act(world, ("glass", "r2", "v2"))
    while world.replicas["r2"].to_write:
        act(world, ("step", "r2"))
    for step in ("kill", "new-host", "start"):
        act(world, (step, "r1"))
    while world.replicas["r1"].to_write:
        act(world, ("step", "r1"))
    act(world, ("ask", "r1", "r2,r3"))
    for version in ("v1", "v2"):
        act(world, ("load", "r1", version))
    act(world, ("retry", "r1"))
    arriving = [step.state for step in world.replicas["r1"].to_write if step.name != "leave"]
    assert {(state.fleet.generation, state.latched) for state in arriving} == {(2, 1)}, "it never stands on v2"
    newcomer = arriving[0]
    assert (newcomer.fleet.generation, newcomer.latched, newcomer.chain) == (2, 1, ("v2", "v1"))


def test_whoever_lost_the_lease_puts_nothing_on_record() -> None:
    world = started(1, processes=2, leases=True)
    act(world, ("glass", "r1", "v2"))
    while world.replicas["r1"].to_write:
        act(world, ("step", "r1"))
    for message in [m for m in world.messages if m.to == "control"]:
        act(world, ("deliver", str(message.number)))
    act(world, ("reconcile", "c1"))
    act(world, ("expire",))
    act(world, ("reconcile", "c2"))
    act(world, ("go", "c1"))
    assert world.processes["c1"] is None
    assert world.store.served == "v2", "it was not on record by c1"
    act(world, ("go", "c2"))
    assert world.store.served == "v1"


def test_a_flip_needs_no_database_and_comes_on_record_when_it_is_back() -> None:
    world = started(2, exchange=True)
    act(world, ("outage",))
    act(world, ("flip", "c1", "v2"))
    while world.processes["c1"] is not None:
        act(world, ("go", "c1"))
    for message in [m for m in world.messages if m.to != "control"]:
        act(world, ("deliver", str(message.number)))
    for name in world.replicas:
        while world.replicas[name].to_write:
            act(world, ("step", name))
    assert {r.agent.latched for r in world.replicas.values() if r.agent} == {1}
    assert world.store.served == "v2"
    come_to_rest(world)
    judge_rest(world)
    assert world.store.served == "v1"
    assert [saga.version for saga in world.sagas.values()] == ["v2"]


def test_what_was_kept_while_it_was_cut_off_arrives_in_one_batch() -> None:
    world = started(1, budget={"cut": 1, "mend": 1, "glass": 2})
    act(world, ("cut", "r1"))
    for version in ("v2", "v1"):
        act(world, ("glass", "r1", version))
        while world.replicas["r1"].to_write:
            act(world, ("step", "r1"))
    before = len(world.messages)
    act(world, ("mend", "r1"))
    assert len(world.messages) == before + 2
    newest, older = [str(m.number) for m in reversed(world.messages)][:2]
    for number in (newest, older):
        act(world, ("deliver", number))
    come_to_rest(world)
    judge_rest(world)
    assert world.store.served is None


class NeverOutside(Rules):
    def reissues(self) -> bool:
        return False


def test_that_nobody_comes_in_is_seen_at_rest() -> None:
    world = Worlds(NeverOutside()).start(Scenario(replicas=3))
    falls_ill(world, "r1")
    come_to_rest(world)
    with pytest.raises(BrokenPromiseError) as error:
        judge_rest(world)
    assert error.value.promise is Promise.CONVERGE
