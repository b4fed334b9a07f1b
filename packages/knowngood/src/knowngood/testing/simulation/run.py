"""Runs: a scenario and its actions drawn from a seed, the quiet end of each, and what a broken promise prints."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from knowngood.testing.simulation.actions import act
from knowngood.testing.simulation.choices import Action, possible, progress
from knowngood.testing.simulation.promise import BrokenPromiseError, Promise, broken
from knowngood.testing.simulation.rest import judge_rest
from knowngood.testing.simulation.rules import Rules
from knowngood.testing.simulation.scenario import Scenario, drawn
from knowngood.testing.simulation.tasks import giving_up
from knowngood.testing.simulation.world import World

__all__ = ["Failure", "Worlds", "come_to_rest", "play", "run", "shrunk"]

_MOST_ACTIONS_TO_REST = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """
    A promise that did not hold.

    Attributes:
        promise: Which.
        found: What was seen instead.
        scenario: The frame of the run.
        actions: What was done up to then, not counting how the world comes to rest.
        seed: The seed of the run, or None when it was played from a list.
        trace: The same for people, a line for each action.
    """

    promise: Promise
    found: str
    scenario: Scenario
    actions: tuple[Action, ...]
    seed: int | None = None
    trace: tuple[str, ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        frame = ", ".join(f"{name}={value}" for name, value in _frame(self.scenario).items())
        again = "" if self.seed is None else f"\n    again:    KNOWNGOOD_SIMULATION_SEED={self.seed} make simulate"
        lines = "\n".join(f"    {number:>3}  {line}" for number, line in enumerate(self.trace, start=1))
        return (
            f"{self.promise.name}: {self.promise.value}\n    found:    {self.found}\n    scenario: {frame}{again}\n"
            f"    trace ({len(self.actions)} actions, then it comes to rest):\n{lines}"
        )


class Worlds:
    """
    Worlds to start from: a fleet that has been through its first deployments and is at rest.

    Making one takes as long as a short run, so they are kept, and copied for each run.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._kept: dict[object, World] = {}

    def start(self, scenario: Scenario) -> World:
        """Return a world of its own for a run."""
        if scenario.shape not in self._kept:
            self._kept[scenario.shape] = self._deployed(scenario)
        world = self._kept[scenario.shape].copy()
        world.scenario, world.calm = scenario, False
        world.budget = dict(scenario.budget)
        world.processes = {f"c{number}": None for number in range(1, scenario.processes + 1)}
        world.lease = None
        return world

    def _deployed(self, scenario: Scenario) -> World:
        # The first version needs something behind it.
        first = replace(scenario, budget={}, processes=1, static_fallback=True, polls=True, leases=False)
        world = World.empty(first, self.rules)
        for version in scenario.versions[: scenario.history]:
            come_to_rest(world)
            act(world, ("deploy", "c1", version))
            come_to_rest(world)
            judge_rest(world, deployed=version)
        if scenario.stage != "full":
            act(world, (scenario.stage, "c1", scenario.versions[scenario.history]))
            come_to_rest(world)
        return world


def come_to_rest(world: World, trace: list[str] | None = None) -> None:
    """
    Let everything happen that happens by itself, until nothing does.

    Raises:
        BrokenPromiseError: A promise does not hold on the way, or there is no end.
    """
    world.budget, world.calm, world.outage = {}, True, False
    world.replicas = {name: replace(replica, connected=True) for name, replica in world.replicas.items()}
    for _ in range(_MOST_ACTIONS_TO_REST):
        action = next(progress(world), None)
        if action is not None:
            _do(world, action, trace)
        elif not _let_go(world):
            return
    judge_rest(world)
    raise broken(Promise.CONVERGE, f"it never comes to rest: {next(progress(world), None)} is still to be done")


def _let_go(world: World) -> bool:
    """Give up the first deployment that waits in vain; whether there was one."""
    for name, task in world.processes.items():
        if task is not None:
            world.processes[name] = giving_up(task)
            return True
    return False


