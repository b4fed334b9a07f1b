"""A trip beside a generation that nobody has yet, at each of the agent's writes, by hand."""

import pytest

from knowngood.testing.simulation.absences.of_messages_and_disks import LeavesAsItArrives
from knowngood.testing.simulation.actions import act
from knowngood.testing.simulation.promise import BrokenPromiseError
from knowngood.testing.simulation.rules import Rules
from knowngood.testing.simulation.run import Worlds
from knowngood.testing.simulation.scenario import Scenario
from knowngood.testing.simulation.world import World
from knowngood_sdk.model.route import FULL

SCENARIO = Scenario(
    replicas=1,
    processes=2,
    history=3,
    fresh=1,
    polls=False,
    budget={"deploy": 1, "flip": 1, "local": 1, "kill-agent": 1},
)


def arriving(rules: Rules, left: str) -> World:
    """Return a world whose replica serves v3 and has been sent the generation of v4, with a trip beside it."""
    world = Worlds(rules).start(SCENARIO)
    act(world, ("deploy", "c1", "v4"))
    while world.store.row.generation == 3:
        act(world, ("go", "c1"))
        settle(world)
    # Minted, and not yet published: the trip is on record first, and its own message is lost on the way.
    act(world, ("flip", "c2", left))
    for _ in range(4):
        act(world, ("go", "c2"))
    world.messages.clear()
    for _ in range(3):
        act(world, ("go", "c1"))
    (message,) = world.messages
    act(world, ("deliver", str(message.number)))
    return world


def settle(world: World) -> None:
    """Let the replica do what it is asked to, and tell of it."""
    for message in tuple(world.messages):
        act(world, ("deliver", str(message.number)))
        act(world, ("write-all", "r1"))
    for version in world.view("r1").missing:
        act(world, ("load", "r1", version))
    act(world, ("report", "r1"))
    for message in tuple(world.messages):
        act(world, ("deliver", str(message.number)))


def served(world: World) -> set[str | None]:
    """What a request that came now would get."""
    now = world.view("r1").now
    assert now is not None
    return set(world.rules.answering(now, world.replicas["r1"].ready))


def write(world: World, *names: str) -> None:
    """Let the agent do its next writes, which have to be these."""
    for name in names:
        assert world.replicas["r1"].to_write[0].name == name
        act(world, ("step", "r1"))


def test_it_is_left_in_the_generation_that_holds_before_the_disk_takes_the_new_one() -> None:
    world = arriving(Rules(), "v3")
    assert served(world) == {"v3"}
    write(world, "leave")
    assert served(world) == {"v2"}
    assert world.replicas["r1"].disk.position == (3, 1, FULL)
    assert world.replicas["r1"].disk.file == world.replicas["r1"].agent
    write(world, "rename", "sync", "word", "acknowledge")
    assert world.replicas["r1"].disk.position == (4, 2, 0)
    assert served(world) == {"v2"}


def test_a_kill_between_file_and_word_leaves_no_worker_on_what_the_file_says_to_leave() -> None:
    world = arriving(Rules(), "v3")
    write(world, "leave", "rename")
    act(world, ("kill-agent", "r1"))
    assert served(world) == {"v2"}
    act(world, ("start-agent", "r1"))
    assert served(world) == {"v2"}


def test_that_a_worker_still_serves_it_after_such_a_kill_would_be_noticed() -> None:
    world = arriving(LeavesAsItArrives(), "v3")
    write(world, "rename")
    act(world, ("kill-agent", "r1"))
    with pytest.raises(BrokenPromiseError, match="QUARANTINE"):
        act(world, ("start-agent", "r1"))


def test_where_a_worker_goes_by_itself_meanwhile_is_left_with_the_word_and_before_anybody_is_answered() -> None:
    world = arriving(Rules(), "v2")
    write(world, "leave")
    act(world, ("local", "r1", "v3"))
    assert served(world) == {"v2"}, "the worker knows nothing against it"
    write(world, "rename")
    act(world, ("kill-agent", "r1"))
    act(world, ("start-agent", "r1"))
    assert served(world) == {"v2"}
    assert "r1" not in {name for name, state in world.oracle.acknowledged.items() if state.facts.trips}
    write(world, "word")
    assert served(world) == {"v3"}, "generation 4 tries v4 and has v3 behind it"
    for _ in range(2):
        act(world, ("worker-step", "r1"))
    write(world, "rename", "sync")
    act(world, ("step", "r1"))
    write(world, "word")
    assert served(world) == {None}, "what the worker had against v3 is written down, and generation 4 has not seen it"