def _do(world: World, action: Action, trace: list[str] | None) -> None:
    if trace is not None:
        trace.append(" ".join(action))
    act(world, action)
    if trace is not None and world.notes:
        trace[-1] += "  ->  " + "; ".join(world.notes)


def finish(world: World, trace: list[str] | None = None) -> None:
    """
    Bring a world to rest, judge it there, and let one more deployment bring everybody together.

    Raises:
        BrokenPromiseError: A promise does not hold.
    """
    come_to_rest(world, trace)
    judge_rest(world)
    if world.store.served is None and not world.scenario.static_fallback:
        # Every version is bad and nothing was declared behind them: a person has to release one.
        return
    if world.store.candidate is not None:
        _do(world, ("abandon", "c1", world.store.candidate), trace)
        come_to_rest(world, trace)
        judge_rest(world)
    _do(world, ("deploy", "c1", "the-fix"), trace)
    come_to_rest(world, trace)
    judge_rest(world, deployed="the-fix")


def run(worlds: Worlds, seed: int, scenario: Scenario | None = None) -> Failure | None:
    """Draw a run from a seed and return the promise that it broke, or None."""
    random_ = random.Random(seed)
    again = seed if scenario is None else None
    scenario = scenario or drawn(random_)
    actions: list[Action] = []
    try:
        world = worlds.start(scenario)
        for _ in range(scenario.length):
            action = _draw(random_, world)
            if action is None:
                break
            actions.append(action)
            act(world, action)
        finish(world)
    except BrokenPromiseError as error:
        return Failure(promise=error.promise, found=error.found, scenario=scenario, actions=tuple(actions), seed=again)
    return None


def _draw(random_: random.Random, world: World) -> Action | None:
    kinds: dict[str, list[Action]] = {}
    for action in possible(world):
        kinds.setdefault(action[0], []).append(action)
    if not kinds:
        return None
    names = sorted(kinds)
    weights = [world.scenario.weights.get(name, 1.0) * min(3, len(kinds[name])) for name in names]
    return random_.choice(kinds[random_.choices(names, weights)[0]])


def play(worlds: Worlds, scenario: Scenario, actions: Sequence[Action], *, seed: int | None = None) -> Failure | None:
    """Play a list of actions, passing over those that cannot happen, and return what broke with its trace."""
    trace: list[str] = []
    done: list[Action] = []
    try:
        world = worlds.start(scenario)
        for action in actions:
            if action in set(possible(world)):
                done.append(action)
                _do(world, action, trace)
        trace.append("… it comes to rest")
        finish(world, trace)
    except BrokenPromiseError as error:
        return Failure(
            promise=error.promise,
            found=error.found,
            scenario=scenario,
            actions=tuple(done),
            seed=seed,
            trace=tuple(trace),
        )
    return None


def shrunk(worlds: Worlds, failure: Failure, tries: int = 400) -> Failure:
    """
    Leave out what a failure does not need (delta debugging), and return it with its trace.

    Args:
        worlds: Where runs start.
        failure: What to make smaller; the promise stays the same.
        tries: How many lists to play at most.
    """
    best = play(worlds, failure.scenario, failure.actions, seed=failure.seed) or failure
    size = max(1, len(best.actions) // 2)
    start = 0
    for _ in range(tries):
        if start >= len(best.actions):
            if size == 1:
                break
            size, start = max(1, size // 2), 0
        fewer = (*best.actions[:start], *best.actions[start + size :])
        found = play(worlds, failure.scenario, fewer, seed=failure.seed)
        if found is not None and found.promise is failure.promise and len(found.actions) < len(best.actions):
            best = found
        else:
            start += size
    return best


def _frame(scenario: Scenario) -> dict[str, object]:
    return {
        "replicas": scenario.replicas,
        "processes": scenario.processes,
        "history": scenario.history,
        "fresh": scenario.fresh,
        "static_fallback": scenario.static_fallback,
        "polls": scenario.polls,
        "leases": scenario.leases,
        "exchange": scenario.exchange,
    }
